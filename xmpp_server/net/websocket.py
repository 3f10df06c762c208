"""Clients over WebSocket (RFC 7395): the same streams and sessions as over TCP, with a message for each element.

TLS is that of the HTTP server, or of the proxy before it, so channel binding is not offered; whoever uses none is
turned away where TLS is required.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final, cast

from aiohttp import WSMsgType, hdrs, web

from xmpp_server.stream.c2s import C2SStream
from xmpp_server.stream.websocket import WebSocketFramer, WebSocketWords, alone
from xmpp_server.util.http import Request, text
from xmpp_server.util.tasks import run_eagerly

from .c2s import ClientConnection, Clients
from .http import HTTPConnection
from .origins import may_connect

_PROTOCOL: Final = "xmpp"
_HEARTBEAT: Final = 50.0  # seconds: proxies cut off who is silent for 60
_FRAME: Final = 64  # octets: what a frame counts for besides its own, for the smallest are as much work
_FRAMES_A_TURN: Final = 50  # then others have their turn
_WORDS: Final = WebSocketWords()


class WebSocket:
    """The route's handler. `origins`: of which pages, besides our own, may connect; `*`: of all."""

    def __init__(self, clients: Clients, origins: Collection[str]) -> None:
        self.clients = clients
        self.origins = origins

    async def serve(self, request: Request) -> web.StreamResponse:
        """GET: one connection, until it ends."""
        if not may_connect(request, self.origins):
            return text(403, "Pages from there may not connect.")
        offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
        if (
            request.headers.get(hdrs.UPGRADE, "").lower() != "websocket"
            or _PROTOCOL not in offered.replace(",", " ").split()
        ):
            return text(400, "This is for XMPP over WebSocket (RFC 7395).")
        if self.clients.tls_required and not request.secure:
            return text(403, "This is for connections with TLS.")
        most = 2 * self.clients.settings.after.max_bytes  # what is more than once is told of by an error of the stream
        heartbeat = min(_HEARTBEAT, self.clients.limits.keepalive)
        socket = web.WebSocketResponse(
            protocols=(_PROTOCOL,), heartbeat=heartbeat, compress=False, max_msg_size=most, autoping=False
        )
        connection = WebSocketConnection(self.clients, secure=request.secure)
        transport = _Transport(socket, request, connection)
        connection.connection_made(cast(asyncio.Transport, transport))
        try:
            if connection.closing:
                return text(429, "There are too many connections from your address.")
            cast(HTTPConnection, request.protocol).came = connection.came
            await socket.prepare(request)
            handled = 0
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    connection.data_received(message.data.encode())
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    await socket.close(code=1003)
                    break
                await transport.readable.wait()
                handled += 1
                if not handled % _FRAMES_A_TURN:
                    await asyncio.sleep(0)
        finally:
            connection.connection_lost(None)
        return socket


class WebSocketConnection(ClientConnection):
    """One client's WebSocket."""

    __slots__ = ()

    def __init__(self, clients: Clients, *, secure: bool) -> None:
        super().__init__(clients)
        framer = WebSocketFramer(clients.settings.before)
        self._stream = C2SStream(clients.settings, {} if secure else None, framer, _WORDS)

    starts_tls = False

    def came(self, octets: int, frames: int) -> None:
        """Account for what came over the socket: pings, and parts of messages, are work too."""
        self._meter(octets + frames * _FRAME)

    def _hold(self, seconds: float) -> None:
        """The socket itself, for what completes no message would never have to wait."""
        if self._transport is not None:
            cast(_Transport, self._transport).hold(seconds)

    def received(self, data: bytes) -> None:
        self._stream.receive_data(data)
        self._advance()

    def flush(self) -> None:
        out = self._out
        if not out or self._paused or self._transport is None:
            return
        messages = [alone(part) for part in out]
        out.clear()
        self._size = 0
        cast(_Transport, self._transport).send(messages)
        if not self._paused:
            self._written()

    def keep_alive(self) -> None:
        """Pings do (RFC 7395 §3.8)."""


class _Transport:
    """What a connection sees of its WebSocket, as if it were a socket."""

    def __init__(self, socket: web.WebSocketResponse, request: Request, connection: WebSocketConnection) -> None:
        self._socket = socket
        self._request = request
        self._connection = connection
        self._messages: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._ends = False
        self.readable = asyncio.Event()
        """Not set: what comes waits."""
        self.readable.set()

    def get_extra_info(self, name: str) -> Any:
        return (self._request.address, 0) if name == "peername" else None

    def pause_reading(self) -> None:
        self.readable.clear()

    def resume_reading(self) -> None:
        self.readable.set()

    def hold(self, seconds: float) -> None:
        """Read nothing more from the socket for a while; what was read is handled."""
        cast(HTTPConnection, self._request.protocol).hold(min(seconds, _HEARTBEAT))

    def send(self, messages: list[bytes]) -> None:
        """Send these; while that has to wait the connection is paused."""
        self._messages += messages
        self._go_on()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """End the WebSocket after what was sent."""
        self._ends = True
        self._go_on()

    close = write_eof

    def abort(self) -> None:
        """End it at once; before it is a WebSocket the request's answer does."""
        self.readable.set()
        if self._socket.prepared and (transport := self._request.transport) is not None:
            transport.abort()

    def _go_on(self) -> None:
        if self._task is not None:
            return
        self._task = run_eagerly(self._work())
        if self._task is not None:
            self._connection.pause_writing()
            self._task.add_done_callback(self._done)

    async def _work(self) -> None:
        try:
            while self._messages:
                messages, self._messages = self._messages, []
                for message in messages:
                    await self._socket.send_frame(message, WSMsgType.TEXT)
            if self._ends:
                await self._socket.close()
        except ConnectionError:
            self.abort()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or task.exception() is not None:
            self.abort()
        else:
            self._go_on()  # a connection that closes does not wait, and may have come before this
        if self._task is None:
            self._connection.resume_writing()
