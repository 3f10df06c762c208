"""A database that does not answer for a while: what needs none goes on, and nothing is lost, doubled, half-written."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import pytest

from tests.databases import Servers
from tests.server.conftest import MakeServer
from tests.server.managed_client import ManagedClient
from tests.server.raw_client import RawClient
from tests.server.running import RunningServer
from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID
from xmpp_server.storage import postgresql, sqlite
from xmpp_server.storage.archive import Matching

Stall = Callable[[], AbstractAsyncContextManager[None]]

QUICK: Final = 3.0
"""Seconds for what takes a millisecond, on a machine that has much to do."""
LIMITS: Final = "[limits]\nbytes_per_second = 0\n"
NO_ARCHIVE: Final = "[modules.archive]\nenabled = false\n"
PEOPLE: Final = ("romeo", "juliet", "nurse", "benvolio", "mercutio")
JULIET: Final = "juliet@localhost"
NURSE: Final = "nurse@localhost"
_LOCK: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["patient", "impatient"])
def stall(
    request: pytest.FixtureRequest, database_url: str, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Stall:
    """Keeps the database from answering: another process has the lock of SQLite, or PostgreSQL is stopped. Patient:
    what was asked waits for it; impatient: it is given up soon, and tried again."""
    if request.param == "impatient":
        monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.1)
        monkeypatch.setattr(postgresql, "_TIMEOUT", 0.3)
        monkeypatch.setattr(postgresql, "_CONNECT_TIMEOUT", 0.5)

    @asynccontextmanager
    async def locked() -> AsyncIterator[None]:
        path = database_url.removeprefix("sqlite:///")
        command = [sys.executable, "-c", _LOCK, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"locked\n"
            try:
                yield
            finally:
                process.kill()

    @asynccontextmanager
    async def stopped() -> AsyncIterator[None]:
        servers.postgresql.stall()
        try:
            yield
        finally:
            servers.postgresql.go_on()

    return locked if database_url.startswith("sqlite") else stopped


async def people(make_server: MakeServer, more: str = "") -> RunningServer:
    server = await make_server(LIMITS + more)
    for name in PEOPLE:
        await server.account(name)
    return server


async def couple(server: RunningServer) -> tuple[ManagedClient, ManagedClient]:
    """Romeo and Juliet, who have talked before; what they said is acknowledged."""
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    romeo = await ManagedClient.enable(server, "romeo", "orchard")
    await romeo.say(JULIET, "before")
    assert await juliet.message() == "before"
    await romeo.handled(2)
    return romeo, juliet


class Typists:
    """Two who type to each other all the time, and ask the server whether it is there."""

    def __init__(self, one: RawClient, other: RawClient) -> None:
        self._clients = (one, other)
        self.slowest = 0.0
        self.count = 0

    @classmethod
    async def come(cls, server: RunningServer) -> Typists:
        typists = cls(await RawClient.login(server, "benvolio"), await RawClient.login(server, "mercutio"))
        await typists.type()
        return typists

    async def type(self) -> None:
        clock = asyncio.get_running_loop().time
        before = clock()
        one, other = self._clients
        self.count += 1
        typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
        await one.send(f"<message to='{other.jid}' type='chat' id='t{self.count}'>{typing}</message>")
        assert (await other.read_until("message")).get("id") == f"t{self.count}"
        await ping(other)
        self.slowest = max(self.slowest, clock() - before)

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """They notice nothing of what goes on in the block."""
        stop = asyncio.Event()

        async def go_on() -> None:
            while not stop.is_set():
                await self.type()
                await asyncio.sleep(0.01)

        self.slowest = 0.0
        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            stop.set()
            await task
        assert self.slowest < QUICK


async def ping(client: RawClient) -> list[str]:
    """Ask the server whether it is there; it answers soon. The bodies of the messages that came before."""
    bodies: list[str] = []
    async with asyncio.timeout(QUICK):
        await client.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        while (element := await client.read()).get("id") != "ping":
            if element.name == "message":
                bodies.append(element.child_text(ns.CLIENT, "body"))
    return bodies


async def h(client: ManagedClient) -> int:
    """What the server says at once that it has handled."""
    async with asyncio.timeout(QUICK):
        return await client.handled()


async def archived(server: RunningServer, account: str) -> int:
    return len(await server.store.archive.page(JID.parse(account), Matching(), limit=1000))


async def test_with_the_archive_on_messages_wait_for_it_and_arrive_once(make_server: MakeServer, stall: Stall) -> None:
    server = await people(make_server)
    romeo, juliet = await couple(server)
    typists = await Typists.come(server)
    async with typists.undisturbed():
        async with stall():
            before = await h(romeo)
            await romeo.say(JULIET, "1", "2")
            await romeo.say(NURSE, "hot")  # nothing of hers is in memory
            assert await ping(romeo) == []
            assert await h(romeo) == before, "nothing of it is safe yet"
            await asyncio.sleep(1.5)
            await romeo.say(JULIET, "3")
            assert await ping(romeo) == []
            assert await h(romeo) == before
            assert await ping(juliet) == []
        assert await juliet.messages(3) == ["1", "2", "3"]
        await romeo.handled(before + 6)
    nurse = await ManagedClient.enable(server, "nurse", "hall")
    assert await nurse.message() == "hot"
    for client in (romeo, juliet, nurse):
        assert await ping(client) == []
    assert await archived(server, JULIET) == 4
    assert await archived(server, NURSE) == 1
    assert await archived(server, "romeo@localhost") == 5


async def test_with_the_archive_off_who_is_online_talks_and_the_rest_waits(
    make_server: MakeServer, stall: Stall
) -> None:
    server = await people(make_server, NO_ARCHIVE)
    romeo, juliet = await couple(server)
    typists = await Typists.come(server)
    async with typists.undisturbed():
        async with stall():
            before = await h(romeo)
            await romeo.say(JULIET, "1", "2")
            async with asyncio.timeout(QUICK):
                assert await juliet.messages(2) == ["1", "2"]
            await romeo.say(NURSE, "hot")
            await asyncio.sleep(1.5)
            assert await ping(romeo) == []
            assert await h(romeo) == before, "after a crash nobody would know of more"
        await romeo.handled(before + 4)
    nurse = await ManagedClient.enable(server, "nurse", "hall")
    assert await nurse.message() == "hot"
    for client in (romeo, juliet, nurse):
        assert await ping(client) == []
    await server.app.core.ledger.quiet()
    assert await server.store.offline.count(JID.parse(JULIET)) == 0


async def test_a_session_is_paused_by_its_own_octets_alone(make_server: MakeServer, stall: Stall) -> None:
    server = await people(make_server)
    romeo, juliet = await couple(server)
    typists = await Typists.come(server)
    bodies = [f"{number} {'x' * 100_000}" for number in range(20)]
    async with typists.undisturbed():
        async with stall():
            before = await h(romeo)
            sending = asyncio.create_task(romeo.say(JULIET, *bodies))
            session = next(iter(next(user for user in server.users if user.jid.localpart == "romeo").sessions.values()))
            await until(lambda: session.budget.used > 1_000_000)
            assert await ping(juliet) == []
            assert session.budget.used < 1_300_000
        await sending
        assert await juliet.messages(20) == bodies
        await romeo.handled(before + 20)
    assert session.budget.used == 0


async def test_without_stream_management_nothing_is_promised_and_all_arrives(
    make_server: MakeServer, stall: Stall
) -> None:
    server = await people(make_server)
    romeo, juliet = await RawClient.login(server, "romeo"), await ManagedClient.enable(server, "juliet", "balcony")
    await romeo.send(f"<message to='{JULIET}' type='chat' id='1'><body>before</body></message>")
    assert await juliet.message() == "before"
    async with stall():
        for body in ("1", "2"):
            await romeo.send(f"<message to='{JULIET}' type='chat' id='{body}'><body>{body}</body></message>")
        assert await ping(romeo) == []
        await asyncio.sleep(1.0)
        romeo.abort()
        assert await ping(juliet) == []
    assert await juliet.messages(2) == ["1", "2"]
    assert await ping(juliet) == []


async def test_a_client_that_loses_its_link_meanwhile_loses_nothing(make_server: MakeServer, stall: Stall) -> None:
    """what it sends again, because h stood still, is counted and not delivered twice"""
    server = await people(make_server)
    romeo, juliet = await couple(server)
    async with stall():
        before = await h(romeo)
        await romeo.say(JULIET, "1", "2")
        assert await ping(romeo) == []
        romeo.abort()
    again = await romeo.resume(server)
    assert again.answer.name == "resumed"
    told = int(again.answer.get("h"))
    assert before <= told <= before + 3
    rest = ["1", "2", "ping"][told - before :]
    await again.say(JULIET, *(body for body in rest if body != "ping"))
    if "ping" in rest:
        await again.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await again.say(JULIET, "3")
    assert await juliet.messages(3) == ["1", "2", "3"]
    await again.handled(before + 4)
    assert await ping(juliet) == []


async def test_a_database_that_was_killed_costs_nobody_anything(
    make_server: MakeServer, database_url: str, servers: Servers, stall: Stall
) -> None:
    """PostgreSQL is killed and started again; SQLite, which has no process, is locked again and again."""
    server = await people(make_server)
    romeo, juliet = await couple(server)
    before = await h(romeo)
    expected: list[str] = []
    for turn in range(3):
        await romeo.say(JULIET, f"{turn}a")
        if database_url.startswith("sqlite"):
            async with stall():
                await romeo.say(JULIET, f"{turn}b")
                await asyncio.sleep(0.3)
        else:
            servers.postgresql.kill()
            await romeo.say(JULIET, f"{turn}b")
            await asyncio.sleep(0.3)
            await asyncio.to_thread(servers.postgresql.start)
        await romeo.say(JULIET, f"{turn}c")
        expected += [f"{turn}a", f"{turn}b", f"{turn}c"]
    assert await juliet.messages(9) == expected
    await romeo.handled(before + 9)
    assert await ping(romeo) == await ping(juliet) == []
    assert await archived(server, JULIET) == 10
