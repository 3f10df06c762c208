"""The server without its network: hosts, router, sessions and modules on an open store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, get_type_hints

from xmpp_server.config import Config, ModuleConfig
from xmpp_server.config.options import Host as HostConfig
from xmpp_server.module import Module
from xmpp_server.modules import all_modules
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Account, Accounts, Session
from xmpp_server.routing.components import ComponentRoute
from xmpp_server.routing.host import Host
from xmpp_server.routing.ledger import Ledger
from xmpp_server.routing.resends import Resends
from xmpp_server.routing.router import Router
from xmpp_server.session.binding import Binder
from xmpp_server.session.local import LocalRoute
from xmpp_server.session.newcomers import Newcomers
from xmpp_server.session.passwords import Passwords
from xmpp_server.session.presence import Presence
from xmpp_server.session.restart import Restart
from xmpp_server.session.rosters import LiveRosters
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.store import Store
from xmpp_server.util.http import Routes, Site

from .components import Components


class Core:
    """All that a configuration asks for, but for certificates and sockets."""

    def __init__(self, config: Config, store: Store) -> None:
        limits = config.options.limits
        self.config = config
        self.router = Router()
        self.accounts = Accounts(self._load)
        self.resends = Resends()
        self.ledger = Ledger(self.router, self.accounts, store.offline)
        self.rosters = LiveRosters(store.rosters, self.router)
        self.subscriptions = Subscriptions(self.router, self.rosters, limits.roster_items)
        self.presence = Presence(self.router, self.accounts, store.rosters, self.subscriptions)
        self.binder = Binder(
            self.router,
            self.accounts,
            self.presence,
            store.sessions,
            config.options.server.conflict,
            limits.sessions_per_account,
        )
        self.restart = Restart(self.router, self.accounts, self.ledger, store.sessions, self.binder)
        self.passwords = Passwords(config.options.sasl.iterations)
        self.newcomers = Newcomers(self.accounts, self.rosters, store.accounts, store.invitations, self.passwords)
        self.http = Routes()
        self.site = Site(
            self.http, config.data, config.options.http.url.rstrip("/"), addresses=config.options.listen.addresses
        )
        self.router.routes.append(
            LocalRoute(self.router, self.accounts, self.ledger, self.presence, self.subscriptions)
        )
        self.router.routes.append(ComponentRoute(self.router))
        self.components = Components(self.router, self.accounts, store.database, self.site)
        self.modules: dict[str, dict[str, Module]] = {}
        """By domain and name: all that are in use."""
        self._store = store
        sessions = (self.rosters, self.subscriptions, self.presence, self.binder, self.passwords)
        own = (self.router, self.accounts, self.ledger, self.resends, self.site, self.newcomers, *sessions, store)
        self._parts: dict[Any, Any] = {type(part): part for part in (*own, *vars(store).values())}
        for domain, host in config.hosts.items():
            self._serve(domain, host)
        self.components.use_outside(config.outside)

    async def start(self) -> None:
        """Bring the components up. Raises StorageError."""
        await self.components.start()

    async def stop(self) -> None:
        """Nobody is connected any more: the components write what is to be written."""
        await self.components.stop()

    async def _load(self, jid: JID) -> Account | None:
        state = await self._store.login_state(jid)
        if state is None:
            return None
        self.ledger.found(state.newest)
        return Account(jid, state.roster, state.blocked, waiting=state.newest > 0, photo=state.photo)

    @property
    def is_working(self) -> bool:
        """Whether there are sessions that end, or that somebody is connected to."""
        return any(not session.hibernates for account in self.accounts for session in account.sessions.values())

    async def rest(self, seconds: float) -> None:
        """Return when all that clients sent is handled, and no later than this. Otherwise a message could stand in its
        archive and miss in a session that goes on after a restart, and does not ask the archive."""
        await asyncio.gather(*(session.rest(seconds) for session in self._sessions()))

    async def hurried(self, seconds: float) -> None:
        """Return when clients told what they have, and no later than this. One that resumes no stream that the server
        closed would be given again what it did not acknowledge."""
        await asyncio.gather(*(session.hurried(seconds) for session in self._sessions()))

    def _sessions(self) -> list[Session]:
        return [session for account in self.accounts for session in account.sessions.values()]

    async def end_unusable(self) -> None:
        """End the sessions of accounts that were disabled or deleted from outside."""
        online = [account.jid for account in self.accounts if account.sessions]
        for jid in await self._store.accounts.unusable(online):
            if (account := self.accounts.get(jid)) is not None:
                for session in list(account.sessions.values()):
                    session.close(StreamError("not-authorized", "the account cannot be used any more"))

    # -- hosts and modules

    def reconfigure(self, config: Config) -> None:
        """Take another configuration while running: hosts, modules, their options, and limits."""
        self.config = config
        self.site.base = config.options.http.url.rstrip("/")
        limits = config.options.limits
        self.subscriptions.limit = limits.roster_items
        self.passwords.iterations = config.options.sasl.iterations
        self.binder.limit = limits.sessions_per_account
        self.binder.conflict = config.options.server.conflict
        for domain in self.router.hosts.keys() - config.hosts.keys():
            self._remove_host(domain)
        for domain, host in config.hosts.items():
            self._serve(domain, host)
        self.components.use_outside(config.outside)

    def _serve(self, domain: str, config: HostConfig) -> None:
        """Serve a domain as its configuration has it, from now on or as before."""
        host = self.router.hosts.setdefault(domain, Host(domain))
        host.admins = frozenset(JID.parse(admin) for admin in config.admins)
        self._use(host, config.modules)
        self.components.use(host, self.config.components, config)

    def _remove_host(self, domain: str) -> None:
        self.components.remove(self.router.hosts[domain])
        del self.router.hosts[domain]
        del self.modules[domain]
        for account in self.accounts:
            if account.jid.domain == domain:
                for session in list(account.sessions.values()):
                    session.close(StreamError("host-gone"))

    def _use(self, host: Host, modules: Mapping[str, ModuleConfig]) -> None:
        """Put the enabled modules in their places, and take the others out; one that stays keeps what it knows."""
        running = self.modules.get(host.domain, {})
        classes = all_modules()
        host.reset()
        wanted: dict[str, Module] = {}
        for name, config in modules.items():
            if not config.enabled:
                continue
            module = running.get(name)
            if module is None:
                module = self._make(classes[name], host, config.options)
            elif module.options != config.options:
                module.reconfigure(config.options)
            module.attach(host)
            wanted[name] = module
        self.modules[host.domain] = wanted

    def _make(self, cls: type[Module], host: Host, options: Any) -> Module:
        arguments: dict[str, Any] = {}
        hints = get_type_hints(cls.__init__) if cls.__init__ is not object.__init__ else {}
        hints.pop("return", None)
        for parameter, wanted in hints.items():
            if wanted is Host:
                arguments[parameter] = host
            elif wanted is cls.Options:
                arguments[parameter] = options
            elif wanted in self._parts:
                arguments[parameter] = self._parts[wanted]
            else:
                raise TypeError(f"module {cls.name} wants {parameter}: {wanted}, which nobody provides")
        return cls(**arguments)

    # -- explaining

    def explain_hooks(self) -> dict[str, dict[str, list[tuple[str, str]]]]:
        """By domain and hook: stage and module of each listener, in order."""
        return {
            domain: {hook.name: hook.explain() for hook in host.hooks.all() if hook}
            for domain, host in self.router.hosts.items()
        }

    def explain_routes(self) -> list[str]:
        """The names of the routes, in order."""
        return [route.name for route in self.router.routes]
