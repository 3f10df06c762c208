"""A client's connection: drives the stream and the session from a socket's events.

What is in memory is handled in the turn of the loop in which it came, without a task. When something has to wait, the
connection's later stanzas wait behind it, and nobody else's.

XEP: 0368 (1.1.0) partial: clients
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import structlog

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.host import Host
from xmpp_server.routing.iq import Target
from xmpp_server.routing.router import Router
from xmpp_server.session.binding import Binder
from xmpp_server.session.resumption import ResumeFailed
from xmpp_server.session.session import Session
from xmpp_server.storage.accounts import Accounts
from xmpp_server.storage.errors import Unavailable
from xmpp_server.stream.c2s import C2SStream, Offer, Settings
from xmpp_server.stream.events import (
    Acknowledgement,
    Authenticated,
    AuthenticationFailed,
    Bind,
    Early,
    Enable,
    Ended,
    Event,
    NeedCredentials,
    NeedWork,
    Nonza,
    Opened,
    Request,
    Resume,
    StartTLS,
)
from xmpp_server.stream.framing import Malformed
from xmpp_server.stream.states import State
from xmpp_server.util.limits import SlowDown
from xmpp_server.util.tasks import run_eagerly

from .connection import Shared
from .stream import StreamConnection
from .tls import ALPN_CLIENT

_log = structlog.get_logger()


@dataclass(slots=True)
class Limits:
    """What one client may do; a change counts for new connections. `rate` and `burst` are bytes in a second, 0: any."""

    negotiation: int
    """Ticks from connect to bind."""
    keepalive: int
    """Ticks of silence after which a space is sent (RFC 6120 §4.6.1)."""
    rate: float
    burst: float


@dataclass(slots=True)
class Clients:
    """What all client connections share."""

    shared: Shared
    router: Router
    binder: Binder
    accounts: Accounts
    settings: Settings
    limits: Limits
    guesses: SlowDown
    workers: Executor
    tls_required: bool
    plain_without_tls: bool


class ClientConnection(StreamConnection):
    """One client's socket. It is the sink of its session."""

    __slots__ = ("_clients", "_host", "_notes", "_requested", "_session")

    _stream: C2SStream

    starts_tls = True
    """Whether STARTTLS is possible."""

    def __init__(self, clients: Clients, *, direct_tls: bool = False) -> None:
        super().__init__(clients.shared, (ALPN_CLIENT,) if direct_tls else ())
        self._clients = clients
        self._stream = C2SStream(clients.settings)
        self._session: Session | None = None
        self._host: Host | None = None
        self._requested = False
        self._notes: dict[str, Any] = {}

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.closing:
            self._shared.wheel.schedule(self, self._clients.limits.negotiation)
            self.allow(self._clients.limits.rate, self._clients.settings.before.max_bytes)

    def secured(self, bindings: Mapping[str, bytes]) -> None:
        if self._stream.state is State.SECURING:
            self._stream.tls_started(bindings)
        else:  # from the first byte on
            self._stream = C2SStream(self._clients.settings, bindings)

    # -- events

    def take(self, event: Any) -> asyncio.Future[Any] | None:
        session = self._session
        if session is not None and type(event) is Stanza:
            managed = session.managed
            return run_eagerly(session.receive(event) if managed is None else managed.receive(event))
        if type(event) is Request:
            self._requested = True  # one answer for all of this turn
        elif type(event) is Acknowledgement:
            self._acknowledged(event)
        else:
            return run_eagerly(self._handle(event))
        return None

    def turned(self) -> None:
        if self._requested:
            self._requested = False
            session = self._session
            if session is not None and session.managed is not None:
                session.managed.requested()

    def failed(self, error: BaseException) -> None:
        if self._session is not None and self._session.managed is not None:
            self._session.managed.forgo()
        super().failed(error)

    async def _handle(self, first: Event) -> None:
        event: Event | None = first
        while event is not None:
            event = await self._step(event)

    async def _step(self, event: Event) -> Event | None:
        stream = self._stream
        if isinstance(event, Opened):
            await self._opened(event)
        elif isinstance(event, StartTLS):
            self.send_stream()
            self.start_tls(self._host.domain if self._host is not None else "")
        elif isinstance(event, NeedCredentials):
            return await self._look_up(event)
        elif isinstance(event, NeedWork):
            loop = asyncio.get_running_loop()
            return stream.give_result(await loop.run_in_executor(self._clients.workers, event.work.work))
        elif isinstance(event, AuthenticationFailed):
            await self._failed_to_authenticate(event)
        elif isinstance(event, Authenticated):
            await self._authenticated(event.account)
        elif isinstance(event, Bind):
            await self._bind(event)
        elif isinstance(event, Early):
            await self._early(event)
        elif isinstance(event, Malformed):
            self._malformed(event)
        elif isinstance(event, Enable):
            self._enable(event)
        elif isinstance(event, Resume):
            await self._resume(event)
        elif isinstance(event, Nonza):
            raise StreamError("unsupported-stanza-type")
        elif isinstance(event, Ended):
            self._left()
        return None

    async def _opened(self, event: Opened) -> None:
        clients = self._clients
        hosts = clients.router.hosts
        try:
            host = hosts.get(JID.parse(event.to).domain) if event.to else next(iter(hosts.values()))
        except InvalidJID:
            host = None
        if host is None:
            self._stream.refuse(next(iter(hosts)), StreamError("host-unknown"))
            self.close()
            return
        self._host = host
        features: tuple[Element, ...] = ()
        if not self._is_tls_due():
            authenticated = self._stream.account is not None
            features = await host.stream_features(encrypted=self._stream.encrypted, authenticated=authenticated)
        offer = Offer(
            host.domain,
            tls=self.starts_tls,
            tls_required=clients.tls_required,
            plain_without_tls=clients.plain_without_tls,
            features=features,
        )
        self._stream.accept(offer)

    def _is_tls_due(self) -> bool:
        """Whether nothing else is offered or done before TLS (RFC 6120 §5.3.1)."""
        return self._clients.tls_required and not self._stream.encrypted

    async def _look_up(self, event: NeedCredentials) -> Event | None:
        if self._clients.guesses.is_full(self.key):
            return self._stream.cannot_verify()
        try:
            account = JID.of(event.localpart, event.domain)
        except InvalidJID:
            return self._stream.give_credentials(None)
        try:
            credentials = await self._clients.accounts.credentials(account)
        except Unavailable:
            return self._stream.cannot_verify()
        return self._stream.give_credentials(credentials)

    async def _failed_to_authenticate(self, event: AuthenticationFailed) -> None:
        if event.guessed:
            account = f"{event.localpart}@{self._host.domain if self._host is not None else ''}"
            _log.info("authentication_failed", address=self.address, account=account)
            guesses = self._clients.guesses
            delay = self._place_in_queue(account)
            guesses.failed(account)
            guesses.failed(self.key)
            await asyncio.sleep(delay)
        self._stream.send_failure()
        if self._stream.state is State.CLOSED:  # too many
            self.close()

    async def _authenticated(self, account: JID) -> None:
        if delay := self._place_in_queue(str(account)):
            answer = self._stream.data_to_send()
            await asyncio.sleep(delay)
            self.write(answer)
        self._clients.guesses.succeeded(str(account))
        self._clients.accounts.logged_in(account, time.time_ns() // 1000)

    def _place_in_queue(self, account: str) -> float:
        """For how long to hold the answer to an attempt back, right or wrong: after wrong guesses for this account or
        from this address, so that many connections guess no faster than one."""
        guesses = self._clients.guesses
        return max(guesses.delay(account), guesses.delay(self.key))

    async def _bind(self, event: Bind) -> None:
        assert self._host is not None
        account = self._stream.account
        assert account is not None
        if self._clients.router.hosts.get(account.domain) is not self._host:
            raise StreamError("host-gone")
        try:
            session = await self._clients.binder.bind(self._host, account, event.resource, self)
        except StanzaError as error:
            self._stream.bind_failed(error)
            return
        self._session = session
        if self.closing:  # gone while it waited: `_continue` ends the session
            return
        self._stream.bound(session.jid)
        self._negotiated()

    def _negotiated(self) -> None:
        limits = self._clients.limits
        self.allow(limits.rate, limits.burst)
        self._shared.wheel.schedule(self, limits.keepalive)

    # -- stream management

    async def _resume(self, event: Resume) -> None:
        """XEP-0198 §5: the former session takes this connection instead of its own."""
        account = self._stream.account
        assert account is not None
        assert self._host is not None
        if self._host.stream_management is None:
            self._stream.resume_failed("feature-not-implemented")
            return
        try:
            session, h = await self._clients.binder.resumption.resume(account, event.id, event.h)
        except ResumeFailed as error:
            self._stream.resume_failed(error.condition, error.h)
            return
        except StreamError as error:
            self._stream.resume_failed(error.condition)
            raise
        self._session = session
        if self.closing:  # gone while it waited: `_continue` lets the session wait for the next one
            session.sink = self
            return
        self._stream.resumed(event.id, h)
        self.send_stream()
        session.attach(self)
        self._negotiated()
        await session.host.hooks.session_resumed.run(session)

    def _enable(self, event: Enable) -> None:
        """XEP-0198 §3."""
        assert self._session is not None
        offered = self._session.host.stream_management
        if offered is None:
            self._stream.enable_failed("feature-not-implemented")
            return
        seconds = min(offered.seconds, event.most or offered.seconds) if event.resume else 0
        managed = self._clients.binder.resumption.enable(self._session, event.ns, offered.octets, seconds)
        self._stream.enabled(managed.id, seconds)
        self.send_stream()  # before anything that is counted

    def _acknowledged(self, event: Acknowledgement) -> None:
        session = self._session
        assert session is not None
        assert session.managed is not None
        session.managed.accept(event.h)

    def _left(self) -> None:
        """The client closed its stream, or sent what cannot be read on from: its session ends."""
        session = self._session
        if session is not None and session.managed is not None:
            session.managed.forgo()
        self.close()

    async def _early(self, event: Early) -> None:
        assert self._host is not None
        stanza = event.stanza
        if stanza.type not in ("get", "set") or self._is_tls_due():
            raise StreamError("not-authorized")
        stanza = stanza.stamped(to=self._host.jid)
        answer = await self._host.requests.answer(stanza, None, Target.STREAM, address=self.key, notes=self._notes)
        if answer is not None:
            self._stream.reply(answer)

    def _malformed(self, event: Malformed) -> None:
        """The stanza is answered, and goes nowhere (RFC 6120 §8.3.3.8)."""
        stanza = event.stanza
        if self._session is None:
            raise StreamError("not-authorized")
        if stanza.type not in ("error", "result"):
            answer = stanza.stamped(sender=self._session.jid).error(event.error)
            self._session.deliver(answer)
        if self._session.managed is not None:
            self._session.managed.count()

    # -- the end

    def last_words(self, error: StreamError | None) -> list[bytes]:
        managed = self._session.managed if self._session is not None else None
        words = [managed.answer()] if managed is not None and managed.h > managed.told else []  # XEP-0198 §4
        self._stream.close(error)
        return words + self._stream.parts_to_send()

    def ended(self) -> None:
        session = self._session
        if session is not None and self._busy is None:
            self._session = None
            self._clients.binder.disconnected(session, self)
        elif session is not None:
            session.budget.go_on()  # nothing more is read that would have to wait for it

    @property
    def silence(self) -> int | None:
        return self._clients.limits.keepalive if self._stream.state is State.BOUND else None

    def probe(self) -> None:
        managed = self._session.managed if self._session is not None else None
        # XEP-0198 §8.2: a request in lieu of a space; it frees what an idle client has long got
        if managed is not None and managed.size and not managed.asked:
            self.write(managed.ask())
        else:
            self.keep_alive()
