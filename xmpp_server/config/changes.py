"""What a reload alters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from .loading import Config
from .reader import join


@dataclass(frozen=True, slots=True)
class Change:
    """An option, by its path, that has another value than before. Either may be a secret, unfit for a log."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Changes:
    """`live` applies while the server runs, `restart` at the next start only: the server goes on with the old value.

    Options of a host that came or went are not listed one by one.
    """

    live: tuple[Change, ...]
    restart: tuple[Change, ...]
    hosts_added: tuple[str, ...]
    hosts_removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.live or self.restart or self.hosts_added or self.hosts_removed)


def changes(old: Config, new: Config) -> Changes:
    """What is different in `new`; certificates whose files were replaced are not seen here."""
    found = list(_compare(old.options, new.options, "", restart=False))
    for domain in old.hosts.keys() & new.hosts.keys():
        found.extend(_compare(old.hosts[domain], new.hosts[domain], join("hosts", domain), restart=False))
    found.sort(key=lambda item: item[0].key)
    return Changes(
        live=tuple(change for change, restart in found if not restart),
        restart=tuple(change for change, restart in found if restart),
        hosts_added=tuple(domain for domain in new.hosts if domain not in old.hosts),
        hosts_removed=tuple(domain for domain in old.hosts if domain not in new.hosts),
    )


def _compare(old: Any, new: Any, path: str, *, restart: bool) -> Iterator[tuple[Change, bool]]:
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for field in msgspec.structs.fields(old):
            # What the file says of hosts, modules and components is compared where it takes effect: at each host.
            if not path and field.name in ("hosts", "modules", "components"):
                continue
            key = join(path, field.encode_name)
            yield from _compare(
                getattr(old, field.name), getattr(new, field.name), key, restart=restart or needs_restart(field)
            )
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            yield from _compare(old.get(name), new.get(name), join(path, name), restart=restart)
    else:
        yield Change(path, old, new), restart


def needs_restart(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a change of this field waits for the next start."""
    return any(
        isinstance(meta, msgspec.Meta) and bool((meta.extra or {}).get("restart"))
        for meta in getattr(field.type, "__metadata__", ())
    )
