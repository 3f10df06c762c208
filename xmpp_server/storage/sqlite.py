"""SQLite: one thread that writes and two that read, each with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

from xmpp_server.storage.batch import Unit, commit
from xmpp_server.storage.database import MOST_WAITING, Driver
from xmpp_server.storage.errors import NoSuchAccount, StorageError, Unavailable
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Control, Row, Transaction, Work

T = TypeVar("T")

_READERS: Final = 2
_BUSY_TIMEOUT: Final = 5.0  # seconds to wait for another process that writes
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # a commit survives a power loss
    "PRAGMA foreign_keys=ON",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA wal_autocheckpoint=8000",  # pages: what changes often is copied into the database less often
    "PRAGMA temp_store=MEMORY",
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten, for `scrub`
)
_SCRUB_PATIENCE: Final = 50
"""Milliseconds that writers wait, at most, for a reader that `scrub` has to wait for."""
_ROWS: Final = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Rows that are inserted by one statement. Each statement gives the interpreter's lock away, as `executemany` does for
each row, and then waits up to its switch interval for it, 5 ms, while the loop is busy."""
_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def meaning(error: sqlite3.Error) -> StorageError:
    """Our error for the driver's."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:  # every foreign key names the account
        return NoSuchAccount("no such account")
    if code & 0xFF in _UNAVAILABLE:
        return Unavailable(str(error))
    return StorageError(str(error))


class SQLiteTransaction(Transaction):
    """Runs in the thread of its connection; its coroutines never wait."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        compiled = statement.sqlite
        try:
            rows = self._connection.execute(compiled.sql, compiled.arguments(values)).fetchall()
        except sqlite3.Error as error:
            self.changed = True
            raise meaning(error) from error
        if rows and statement.writes:
            self.changed = True
        return rows

    async def run(self, statement: Statement, /, **values: Any) -> int:
        compiled = statement.sqlite
        try:
            count = self._connection.execute(compiled.sql, compiled.arguments(values)).rowcount
        except sqlite3.Error as error:
            self.changed = True
            raise meaning(error) from error
        if count:
            self.changed = True
        return count

    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]], /) -> None:
        compiled = statement.sqlite
        await self.insert(statement, [compiled.arguments(each) for each in values])

    async def insert(self, statement: Statement, rows: Sequence[Row], /) -> None:
        compiled = statement.sqlite
        self.changed = True
        try:
            if not compiled.rows(1):
                self._connection.executemany(compiled.sql, rows)
                return
            done = 0
            for size in _ROWS:
                while len(rows) - done >= size:
                    self._connection.execute(compiled.rows(size), list(chain.from_iterable(rows[done : done + size])))
                    done += size
        except sqlite3.Error as error:
            raise meaning(error) from error

    async def control(self, command: Control) -> None:
        if command == "ROLLBACK" and not self._connection.in_transaction:
            return  # SQLite rolls back by itself when the disk is full
        try:
            self._connection.execute("BEGIN IMMEDIATE" if command == "BEGIN" else command)
        except sqlite3.Error as error:
            raise meaning(error) from error

    async def scrub(self, known: int) -> int:
        """Copy the write-ahead log into the database, where what was deleted is overwritten, and empty it; returns the
        number of changes so far. Does nothing if that is `known`. Returns `known` where a reader is in the way."""
        connection = self._connection
        changes = connection.total_changes
        if changes == known:
            return known
        try:
            connection.execute(f"PRAGMA busy_timeout={_SCRUB_PATIENCE}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT * 1000)}")
        except sqlite3.Error as error:
            raise meaning(error) from error
        return known if busy else changes


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a piece of work may await its transaction only")


_Job = tuple[Work[Any], "asyncio.Future[Any]"]


class _Threads:
    """Threads that take work from one queue, each on a connection of its own."""

    def __init__(self, connections: Sequence[sqlite3.Connection], name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._serve, args=(connection,), name=name, daemon=True) for connection in connections
        ]
        for thread in self._threads:
            thread.start()

    def run(self, work: Work[T]) -> asyncio.Future[T]:
        if self._jobs.qsize() >= MOST_WAITING:
            raise Unavailable("too many reads wait for the database")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, future))
        return future

    async def close(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _serve(self, connection: sqlite3.Connection) -> None:
        transaction = SQLiteTransaction(connection)
        while (job := self._jobs.get()) is not None:
            self._do(transaction, *job)
            del job
        connection.close()

    def _do(self, transaction: SQLiteTransaction, work: Work[Any], future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        try:
            result = _drive(work(transaction))
        except Exception as error:
            self._tell(_fail, future, error)
        else:
            self._tell(_give, future, result)

    def _tell(self, settle: Callable[[asyncio.Future[Any], Any], None], future: asyncio.Future[Any], what: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle, future, what)


def _give(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class SQLiteDriver(Driver):
    """The database in a file."""

    def __init__(self, writer: sqlite3.Connection, readers: Sequence[sqlite3.Connection]) -> None:
        self._writer = _Threads([writer], "sqlite writer")
        self._readers = _Threads(readers, "sqlite reader")
        self._scrubbed = 0

    async def read(self, work: Work[T]) -> T:
        return await self._readers.run(work)

    async def commit(self, units: Sequence[Unit]) -> None:
        async def together(transaction: Transaction) -> None:
            await commit(units, transaction)

        await self._writer.run(together)

    async def scrub(self) -> None:
        async def work(transaction: Transaction) -> int:
            assert isinstance(transaction, SQLiteTransaction)
            return await transaction.scrub(self._scrubbed)

        self._scrubbed = await self._writer.run(work)

    async def close(self) -> None:
        await self._readers.close()
        await self._writer.close()


async def connect(path: str) -> SQLiteDriver:
    """Open the database in an existing file; raises Unavailable."""
    writer = await asyncio.to_thread(_connect, path)
    readers = [await asyncio.to_thread(_connect, path, "PRAGMA query_only=ON") for _ in range(_READERS)]
    return SQLiteDriver(writer, readers)


def _connect(path: str, *pragmas: str) -> sqlite3.Connection:
    address = Path(path).absolute().as_uri() + "?mode=rw"  # SQLite would make an empty one
    try:
        connection = sqlite3.connect(
            address,
            uri=True,
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in (*_PRAGMAS, *pragmas):
            connection.execute(pragma)
    except sqlite3.Error as error:
        raise meaning(error) from error
    return connection
