"""TLS seen from outside: OpenSSL's own command line against a listening socket."""

import asyncio
import contextlib
import hashlib
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from xmpp_server.net.certificates import Certificate, generate
from xmpp_server.net.tls import ALPN_CLIENT, TLSError, TLSSession
from xmpp_server.net.tls_contexts import TLSContexts


class Listener(asyncio.Protocol):
    """Echoes what it reads, until told to quit."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.session = TLSSession(server.contexts, alpn=(ALPN_CLIENT,))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        over = False
        try:
            if plaintext := self.session.receive(data):
                self.session.send(plaintext)
            if self.session.handshake_done:
                self.server.bindings = self.session.channel_bindings()
        except TLSError as error:
            self.server.errors.append(str(error))
            over = True
        if self.session.peer_closed:
            self.session.close_notify()
            over = True
        self.transport.write(self.session.data_to_send())
        if over:
            self.transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self.session.close()


class Server:
    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.contexts = TLSContexts({"a.example": certificate.files})
        self.errors: list[str] = []
        self.bindings: dict[str, bytes] = {}
        self.port = 0

    async def s_client(self, *options: str) -> str:
        """All that `openssl s_client` says about a connection that it closes at once."""
        process = await asyncio.create_subprocess_exec(
            *(
                "openssl",
                "s_client",
                "-connect",
                f"127.0.0.1:{self.port}",
                "-CAfile",
                str(self.certificate.files.chain),
            ),
            *options,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return output.decode(errors="replace")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="a.example")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(generate("a.example", tmp_path))
    listener = await asyncio.get_running_loop().create_server(lambda: Listener(server), "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()


async def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    result = await asyncio.to_thread(
        subprocess.run, ["openssl", *arguments], input=stdin, capture_output=True, check=True
    )
    return result.stdout


async def serial(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> int:
    der = connection[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    said = await openssl("x509", "-inform", "DER", "-noout", "-serial", stdin=der)
    return int(said.decode().strip().removeprefix("serial="), 16)


async def echo(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
    connection[1].write(data)
    return await asyncio.wait_for(connection[0].readexactly(len(data)), 20)


async def test_the_exporter_binding_is_what_openssl_exports(server: Server) -> None:
    said = await server.s_client(
        *("-tls1_3", "-servername", "a.example", "-verify_return_error"),
        *("-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"),
    )
    exported = re.search(r"Keying material: ([0-9A-F]{64})\b", said)
    assert exported, said
    assert server.bindings["tls-exporter"] == bytes.fromhex(exported[1])


async def test_the_end_point_binding_is_the_hash_of_the_certificate_that_openssl_saw(server: Server) -> None:
    said = await server.s_client("-showcerts")
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
    assert pem, said
    text = await openssl("x509", "-noout", "-text", stdin=pem[0].encode())
    assert b"Signature Algorithm: ecdsa-with-SHA256" in text
    der = await openssl("x509", "-outform", "DER", stdin=pem[0].encode())
    assert server.bindings["tls-server-end-point"] == hashlib.sha256(der).digest()


async def test_openssl_verifies_the_certificate_and_the_name(server: Server) -> None:
    said = await server.s_client("-servername", "a.example", "-verify_hostname", "rooms.a.example")
    assert "Verification: OK" in said
    assert "Verified peername: *.a.example" in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_versions_before_1_2_are_refused(server: Server, version: str) -> None:
    said = await server.s_client(version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in said
    assert server.errors == ["unsupported protocol"]


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
async def test_versions_1_2_and_1_3_are_spoken_without_compression(server: Server, option: str, version: str) -> None:
    said = await server.s_client(option)
    assert f"New, {version}, Cipher is " in said
    assert "Compression: NONE" in said or version == "TLSv1.3"
    assert "Secure Renegotiation IS supported" in said or version == "TLSv1.3"
    assert server.errors == []


async def test_a_client_that_offers_xmpp_client_gets_it(server: Server) -> None:
    assert "ALPN protocol: xmpp-client" in await server.s_client("-alpn", "h2,xmpp-client")


async def test_a_client_that_offers_only_others_is_refused(server: Server) -> None:
    said = await server.s_client("-alpn", "h2,http/1.1")
    assert "alert no application protocol" in said
    assert server.errors == ["no application protocol"]


async def test_a_client_that_offers_no_protocol_is_served(server: Server) -> None:
    said = await server.s_client()
    assert "No ALPN negotiated" in said
    assert server.errors == []


async def test_a_new_certificate_is_seen_by_new_connections_while_old_ones_live(server: Server) -> None:
    old = await server.connect()
    assert await echo(old, b"before") == b"before"
    assert await serial(old) == server.certificate.leaf.serial_number
    generated = generate("a.example", server.certificate.files.chain.parent)
    assert server.contexts.reload() == (("a.example",), ())
    new = await server.connect()
    assert await serial(new) == generated.leaf.serial_number != server.certificate.leaf.serial_number
    assert await echo(old, b"after") == b"after"
    assert await echo(new, b"after") == b"after"
    for _, writer in (old, new):
        writer.close()


async def test_a_key_of_another_certificate_is_refused_and_the_old_one_kept(server: Server, tmp_path: Path) -> None:
    other = generate("b.example", tmp_path)
    server.certificate.files.key.write_bytes(other.files.key.read_bytes())
    renewed, refused = server.contexts.reload()
    assert renewed == ()
    assert [str(error) for error in refused] == [
        f"{server.certificate.files.key}: is not the key of the certificate in {server.certificate.files.chain}"
    ]
    connection = await server.connect()
    assert await serial(connection) == server.certificate.leaf.serial_number
    assert await echo(connection, b"still here") == b"still here"
    connection[1].close()


async def test_megabytes_come_back_as_they_went(server: Server) -> None:
    connection = await server.connect()
    data = bytes(range(256)) * 8192
    assert await echo(connection, data) == data
    connection[1].close()


async def garbage(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"<stream:stream to='a.example'>")
    writer.write_eof()


async def half_a_hello(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00")
    writer.transport.abort()


async def no_close_notify(server: Server) -> None:
    connection = await server.connect()
    await echo(connection, b"<a/>")
    connection[1].transport.abort()


@pytest.mark.parametrize("peer", [garbage, half_a_hello, no_close_notify])
async def test_a_peer_that_breaks_off_disturbs_nobody(
    server: Server, peer: Callable[[Server], Coroutine[Any, Any, None]]
) -> None:
    bystander = await server.connect()
    for _ in range(5):
        await peer(server)
        assert await echo(bystander, b"undisturbed") == b"undisturbed"
    bystander[1].close()
    with contextlib.suppress(ConnectionError):
        await bystander[1].wait_closed()
