"""The SOCKS5 proxy (XEP-0065), with slixmpp's plugin and by hand."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from slixmpp.exceptions import IqError

from tests.waiting import until

from .conftest import LogIn, MakeServer
from .person import DEADLINE, Person
from .raw_client import RawClient
from .running import ADDRESS, RunningServer

PROXY = "proxy.localhost"
NS = "http://jabber.org/protocol/bytestreams"
SIZE = 3_000_000


@pytest.fixture
async def pair(log_in: LogIn) -> tuple[Person, Person]:
    found = []
    for address in ("romeo@localhost/orchard", "juliet@localhost/balcony"):
        person = await log_in(address)
        person.register_plugin("xep_0065", {"auto_accept": True})
        found.append(person)
    romeo, juliet = found
    juliet.send_presence(pto=romeo.boundjid)  # who is not known gets no requests
    await romeo.next("presence_available")
    return romeo, juliet


def address(sid: str, requester: Person, target: str) -> bytes:
    return hashlib.sha1(f"{sid}{requester.boundjid.full}{target}".encode()).hexdigest().encode()


async def port(person: Person) -> int:
    answer = await person.plugin["xep_0065"].get_network_address(PROXY, timeout=DEADLINE)
    assert answer["socks"]["streamhost"]["host"] == ADDRESS
    return int(answer["socks"]["streamhost"]["port"])


Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(port: int, name: bytes) -> tuple[bytes, Link]:
    """The reply to a request for this address."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    writer.write(b"\x05\x01\x00\x03\x28" + name + b"\0\0")
    async with asyncio.timeout(DEADLINE):
        return await reader.readexactly(5 + 40 + 2), (reader, writer)


async def refused(wait: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(IqError) as raised:
        await wait()
    return str(raised.value.iq["error"]["condition"])


async def test_two_clients_find_the_proxy_and_send_a_file_through_it(pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    got = bytearray()
    juliet.add_event_handler("socks5_data", got.extend)
    data = os.urandom(SIZE)
    socket = await romeo.plugin["xep_0065"].handshake(juliet.boundjid.full, timeout=DEADLINE)
    assert await romeo.plugin["xep_0065"].discover_proxies() == {PROXY: (ADDRESS, str(await port(romeo)))}
    await socket.write(data)
    await until(lambda: len(got) >= SIZE)
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    socket.transport.close()


async def test_bytes_go_both_ways_and_one_may_end_before_the_other(pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    target = juliet.boundjid.full
    name = address("s", romeo, target)
    at = await port(romeo)
    reply, (reader, writer) = await connect(at, name)
    assert reply == b"\x05\x00\x00\x03\x28" + name + b"\0\0"
    writer.write(b"too early")
    _, (other_reader, other_writer) = await connect(at, name)
    await romeo.plugin["xep_0065"].activate(PROXY, "s", target, timeout=DEADLINE)
    writer.write(b"question")
    writer.write_eof()
    async with asyncio.timeout(DEADLINE):
        assert (await other_reader.read()).endswith(b"question")
        other_writer.write(b"answer")
        other_writer.close()
        assert await reader.read() == b"answer"


async def test_a_third_one_is_refused(pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    name = address("s", romeo, juliet.boundjid.full)
    at = await port(romeo)
    links = [(await connect(at, name))[1] for _ in range(2)]
    reply, (reader, _) = await connect(at, name)
    assert reply[1] == 2
    assert await reader.read() == b""
    for _, writer in links:
        writer.close()


async def test_a_stream_is_activated_by_its_requester_when_both_are_there(pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    target = juliet.boundjid.full
    plugin = romeo.plugin["xep_0065"]
    assert await refused(lambda: plugin.activate(PROXY, "s", target, timeout=DEADLINE)) == "item-not-found"
    at = await port(romeo)
    name = address("s", romeo, target)
    _, (_, first) = await connect(at, name)
    assert await refused(lambda: plugin.activate(PROXY, "s", target, timeout=DEADLINE)) == "not-allowed"
    _, (_, second) = await connect(at, name)
    others = juliet.plugin["xep_0065"]
    assert await refused(lambda: others.activate(PROXY, "s", target, timeout=DEADLINE)) == "item-not-found"
    await plugin.activate(PROXY, "s", target, timeout=DEADLINE)
    first.close()
    second.close()


async def test_a_reader_that_is_slow_holds_the_writer_up(pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    target = juliet.boundjid.full
    name = address("s", romeo, target)
    at = await port(romeo)
    _, (_, writer) = await connect(at, name)
    _, (reader, other) = await connect(at, name)
    await romeo.plugin["xep_0065"].activate(PROXY, "s", target, timeout=DEADLINE)
    data = os.urandom(1_000_000)
    sent = 0
    while True:  # until nothing more fits in the sockets between
        writer.write(data)
        sent += len(data)
        try:
            async with asyncio.timeout(1):
                await writer.drain()
        except TimeoutError:
            break
        assert sent < 100_000_000
    writer.write_eof()
    got = 0
    async with asyncio.timeout(DEADLINE):
        while piece := await reader.read(1_000_000):
            got += len(piece)
    assert got == sent
    other.close()


async def test_a_stream_in_which_nothing_moves_ends(server: RunningServer, pair: tuple[Person, Person]) -> None:
    romeo, juliet = pair
    await server.reload("idle_seconds = 1")  # the file ends with the proxy's section
    target = juliet.boundjid.full
    name = address("s", romeo, target)
    at = await port(romeo)
    _, (reader, writer) = await connect(at, name)
    _, (other_reader, other) = await connect(at, name)
    await romeo.plugin["xep_0065"].activate(PROXY, "s", target, timeout=DEADLINE)
    for _ in range(4):  # longer than that, and always in one direction
        await asyncio.sleep(0.5)
        writer.write(b"x")
    async with asyncio.timeout(DEADLINE):
        assert await other_reader.readexactly(4) == b"xxxx"
        for end in (reader, other_reader):
            with suppress(ConnectionResetError):
                assert await end.read() == b""
    other.close()


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        ("<activate>juliet@localhost/balcony</activate>", "bad-request"),
        ("", "bad-request"),
    ],
)
async def test_what_is_no_activation_is_a_bad_request(people: RunningServer, payload: str, condition: str) -> None:
    romeo = await RawClient.login(people, "romeo")
    await romeo.send(f"<iq type='set' id='a' to='{PROXY}'><query xmlns='{NS}'>{payload}</query></iq>")
    error = (await romeo.read()).child("jabber:client", "error")
    assert error is not None
    assert error.children[0].name == condition  # type: ignore[union-attr]


async def test_a_proxy_without_a_port_is_not_found_as_one(make_server: MakeServer) -> None:
    """Another server on this machine has it."""
    server = await make_server()
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    ask = f"<iq type='get' id='a' to='{PROXY}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    await romeo.send(ask)
    assert (await romeo.read()).get("type") == "result"
    server.app.core.components.running[PROXY]._relay.close()  # type: ignore[attr-defined]
    await romeo.send(ask)
    error = (await romeo.read()).child("jabber:client", "error")
    assert error is not None
    assert error.children[0].name == "service-unavailable"  # type: ignore[union-attr]


async def test_who_says_nothing_or_too_much_has_no_place(make_server: MakeServer) -> None:
    server = await make_server()
    await server.reload("connections_per_address = 2")  # the file ends with the proxy's section
    relay = server.app.core.components.running[PROXY]._relay  # type: ignore[attr-defined]
    links = [await asyncio.open_connection(ADDRESS, relay.port) for _ in range(2)]
    await until(lambda: len(relay._open) == 2)
    reader, _ = await asyncio.open_connection(ADDRESS, relay.port)
    async with asyncio.timeout(DEADLINE):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    links[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        assert await links[0][0].read() == b""
    await until(lambda: len(relay._open) == 1)
    links[1][1].close()
