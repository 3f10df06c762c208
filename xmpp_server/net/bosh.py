"""Clients over BOSH (XEP-0124, XEP-0206): the same streams and sessions as over TCP, by requests of HTTP.

What a client sends comes in the bodies of its requests, what it is told goes out in the answers: `stream/bosh.py` says
which request is answered when. While none waits, the outbox does, with the bound that it has for every client.

XEP: 0124 (1.11.2) partial: without multiple streams (§15)
XEP: 0206 (1.4) complete
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final, NoReturn, cast

from aiohttp import web

from xmpp_server.protocol.errors import StreamError
from xmpp_server.stream import bosh
from xmpp_server.stream.bosh import Terminated
from xmpp_server.stream.bosh_framing import BoshFramer, read_body, read_sid
from xmpp_server.stream.c2s import C2SStream
from xmpp_server.stream.websocket import alone
from xmpp_server.util.http import Request, text

from .c2s import ClientConnection, Clients
from .origins import may_connect

_BODY_SECONDS: Final = 30.0  # for a request's body to come
_SID_BYTES: Final = 18
_OWN_CONDITIONS: Final = ("host-unknown", "host-gone", "system-shutdown")
"""Errors of streams that are conditions of the binding too (§17.2)."""
_STREAM_ERROR: Final = "remote-stream-error"
_STATUSES: Final = {"bad-request": 400, "policy-violation": 403, "item-not-found": 404}
"""For clients of the first versions (§17.1)."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    # What others write stands in the answer: no browser is to take it for a page.
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_CONTENT: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?= *(;|$))", re.ASCII)

Slot = asyncio.Future[bytes]


class _Words:
    """A stream's begin and end are in the attributes of `<body/>`."""

    end: Final = b""

    @staticmethod
    def header(domain: str, id: str) -> bytes:
        return b""


_WORDS: Final = _Words()


class Bosh:
    """The route's handler. `origins`: of which pages, besides our own, may connect; `*`: of all. `url` tells where TLS
    is spoken, for a host of the request; empty: nowhere."""

    def __init__(
        self, clients: Clients, settings: bosh.Settings, origins: Collection[str], url: Callable[[str], str]
    ) -> None:
        self.clients = clients
        self.settings = settings
        self.origins = origins
        self.connections: dict[str, BoshConnection] = {}
        """By sid."""
        self._url = url

    async def serve(self, request: Request) -> web.StreamResponse:
        """POST: one request of a session, held until its answer is due."""
        if not may_connect(request, self.origins):
            return text(403, "Pages from there may not connect.")
        content, legacy = "", False
        try:
            if self.clients.tls_required and not request.secure:
                url = self._url(request.domain)
                raise Terminated("see-other-uri", url) if url else Terminated("policy-violation")
            asked = await self._read(request)
            connection = self.connections.get(asked.sid) if asked.sid else self._create(asked, request)
            if connection is None or (connection.secure and not request.secure):
                raise Terminated("item-not-found")
            content, legacy = connection.content, connection.http.legacy
            asked.rid  # noqa: B018  # a bad one ends the session no more than a bad body does
            body = await connection.ask(asked)
        except Terminated as error:
            body = error.body()
            return _answer(body, content, _STATUSES.get(error.condition, 200) if legacy else 200)
        return _answer(body, content, connection.status if legacy else 200)

    async def _read(self, request: Request) -> bosh.Request:
        """Before it is known who asks, no more is read than a client may send before it has logged in."""
        settings = self.clients.settings
        most = before = settings.before.max_bytes
        data = bytearray()
        await request.accept_body()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while chunk := await request.content.readany():
                    data += chunk
                    if before == most < len(data):
                        connection = self._find(bytes(data))
                        if connection is not None and connection.authenticated:
                            most += settings.after.max_bytes
                    if len(data) > most:
                        self._refuse(bytes(data), request)
        except TimeoutError:
            raise Terminated("bad-request") from None
        return read_body(bytes(data), settings.before)

    def _find(self, beginning: bytes) -> BoshConnection | None:
        """Whose request it is that begins so."""
        return self.connections.get(read_sid(beginning, self.clients.settings.before))

    def _refuse(self, beginning: bytes, request: Request) -> NoReturn:
        """The request is too large: its client is told that the session is over, and so it is (§17.2)."""
        error = Terminated("policy-violation")
        connection = self._find(beginning)
        if connection is not None and (request.secure or not connection.secure):
            connection.refuse(error)
        raise error

    def _create(self, first: bosh.Request, request: Request) -> BoshConnection:
        sid = secrets.token_urlsafe(_SID_BYTES)
        connection = BoshConnection(
            self, bosh.Session(sid, first, self.settings), request.secure, first.attrs.get("content", "")
        )
        connection.connection_made(cast(asyncio.Transport, _Transport(request.address, connection)))
        if connection.closing:
            raise Terminated("policy-violation")
        self.connections[sid] = connection
        return connection


class BoshConnection(ClientConnection):
    """One client's session. A request stands for what comes over a socket; it is `paused` while none waits."""

    __slots__ = (
        "_condition",
        "_ending",
        "_framer",
        "_readable",
        "_sessions",
        "_timer",
        "_told",
        "content",
        "http",
        "secure",
        "status",
    )

    starts_tls = False

    def __init__(self, sessions: Bosh, http: bosh.Session[Slot], secure: bool, content: str) -> None:
        super().__init__(sessions.clients)
        self.http = http
        self.secure = secure
        self.content = content
        """The type of the answers (§7.1)."""
        self.status = 200
        """For clients of the first versions."""
        self._sessions = sessions
        self._framer = BoshFramer(self._clients.settings.before)
        self._stream = C2SStream(self._clients.settings, {} if self.secure else None, self._framer, _WORDS)
        self._timer = _Timer(self)
        self._readable = True
        self._ending = False
        self._told = False
        self._condition = ""
        self._paused = True

    @property
    def authenticated(self) -> bool:
        """Whether the client has logged in."""
        return self._stream.account is not None

    @property
    def told(self) -> bool:
        """Whether the client was told that the session is over."""
        return self._told

    # -- requests

    async def ask(self, request: bosh.Request) -> bytes:
        """The answer to a request, when it is due."""
        loop = asyncio.get_running_loop()
        slot: Slot = loop.create_future()
        self.heard = self._shared.wheel.now
        try:
            self.http.receive(request, slot, loop.time())
        except Terminated as error:
            self._break_off(error)
        self._take()
        self.resume_writing()
        self._shared.flusher.mark(self)
        try:
            return await slot
        except asyncio.CancelledError:
            self.http.dropped(slot, loop.time())
            self._settle()
            raise

    def refuse(self, error: Terminated) -> None:
        """A request broke a rule before it was read."""
        self.http.close(error.condition)
        self._break_off(error)

    def _break_off(self, error: Terminated) -> None:
        """The rules of the session were broken: it is over, as if the link had been cut."""
        self.status = _STATUSES.get(error.condition, 200)
        self._answer()
        self.abort()

    def _take(self) -> None:
        """Handle the requests whose turn it is, as long as none has to wait."""
        while self._readable and self._busy is None and not self._closing:
            request = self.http.next_request()
            if request is None:
                return
            if request.pause:
                try:
                    self.http.pause(request, asyncio.get_running_loop().time())
                except Terminated as error:
                    self._break_off(error)
                    return
            self._meter(len(request.content))
            self._framer.take(request)
            self._advance()

    def pause_reading(self) -> None:
        self._readable = False

    def resume_reading(self) -> None:
        if not self._closing:
            self._readable = True
            self._take()
            self._shared.flusher.mark(self)

    # -- answers

    def flush(self) -> None:
        if self._transport is None:
            return
        out = self._out
        said = bool(out) and (self.http.can_say or self._ending)
        parts = []
        if said:
            parts = [alone(part) for part in out if part]
            out.clear()
            self._size = 0
        if self._ending:
            self.http.close(self._condition, parts)
        else:
            self.http.say(parts)
        self._settle()
        if said:
            self._written()

    def _settle(self) -> None:
        """Answer what is due, and look again when something may be."""
        if self._transport is None:
            return
        now = asyncio.get_running_loop().time()
        self.http.settle(now)
        self._answer()
        self._paused = not self.http.can_say
        due = self.http.due()
        if due is not None and not self._closing:
            self._shared.wheel.schedule(self._timer, math.ceil(due - now))

    def _answer(self) -> None:
        for slot, body in self.http.answers():
            if not slot.done():
                self._told = self.http.over
                slot.set_result(body)

    def waited(self) -> int:
        """Time has passed; returns in how many ticks to look again."""
        now = asyncio.get_running_loop().time()
        if self._transport is None:
            return 0
        if not self.http.tick(now):
            self.abort()
            return 0
        self._answer()
        self._paused = not self.http.can_say
        due = self.http.due()
        return max(1, math.ceil(due - now)) if due is not None else 0

    def keep_alive(self) -> None:
        """Answers with nothing do (§5)."""

    # -- the end

    def last_words(self, error: StreamError | None) -> list[bytes]:
        self._ending = True
        words = super().last_words(error)
        told = next((word for word in words if word.startswith(b"<stream:error")), None)  # by the stream, or by us
        if told is not None:
            self._condition = next((name for name in _OWN_CONDITIONS if b"<%s " % name.encode() in told), _STREAM_ERROR)
            if self._condition != _STREAM_ERROR:
                words.remove(told)
        return words

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.wheel.cancel(self._timer)
        self._sessions.connections.pop(self.http.sid, None)
        if not self.http.over:
            self.http.close("remote-connection-failed")
        self._answer()
        super().connection_lost(exc)


class _Timer:
    """Looks after the requests that are held; the connection has deadlines of its own."""

    __slots__ = ("_connection", "due")

    def __init__(self, connection: BoshConnection) -> None:
        self._connection = connection
        self.due = 0

    def tick(self, now: int) -> int:
        return self._connection.waited()


class _Transport:
    """What a connection sees in place of a socket."""

    def __init__(self, address: str, connection: BoshConnection) -> None:
        self._address = address
        self._connection: BoshConnection | None = connection

    def get_extra_info(self, name: str) -> Any:
        return (self._address, 0) if name == "peername" else None

    def resume_reading(self) -> None:
        """What comes after the end is answered by the session."""

    def can_write_eof(self) -> bool:
        """False: a request that comes in a moment is told of the end."""
        return self._connection is None or self._connection.told

    def abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            asyncio.get_running_loop().call_soon(connection.connection_lost, None)

    write_eof = abort


def _answer(body: bytes, content: str, status: int) -> web.Response:
    # Only a type is taken from the client: the charset is ours.
    type = _CONTENT.match(content)
    return web.Response(
        status=status, body=body, headers=_HEADERS, content_type=type[0] if type else "text/xml", charset="utf-8"
    )
