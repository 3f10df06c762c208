"""Fixtures for tests that run on both databases, in equal number. A conftest imports what it needs of them:

from tests.databases import database_url, servers
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.postgres import PostgreSQL
from xmpp_server.storage.migrate import migrate


class Servers:
    """What databases are made of; each is started or made by whoever needs it first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgresql: PostgreSQL | None = None

    @property
    def postgresql(self) -> PostgreSQL:
        """The one PostgreSQL of the run."""
        if self._postgresql is None:
            self._postgresql = PostgreSQL()
        return self._postgresql

    async def sqlite(self, path: Path) -> str:
        """The URL of an empty database with the newest schema, in this file."""
        template = self._folder / "template.db"
        if not template.exists():
            await migrate(f"sqlite:///{template}")
        shutil.copy(template, path)
        return f"sqlite:///{path}"

    def stop(self) -> None:
        if self._postgresql is not None:
            self._postgresql.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL, started once, and a SQLite file to copy."""
    servers = Servers(tmp_path_factory.mktemp("databases"))
    yield servers
    servers.stop()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database with the newest schema: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield await servers.sqlite(tmp_path / "test.db")
        return
    url = await servers.postgresql.take()
    yield url
    await servers.postgresql.give_back(url)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def bare_url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a database without a schema, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bare.db'}"
        return
    url = await servers.postgresql.create()
    yield url
    await servers.postgresql.drop(url)
