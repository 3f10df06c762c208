"""A running server: certificates, database, core and listeners, from start to stop."""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from ipaddress import ip_network
from typing import Final

import structlog

from xmpp_server.config import Config, changes
from xmpp_server.net.c2s import ClientConnection, Clients, Limits
from xmpp_server.net.certificates import CertificateError
from xmpp_server.net.component import ComponentConnection, Outsiders
from xmpp_server.net.connection import Shared, prepare
from xmpp_server.net.flush import Flusher
from xmpp_server.net.http import HTTPLimits, HTTPServer
from xmpp_server.net.tls_contexts import TLSContexts
from xmpp_server.net.wheel import Wheel
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream import framing
from xmpp_server.stream.c2s import Settings
from xmpp_server.stream.sasl import make_verifiers
from xmpp_server.util import log
from xmpp_server.util.limits import Places, SlowDown
from xmpp_server.util.tasks import keep

from . import certificates
from .core import Core
from .lock import DataLock
from .upkeep import Periods, scrub, upkeep
from .web import WebClients

_log = structlog.get_logger()

_BACKLOG: Final = 4096
_LAST_ANSWERS: Final = 1.0  # seconds for clients to tell what they have (XEP-0198 §4)
_GOODBYE: Final = 5.0  # seconds for clients to read that the server stops
_COMMITS: Final = 5.0  # seconds for commits after that
_PASSWORD_BYTES: Final = 12


class App:
    """One server in one process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.core: Core
        self.passwords: dict[JID, str] = {}
        """Accounts that this start made, with their passwords: to be shown once."""
        self.addresses: list[tuple[str, str, int]] = []
        """What is listened on: kind, address, port."""
        self._store: Store
        self._lock: DataLock
        self._contexts: TLSContexts
        self._shared: Shared
        self._clients: Clients
        self._outsiders: Outsiders
        self._http: HTTPServer
        self._web: WebClients
        self._wheel = Wheel()
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[asyncio.Server] = []

    # -- start

    async def start(self) -> None:
        """Bring everything up; raises ConfigError, CertificateError, Unavailable or OSError with what is wrong."""
        config = self.config
        log.configure(config.options.log.level, config.options.log.format)
        _raise_file_limit()
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with AsyncExitStack() as undo:
            self._lock = DataLock(config.data)
            undo.callback(self._lock.release)
            self._contexts = TLSContexts(certificates.find(config))
            certificates.warn(self._contexts.certificates())
            await migrate(config.database_url)
            self._store = await Store.open(config.database_url)
            undo.push_async_callback(self._store.close)
            self.core = Core(config, self._store)
            await self._make_admins()
            if restored := await self.core.restart.restore():
                _log.info("sessions_restored", sessions=restored)
            await self.core.start()  # rooms bring those up to date who are there again
            await self._listen()
            undo.pop_all()
        self._tasks.append(keep(self._wheel.turn(), "wheel"))
        self._tasks.append(keep(upkeep(self._store, self._periods), "upkeep"))
        self._tasks.append(keep(scrub(self._store), "scrub"))

    async def _make_admins(self) -> None:
        """Administrators without an account get one, with a password that is told once."""
        for domain, host in self.config.hosts.items():
            for text in host.admins:
                admin = JID.parse(text)
                if admin.domain != domain or await self._store.accounts.exists(admin):
                    continue
                password = secrets.token_urlsafe(_PASSWORD_BYTES)
                verifiers = await asyncio.to_thread(make_verifiers, password, self.config.options.sasl.iterations)
                await self._store.accounts.create(admin, verifiers)
                self.passwords[admin] = password

    async def _listen(self) -> None:
        config = self.config
        loop = asyncio.get_running_loop()
        limits = config.options.limits
        self._shared = Shared(
            contexts=self._contexts,
            places=Places(limits.connections_per_address, limits.connections),
            flusher=Flusher(loop),
            wheel=self._wheel,
            connections=set(),
            outbox=limits.outbox_bytes,
        )
        self._clients = Clients(
            shared=self._shared,
            router=self.core.router,
            binder=self.core.binder,
            accounts=self._store.accounts,
            settings=await self._settings(config),
            limits=_limits(config),
            guesses=SlowDown(
                loop.time, free=config.options.sasl.free_guesses or sys.maxsize, longest=limits.login_seconds / 3
            ),
            workers=ThreadPoolExecutor(2, "passwords"),
            tls_required=config.options.tls.starttls == "required",
            plain_without_tls=config.options.sasl.plain_without_tls,
        )
        self._outsiders = Outsiders(
            shared=self._shared,
            router=self.core.router,
            settings=self._clients.settings,
            limits=self._clients.limits,
            guesses=SlowDown(loop.time, longest=limits.login_seconds / 3),
        )
        self._http = HTTPServer(self.core.http, _http_limits(config), self._contexts.certificates())
        self._web = WebClients(self._clients, self.core.site, config)
        listen = config.options.listen
        for kind, listener, protocol in (
            ("c2s", listen.c2s, partial(ClientConnection, self._clients)),
            ("c2s direct TLS", listen.direct_tls, partial(ClientConnection, self._clients, direct_tls=True)),
            ("http", listen.http, partial(self._http.connection, tls=False)),
            ("https", listen.https, partial(self._http.connection, tls=True)),
            ("components", listen.components, partial(ComponentConnection, self._outsiders)),
        ):
            if not listener.enabled:
                continue
            port = listener.port
            for address in listener.addresses or listen.addresses:
                server = await self._open(address, port, protocol)
                if server is None:
                    continue
                port = server.sockets[0].getsockname()[1]  # where any port will do, the same on all addresses
                self.addresses.append((kind, address, port))
        self.core.site.port = next((port for kind, _, port in self.addresses if kind == "https"), 0)
        if not self.addresses:
            raise OSError("there is no address to listen on")

    async def _open(self, address: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server | None:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
            prepare(listener)
            server = await loop.create_server(protocol, sock=listener, backlog=_BACKLOG)
        except OSError as error:
            if family == socket.AF_INET6 and address == "::1":  # a machine without IPv6
                _log.warning("no_ipv6", address=address, reason=error.strerror)
                return None
            raise OSError(error.errno, f"cannot listen on {address} port {port}: {error.strerror}") from error
        self._listeners.append(server)
        return server

    async def _settings(self, config: Config) -> Settings:
        limits = config.options.limits
        return Settings(
            secret=await self._store.secrets.get("", "unknown accounts"),
            before=framing.Limits(limits.stanza_bytes_before_login, limits.depth, limits.attributes),
            after=framing.Limits(limits.stanza_bytes, limits.depth, limits.attributes),
            iterations=config.options.sasl.iterations,
            attempts=config.options.sasl.attempts,
            domain=next(iter(config.hosts)),
        )

    # -- while it runs

    def _periods(self) -> dict[str, Periods]:
        """How long each host keeps archived messages, also where it does so no more."""
        archives = {domain: host.modules["archive"].options for domain, host in self.config.hosts.items()}
        return {domain: Periods(options.days, options.kinds) for domain, options in archives.items()}

    async def reload(self) -> None:
        """Read the configuration and the certificates again, and look for accounts that were disabled or deleted.

        What is wrong with configuration or certificates is logged, and changes nothing.
        """
        try:
            config = self.config.again()
            files = certificates.find(config)
        except (ValueError, OSError, CertificateError) as error:
            _log.error("reload_refused", reason=str(error))
            return
        altered = changes(self.config, config)
        for change in altered.restart:
            _log.warning("needs_restart", option=change.key)
        log.configure(config.options.log.level, config.options.log.format)
        outcome = self._contexts.reload(files)
        for refused in outcome.refused:
            _log.error("certificate_refused", reason=str(refused))
        certificates.warn(self._contexts.certificates())
        try:
            self._http.renew(self._contexts.certificates())
        except CertificateError as error:
            _log.error("certificate_refused", reason=str(error))
        self._web.reconfigure(config)
        self._http.limits = _http_limits(config, self._http.limits.places)
        limits, shared, clients = config.options.limits, self._shared, self._clients
        shared.outbox = limits.outbox_bytes
        shared.places.each, shared.places.total = limits.connections_per_address, limits.connections
        self._outsiders.settings = clients.settings = await self._settings(config)
        self._outsiders.limits = clients.limits = _limits(config)
        clients.guesses.free = config.options.sasl.free_guesses or sys.maxsize
        clients.tls_required = config.options.tls.starttls == "required"
        clients.plain_without_tls = config.options.sasl.plain_without_tls
        self.core.reconfigure(config)
        await self.core.end_unusable()
        self.config = config
        _log.info("reloaded", changed=[change.key for change in altered.live], certificates=list(outcome.renewed))

    # -- stop

    async def stop(self) -> None:
        """Tell everybody, write what is to be written, and end."""
        for listener in self._listeners:
            listener.close()
        await self.core.hurried(_LAST_ANSWERS)
        await self.core.components.announce_stop()
        connections = self._shared.connections
        for connection in list(connections):
            connection.close(StreamError("system-shutdown"))
        await self._http.stop(_GOODBYE)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GOODBYE
        while (connections or self.core.is_working) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for connection in list(connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._clients.workers.shutdown(wait=False)
        await self.core.rest(_COMMITS)
        await self.core.stop()
        settled = keep(self._store.archive.settled(), "archive")  # what waits for it goes into the ledger
        await asyncio.wait([settled], timeout=_COMMITS)
        await self.core.ledger.close()
        await self.core.restart.save()
        await self._store.close()
        self._lock.release()


def _limits(config: Config) -> Limits:
    limits = config.options.limits
    return Limits(
        negotiation=limits.login_seconds,
        keepalive=limits.keepalive_seconds,
        rate=limits.bytes_per_second,
        burst=limits.bytes_burst,
    )


def _http_limits(config: Config, places: Places | None = None) -> HTTPLimits:
    """`places`: those that are taken already."""
    options = config.options.http
    places = places or Places(options.connections_per_address, options.connections)
    places.each, places.total = options.connections_per_address, options.connections
    return HTTPLimits(
        places,
        proxies=tuple(map(ip_network, options.proxies)),
        idle=options.idle_seconds,
        header=options.header_bytes,
        body=options.body_bytes,
    )


def _raise_file_limit() -> None:
    """As many open connections as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
