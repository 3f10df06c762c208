"""What a stranger and a client may use at most, over sockets; and that others notice nothing of who uses more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc

import pytest

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import HEADER, STARTTLS, RawClient
from tests.server.running import ADDRESS, RunningServer
from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.counters import next_value
from xmpp_server.storage.roster import roster
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

OTHER_ADDRESS = "127.0.0.2"
MEGABYTE = 1_000_000
PING = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
SETTLE = 10.0  # seconds


async def settled(server: RunningServer, connections: int) -> None:
    """Wait until the server has so many connections."""
    async with asyncio.timeout(SETTLE):
        while len(server.connections) != connections:
            await asyncio.sleep(0.01)


# -- time


async def test_who_does_not_log_in_in_time_is_disconnected(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nlogin_seconds = 1")
    await server.account("romeo")
    pair = await bystanders(server)
    silent = await RawClient.connect(server)
    silent_tls = await RawClient.connect(server, direct=True)
    half = await RawClient.connect(server)
    await half.send(HEADER.format(to="localhost")[:40])
    opened = await RawClient.open(server, tls="none")
    secured = await RawClient.open(server)
    authenticated = await RawClient.open(server)
    await authenticated.authenticate("romeo")
    await authenticated.open_stream()
    no_hello = await RawClient.open(server, tls="none")
    await no_hello.send(STARTTLS)
    assert (await no_hello.read()).name == "proceed"
    no_direct_hello = await RawClient.connect(server, port=server.direct_tls_port)
    async with pair.undisturbed():
        for client in (silent, silent_tls, half, opened, secured, authenticated):
            assert await client.ended() == ([], "connection-timeout")  # RFC 6120 §4.9.3.4
        for client in (no_hello, no_direct_hello):  # there is no stream to say it on
            assert await client.ended() == ([], "")
    await pair.chat()


# -- connections


async def test_ten_thousand_connections_from_one_address_leave_room_for_others(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nconnections_per_address = 1000")
    await server.account("romeo")
    pair = await bystanders(server)
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []

    async def connect() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sockets.append(sock)
        with contextlib.suppress(ConnectionError):
            await loop.sock_connect(sock, (ADDRESS, server.port))

    try:
        async with pair.undisturbed():
            for _ in range(10):
                await asyncio.gather(*(connect() for _ in range(1000)))
                assert len(server.connections) <= 1000
            await settled(server, 1000)
            refused = await RawClient.connect(server)
            await refused.gone()
            elsewhere = await RawClient.login(server, "romeo", source=OTHER_ADDRESS)
            await elsewhere.leave()
    finally:
        for sock in sockets:
            sock.close()
    await settled(server, 2)
    await (await RawClient.login(server, "romeo")).leave()  # there is room again


async def test_connections_in_all_are_bounded(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nconnections = 3")
    pair = await bystanders(server)
    third = await RawClient.connect(server)
    fourth = await RawClient.connect(server, source=OTHER_ADDRESS)
    await fourth.gone()
    third.abort()
    await settled(server, 2)
    await (await RawClient.open(server, source=OTHER_ADDRESS)).leave()
    await pair.chat()


async def test_sessions_of_an_account_are_bounded(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nsessions_per_account = 2")
    await server.account("romeo")
    first = await RawClient.login(server, "romeo")
    await RawClient.login(server, "romeo")
    third = await RawClient.open(server)
    await third.authenticate("romeo")
    await third.open_stream()
    bind = f"<iq type='set' id='1'><bind xmlns='{ns.BIND}'/></iq>"
    answer = await third.ask(bind, "1")
    assert answer.child(ns.CLIENT, "error").child(ns.STANZA_ERRORS, "resource-constraint") is not None  # type: ignore[union-attr]
    await first.leave()
    assert (await third.ask(bind, "1")).get("type") == "result"


# -- bytes


async def test_memory_is_bounded_while_somebody_sends_megabytes(server: RunningServer) -> None:
    await server.account("romeo")
    pair = await bystanders(server)
    texts = [b"<message><body>" + b"a" * (10 * MEGABYTE), b"<message>" + b"<a/>" * (10 * MEGABYTE // 4)]
    for text in texts:
        romeo = await RawClient.login(server, "romeo")
        tracemalloc.start()
        try:
            sending = asyncio.create_task(romeo.send(text))
            async with pair.undisturbed():
                assert await romeo.ended() == ([], "policy-violation")
            sending.cancel()
            await asyncio.wait([sending])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 5 * MEGABYTE


async def test_a_client_that_never_reads_is_ended_and_holds_nobody_up(make_server: MakeServer) -> None:
    server = await make_server("[limits]\noutbox_bytes = 262144\nbytes_burst = 100000000")
    for name in ("romeo", "juliet"):
        await server.account(name)
    pair = await bystanders(server)
    romeo = await RawClient.login(server, "romeo")
    juliet = await RawClient.login(server, "juliet", resource="balcony")
    await juliet.send("<presence/>")
    await juliet.read()
    juliet.writer.transport.pause_reading()  # type: ignore[attr-defined]
    body = "a" * 60_000
    tracemalloc.start()
    try:
        async with pair.undisturbed():
            for number in range(300):  # 18 MB; the system's own buffers take some
                await romeo.send(
                    f"<message to='juliet@localhost/balcony' id='{number}'><x xmlns='u'>{body}</x></message>"
                )
                if number % 10 == 0:
                    await romeo.ask(
                        f"<iq type='get' id='p{number}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>", f"p{number}"
                    )
            await settled(server, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE
    async with asyncio.timeout(SETTLE):
        while server.app.core.accounts.get(JID.parse("juliet@localhost")) is not None:
            await asyncio.sleep(0.01)
    again = await RawClient.login(server, "juliet")
    await again.leave()


@pytest.mark.parametrize("to", ["romeo@localhost/orchard", "juliet@localhost"])
async def test_a_flood_is_read_at_the_rate_and_loses_nothing(make_server: MakeServer, to: str) -> None:
    server = await make_server(
        "[limits]\nbytes_per_second = 200000\nbytes_burst = 50000\n"
        "[modules.offline]\nenabled = false\n[modules.archive]\nenabled = false"
    )
    for name in ("romeo", "juliet"):
        await server.account(name)
    pair = await bystanders(server)
    romeo = await RawClient.login(server, "romeo", resource="orchard")
    stanza = "<message to='{}' id='{:06}'><body>" + "a" * 400 + "</body></message>"
    flood = "".join(stanza.format(to, number) for number in range(1000)).encode()
    clock = asyncio.get_running_loop().time
    async with pair.undisturbed():
        started = clock()
        sending = asyncio.create_task(romeo.send(flood))
        for number in range(1000):  # back, or as errors from the account that is away
            assert (await romeo.read()).get("id") == f"{number:06}"
        await sending
        took = clock() - started
    assert took > (len(flood) - 50_000 - 262_144) / 200_000  # a piece that was read already may be 256 KiB long


async def test_a_flood_before_login_is_read_at_the_rate(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nbytes_per_second = 200000\n[modules.register]\nopen = true")
    pair = await bystanders(server)
    stranger = await RawClient.open(server)
    request = "<iq type='get' id='{:06}'><query xmlns='jabber:iq:register'/></iq>"
    flood = "".join(request.format(number) for number in range(8000)).encode()
    clock = asyncio.get_running_loop().time
    async with pair.undisturbed():
        started = clock()
        sending = asyncio.create_task(stranger.send(flood))
        for number in range(8000):
            assert (await stranger.read()).get("id") == f"{number:06}"
        await sending
        took = clock() - started
    assert took > (len(flood) - 16_384 - 262_144) / 200_000


async def ten_thousand_contacts(transaction: Transaction) -> None:
    """Romeo's, each with a subscription in both directions."""
    version = await next_value(transaction, JID.parse("romeo@localhost"), "roster")
    same = {"account": "romeo@localhost", "name": "Contact", "subscription": "both", "version": version, "groups": ""}
    same |= {"ask": False, "approved": False, "listed": True, "pending_in": None}
    rows = [{"jid": f"contact{number}@localhost", **same} for number in range(10_000)]
    await transaction.many(Statement(roster.insert()), rows)


async def test_a_roster_of_ten_thousand_is_quick(server: RunningServer) -> None:
    await server.account("romeo")
    pair = await bystanders(server)
    await server.store.database.write(ten_thousand_contacts)
    clock = asyncio.get_running_loop().time
    async with pair.undisturbed():
        started = clock()
        client = await RawClient.login(server, "romeo")
        answer = await client.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "r")
        await client.send("<presence/>")
        while (await client.read()).get("from") != str(client.jid):
            pass
        took = clock() - started
    query = answer.child(ns.ROSTER, "query")
    assert query is not None
    assert len(list(query)) == 10_000
    assert took < 5.0
    await client.leave()


async def test_a_silent_client_is_sent_a_space(make_server: MakeServer) -> None:
    """RFC 6120 §4.6.1"""
    server = await make_server("[limits]\nkeepalive_seconds = 1\n")
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    assert romeo._tls is not None
    romeo._tls.bio_write(await romeo._receive())
    assert romeo._tls.recv(100) == b" "
    await romeo.send("<iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (await romeo.read()).get("type") == "result"
