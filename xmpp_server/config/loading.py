"""Reading the configuration file."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from xmpp_server.module import Module
from xmpp_server.port import Component
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.util.domains import ascii_domain

from .options import Host, ModuleConfig, Options, Outside
from .reader import ConfigError, Mistake, got, join, read, unknown

DEFAULT_DOMAIN: Final = "localhost"
_SHORTEST_SECRET: Final = 16  # characters

Table = dict[str, Any]
Feature = type[Module] | type[Component]
_NONE: Final[Mapping[str, type[Component]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says instead of the file; None leaves it to the file.

    `domain` is served besides the file's hosts; `admin` is a name at it, or at the first host, that becomes an admin.
    """

    data: str | None = None
    domain: str | None = None
    addresses: tuple[str, ...] | None = None
    port: int | None = None
    direct_tls_port: int | None = None
    http_port: int | None = None
    https_port: int | None = None
    admin: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that is complete and has no mistake.

    `hosts` by domain, in the file's order, never empty; their `modules` and `components` hold every one there is, and
    their `admins` whole addresses. `file` is empty if there is none.
    """

    file: str
    options: Options
    hosts: Mapping[str, Host]
    outside: Mapping[str, Outside]
    overrides: Overrides
    known: Mapping[str, type[Module]]
    components: Mapping[str, type[Component]]

    @property
    def data(self) -> Path:
        """The data folder, absolute."""
        return Path(self.options.server.data).absolute()

    @property
    def database_url(self) -> str:
        """The database's URL; that of an SQLite file has an absolute path."""
        url = self.options.database.url
        if path := url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else "":
            return f"sqlite:///{self.data / path}"
        return url

    def certificate_files(self, domain: str) -> tuple[Path, Path]:
        """The files of a host's certificate chain and key, absolute."""
        host = self.hosts[domain]
        if host.certificate:
            return self.data / host.certificate, self.data / host.key
        name = ascii_domain(domain)
        return self.certificates / f"{name}.crt", self.certificates / f"{name}.key"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates, absolute."""
        return self.data / self.options.tls.certificates

    def again(self) -> Config:
        """The same file read once more, for a reload; raises ConfigError."""
        return load(self.file or None, self.known, self.overrides, self.components)

    def with_host(self, domain: str) -> Config:
        """The same with this host too, as if the command line had named it; raises ConfigError."""
        return load(self.file or None, self.known, replace(self.overrides, domain=domain), self.components)


def load(
    path: str | Path | None,
    known: Mapping[str, type[Module]],
    overrides: Overrides | None = None,
    components: Mapping[str, type[Component]] = _NONE,
) -> Config:
    """Read a file, or take the defaults if there is none; `known` are all modules and `components` all components by
    name.

    Raises ConfigError with every mistake of the file.
    """
    overrides = overrides or Overrides()
    file = str(path or "")
    table = _override(_parse(file) if file else {}, overrides)
    mistakes: list[Mistake] = []
    options = read(Options, table, "", mistakes)
    shared = _sections(options.modules, known, "module", "modules", mistakes)
    services = _sections(options.components, components, "component", "components", mistakes)
    hosts: dict[str, Host] = {}
    for key, host in options.hosts.items():
        where = join("hosts", key)
        domain = _domain(key, where, mistakes)
        if domain in hosts:
            mistakes.append(Mistake(where, f"the host {domain} stands twice"))
        own = _sections(host.modules, known, "module", join(where, "modules"), mistakes)
        here = _sections(host.components, components, "component", join(where, "components"), mistakes)
        hosts[domain] = msgspec.structs.replace(
            host,
            admins=tuple(admin if "@" in admin else f"{admin}@{domain}" for admin in host.admins),
            modules={name: _merged(known[name], shared[name], own[name]) for name in known},
            components={name: _merged(components[name], services[name], here[name]) for name in components},
        )
    outside = {
        _domain(key, join("outside", key), mistakes): each for key, each in options.outside.items() if each.secret
    }
    for key, each in options.outside.items():
        if 0 < len(each.secret) < _SHORTEST_SECRET:
            where = join(join("outside", key), "secret")
            mistakes.append(Mistake(where, f"expected {_SHORTEST_SECRET} characters at least"))
    if not mistakes:
        _check_domains(hosts, outside, mistakes)
    if mistakes:
        raise ConfigError(file or "command line", mistakes)
    return Config(file, options, hosts, outside, overrides, known, components)


def _parse(file: str) -> Table:
    try:
        return tomllib.loads(Path(file).read_bytes().decode())
    except OSError as error:
        raise ConfigError(file, [Mistake("", f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(file, [Mistake("", f"expected UTF-8, got another byte at {error.start}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, [Mistake("", f"not TOML: {error}")]) from None


def _override(table: Table, overrides: Overrides) -> Table:
    """The file's table with what the command line says in its place. No section: left for `read` to report."""
    table = copy.deepcopy(table)
    hosts = table.setdefault("hosts", {})
    if isinstance(hosts, dict):
        if overrides.domain is not None:
            hosts.setdefault(overrides.domain, {})
        elif not hosts:
            hosts[DEFAULT_DOMAIN] = {}
        host = hosts[overrides.domain or next(iter(hosts))]
        if overrides.admin is not None and isinstance(host, dict) and isinstance(host.get("admins", []), list):
            host["admins"] = [*host.get("admins", []), overrides.admin]
    _set(table, ("server", "data"), overrides.data)
    _set(table, ("listen", "addresses"), None if overrides.addresses is None else list(overrides.addresses))
    _set(table, ("listen", "c2s", "port"), overrides.port)
    _set(table, ("listen", "direct_tls", "port"), overrides.direct_tls_port)
    _set(table, ("listen", "http", "port"), overrides.http_port)
    _set(table, ("listen", "https", "port"), overrides.https_port)
    return table


def _set(table: Table, path: tuple[str, ...], value: object) -> None:
    if value is None:
        return
    for key in path[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return
    table[path[-1]] = value


def _domain(key: str, where: str, mistakes: list[Mistake]) -> str:
    try:
        jid = JID.parse(key)
    except InvalidJID:
        jid = None
    if jid is None or jid.localpart or jid.resource:
        mistakes.append(Mistake(where, f'expected a domain, got "{key}"'))
        return key
    return jid.domain


def _check_domains(hosts: Mapping[str, Host], outside: Iterable[str], mistakes: list[Mistake]) -> None:
    """Each component has a domain of its own."""
    taken = dict.fromkeys(hosts, "the host")
    for domain, host in hosts.items():
        for name, component in host.components.items():
            if not component.enabled:
                continue
            where = join("components", name)
            own = _domain(f"{component.options.subdomain}.{domain}", join(where, "subdomain"), mistakes)
            if own in taken:
                mistakes.append(Mistake(join(where, "subdomain"), f"{own} is the domain of {taken[own]} already"))
            taken[own] = f"the component {name}"
    mistakes.extend(
        Mistake(join("outside", domain), f"this is the domain of {taken[domain]} already")
        for domain in outside
        if domain in taken
    )


def _sections(
    tables: Mapping[str, Any], known: Mapping[str, Feature], what: str, path: str, mistakes: list[Mistake]
) -> dict[str, Table]:
    """The tables of a section of modules or components (`what`), checked each on its own, for all that are known."""
    for name, table in tables.items():
        where = join(path, name)
        if name not in known:
            mistakes.append(Mistake(where, unknown(what, name, known)))
        elif not isinstance(table, dict):
            mistakes.append(Mistake(where, f"expected a section, got {got(table)}"))
        else:
            enabled = table.get("enabled", True)
            if not isinstance(enabled, bool):
                mistakes.append(Mistake(join(where, "enabled"), f"expected true or false, got {got(enabled)}"))
            elif not enabled and not known[name].optional:
                mistakes.append(Mistake(join(where, "enabled"), f"this {what} cannot be disabled"))
            read(known[name].Options, _without_enabled(table), where, mistakes)
    return {name: table if isinstance(table := tables.get(name), dict) else {} for name in known}


def _merged(feature: Feature, shared: Table, own: Table) -> ModuleConfig:
    """One module or component at one host: the host's options before those of all hosts."""
    table = {**shared, **own}
    return ModuleConfig(bool(table.get("enabled", True)), read(feature.Options, _without_enabled(table), "", []))


def _without_enabled(table: Table) -> Table:
    return {key: value for key, value in table.items() if key != "enabled"}
