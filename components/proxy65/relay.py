"""The sockets of the proxy: two that named the same address become one stream, once it is activated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import structlog

from xmpp_server.util.limits import Places, address_key

from .socks5 import Greeting, Refused

_log = structlog.get_logger()

_GREETING: Final = 30.0  # seconds to name an address
_WAITING: Final = 120.0  # seconds until the stream is activated


@dataclass(slots=True)
class Limits:
    """`idle`: seconds for which a stream may be silent."""

    places: Places
    idle: float


class Relay:
    """Listens, and knows who waits at which address."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.port = 0
        """What is listened on; 0: nothing."""
        self._servers: list[asyncio.Server] = []
        self._waiting: dict[str, list[Connection]] = {}
        self._open: set[Connection] = set()

    async def listen(self, addresses: Sequence[str], port: int) -> None:
        """Raises OSError where none of the addresses can be had; where any port will do, it is the same on all."""
        loop = asyncio.get_running_loop()
        errors = []
        for address in addresses:
            try:
                server = await loop.create_server(lambda: Connection(self), address, self.port or port)
            except OSError as error:
                errors.append(error)
                continue
            self._servers.append(server)
            self.port = server.sockets[0].getsockname()[1]
        if not self._servers and errors:
            raise errors[0]

    def close(self) -> None:
        """Listen no more, and end all streams."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.port = 0
        for connection in list(self._open):
            connection.abort()

    def waiting(self, address: str) -> int:
        """How many are connected to an address that is not activated."""
        return len(self._waiting.get(address, ()))

    def activate(self, address: str) -> None:
        """Let bytes flow between the two who wait at the address."""
        first, second = self._waiting.pop(address)
        first.join(second)
        second.join(first)

    # -- for connections

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def enter(self, connection: Connection, address: str) -> bool:
        """Wait at the address; False: two do already (§10.1)."""
        waiting = self._waiting.setdefault(address, [])
        if len(waiting) == 2:
            return False
        waiting.append(connection)
        return True

    def leave(self, connection: Connection, address: str) -> None:
        self._open.discard(connection)
        waiting = self._waiting.get(address, [])
        if connection in waiting:
            waiting.remove(connection)
            if not waiting:
                del self._waiting[address]


class Connection(asyncio.Protocol):
    """One client's socket: it names an address, waits there, and is joined with another."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._greeting = Greeting()
        self._transport: asyncio.Transport | None = None
        self._other: Connection | None = None
        self._key = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._moved = 0.0
        """When something came from here, or went there after it had to wait."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        key = address_key(peer[0].partition("%")[0]) if peer else "unknown"
        if not self._relay.limits.places.enter(key):
            self.abort()
            return
        self._key = key
        self._relay.opened(self)
        self._within(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        if self._key:
            self._relay.limits.places.leave(self._key)
            self._relay.leave(self, self._greeting.address)
        other, self._other = self._other, None
        if other is not None:
            other.end()

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._moved = self._loop.time()
            self._other.write(data)
        elif not self._greeting.address:  # what comes before the stream is activated is ignored (§10.1)
            try:
                self.write(self._greeting.receive(data))
            except Refused as error:
                self._refuse(error.answer)
                return
            if self._greeting.address:
                self._enter()

    def _enter(self) -> None:
        if self._relay.enter(self, self._greeting.address):
            self.write(self._greeting.granted())
            self._within(_WAITING)
        else:
            self._refuse(self._greeting.refused())

    def _refuse(self, answer: bytes) -> None:
        self.write(answer)
        self.end()

    def eof_received(self) -> bool:
        """Who has sent all may still read."""
        if self._other is not None:
            self._other.write_eof()
        return self._other is not None

    def join(self, other: Connection) -> None:
        """From now on what comes goes there."""
        self._other = other
        self._moved = self._loop.time()
        self._watch()

    # -- the socket

    def write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def end(self) -> None:
        """End after what is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        self._moved = self._loop.time()
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()

    # -- deadlines

    def _within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def _watch(self) -> None:
        """Ends a stream in which nothing moved, in either direction."""
        moved = max(self._moved, self._other._moved if self._other is not None else 0.0)
        silent = self._loop.time() - moved
        if silent >= self._relay.limits.idle:
            self.abort()
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(self._relay.limits.idle - silent, self._watch)
