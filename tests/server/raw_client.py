"""A client that sends bytes as a test wants them, well or badly formed, and reads elements with a deadline.

romeo = await RawClient.login(server, "romeo")           # STARTTLS, SCRAM-SHA-256, bind
await romeo.send("<message to='juliet@localhost'/>")
element = await romeo.read()                             # the next top-level element; white space is skipped
elements, error = await romeo.ended()                    # what came until the stream ended, and its error's condition

TLS is pyOpenSSL's, which can export what channel bindings are made of.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, Self
from xml.parsers import expat

from OpenSSL import SSL

from tests.server.running import ADDRESS, PASSWORD
from tests.unit.sasl_client import ScramClient
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, TreeBuilder
from xmpp_server.protocol.jid import JID

DEADLINE: Final = 20.0  # seconds for anything that a client waits for
HEADER: Final = (
    "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'/>"
_PIECE: Final = 16384  # bytes that are sent at once
_HASHES: Final = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

TLS = Literal["starttls", "direct", "none"]


class Closed(Exception):  # noqa: N818
    """The server has closed its side of the connection."""


class Listening(Protocol):
    """A server, as far as a client has to know it."""

    port: int
    direct_tls_port: int
    hang_up: list[Callable[[], None]]

    @property
    def domain(self) -> str: ...


class RawClient:
    """One connection, to `domain`. Every wait raises TimeoutError after DEADLINE seconds."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, domain: str) -> None:
        self.domain = domain
        self.header: dict[str, str] = {}
        """Attributes of the last stream header that came."""
        self.features = Element("", "")
        """The stream features that came last."""
        self.jid: JID | None = None
        """What was bound."""
        self.reader = reader
        self.writer = writer
        self._tls: SSL.Connection | None = None
        self._elements: deque[Element] = deque()
        self._finished = False  # the server closed its stream
        self._restart()

    # -- all at once

    @classmethod
    async def connect(
        cls, server: Listening, domain: str = "", *, direct: bool = False, port: int = 0, source: str = ""
    ) -> Self:
        """A connection on which nothing was said yet, but for TLS where it is `direct`. It comes from the address
        `source`, and goes to `port`, if they are given."""
        port = port or (server.direct_tls_port if direct else server.port)
        local = (source, 0) if source else None
        reader, writer = await asyncio.wait_for(asyncio.open_connection(ADDRESS, port, local_addr=local), DEADLINE)
        client = cls(reader, writer, domain or server.domain)
        server.hang_up.append(client.abort)
        if direct:
            await client.start_tls()
        return client

    @classmethod
    async def open(
        cls, server: Listening, domain: str = "", *, tls: TLS = "starttls", port: int = 0, source: str = ""
    ) -> Self:
        """A stream on which the features before login were read."""
        client = await cls.connect(server, domain, direct=tls == "direct", port=port, source=source)
        await client.open_stream()
        if tls == "starttls":
            await client.secure()
        return client

    @classmethod
    async def login(
        cls,
        server: Listening,
        name: str,
        password: str = PASSWORD,
        *,
        domain: str = "",
        resource: str = "",
        mechanism: str = "SCRAM-SHA-256",
        tls: TLS = "starttls",
        port: int = 0,
        source: str = "",
    ) -> Self:
        """A bound stream."""
        client = await cls.open(server, domain, tls=tls, port=port, source=source)
        answer = await client.authenticate(name, password, mechanism=mechanism)
        assert answer.name == "success", answer
        await client.open_stream()
        await client.bind(resource)
        return client

    # -- negotiation, step by step

    async def open_stream(self) -> Element:
        """Send a header; returns the features."""
        await self.send(HEADER.format(to=self.domain))
        self.features = await self.read()
        assert (self.features.ns, self.features.name) == (ns.STREAMS, "features"), self.features
        return self.features

    async def secure(self) -> None:
        """STARTTLS, and the stream anew."""
        await self.send(STARTTLS)
        answer = await self.read()
        assert (answer.ns, answer.name) == (ns.TLS, "proceed"), answer
        await self.start_tls()
        await self.open_stream()

    async def start_tls(self) -> None:
        """The handshake; names are not checked."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        tls = SSL.Connection(context, None)
        tls.set_tlsext_host_name(self.domain.encode())
        tls.set_connect_state()
        self._restart()
        while True:
            try:
                tls.do_handshake()
            except SSL.WantReadError:
                self._pass_on(tls)
                data = await self._receive()
                if not data:
                    raise Closed from None
                tls.bio_write(data)
            else:
                break
        self._tls = tls
        self._pass_on(tls)
        self._decrypt()  # what came along with the end of the handshake

    @property
    def serial(self) -> int:
        """The serial number of the certificate that the server showed."""
        serial: int = self._certificate().serial_number
        return serial

    @property
    def bindings(self) -> dict[str, bytes]:
        """What RFC 9266 and RFC 5929 §4 bind to, as this side sees it."""
        assert self._tls is not None
        certificate = self._certificate()
        assert certificate.signature_hash_algorithm is not None
        return {
            "tls-exporter": self._tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b""),
            "tls-server-end-point": certificate.fingerprint(certificate.signature_hash_algorithm),
        }

    def _certificate(self) -> Any:
        assert self._tls is not None
        certificate = self._tls.get_peer_certificate()
        assert certificate is not None
        return certificate.to_cryptography()

    @property
    def mechanisms(self) -> list[str]:
        """What the last features offered."""
        offer = self.features.child(ns.SASL, "mechanisms")
        return [mechanism.text for mechanism in offer] if offer is not None else []

    async def authenticate(
        self, name: str, password: str = PASSWORD, *, mechanism: str = "SCRAM-SHA-256", binding: str = "", gs2: str = ""
    ) -> Element:
        """One attempt; returns the element that ends it, `success` or `failure`. A -PLUS mechanism binds to `binding`;
        `gs2` replaces the header of SCRAM."""
        if mechanism == "PLAIN":
            return await self.sasl("auth", f"\0{name}\0{password}".encode(), mechanism)
        data = b""
        if binding:
            gs2, data = f"p={binding},,", self.bindings[binding]
        hash_name = _HASHES[mechanism.removesuffix("-PLUS")]
        scram = ScramClient(hash_name, name, password, gs2=gs2 or "n,,", binding=data)
        answer = await self.sasl("auth", scram.first(), mechanism)
        if answer.name != "challenge":
            return answer
        answer = await self.sasl("response", scram.final(b64decode(answer.text)))
        if answer.name == "success":
            assert scram.accepts(b64decode(answer.text))
        return answer

    async def sasl(self, name: str, data: bytes, mechanism: str = "") -> Element:
        """Send one element of SASL (RFC 6120 §6.4); returns the answer."""
        attribute = f" mechanism='{mechanism}'" if mechanism else ""
        await self.send(f"<{name} xmlns='{ns.SASL}'{attribute}>{b64encode(data).decode()}</{name}>")
        answer = await self.read()
        if answer.name == "success":
            self._restart()
        return answer

    async def bind(self, resource: str = "") -> JID:
        """Bind this resource, or any."""
        wanted = f"<resource>{resource}</resource>" if resource else ""
        await self.send(f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'>{wanted}</bind></iq>")
        answer = await self.read()
        bound = answer.child(ns.BIND, "bind")
        assert bound is not None, answer
        self.jid = JID.parse(bound.child_text(ns.BIND, "jid"))
        return self.jid

    # -- bytes

    async def send(self, data: str | bytes) -> None:
        """Send this, and wait until the system took it."""
        rest = memoryview(data.encode() if isinstance(data, str) else data)
        while rest:
            piece, rest = rest[:_PIECE], rest[_PIECE:]
            if self._tls is None:
                self.writer.write(piece)
            else:
                self._tls.sendall(bytes(piece))
                self._pass_on(self._tls)
            await asyncio.wait_for(self.writer.drain(), DEADLINE)

    async def read(self) -> Element:
        """The next top-level element; raises Closed if the stream or the connection ends before one comes."""
        while not self._elements:
            await self._read_more()
        return self._elements.popleft()

    async def read_until(self, name: str, **attributes: str) -> Element:
        """The next element of this name and with these attributes; those before it are dropped."""
        while True:
            element = await self.read()
            if element.name == name and all(element.get(key) == value for key, value in attributes.items()):
                return element

    async def ask(self, request: str, id: str) -> Element:
        """Send an iq of this id; returns the answer. What comes before it is dropped."""
        await self.send(request)
        while True:
            answer = await self.read_until("iq", id=id)
            if answer.get("type") in ("result", "error"):
                return answer

    async def ended(self) -> tuple[list[Element], str]:
        """Read on until the server closes its stream: the elements that came, without the stream error, whose condition
        is the second part (empty: there was none). Then waits for the end of the connection."""
        elements: list[Element] = []
        try:
            while True:
                elements.append(await self.read())
        except Closed:
            pass
        await self.gone()
        error = ""
        if elements and (elements[-1].ns, elements[-1].name) == (ns.STREAMS, "error"):
            error = next(iter(elements.pop())).name
        return elements, error

    async def gone(self) -> None:
        """Wait until the server has closed the connection; what comes is dropped."""
        try:
            while await self._receive():
                pass
        except ConnectionError:
            pass

    @property
    def closed(self) -> bool:
        """Whether the server closed its stream before its connection; read to the end first."""
        return self._finished

    async def leave(self) -> None:
        """Close the stream, wait for the answer, and hang up."""
        await self.send("</stream:stream>")
        await self.ended()
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        self.writer.transport.abort()

    async def _receive(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(65536), DEADLINE)

    async def _read_more(self) -> None:
        if self._finished:
            raise Closed
        try:
            data = await self._receive()
        except ConnectionError:
            raise Closed from None
        if not data:
            raise Closed
        if self._tls is None:
            self._parse(data)
        else:
            self._tls.bio_write(data)
            self._decrypt()

    def _decrypt(self) -> None:
        assert self._tls is not None
        try:
            while True:
                self._parse(self._tls.recv(65536))
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass

    def _pass_on(self, tls: SSL.Connection) -> None:
        try:
            while True:
                self.writer.write(tls.bio_read(65536))
        except SSL.WantReadError:
            pass

    # -- elements

    def _restart(self) -> None:
        """A new document begins."""
        self._depth = 0
        self._builder = TreeBuilder()
        self._parser = parser = expat.ParserCreate("UTF-8", "\n")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _parse(self, data: bytes) -> None:
        self._parser.Parse(data, False)

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self.header = attrs
        else:
            self._builder.start(name, attrs)

    def _text(self, data: str) -> None:
        if self._depth > 1:
            self._builder.text(data)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._finished = True
            return
        self._builder.end(name)
        if self._depth == 1:
            self._elements.append(self._builder.root)
            self._builder = TreeBuilder()


def stanza_error(stanza: Element) -> str:
    """The condition of the error that the stanza holds; empty if it holds none."""
    error = stanza.child(ns.CLIENT, "error")
    if stanza.get("type") != "error" or error is None:
        return ""
    return next(child.name for child in error if child.ns == ns.STANZA_ERRORS and child.name != "text")
