"""Fixtures of the tests on a whole server; each test runs on SQLite and on PostgreSQL.

async def test_with_default_options(server: RunningServer) -> None: ...

async def test_with_others(make_server: MakeServer) -> None:
    server = await make_server("[limits]\\ndepth = 10")

async def test_with_slixmpp(log_in: LogIn) -> None:
    juliet = await log_in("juliet@localhost/balcony")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.databases import database_url, servers
from xmpp_server.storage.errors import AccountExists

from .person import DEADLINE, Person
from .running import RunningServer

__all__ = ["database_url", "servers"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
MakeServer = Callable[..., Awaitable[RunningServer]]
LogIn = Callable[..., Awaitable[Person]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
    """The loop that the server runs on in earnest."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def short_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a client of these tests does not answer when it is asked, or when the server closes its stream."""
    monkeypatch.setattr("xmpp_server.app.server._LAST_ANSWERS", 0.2)
    monkeypatch.setattr("xmpp_server.app.server._GOODBYE", 1.0)


@pytest_asyncio.fixture
async def make_server(database_url: str, tmp_path: Path) -> AsyncIterator[MakeServer]:
    """Starts the server with these further options (TOML); again with the same data if the first was stopped."""
    running: list[RunningServer] = []

    async def make(more: str = "") -> RunningServer:
        running.append(await RunningServer.start(tmp_path / "server", database_url, more))
        return running[-1]

    yield make
    for server in running:
        for hang_up in server.hang_up:
            hang_up()
        for connection in list(server.connections):
            connection.abort()
        await server.stop()


@pytest_asyncio.fixture
async def server(make_server: MakeServer) -> RunningServer:
    """A server for `localhost` with default options."""
    return await make_server()


@pytest.fixture
async def people(server: RunningServer) -> RunningServer:
    """A server on which Romeo and Juliet have accounts."""
    await server.account("romeo")
    await server.account("juliet")
    return server


@pytest_asyncio.fixture
async def log_in(server: RunningServer) -> AsyncIterator[LogIn]:
    """Makes clients with slixmpp that are logged in; `online=False`: without roster and presence. What else is said is
    for `Person`. An account is made where there is none."""
    people: list[Person] = []

    async def make(address: str, *, online: bool = True, tls: str = "starttls", **more: str) -> Person:
        with suppress(AccountExists):
            await server.account(address.partition("/")[0])
        person = Person(server, address, **more)
        people.append(person)
        await person.log_in(tls)  # type: ignore[arg-type]
        if online:
            await person.come_online()
        return person

    yield make
    for person in people:
        if person.is_connected():
            async with asyncio.timeout(DEADLINE):
                await person.disconnect()
