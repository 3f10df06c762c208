"""A socket of any kind of stream: TLS, a bounded outbox that is written once a turn, and an end that can be read."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import structlog

from xmpp_server.protocol.errors import StreamError
from xmpp_server.util.limits import Places, address_key

from .flush import Flusher
from .tls import TLSError, TLSSession
from .tls_contexts import TLSContexts
from .wheel import Wheel

_log = structlog.get_logger()

_LINGER: Final = 5  # ticks: for how long a peer may read our last words
_USER_TIMEOUT: Final = 90_000  # ms: unacknowledged bytes for so long mean a dead link (RFC 5482)


def prepare(listener: socket.socket) -> None:
    """Set on a listening socket what all its connections inherit."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)


@dataclass(slots=True)
class Shared:
    """What all connections of a server share. `outbox`: bytes that may wait for one peer."""

    contexts: TLSContexts
    places: Places
    flusher: Flusher
    wheel: Wheel
    connections: set[Connection]
    outbox: int


class Connection(asyncio.Protocol, ABC):
    """One socket. `alpn` is not empty where TLS begins with the first byte."""

    __slots__ = (
        "_closing",
        "_eof",
        "_out",
        "_paused",
        "_shared",
        "_size",
        "_tls",
        "_transport",
        "_waiting",
        "_when_written",
        "address",
        "due",
        "heard",
        "key",
    )

    def __init__(self, shared: Shared, alpn: tuple[str, ...] = ()) -> None:
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._tls = TLSSession(shared.contexts, alpn=alpn) if alpn else None
        self._out: list[bytes] = []
        self._size = 0
        self._paused = False
        self._closing = False
        self._eof = False
        self._waiting: asyncio.Future[None] | None = None
        self._when_written: Callable[[], None] | None = None
        self.heard = 0
        """The tick at which the peer was heard last."""
        self.address = ""
        self.key = ""
        """Whose address it is, for limits; empty until it has a place."""
        self.due = 0

    # -- for each kind of stream

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes came, decrypted."""

    @abstractmethod
    def secured(self, bindings: Mapping[str, bytes]) -> None:
        """TLS stands, with these channel bindings."""

    @abstractmethod
    def last_words(self, error: StreamError | None) -> list[bytes]:
        """What ends our side of the stream, in parts."""

    @abstractmethod
    def ended(self) -> None:
        """Nothing is read or written from here on; may be called again."""

    @abstractmethod
    def tick(self, now: int) -> int:
        """See `Wheel`; the end's own deadline stands in here."""
        if self._closing:
            self.abort()
        return 0

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if peer else ""
        key = address_key(self.address.partition("%")[0]) if self.address else "unknown"
        if not self._shared.places.enter(key):
            self._closing = True
            transport.abort()
            return
        self.key = key
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.key:
            self._shared.places.leave(self.key)
            self._shared.connections.discard(self)
        self._shared.wheel.cancel(self)
        if self._tls is not None:
            self._tls.close()
        self._closing = True
        self._out.clear()
        self._transport = None
        self._finish()

    def eof_received(self) -> bool:
        if not self._closing:
            self.peer_ended()
        self._eof = True
        return not self._closing  # our side stays open until our last words are said

    def peer_ended(self) -> None:
        """Nothing more comes from the peer, who may still read."""
        self.close()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self.heard = self._shared.wheel.now
        if self._tls is not None:
            data = self._decrypt(self._tls, data)
        if data:
            self.received(data)

    def _decrypt(self, tls: TLSSession, data: bytes) -> bytes:
        started = tls.handshake_done
        try:
            data = tls.receive(data)
        except TLSError as error:
            _log.info("tls_failed", address=self.address, reason=str(error))
            self._write(tls.data_to_send())
            self._linger()
            return b""
        if not started:
            self._write(tls.data_to_send())
            if tls.handshake_done:
                self.secured(tls.channel_bindings())
        if tls.peer_closed:
            if data:
                self.received(data)
            self.peer_ended()
            return b""
        return data

    def start_tls(self, host: str) -> None:
        """Write what is to be written in the clear; from the next byte on it is TLS, with the host's certificate."""
        self.flush()
        self._tls = TLSSession(self._shared.contexts, host=host)

    def pause_reading(self) -> None:
        """Let what comes wait in the socket."""
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    # -- the outbox

    def write(self, data: bytes) -> bool:
        """Append to the outbox. False: the connection is closing, or the outbox is full, which ends it."""
        if self._closing:
            return False
        self._size += len(data)
        if self._size > self._shared.outbox:
            _log.info("outbox_full", address=self.address)
            self._size = 0
            self._out.clear()
            self._when_written = None
            self.close(StreamError("resource-constraint", "what is sent to this client is not read"))
            return False
        out = self._out
        if not out and not self._paused:
            self._shared.flusher.mark(self)
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
            self._written()

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call this once, when what was appended so far has been given to the socket; never, if it is closed before.
        The last callback counts."""
        self._when_written = callback

    def _written(self) -> None:
        callback, self._when_written = self._when_written, None
        if callback is not None:
            callback()
        if self._waiting is not None:
            self._wake()

    async def drained(self) -> bool:
        """Wait until the socket took what was written; False: the connection is closing."""
        while not self._closing and (self._out or self._paused):
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)
        return not self._closing

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._out:
            self._shared.flusher.mark(self)
        else:
            self._written()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set_result(None)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    # -- the end

    @property
    def closing(self) -> bool:
        """Whether nothing is read or written any more."""
        return self._closing

    def close(self, error: StreamError | None = None) -> None:
        """Close the stream, with this error if there is one; the peer has a moment to read it."""
        if self._closing:
            return
        self._out += self.last_words(error)
        if self._paused:  # what the peer does not take will not reach it
            self._paused = False
            self._when_written = None
        with suppress(TLSError):  # before the handshake is done nothing can be said
            self.flush()
        self._linger()

    def _linger(self) -> None:
        """No more is sent. What still comes is discarded, for a reset would take our last words from the peer."""
        self._closing = True
        transport = self._transport
        if transport is not None:
            if self._tls is not None:
                self._tls.close_notify()
                self._write(self._tls.data_to_send())
            transport.resume_reading()
            if self._eof:
                transport.close()
            elif transport.can_write_eof():
                transport.write_eof()
            self._shared.wheel.schedule(self, _LINGER)
        self._finish()

    def _finish(self) -> None:
        self._wake()
        self.ended()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
