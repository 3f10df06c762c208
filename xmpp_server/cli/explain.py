"""How the server is put together, from the parts themselves."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from xmpp_server.app import Core
from xmpp_server.config import Config
from xmpp_server.config.reference import Section, sections
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store

T = TypeVar("T")


def _hooks(config: Config) -> Iterator[str]:
    for domain, hooks in asyncio.run(_with_core(config, Core.explain_hooks)).items():
        yield domain
        for hook, listeners in hooks.items():
            yield f"  {hook}"
            for stage, module in listeners:
                yield f"    {stage:6} {module}"


def _routes(config: Config) -> Iterator[str]:
    yield from asyncio.run(_with_core(config, Core.explain_routes))


async def _with_core(config: Config, ask: Callable[[Core], T]) -> T:
    """Ask a server without sockets, on an empty database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'empty.sqlite'}"
        await migrate(url)
        store = await Store.open(url)
        try:
            return ask(Core(config, store))
        finally:
            await store.close()


def _config(config: Config) -> Iterator[str]:
    yield f"# {config.file or 'no file: the defaults'}"
    for section in sections(config.known, config.components):
        first, *rest = section.path.split(".")
        if first == "hosts":
            for domain, host in config.hosts.items():
                yield from _section(section, f'hosts."{domain}"', msgspec.structs.asdict(host))
        elif first == "outside":
            for domain, outside in config.outside.items():
                yield from _section(section, f'outside."{domain}"', {"secret": "…", "title": outside.title})
        elif first in ("modules", "components"):
            yield from _section(section, section.path, getattr(config.options, first).get(rest[0], {}))
            for domain, host in config.options.hosts.items():
                if own := getattr(host, first).get(rest[0]):
                    yield from _section(section, f'hosts."{domain}".{section.path}', own, all_options=False)
        else:
            yield from _section(section, section.path, _values(config, [first, *rest]))


def _values(config: Config, path: list[str]) -> dict[str, Any]:
    table: Any = config.options
    for name in path:
        table = getattr(table, name)
    values = msgspec.structs.asdict(table)
    # The URL may hold a password: it is shown from the host on.
    if path == ["database"] and "@" in values["url"]:
        values["url"] = "postgresql://…@" + values["url"].rpartition("@")[2]
    return values


def _section(section: Section, path: str, values: Mapping[str, Any], *, all_options: bool = True) -> Iterator[str]:
    options = [option for option in section.options if all_options or option.key in values]
    if not options:
        return
    yield ""
    yield f"[{path}]"
    for option in options:
        value = values.get(option.key, option.default)
        changed = "" if value == option.default else f", default {_toml(option.default)}"
        yield f"{option.key} = {_toml(value)}  # {option.text} ({option.expected}{changed})"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


TOPICS: Final[dict[str, Callable[[Config], Iterator[str]]]] = {
    "hooks": _hooks,
    "routes": _routes,
    "config": _config,
}
