"""Databases that are locked, full, slow or gone."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from tests.databases import Servers
from tests.storage.conftest import JULIET
from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage import postgresql, sqlite
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import Unavailable
from xmpp_server.storage.last_activity import LastActivity
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.store import Store
from xmpp_server.storage.transaction import Transaction

JIDS = [JID.parse(f"c{number}@capulet.example") for number in range(1000)]


@asynccontextmanager
async def locked(url: str, table: str = "blocks") -> AsyncIterator[None]:
    """Another process holds the lock that a write needs."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
    else:
        postgres = await asyncpg.connect(url)
        async with postgres.transaction():
            await postgres.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield
        await postgres.close()


@asynccontextmanager
async def full(store: Store, url: str) -> AsyncIterator[None]:
    """The disk is full."""
    if url.startswith("sqlite"):
        await _pragma(store, "PRAGMA max_page_count = 1")  # SQLite raises it to the pages that there are
        yield
        await _pragma(store, "PRAGMA max_page_count = 1000000")
    else:
        await query(
            url,
            "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$",
        )
        await query(url, "CREATE TRIGGER no_space BEFORE INSERT ON blocks EXECUTE FUNCTION no_space()")
        yield
        await query(url, "DROP FUNCTION no_space CASCADE")


async def _pragma(store: Store, pragma: str) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.all(Statement(text(pragma)))

    await store.database.write(work)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases that are opened from now on are waited for a moment only."""
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.5)
    monkeypatch.setattr(postgresql, "_TIMEOUT", 0.5)


async def test_a_locked_database_refuses_after_a_while_and_works_when_it_is_free(
    impatient: None, store: Store, romeo: JID, database_url: str
) -> None:
    async with locked(database_url):
        outcomes = await asyncio.gather(*(store.blocking.add(romeo, [jid]) for jid in JIDS[:5]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
        assert await store.accounts.exists(romeo), "readers do not wait for writers"
    await store.blocking.add(romeo, [JULIET])
    assert await store.blocking.load(romeo) == {JULIET}


async def test_a_write_waits_for_a_lock_that_is_held_for_a_moment_while_others_read(
    store: Store, romeo: JID, database_url: str
) -> None:
    async with locked(database_url):
        waiting = asyncio.create_task(store.blocking.add(romeo, [JULIET]))
        for _ in range(20):
            assert await store.accounts.exists(romeo)
        assert not waiting.done()
    await waiting
    assert await store.blocking.load(romeo) == {JULIET}


async def test_a_full_disk_refuses_writes_leaves_nothing_half_written_and_serves_reads(
    store: Store, romeo: JID, database_url: str
) -> None:
    async with full(store, database_url):
        with pytest.raises(Unavailable):
            await store.blocking.add(romeo, JIDS)
        assert await store.accounts.exists(romeo)
    assert await store.blocking.load(romeo) == frozenset()
    await store.blocking.add(romeo, JIDS)
    assert await store.blocking.load(romeo) == set(JIDS)


async def test_lazy_writes_wait_for_a_database_that_is_locked(
    impatient: None, store: Store, romeo: JID, database_url: str
) -> None:
    async with locked(database_url, "last_activity"):
        store.last_activity.put(romeo, 1, "first")
        await store.database.lazy.flush()
        store.last_activity.put(romeo, 2, "second")
        await store.database.lazy.flush()
        assert await store.last_activity.get(romeo) == LastActivity(2, "second")
        assert await query(database_url, "SELECT at FROM last_activity") == []
    await store.database.lazy.flush()
    assert await query(database_url, "SELECT at, status FROM last_activity") == [(2, "second")]


async def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none/x.db", f"postgresql://postgres@/x?host={tmp_path}"):
        with pytest.raises(Unavailable):
            await Database.open(url)
        with pytest.raises(Unavailable):
            await migrate(url)


async def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(Unavailable):
        await migrate(f"sqlite:///{path}")
    with pytest.raises(Unavailable):
        await Database.open(f"sqlite:///{path}")


async def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await migrate(f"sqlite:///{path}")
    store = await Store.open(f"sqlite:///{path}")
    await store.accounts.create(JULIET, {})
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    await store.close()
    assert modes == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}


async def test_a_commit_on_sqlite_is_synced_to_the_disk(servers: Servers, tmp_path: Path) -> None:
    store = await Store.open(await servers.sqlite(tmp_path / "x.db"))
    rows = {}

    async def work(transaction: Transaction) -> None:
        for pragma in ("synchronous", "journal_mode", "foreign_keys"):
            rows[pragma] = (await transaction.all(Statement(text(f"PRAGMA {pragma}"))))[0][0]

    await store.database.write(work)
    await store.close()
    assert rows == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


async def test_a_commit_on_postgresql_is_synced_to_the_disk_even_if_an_operator_wants_otherwise(
    servers: Servers,
) -> None:
    url = await servers.postgresql.create()
    show = Statement(text("SELECT current_setting('synchronous_commit')"))
    for configured, used in (("off", "on"), ("remote_apply", "remote_apply")):
        await query(url, f'ALTER DATABASE "{_name(url)}" SET synchronous_commit = {configured}')
        database = await Database.open(url)

        async def work(transaction: Transaction) -> str:
            return str((await transaction.all(show))[0][0])

        assert await database.write(work) == used
        await database.close()
    await servers.postgresql.drop(url)


async def test_connections_that_a_restart_of_postgresql_broke_are_renewed(servers: Servers) -> None:
    url = await servers.postgresql.take()
    store = await Store.open(url)
    await store.accounts.create(JULIET, {})
    assert all(await asyncio.gather(*(store.accounts.exists(JULIET) for _ in range(20))))  # several connections
    for _ in range(3):
        await servers.postgresql.disconnect(url)
        assert await store.accounts.exists(JULIET)
        await servers.postgresql.disconnect(url)
        await store.blocking.add(JULIET, JIDS[:3])
    assert await store.blocking.load(JULIET) == set(JIDS[:3])
    await store.close()
    await servers.postgresql.give_back(url)


async def test_a_connection_that_breaks_while_it_goes_back_to_the_pool_hurts_nobody(servers: Servers) -> None:
    url = await servers.postgresql.take()
    driver = await postgresql.connect(url)
    used = []

    async def work(transaction: Transaction) -> None:
        assert isinstance(transaction, postgresql.PostgreSQLTransaction)
        used.append(transaction._connection)

    await driver.read(work)
    asyncio.get_running_loop().call_soon(used[0].terminate)
    await driver.close()
    await servers.postgresql.give_back(url)


async def test_a_connection_that_breaks_before_it_is_closed_hurts_nobody(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of the database one is found to be broken, and all are given up."""
    url = await servers.postgresql.take()
    driver = await postgresql.connect(url)

    async def work(transaction: Transaction) -> int:
        return len(await transaction.all(Statement(text("SELECT 1"))))

    async def close(self: asyncpg.Connection, **_: object) -> None:
        self.terminate()
        raise BrokenPipeError

    assert await driver.read(work) == 1
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "close", close)
        await driver._renew()
    assert await driver.read(work) == 1
    await driver.close()
    await servers.postgresql.give_back(url)


async def test_closing_does_not_wait_for_ever_for_a_database_that_hangs(
    impatient: None, store: Store, romeo: JID, database_url: str
) -> None:
    async with locked(database_url):
        write = asyncio.create_task(store.blocking.add(romeo, [JULIET]))
        await asyncio.sleep(0)
        started = time.monotonic()
        await store.close()
        assert time.monotonic() - started < 5
        with pytest.raises(Unavailable):
            await write


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
