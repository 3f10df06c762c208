"""A client's connection: drives TLS, the stream and the session from a socket's events.

What is in memory is handled in the turn of the loop in which it came, without a task. When something has to wait, the
connection's later stanzas wait behind it, and nobody else's.
"""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.host import Host, StreamFeatures
from xmpp_server.routing.iq import Target
from xmpp_server.routing.router import Router
from xmpp_server.session.binding import Binder
from xmpp_server.session.session import Session
from xmpp_server.storage.accounts import Accounts
from xmpp_server.stream.c2s import C2SStream, Offer, Settings
from xmpp_server.stream.events import (
    Authenticated,
    AuthenticationFailed,
    Bind,
    Early,
    Ended,
    Event,
    NeedCredentials,
    NeedWork,
    Nonza,
    Opened,
    StartTLS,
)
from xmpp_server.stream.framing import Malformed
from xmpp_server.stream.states import State
from xmpp_server.util.limits import Places, SlowDown, TokenBucket, address_key
from xmpp_server.util.tasks import keep, run_eagerly

from .flush import Flusher
from .tls import ALPN_CLIENT, TLSError, TLSSession
from .tls_contexts import TLSContexts
from .wheel import Wheel

_log = structlog.get_logger()

_LINGER: Final = 5  # ticks: for how long a client may read our last words
_EVENTS_A_TURN: Final = 200  # then others have their turn
_USER_TIMEOUT: Final = 90_000  # ms: unacknowledged bytes for so long mean a dead link (RFC 5482)


@dataclass(slots=True)
class Limits:
    """What one connection may do; a change counts for new connections, `rate` and `burst` for bytes in a second."""

    outbox: int
    negotiation: int
    """Ticks from connect to bind."""
    keepalive: int
    """Ticks of silence after which a space is sent (RFC 6120 §4.6.1)."""
    rate: float
    burst: float


@dataclass(slots=True)
class Server:
    """What all client connections share."""

    router: Router
    binder: Binder
    accounts: Accounts
    contexts: TLSContexts | None
    settings: Settings
    limits: Limits
    places: Places
    guesses: SlowDown
    flusher: Flusher
    wheel: Wheel
    workers: Executor
    tls_required: bool
    plain_without_tls: bool
    connections: set[ClientConnection]


class ClientConnection(asyncio.Protocol):
    """One socket. It is the sink of its session."""

    __slots__ = (
        "_address",
        "_bucket",
        "_busy",
        "_closing",
        "_heard",
        "_host",
        "_key",
        "_out",
        "_paused",
        "_server",
        "_session",
        "_size",
        "_stream",
        "_tls",
        "_transport",
        "_waiting",
        "due",
    )

    def __init__(self, server: Server, *, direct_tls: bool = False) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._tls: TLSSession | None = None
        if direct_tls:
            assert server.contexts is not None
            self._tls = TLSSession(server.contexts, alpn=(ALPN_CLIENT,))
        self._stream = C2SStream(server.settings)
        self._session: Session | None = None
        self._host: Host | None = None
        self._busy: asyncio.Future[Any] | None = None
        self._out: list[bytes] = []
        self._size = 0
        self._paused = False
        self._closing = False
        self._heard = 0
        self._bucket: TokenBucket | None = None
        self._address = ""
        self._key = ""
        self._waiting: asyncio.Future[None] | None = None
        self.due = 0

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        server = self._server
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        key = address_key(self._address.partition("%")[0]) if self._address else "unknown"
        if not server.places.enter(key):
            transport.abort()
            return
        self._key = key
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)
        server.connections.add(self)
        server.wheel.schedule(self, server.limits.negotiation)

    def connection_lost(self, exc: Exception | None) -> None:
        server = self._server
        if self._key:
            server.places.leave(self._key)
            server.connections.discard(self)
        server.wheel.cancel(self)
        if self._tls is not None:
            self._tls.close()
        self._closing = True
        self._out.clear()
        self._transport = None
        self._end_session()
        self._wake()

    def eof_received(self) -> bool:
        self.close()
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._out:
            self._server.flusher.mark(self)
        else:
            self._wake()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._heard = self._server.wheel.now
        if self._bucket is not None and (wait := self._bucket.take(len(data))):
            self._hold(wait)
        tls = self._tls
        if tls is not None:
            started = tls.handshake_done
            try:
                data = tls.receive(data)
            except TLSError as error:
                _log.info("tls_failed", address=self._address, reason=str(error))
                self._write_raw(tls.data_to_send())
                self._abort_softly()
                return
            if not started:
                self._write_raw(tls.data_to_send())
                if tls.handshake_done:
                    self._stream.tls_started(tls.channel_bindings())
            if tls.peer_closed:
                self.close()
                return
            if not data:
                return
        self._stream.receive_data(data)
        if self._busy is None:
            self._pump()
        elif self._transport is not None:
            self._transport.pause_reading()

    def _hold(self, seconds: float) -> None:
        """Read no more for a while: the client sends more than its rate."""
        transport = self._transport
        if transport is not None and transport.is_reading():
            transport.pause_reading()
            asyncio.get_running_loop().call_later(min(seconds, 60.0), self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and self._busy is None and not self._closing:
            self._transport.resume_reading()

    # -- events

    def _pump(self) -> None:
        stream = self._stream
        session = self._session
        for _ in range(_EVENTS_A_TURN):
            event = stream.next_event()
            if event is None:
                break
            try:
                if session is not None and type(event) is Stanza:
                    task = run_eagerly(session.receive(event))
                else:
                    task = run_eagerly(self._handle(event))
                    session = self._session
            except Exception as error:
                self._failed(error)
                break
            if task is not None:
                self._busy = task
                task.add_done_callback(self._done)
                break
            if self._closing:
                break
        else:
            loop = asyncio.get_running_loop()
            self._busy = loop.create_future()
            loop.call_soon(self._next_turn)
        self._send_stream()

    def _next_turn(self) -> None:
        self._busy = None
        self._continue()

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._busy = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failed(error)
            self._send_stream()
        self._continue()

    def _continue(self) -> None:
        if self._closing:
            self._end_session()
            return
        self._pump()
        if self._busy is None and self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, StreamError):
            self.close(error)
        else:
            _log.error("connection_failed", exc_info=error)
            self.close(StreamError("internal-server-error"))

    async def _handle(self, first: Event) -> None:
        event: Event | None = first
        while event is not None:
            event = await self._step(event)

    async def _step(self, event: Event) -> Event | None:
        stream = self._stream
        if isinstance(event, Opened):
            await self._opened(event)
        elif isinstance(event, StartTLS):
            assert self._server.contexts is not None
            self._send_stream()
            self.flush()
            host = self._host.domain if self._host is not None else ""
            self._tls = TLSSession(self._server.contexts, host=host)
        elif isinstance(event, NeedCredentials):
            try:
                account = JID.of(event.localpart, event.domain)
            except InvalidJID:
                return stream.give_credentials(None)
            return stream.give_credentials(await self._server.accounts.credentials(account))
        elif isinstance(event, NeedWork):
            loop = asyncio.get_running_loop()
            return stream.give_result(await loop.run_in_executor(self._server.workers, event.work.work))
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
        elif isinstance(event, Nonza):
            raise StreamError("unsupported-stanza-type")
        elif isinstance(event, Ended):
            self.close()
        else:
            assert self._session is not None
            await self._session.receive(event)
        return None

    async def _opened(self, event: Opened) -> None:
        server = self._server
        hosts = server.router.hosts
        try:
            host = hosts.get(JID.parse(event.to).domain) if event.to else next(iter(hosts.values()))
        except InvalidJID:
            host = None
        if host is None:
            self._stream.refuse(next(iter(hosts)), StreamError("host-unknown"))
            self.close()
            return
        self._host = host
        features = StreamFeatures(self._stream.encrypted, self._stream.account is not None)
        if not self._is_tls_due():
            await host.hooks.stream_features.run(features)
        offer = Offer(
            host.domain,
            tls=server.contexts is not None,
            tls_required=server.tls_required,
            plain_without_tls=server.plain_without_tls,
            features=tuple(features.elements),
        )
        self._stream.accept(offer)

    def _is_tls_due(self) -> bool:
        """Whether nothing else is offered or done before TLS (RFC 6120 §5.3.1)."""
        return self._server.tls_required and not self._stream.encrypted

    async def _failed_to_authenticate(self, event: AuthenticationFailed) -> None:
        if event.guessed:
            account = f"{event.localpart}@{self._host.domain if self._host is not None else ''}"
            _log.info("authentication_failed", address=self._address, account=account)
            guesses = self._server.guesses
            delay = self._place_in_queue(account)
            guesses.failed(account)
            guesses.failed(self._key)
            await asyncio.sleep(delay)
        self._stream.send_failure()

    async def _authenticated(self, account: JID) -> None:
        if delay := self._place_in_queue(str(account)):
            answer = self._stream.data_to_send()
            await asyncio.sleep(delay)
            self.write(answer)
        self._server.guesses.succeeded(str(account))
        self._server.accounts.logged_in(account, time.time_ns() // 1000)

    def _place_in_queue(self, account: str) -> float:
        """For how long to hold the answer to an attempt back, right or wrong: after wrong guesses for this account or
        from this address, so that many connections guess no faster than one."""
        guesses = self._server.guesses
        return max(guesses.delay(account), guesses.delay(self._key))

    async def _bind(self, event: Bind) -> None:
        assert self._host is not None
        account = self._stream.account
        assert account is not None
        try:
            session = await self._server.binder.bind(self._host, account, event.resource, self)
        except StanzaError as error:
            self._stream.bind_failed(error)
            return
        self._session = session
        if self._closing:  # gone while it waited
            self._end_session()
            return
        self._stream.bound(session.jid)
        limits = self._server.limits
        if limits.rate:
            self._bucket = TokenBucket(limits.rate, limits.burst, asyncio.get_running_loop().time)
        self._server.wheel.schedule(self, limits.keepalive)

    async def _early(self, event: Early) -> None:
        assert self._host is not None
        stanza = event.stanza
        if stanza.type not in ("get", "set") or self._is_tls_due():
            raise StreamError("not-authorized")
        stanza = stanza.stamped(to=self._host.jid)
        answer = await self._host.requests.answer(stanza, None, Target.STREAM, address=self._key)
        if answer is not None:
            self._stream.reply(answer)

    def _malformed(self, event: Malformed) -> None:
        """The stanza's `to` is no address (RFC 6120 §8.3.3.8)."""
        stanza = event.stanza
        if self._session is None:
            raise StreamError("not-authorized")
        if stanza.type not in ("error", "result"):
            answer = stanza.stamped(sender=self._session.jid).error(StanzaError("jid-malformed"))
            self._session.deliver(answer)

    # -- sending

    def write(self, data: bytes) -> bool:
        """Append to the outbox. False: the connection is closing, or the outbox is full, which ends it."""
        if self._closing:
            return False
        self._size += len(data)
        if self._size > self._server.limits.outbox:
            _log.info("outbox_full", address=self._address)
            self._size = 0
            self._out.clear()
            self.close(StreamError("resource-constraint", "what is sent to this client is not read"))
            return False
        out = self._out
        if not out and not self._paused:
            self._server.flusher.mark(self)
        out.append(data)
        return True

    def flush(self) -> None:
        """Write the outbox to the socket."""
        out = self._out
        if not out or self._paused or self._transport is None:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._size = 0
        if self._tls is not None:
            self._tls.send(data)
            data = self._tls.data_to_send()
        self._transport.write(data)
        if not self._paused:
            self._wake()

    async def drained(self) -> bool:
        """Wait until the socket took what was written; False: the connection is closing."""
        while not self._closing and (self._out or self._paused):
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)
        return not self._closing

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set_result(None)

    def _send_stream(self) -> None:
        data = self._stream.data_to_send()
        if data and not self._closing:
            self.write(data)

    def _write_raw(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    # -- the end

    def close(self, error: StreamError | None = None) -> None:
        """Close the stream, with this error if there is one; the client has a moment to read it."""
        if self._closing:
            return
        self._stream.close(error)
        self._send_stream()
        self._closing = True
        self._end_session()
        self._wake()
        if self._transport is None:
            return
        paused, self._paused = self._paused, False
        with suppress(TLSError):  # before the handshake is done
            self.flush()
        self._paused = paused
        self._abort_softly()

    def _abort_softly(self) -> None:
        """No more is sent. What still comes is discarded, for a reset would take our last words from the client."""
        self._closing = True
        self._end_session()
        self._wake()
        transport = self._transport
        if transport is None:
            return
        if self._tls is not None:
            self._tls.close_notify()
            self._write_raw(self._tls.data_to_send())
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._server.wheel.schedule(self, _LINGER)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _end_session(self) -> None:
        session = self._session
        if session is not None and self._busy is None:
            self._session = None
            keep(self._server.binder.unbind(session), "unbind")

    def tick(self, now: int) -> int:
        """Deadlines: of negotiation, of silence, of the end."""
        if self._closing:
            self.abort()
            return 0
        if self._stream.state is not State.BOUND:
            self.close(StreamError("connection-timeout", "negotiation takes too long"))
            return 0
        keepalive = self._server.limits.keepalive
        silence = now - self._heard
        if silence < keepalive:
            return keepalive - silence
        self.write(b" ")
        return keepalive
