"""The server without its network: hosts, router, sessions and modules on an open store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from xmpp_server.module import Module
from xmpp_server.modules import all_modules
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Account, Accounts
from xmpp_server.routing.host import Host
from xmpp_server.routing.router import Router
from xmpp_server.session.binding import Binder, Conflict
from xmpp_server.session.local import LocalRoute
from xmpp_server.session.presence import Presence
from xmpp_server.session.rosters import LiveRosters
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.store import Store


class Core:
    """The server without its network: hosts, router, sessions and modules on an open store."""

    def __init__(
        self, store: Store, *, conflict: Conflict = "replace", sessions: int = 50, contacts: int = 5000
    ) -> None:
        self.store = store
        self.router = Router()
        self.accounts = Accounts(self._load)
        self.rosters = LiveRosters(store.rosters)
        self.subscriptions = Subscriptions(self.router, self.rosters, contacts)
        self.presence = Presence(self.router, self.accounts, store.rosters, self.subscriptions)
        self.binder = Binder(self.router, self.accounts, self.presence, conflict, sessions)
        self.router.routes.append(LocalRoute(self.router, self.accounts, self.presence, self.subscriptions))
        self.modules: dict[str, dict[str, Module]] = {}
        """By domain and name."""
        self._parts: dict[type, Any] = {
            type(part): part
            for part in (
                self.router,
                self.accounts,
                self.rosters,
                self.subscriptions,
                self.presence,
                self.binder,
                store,
                *vars(store).values(),
            )
        }

    def provide(self, part: object) -> None:
        """Let modules name this part in their constructors."""
        self._parts[type(part)] = part

    async def _load(self, jid: JID) -> Account | None:
        state = await self.store.login_state(jid)
        return None if state is None else Account(jid, state.roster, state.blocked)

    def add_host(self, domain: str, options: Mapping[str, Any]) -> Host:
        """Serve a domain with these modules: their options by name."""
        host = Host(domain)
        modules: dict[str, Module] = {}
        classes = all_modules()
        for name, module_options in options.items():
            modules[name] = self._make(classes[name], host, module_options)
        for module in modules.values():
            module.attach(host)
        self.router.hosts[host.domain] = host
        self.modules[host.domain] = modules
        return host

    async def remove_host(self, domain: str) -> None:
        """Serve the domain no more; its sessions end."""

    def _make(self, cls: type[Module], host: Host, options: Any) -> Module:
        arguments: dict[str, Any] = {}
        for parameter, wanted in get_type_hints(cls.__init__).items():
            if parameter == "return":
                continue
            if wanted is Host:
                arguments[parameter] = host
            elif wanted is cls.Options:
                arguments[parameter] = options
            elif wanted in self._parts:
                arguments[parameter] = self._parts[wanted]
            else:
                raise TypeError(f"module {cls.name} wants {parameter}: {wanted}, which nobody provides")
        return cls(**arguments)
