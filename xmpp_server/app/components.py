"""The components: made, mounted, started and stopped, and the places of those that are outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

import structlog

from xmpp_server.config.options import Host as HostConfig
from xmpp_server.config.options import Outside
from xmpp_server.port import Component, Port
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.components import LocalPort, OutsidePort
from xmpp_server.routing.host import DiscoItem, Host
from xmpp_server.routing.router import Router
from xmpp_server.storage.database import Database
from xmpp_server.util.http import Site
from xmpp_server.util.tasks import keep

_log = structlog.get_logger()


class Components:
    """All components of all hosts, by domain."""

    def __init__(self, router: Router, accounts: Accounts, database: Database, site: Site) -> None:
        self.running: dict[str, Component] = {}
        self._ports: dict[str, LocalPort] = {}
        self._router = router
        self._accounts = accounts
        self._database = database
        self._site = site
        self._started = False

    def use(self, host: Host, known: Mapping[str, type[Component]], config: HostConfig) -> None:
        """Mount what the configuration of this host wants, and take away what it does not want any more."""
        wanted: dict[str, Component] = {}
        for name, settings in config.components.items():
            if not settings.enabled:
                continue
            jid = JID.parse(f"{settings.options.subdomain}.{host.domain}")
            component = self.running.get(jid.domain)
            if component is None or type(component) is not known[name]:
                component = self._mount(
                    known[name], LocalPort(self._router, self._accounts, jid, host.admins), settings.options
                )
            elif component.options != settings.options:
                component.reconfigure(settings.options)
            self._ports[jid.domain].admins = host.admins
            wanted[jid.domain] = component
        for item in host.components:
            if item.jid.domain in self.running and item.jid.domain not in wanted:
                self._unmount(item.jid.domain)
        host.components = [DiscoItem(JID.parse(domain), name=part.title) for domain, part in wanted.items()]

    def use_outside(self, outside: Mapping[str, Outside]) -> None:
        """Keep a place for each component outside, and close the streams of those that are not wanted any more; to be
        called when all hosts have theirs."""
        places = self._router.components
        for domain, port in list(places.items()):
            if isinstance(port, OutsidePort) and (domain not in outside or port.secret != outside[domain].secret):
                del places[domain]
                if port.link is not None:
                    port.link.close(StreamError("host-gone" if domain not in outside else "reset"))
        for domain, settings in outside.items():
            jid = JID.parse(domain)
            if domain not in places:
                places[domain] = OutsidePort(jid, settings.secret)
            host = next((host for name, host in self._router.hosts.items() if domain.endswith(f".{name}")), None)
            if host is not None and settings.title:
                host.components = [*host.components, DiscoItem(jid, name=settings.title)]

    def remove(self, host: Host) -> None:
        """The host is not served any more."""
        for item in host.components:
            if item.jid.domain in self.running:
                self._unmount(item.jid.domain)
        host.components = []

    async def start(self) -> None:
        """Start all; from now on those that are mounted are started at once. Raises what they raise."""
        self._started = True
        for component in self.running.values():
            await component.start()

    async def announce_stop(self) -> None:
        """Tell all that the server stops, while its sessions are still there."""
        for component in self.running.values():
            await self._try(component.announce_stop)

    async def stop(self) -> None:
        """Stop all."""
        for domain, component in list(self.running.items()):
            self._router.components.pop(domain, None)
            await self._try(component.stop)

    def _mount(self, cls: type[Component], port: LocalPort, options: Any) -> Component:
        domain = port.jid.domain
        if domain in self.running:
            self._unmount(domain)
        parts = {Port: port, cls.Options: options, Database: self._database, Site: self._site}
        component = self.running[domain] = make(cls, parts, options)
        self._ports[domain] = port
        self._router.components[domain] = port
        if self._started:
            keep(component.start(), f"start of {domain}")
        return component

    def _unmount(self, domain: str) -> None:
        del self._router.components[domain]
        del self._ports[domain]
        keep(self.running.pop(domain).stop(), f"stop of {domain}")

    async def _try(self, end: Callable[[], Awaitable[None]]) -> None:
        try:
            await end()
        except Exception:
            _log.exception("component_failed", when=getattr(end, "__name__", ""))


def make(cls: type[Component], parts: Mapping[Any, Any], options: Any) -> Component:
    """The component, given those of the parts that it names by type. Raises TypeError if it names another."""
    arguments = {}
    for parameter, wanted in get_type_hints(cls.__init__).items():
        if parameter != "return":
            if wanted not in parts:
                raise TypeError(f"component {cls.name} wants {parameter}: {wanted}, which nobody provides")
            arguments[parameter] = parts[wanted]
    component = cls(**arguments)
    component.options = options
    return component
