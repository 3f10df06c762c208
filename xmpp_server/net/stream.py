"""What the connections of all kinds of streams do alike: events are taken in their order, what has to wait makes later
ones wait, and a peer is read no faster than its rate."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Final, Protocol

import structlog

from xmpp_server.protocol.errors import StreamError
from xmpp_server.stream.states import TooLateError
from xmpp_server.util.limits import TokenBucket

from .connection import Connection, Shared

_log = structlog.get_logger()

_EVENTS_A_TURN: Final = 200  # then others have their turn


class Stream(Protocol):
    """A stream without its socket."""

    def receive_data(self, data: bytes) -> None: ...

    def next_event(self) -> Any: ...

    def parts_to_send(self) -> list[bytes]: ...


class StreamConnection(Connection):
    """A socket that drives a stream."""

    __slots__ = ("_bucket", "_busy", "_held", "_over", "_stream")

    _stream: Stream

    def __init__(self, shared: Shared, alpn: tuple[str, ...] = ()) -> None:
        super().__init__(shared, alpn)
        self._busy: asyncio.Future[Any] | None = None
        self._bucket: TokenBucket | None = None
        self._held = False
        self._over = False

    # -- for each kind of stream

    @abstractmethod
    def take(self, event: Any) -> asyncio.Future[Any] | None:
        """Handle an event, as far as it goes at once; a future if it has to wait. May raise anything."""

    @property
    @abstractmethod
    def silence(self) -> int | None:
        """Seconds without traffic after which the peer is probed; None while the stream is not negotiated."""

    def probe(self) -> None:
        """Write something, to notice a dead connection."""
        self.keep_alive()

    def turned(self) -> None:
        """All events of this turn are handled, and what the stream had to send is written."""

    def failed(self, error: BaseException) -> None:
        """Something was raised: the stream ends."""
        if isinstance(error, StreamError):
            self.close(error)
        elif isinstance(error, TooLateError):
            self.close()
        else:
            _log.error("connection_failed", exc_info=error)
            self.close(StreamError("internal-server-error"))

    def tick(self, now: int) -> int:
        """Deadlines: of negotiation, of silence, of the end."""
        if self.closing:
            return super().tick(now)
        most = self.silence
        if most is None:
            self.close(StreamError("connection-timeout", "negotiation takes too long"))
            return 0
        silence = now - self.heard
        if silence < most:
            return most - silence
        self.probe()
        return most

    # -- the socket

    def received(self, data: bytes) -> None:
        self._meter(len(data))
        self._stream.receive_data(data)
        self._advance()

    def _meter(self, size: int) -> None:
        """Account for so many bytes."""
        if self._bucket is not None and (wait := self._bucket.take(size)):
            self._hold(wait)

    def _advance(self) -> None:
        """Handle what came, unless something before it has to wait."""
        if self._busy is None:
            self._pump()
        else:
            self.pause_reading()

    def allow(self, rate: float, burst: float) -> None:
        """Read so many bytes in a second, and so many at once; a rate of 0: any."""
        self._bucket = TokenBucket(rate, burst, asyncio.get_running_loop().time) if rate else None

    def peer_ended(self) -> None:
        self._over = True
        if self._busy is None:
            self.close()

    def _hold(self, seconds: float) -> None:
        """Read no more for a while: the peer sends more than its rate."""
        if not self._held:
            self._held = True
            self.pause_reading()
            asyncio.get_running_loop().call_later(min(seconds, 60.0), self._go_on)

    def _go_on(self) -> None:
        self._held = False
        if self._busy is None:
            self.resume_reading()

    # -- events

    def _pump(self) -> None:
        stream = self._stream
        for _ in range(_EVENTS_A_TURN):
            event = stream.next_event()
            if event is None:
                break
            try:
                task = self.take(event)
            except Exception as error:
                self.failed(error)
                break
            if task is not None:
                self._busy = task
                task.add_done_callback(self._done)
                break
            if self.closing:
                break
        else:
            loop = asyncio.get_running_loop()
            self._busy = loop.create_future()
            loop.call_soon(self._next_turn)
        self.send_stream()
        self.turned()

    def _next_turn(self) -> None:
        self._busy = None
        self._continue()

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._busy = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failed(error)
            self.send_stream()
        self._continue()

    def _continue(self) -> None:
        if self.closing:
            self.ended()
            return
        self._pump()
        if self._busy is not None:
            return
        if self._over:  # what came before is handled
            self.close()
        elif not self._held:
            self.resume_reading()

    def send_stream(self) -> None:
        """Write what the stream itself has to send."""
        for part in self._stream.parts_to_send():
            self.write(part)

    def keep_alive(self) -> None:
        """Write something that does nothing (RFC 6120 §4.6.1)."""
        self.write(b" ")
