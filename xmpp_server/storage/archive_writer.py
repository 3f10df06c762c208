"""How messages get into archives: many at a time, and one group after the other.

What comes while a group is being committed is the next one. While the database is away the first group is tried again,
which changes nothing if it was committed after all, and the others wait behind it: so what follows a commit happens in
the order in which messages came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, Final

import structlog

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import DatabaseClosed, NoSuchAccount, StorageError, Unavailable
from xmpp_server.storage.patience import pause
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Row, Transaction
from xmpp_server.util.tasks import Gate, keep

_log = structlog.get_logger()

_WINDOW: Final = 0.008
"""Seconds from the start of one group to that of the next, while there is more than one message to a group."""
_LARGE: Final = 1000  # messages of one group
_MOST: Final = 64_000_000
"""Octets of messages that may wait for a database that is slow or away; further ones are refused."""
_ENVELOPE: Final = 500  # octets that a message takes beside its bytes, about

Key = tuple[str, int]


class Commit(Gate[Collection[Key]]):
    """Messages that are written together; done when they are committed. Its result is what was refused, by owner and
    number: those whose owner does not exist any more. Raises DatabaseClosed (at the await)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Any, ...]] = []
        """As the columns stand in the table: owner and number first."""
        self.entombed: list[dict[str, Any]] = []
        self.size = 0


class Writer:
    """The one who writes to the archives of a table. `add` is the statement for a row, which leaves alone what is
    there, `entomb` the one that puts other bytes in the place of a message's."""

    def __init__(self, database: Database, add: Statement, entomb: Statement) -> None:
        self._database = database
        self._add = add
        self._entomb = entomb
        self._waiting: deque[Commit] = deque()
        self._writing: Commit | None = None
        self._worker: asyncio.Task[None] | None = None
        self._large = asyncio.Event()
        self.size = 0
        """Octets that wait."""

    def add(self, row: tuple[Any, ...], entombed: Sequence[tuple[int, bytes]]) -> Commit:
        """Write the row, with other bytes for messages of the same owner. Raises Unavailable if too much waits."""
        if self.size > _MOST:
            raise Unavailable("too many messages wait for the database")
        waiting = self._waiting
        if waiting and len(waiting[-1].rows) < _LARGE:
            commit = waiting[-1]
        else:
            if waiting:
                self._large.set()
            commit = Commit()
            waiting.append(commit)
            if self._worker is None:
                self._worker = keep(self._write(), "archive")
        commit.rows.append(row)
        size = len(row[-1]) + _ENVELOPE
        commit.size += size
        self.size += size
        for n, replacement in entombed:
            commit.entombed.append({"account": row[0], "n": n, "stanza": replacement})
        return commit

    @property
    def latest(self) -> Commit | None:
        """The last one that is not done; None if nothing waits."""
        return self._waiting[-1] if self._waiting else self._writing

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                started = loop.time()
                commit = self._writing = self._waiting.popleft()
                try:
                    refused = await self._until_committed(commit)
                except StorageError as error:
                    self._fail(error)
                    return
                except asyncio.CancelledError:
                    self._fail(DatabaseClosed("the server stops"))
                    raise
                self._writing = None
                self.size -= commit.size
                count = len(commit.rows)
                commit.rows, commit.entombed = [], []  # a session remembers its last commit
                loop.call_soon(commit.open, refused)
                if count > 2:  # one message has two, its sender's and its receiver's
                    await self._gather(started + _WINDOW - loop.time())
        finally:
            self._worker = None

    async def _gather(self, seconds: float) -> None:
        """Let more come together, for so long at most."""
        if seconds > 0 and len(self._waiting) < 2:
            self._large.clear()
            timer = asyncio.get_running_loop().call_later(seconds, self._large.set)
            await self._large.wait()
            timer.cancel()

    def _fail(self, error: StorageError) -> None:
        """The server stops."""
        assert self._writing is not None
        for commit in (self._writing, *self._waiting):
            commit.fail(error)
        self._waiting.clear()
        self._writing = None
        self.size = 0

    async def _until_committed(self, commit: Commit) -> Collection[Key]:
        failures = 0
        while True:
            try:
                return await self._commit(commit.rows, commit.entombed)
            except DatabaseClosed:
                raise
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    _log.warning("archives_wait_for_the_database", reason=str(error), octets=self.size)
                await asyncio.sleep(pause(failures))

    async def _commit(self, rows: Sequence[Row], entombed: Sequence[dict[str, Any]]) -> Collection[Key]:
        async def work(transaction: Transaction) -> None:
            await transaction.insert(self._add, rows)
            if entombed:
                await transaction.many(self._entomb, entombed)

        try:
            await self._database.submit(work)
        except Unavailable:
            raise
        except StorageError as error:
            if len(rows) > 1:  # one of them has no owner any more
                refused: list[Key] = []
                for row in rows:
                    mine = [each for each in entombed if each["account"] == row[0]]
                    refused += await self._commit([row], mine)
                return refused
            if not isinstance(error, NoSuchAccount):
                _log.exception("message_not_archived", owner=rows[0][0])
            return [(rows[0][0], rows[0][1])]
        return ()


def is_refused(account: JID, n: int, refused: Collection[Key]) -> bool:
    """Whether this message is among what was refused."""
    return bool(refused) and (str(account), n) in refused
