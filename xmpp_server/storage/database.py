"""One interface to SQLite and PostgreSQL: reads, and writes that are committed in groups."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy.engine import URL, make_url

from xmpp_server.storage.batch import Unit
from xmpp_server.storage.errors import DatabaseClosed, StorageError, Unavailable
from xmpp_server.storage.lazy import LazyWrites
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Row, Transaction, Work

T = TypeVar("T")

_log = structlog.get_logger()

WINDOW: Final = 0.003
"""Seconds that a batch stays open for more, while writes come in faster than one at a time."""
LARGE: Final = 200
"""Units with which a batch waits no longer, and the most that one transaction takes."""
MOST_WAITING: Final = 20_000
"""Units that may wait for a database that is slow or away; the next one is refused."""


class Driver(ABC):
    """What differs between the databases."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run it outside a transaction; raises what `Transaction` raises."""

    @abstractmethod
    async def commit(self, units: Sequence[Unit]) -> None:
        """`batch.commit` on the one connection that writes. Raises nothing: the units say what became of them."""

    @abstractmethod
    async def scrub(self) -> None:
        """See `Database.scrub`."""

    @abstractmethod
    async def close(self) -> None: ...


class Database:
    """An open database. Made by `open`; belongs to the running loop.

    Every method raises DatabaseClosed after `close`, and else what `Transaction` raises. A caller who is cancelled
    while waiting for a write knows nothing of its outcome, and harms nobody else's.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Unit] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._large = asyncio.Event()
        self._closed = False
        self._lazy = LazyWrites(self.write)

    @staticmethod
    async def open(url: str) -> Database:
        """Open a database by its URL in SQLAlchemy's form.

        That is `sqlite:///path`, `postgresql://…` or `postgresql+asyncpg://…`. Its schema must be there already
        (`migrate`). Raises ValueError if the URL is of another kind, Unavailable if the database is.
        """
        return Database(await _driver(parse_url(url)))

    async def read(self, work: Work[T]) -> T:
        """Run a piece of work that only reads, in one hop.

        It is no snapshot: what must be of one moment is one statement.
        """
        if self._closed:
            raise DatabaseClosed("the database is closed")
        return await self._driver.read(work)

    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        """Read all rows of one statement."""

        async def work(transaction: Transaction) -> Sequence[Row]:
            return await transaction.all(statement, **values)

        return await self.read(work)

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        """Read the first row of one statement, or None."""
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def write(self, work: Work[T]) -> T:
        """Run a piece of work in the next transaction; its result once it is committed, or what it raised.

        It is atomic, and sees what was written before it. Units run in the order of the calls.
        """
        return await self.submit(work)

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        """The same without waiting: the work has its place in the order when this returns."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        return self._enqueue(work)

    async def run(self, statement: Statement, /, **values: Any) -> int:
        """Write one statement; how many rows it changed."""

        async def work(transaction: Transaction) -> int:
            return await transaction.run(statement, **values)

        return await self.write(work)

    async def scrub(self) -> None:
        """Remove what was deleted from the files of the database too, as far as it is in our hands: SQLite's log is
        emptied. PostgreSQL does it by vacuum and by recycling its log (`docs/ledger.md`)."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        await self._driver.scrub()

    @property
    def lazy(self) -> LazyWrites:
        """For what may be lost by a crash."""
        return self._lazy

    async def close(self) -> None:
        """Commit what waits, then close."""
        if self._closed:
            return
        await self._lazy.flush()
        self._closed = True
        if self._writer is not None:
            self._large.set()
            await self._writer
        await self._driver.close()

    def _enqueue(self, work: Work[T]) -> asyncio.Future[T]:
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many writes wait for the database")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(Unit(work, future))
        if len(self._waiting) >= LARGE:
            self._large.set()
        if self._writer is None:
            self._writer = self._loop.create_task(self._write(), name="database writer")
        return future

    async def _write(self) -> None:
        busy = False
        while self._waiting:
            if busy and not self._closed and len(self._waiting) < LARGE:
                await self._gather()
            units = [unit for unit in self._take() if not unit.future.cancelled()]
            if units:
                await self._commit(units)
            busy = len(units) > 1
            again = [unit for unit in units if unit.again]
            self._waiting.extendleft(reversed(again))
            for unit in units:
                if not unit.again:
                    unit.settle()
        self._writer = None

    async def _commit(self, units: Sequence[Unit]) -> None:
        try:
            await self._driver.commit(units)
        except Exception as error:  # a bug; without this, nobody would ever be answered again
            _log.exception("commit_failed")
            for unit in units:
                unit.error = error if isinstance(error, StorageError) else StorageError(str(error))

    async def _gather(self) -> None:
        self._large.clear()
        timer = self._loop.call_later(WINDOW, self._large.set)
        await self._large.wait()
        timer.cancel()

    def _take(self) -> list[Unit]:
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGE))]


def parse_url(url: str) -> URL:
    """The parts of a database URL; raises ValueError if it is of a kind that is not supported."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ValueError("not a database URL") from error  # without the text: it may hold a password
    if parsed.drivername == "sqlite" and (parsed.database or ":memory:") != ":memory:":
        return parsed
    if parsed.drivername in ("postgresql", "postgresql+asyncpg"):
        return parsed.set(drivername="postgresql")
    raise ValueError("a database URL is sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


async def _driver(url: URL) -> Driver:
    if url.drivername == "sqlite":
        from xmpp_server.storage import sqlite

        return await sqlite.connect(url.database or "")
    from xmpp_server.storage import postgresql

    return await postgresql.connect(url.render_as_string(hide_password=False))
