"""The HTTP server: ports of its own, with TLS by the certificates of XMPP, or plain behind a proxy. What it serves are
the routes that features have put into `util.http.Routes`.

Clients are told apart by their addresses before TLS begins. A proxy that is trusted has no limit of its own: what it
tells of its clients (`X-Forwarded-For`, `X-Forwarded-Proto`) counts instead. Whoever sends no whole request, or no next
one, for a while is cut off; how long a body may take is the feature's.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from xmpp_server.storage.errors import Unavailable
from xmpp_server.util.http import Request, Routes, text
from xmpp_server.util.limits import Places, address_key
from xmpp_server.util.tasks import run_eagerly

from .certificates import Certificate, CertificateError, matching_names
from .frames import Frames

_log = structlog.get_logger()

_READ_BUFFER: Final = 65_536
_TLS_BUFFER: Final = 65_536  # bytes that are read at once, and wait on either side of TLS
_LINGER: Final = 5.0  # seconds: for how long a client whose body is not wanted may go on before it reads the answer
_TLS_ERRORS: Final = (OSError, ssl.SSLError, TimeoutError)

Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(slots=True)
class HTTPLimits:
    """What clients may do; a change counts for new connections. Times are seconds, sizes are bytes."""

    places: Places
    """Connections; behind a proxy, requests at the same time."""
    proxies: Networks
    """Whom we believe what they say of their clients."""
    idle: float
    header: int
    """Of the request's line, and of each header field."""
    body: int
    """Of a request, where the feature has no limit of its own."""


class HTTPServer:
    """All HTTP connections. Sockets are opened by whoever has it: `connection` is the factory of their protocols."""

    def __init__(self, routes: Routes, limits: HTTPLimits, certificates: Mapping[str, Certificate]) -> None:
        self.routes = routes
        self.limits = limits
        self._tls = _TLS(certificates)
        self._server = web.Server(self._serve, request_factory=self._request, handler_cancellation=True)

    def connection(self, *, tls: bool) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return HTTPConnection(self, self._server, self._tls.context if tls else None)

    def renew(self, certificates: Mapping[str, Certificate]) -> None:
        """Serve these from now on. Raises CertificateError, and then keeps what it had."""
        self._tls.renew(certificates)

    async def stop(self, seconds: float) -> None:
        """End all connections; requests that are being answered have so many seconds."""
        self._server.pre_shutdown()
        await self._server.shutdown(seconds)

    # -- requests

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        request = Request(message, payload, protocol, writer, task, loop, client_max_size=self.limits.body)
        assert isinstance(protocol, HTTPConnection)
        request.address, request.key, request.secure = protocol.address, protocol.key, protocol.tls is not None
        return request

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, Request)
        places = None
        if is_trusted(request.address, self.limits.proxies):
            self._believe(request)
            places = self.limits.places
            if request.key and not places.enter(request.key):
                return text(429, "There are too many requests from your address at the same time.")
        try:
            return await self.routes.answer(request.domain, request)
        except (web.HTTPException, asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            away = isinstance(error, Unavailable)  # no bug: the database may be there for the next request
            _log.error("request_failed", method=request.method, reason=str(error), exc_info=None if away else error)
            if request.writer.output_size:  # the answer has begun: its end is missing, and the client has to see that
                request.protocol.force_close()
                raise ConnectionResetError from error
            return text(503, "Try again soon.") if away else text(500, "Something went wrong here.")
        finally:
            if places is not None and request.key:
                places.leave(request.key)

    def _believe(self, request: Request) -> None:
        """Take the client's address from the proxy: the last one in the list that is not a proxy's itself."""
        request.key = ""
        addresses = [part.strip() for line in request.headers.getall("X-Forwarded-For", ()) for part in line.split(",")]
        for address in reversed(addresses):
            try:
                key = address_key(address)
            except ValueError:
                break
            request.address, request.key = address, key
            if not is_trusted(address, self.limits.proxies):
                break
        protocol = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        if protocol:  # also of a proxy that encrypts what its client did not
            request.secure = protocol in ("https", "wss")


class HTTPConnection(RequestHandler):
    """One client's socket. Its place is taken before the handshake, which aiohttp would not see."""

    __slots__ = ("_held", "_http", "_placed", "_started", "address", "came", "key", "tls")

    def __init__(self, http: HTTPServer, server: web.Server, tls: ssl.SSLContext | None) -> None:
        limits = http.limits
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle,
            tcp_keepalive=False,  # the listener's
            access_log=cast(Any, None),
            max_line_size=limits.header,
            max_field_size=limits.header,
            lingering_time=_LINGER,
            read_bufsize=_READ_BUFFER,
            auto_decompress=False,
        )
        self._http = http
        self._placed = False
        self._started = False
        self._held: asyncio.TimerHandle | None = None
        self.came: Callable[[int, int], None] | None = None
        """Who is told of the octets of a WebSocket as they come, and of how many frames begin in them."""
        self.tls = tls
        self.address = ""
        self.key = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        limits = self._http.limits
        peer = transport.get_extra_info("peername")
        self.address = peer[0].partition("%")[0] if peer else ""
        self.key = address_key(self.address) if self.address else "unknown"
        if not is_trusted(self.address, limits.proxies):
            if not limits.places.enter(self.key):
                transport.abort()
                return
            self._placed = True
        if self.tls is None:
            self._start(transport)
        else:
            run_eagerly(self._start_tls(transport, self.tls))

    async def _start_tls(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        tls = _TLSProtocol(
            loop,
            self,
            context,
            done,
            server_side=True,
            call_connection_made=False,
            ssl_handshake_timeout=math.ceil(self._http.limits.idle),
            ssl_shutdown_timeout=_LINGER,
        )
        try:
            transport.set_protocol(tls)
            tls.connection_made(transport)
            await done
        except _TLS_ERRORS as error:
            _log.info("tls_failed", address=self.address, reason=str(error))
            transport.abort()
            self._leave()
            return
        secured = cast(asyncio.Transport, tls._app_transport)
        if secured is None or secured.is_closing():
            self._leave()
            return
        secured.set_write_buffer_limits(_TLS_BUFFER)
        secured.set_read_buffer_limits(_TLS_BUFFER)  # type: ignore[attr-defined]
        self._start(secured)

    def _start(self, transport: asyncio.Transport) -> None:
        self._started = True
        super().connection_made(transport)

    def log_exception(self, *args: Any, exc_info: BaseException | None = None, **kw: Any) -> None:
        """In the server's log, and what is the client's fault without a trace: a few bytes would write many lines."""
        if isinstance(exc_info, HttpProcessingError | ConnectionError):
            _log.info("request_refused", address=self.address, reason=type(exc_info).__name__)
        else:
            _log.error("connection_failed", address=self.address, exc_info=exc_info)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        super().set_parser(parser if self.came is None else cast(Any, Frames(parser, self.came)), data_received_cb)

    def hold(self, seconds: float) -> None:
        """Read nothing for a while, whatever has room for it."""
        if self._held is not None:
            self._held.cancel()
        self._held = asyncio.get_running_loop().call_later(seconds, self._go_on)
        self._pause_transport_reading()

    def _go_on(self) -> None:
        self._held = None
        if not (self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        super().resume_reading(resume_parser)
        if self._held is not None:
            self._pause_transport_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._held is not None:
            self._held.cancel()
        self._leave()
        if self._started:
            super().connection_lost(exc)

    def _leave(self) -> None:
        if self._placed:
            self._placed = False
            self._http.limits.places.leave(self.key)


class _TLSProtocol(SSLProtocol):
    """asyncio's TLS in place of uvloop's, which has the same interface. Each connection of uvloop's has a buffer of
    256 KiB, and OpenSSL one for what was read into it at once: 700 KiB an upload. Here all read into one buffer, for
    what is read is given to OpenSSL before the next one reads."""

    max_size = _TLS_BUFFER
    _shared: Final = memoryview(bytearray(_TLS_BUFFER))

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ssl_buffer = self._ssl_buffer_view = self._shared


class _TLS:
    """The contexts of `ssl` for the certificates in use; TLS 1.2 and 1.3, as in `tls_contexts.py`."""

    def __init__(self, certificates: Mapping[str, Certificate]) -> None:
        self._by_chain: dict[bytes, ssl.SSLContext] = {}
        self._by_name: dict[str, ssl.SSLContext] = {}
        self.context: ssl.SSLContext
        """For new connections."""
        self.renew(certificates)

    def renew(self, certificates: Mapping[str, Certificate]) -> None:
        by_chain: dict[bytes, ssl.SSLContext] = {}
        by_name: dict[str, ssl.SSLContext] = {}
        own: dict[str, ssl.SSLContext] = {}
        for host, certificate in certificates.items():
            chain = b"".join(part.signature for part in certificate.chain)
            context = by_chain[chain] = self._by_chain.get(chain) or by_chain.get(chain) or self._make(certificate)
            own[matching_names(host)[0]] = context
            for name in certificate.names:
                by_name.setdefault(name, context)
        self._by_chain, self._by_name = by_chain, by_name | own
        self.context = next(iter(own.values()))

    def _make(self, certificate: Certificate) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = self._choose
        files = certificate.files
        try:
            context.load_cert_chain(files.chain, files.key)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"{files.chain}: OpenSSL does not take it: {error.strerror or error}") from None
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """The certificate of the name asked for; for an unknown one, and without a name, the first host's."""
        names = matching_names(name) if name else ()
        connection.context = next((self._by_name[name] for name in names if name in self._by_name), self.context)


def is_trusted(address: str, proxies: Networks) -> bool:
    """Whether this is a proxy of ours."""
    if not proxies or not address:
        return False
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in proxies)
