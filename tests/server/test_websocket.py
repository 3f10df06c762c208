"""Clients over WebSocket (RFC 7395), on the whole server."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient
from tests.server.running import ADDRESS, PASSWORD, RunningServer
from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, parse

DEADLINE: Final = 20.0
OPEN: Final = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
CLOSE: Final = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Tab:
    """A page's WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    @classmethod
    async def connect(
        cls, http: aiohttp.ClientSession, server: RunningServer, path: str = "/xmpp-websocket", **more: Any
    ) -> Tab:
        context = ssl.create_default_context(cafile=str(server.certificate))
        context.check_hostname = False
        url = f"https://{ADDRESS}:{server.https_port}{path}"
        return cls(await http.ws_connect(url, **({"protocols": ("xmpp",), "ssl": context} | more)))

    async def say(self, message: str) -> None:
        await self.socket.send_str(message)

    async def hear(self) -> Element:
        """The next message, which stands for itself."""
        async with asyncio.timeout(DEADLINE):
            return parse((await self.socket.receive_str()).encode(), "")

    async def ended(self) -> int | None:
        async with asyncio.timeout(DEADLINE):
            message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        return message.data if message.type is aiohttp.WSMsgType.CLOSE else self.socket.close_code

    async def open(self) -> Element:
        await self.say(OPEN)
        assert (await self.hear()).ns == ns.FRAMING
        return await self.hear()

    async def log_in(self, name: str) -> None:
        await self.open()
        await self.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{_plain(name)}</auth>")
        assert (await self.hear()).name == "success"
        await self.open()

    async def bind(self, name: str) -> str:
        """Log in; returns the address."""
        await self.log_in(name)
        await self.say(f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
        answer = await self.hear()
        assert (answer.ns, answer.get("type")) == (ns.CLIENT, "result")
        bound = answer.child(ns.BIND, "bind")
        assert bound is not None
        return bound.child_text(ns.BIND, "jid")


def _plain(name: str) -> str:
    return b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()


async def test_a_page_logs_in_and_chats_with_who_is_connected_otherwise(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    await server.account("romeo")
    await server.account("juliet")
    juliet = await RawClient.login(server, "juliet", resource="balcony")
    romeo = await Tab.connect(http, server)
    await romeo.bind("romeo")
    await romeo.say("<message xmlns='jabber:client' to='juliet@localhost/balcony'><body>a &amp; b</body></message>")
    assert (await juliet.read()).child_text(ns.CLIENT, "body") == "a & b"
    await romeo.say(CLOSE)
    end = await romeo.hear()
    assert (end.ns, end.name) == (ns.FRAMING, "close")
    assert await romeo.ended() == 1000


async def test_a_session_is_resumed_over_another_socket_which_hears_what_was_missed(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    await server.account("romeo")
    await server.account("juliet")
    juliet = await RawClient.login(server, "juliet")
    romeo = await Tab.connect(http, server)
    jid = await romeo.bind("romeo")
    await romeo.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    id = (await romeo.hear()).get("id")
    await juliet.send(f"<message to='{jid}'><body>before</body></message>")
    assert (await romeo.hear()).child_text(ns.CLIENT, "body") == "before"
    await romeo.socket.close()
    await until(lambda: len(server.connections) == 1)
    await juliet.send(f"<message to='{jid}'><body>meanwhile</body></message>")
    again = await Tab.connect(http, server)
    await again.log_in("romeo")
    await again.say(f"<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")
    assert (await again.hear()).name == "resumed"
    for body in ("before", "meanwhile"):
        message = await again.hear()
        assert (message.name, message.child_text(ns.CLIENT, "body")) == ("message", body)


async def test_what_is_no_element_is_answered_by_an_error(server: RunningServer, http: aiohttp.ClientSession) -> None:
    romeo = await Tab.connect(http, server)
    await romeo.open()
    await romeo.say("<!-- -->")
    error = await romeo.hear()
    assert error.child(ns.STREAM_ERRORS, "restricted-xml") is not None
    assert (await romeo.hear()).name == "close"
    assert await romeo.ended() == 1000


async def test_octets_end_the_socket(server: RunningServer, http: aiohttp.ClientSession) -> None:
    """RFC 7395 §3.2: messages are text."""
    romeo = await Tab.connect(http, server)
    await romeo.socket.send_bytes(OPEN.encode())
    assert await romeo.ended() == 1003


@pytest.mark.parametrize(
    "frame", [b"\x81\x7e" + len(OPEN).to_bytes(2) + OPEN.encode(), b"\x89\x00", b"\x8a\x00", b"\x88\x00"]
)
async def test_what_is_not_masked_ends_the_socket(
    server: RunningServer, http: aiohttp.ClientSession, frame: bytes
) -> None:
    """RFC 6455 §5.1: the server MUST close the connection, and may say so by 1002."""
    romeo = await Tab.connect(http, server, autoping=False)
    await romeo.open()
    write(romeo, frame)
    await romeo.say(CLOSE)
    assert await romeo.ended() == 1002
    await until(lambda: not server.connections)


async def test_what_came_before_it_is_handled(server: RunningServer, http: aiohttp.ClientSession) -> None:
    """Also where there is more of it than is read at once."""
    romeo = await Tab.connect(http, server, autoping=False)
    count = 1500
    write(romeo, (b"\x89\x80" + bytes(4)) * count + b"\x89\x00")
    async with asyncio.timeout(DEADLINE):
        for _ in range(count):
            assert (await romeo.socket.receive()).type is aiohttp.WSMsgType.PONG
    assert await romeo.ended() == 1002


async def test_fragments_are_one_message_and_have_its_limit(server: RunningServer, http: aiohttp.ClientSession) -> None:
    romeo = await Tab.connect(http, server)
    start, end = OPEN[:20].encode(), OPEN[20:].encode()
    await fragment(romeo, start, aiohttp.WSMsgType.TEXT)
    await romeo.socket.ping()
    await fragment(romeo, end, aiohttp.WSMsgType.CONTINUATION, last=True)
    assert (await romeo.hear()).name == "open"
    await romeo.hear()
    part = b"x" * (server.app.config.options.limits.stanza_bytes + 1)
    await fragment(romeo, part, aiohttp.WSMsgType.TEXT)
    await fragment(romeo, part, aiohttp.WSMsgType.CONTINUATION)
    await romeo.ended()


async def test_what_is_too_large_is_answered_by_an_error(server: RunningServer, http: aiohttp.ClientSession) -> None:
    await server.account("romeo")
    romeo = await Tab.connect(http, server)
    await romeo.bind("romeo")
    body = "x" * server.app.config.options.limits.stanza_bytes
    await romeo.say(f"<message xmlns='jabber:client'><body>{body}</body></message>")
    error = await romeo.hear()
    assert error.child(ns.STREAM_ERRORS, "policy-violation") is not None
    assert (await romeo.hear()).name == "close"
    assert await romeo.ended() == 1000


async def test_pings_in_great_number_are_answered_and_what_follows_is_heard(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    server = await make_server("[limits]\nbytes_per_second = 1000000")
    romeo = await Tab.connect(http, server, autoping=False)
    for number in range(2000):
        await romeo.socket.ping(b"%0125d" % number)
    await romeo.say(OPEN)
    async with asyncio.timeout(DEADLINE):
        for number in range(2000):
            pong = await romeo.socket.receive()
            assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"%0125d" % number)
    assert (await romeo.hear()).name == "open"


async def test_a_flood_of_frames_without_a_message_is_read_at_the_rate(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """Each is an answer or a turn of the reader, before anybody has logged in."""
    rate, count = 300_000, 15_000
    server = await make_server(f"[limits]\nbytes_per_second = {rate}")
    pair = await bystanders(server)
    stranger = await Tab.connect(http, server, autoping=False)
    await fragment(stranger, b"<", aiohttp.WSMsgType.TEXT)
    clock = asyncio.get_running_loop().time
    async with pair.undisturbed():
        started = clock()
        for _ in range(count // 3):
            await fragment(stranger, b"", aiohttp.WSMsgType.PING, last=True)
            await fragment(stranger, b"", aiohttp.WSMsgType.PONG, last=True)
            await fragment(stranger, b"", aiohttp.WSMsgType.CONTINUATION)
        async with asyncio.timeout(DEADLINE):
            for _ in range(count // 3):
                assert (await stranger.socket.receive()).type is aiohttp.WSMsgType.PONG
        took = clock() - started
    size = 6 + 64  # a frame counts for more than its octets
    assert took > (size * count - 16_384 - size * 65_536 / 6) / rate  # so many octets may have been read at once


async def test_a_silent_page_is_pinged_and_goes_on(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    """RFC 7395 §3.8"""
    server = await make_server("[limits]\nkeepalive_seconds = 2\n")
    await server.account("romeo")
    romeo = await Tab.connect(http, server, autoping=False)
    await romeo.bind("romeo")
    async with asyncio.timeout(DEADLINE):
        for _ in range(2):
            ping = await romeo.socket.receive()
            assert ping.type is aiohttp.WSMsgType.PING
            await romeo.socket.pong(ping.data)
    await romeo.say("<iq xmlns='jabber:client' type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (await romeo.hear()).get("type") == "result"


async def test_a_page_that_answers_no_ping_is_gone(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[limits]\nkeepalive_seconds = 1\n")
    await server.account("romeo")
    romeo = await Tab.connect(http, server, autoping=False)
    await romeo.bind("romeo")
    assert server.app.core.is_working
    async with asyncio.timeout(DEADLINE):
        assert (await romeo.socket.receive()).type is aiohttp.WSMsgType.PING
    await until(lambda: not server.app.core.is_working)


async def test_nothing_is_compressed_so_nothing_bursts(server: RunningServer, http: aiohttp.ClientSession) -> None:
    romeo = await Tab.connect(http, server, compress=15)
    assert romeo.socket.compress == 0
    await romeo.open()


async def fragment(tab: Tab, data: bytes, kind: aiohttp.WSMsgType, *, last: bool = False) -> None:
    """A masked frame of a message (RFC 6455 §5.4); the mask is of zeros."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xff" + len(data).to_bytes(8, "big")
    write(tab, bytes([(0x80 if last else 0) | kind]) + length + bytes(4) + data)


def write(tab: Tab, data: bytes) -> None:
    """Octets of frames."""
    transport = tab.socket._conn.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.write(data)


async def test_pages_of_other_origins_are_turned_away(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[http]\norigins = ['https://chat.example']")
    await Tab.connect(http, server, origin="https://chat.example")
    await Tab.connect(http, server, origin=f"https://{ADDRESS}:{server.https_port}")  # our own
    await Tab.connect(http, server)
    for origin in ("https://evil.example", f"https://{ADDRESS}", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await Tab.connect(http, server, origin=origin)
        assert raised.value.status == 403


async def test_the_protocol_is_xmpp_and_no_other(server: RunningServer, http: aiohttp.ClientSession) -> None:
    """RFC 7395 §3.1: who does not offer it does not speak it."""
    tab = await Tab.connect(http, server, protocols=("chat", "xmpp"))
    assert tab.socket.protocol == "xmpp"
    for protocols in ((), ("chat",), ("xmpp2",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await Tab.connect(http, server, protocols=protocols)
        assert raised.value.status == 400


async def test_one_address_has_so_many_connections(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[limits]\nconnections_per_address = 2")
    first, second = [await Tab.connect(http, server) for _ in range(2)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await Tab.connect(http, server)
    assert raised.value.status == 429
    await first.socket.close()
    await until(lambda: len(server.connections) == 1)
    for tab in (second, await Tab.connect(http, server)):
        await tab.open()


async def test_behind_a_proxy_its_clients_are_counted(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server(f"[limits]\nconnections_per_address = 1\n[http]\nproxies = ['{ADDRESS}']")
    clients = ["192.0.2.1", "192.0.2.2"]
    tabs = [await Tab.connect(http, server, headers={"X-Forwarded-For": client}) for client in clients]
    assert sorted(connection.address for connection in server.connections) == clients
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await Tab.connect(http, server, headers={"X-Forwarded-For": "192.0.2.2"})
    assert raised.value.status == 429
    for tab in tabs:
        await tab.open()


async def test_without_tls_nobody_logs_in(server: RunningServer, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await http.ws_connect(f"http://{ADDRESS}:{server.http_port}/xmpp-websocket", protocols=("xmpp",))
    assert raised.value.status == 403
