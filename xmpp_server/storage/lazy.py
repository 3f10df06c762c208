"""Writes that nobody waits for: the last value for each key, written a second later with others like it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction, Work

_log = structlog.get_logger()
_DELAY: Final = 1.0  # seconds
_MOST: Final = 20_000  # values that wait; while the database is away the oldest are dropped

Values = dict[str, Any]


class LazyWrites:
    """What may be lost by a crash, such as the time of the last activity. At most 20,000 values wait."""

    def __init__(self, write: Callable[[Work[None]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: dict[tuple[Statement, str], Values] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, statement: Statement, key: str, /, **values: Any) -> None:
        """Run the statement soon; another `put` with the same statement and key before then replaces this one.

        The statement must leave alone what does not exist any more: there is nobody whom an error could reach.
        """
        self._waiting.pop((statement, key), None)
        self._waiting[statement, key] = values
        if len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._start)

    def __len__(self) -> int:
        """How many values wait."""
        return len(self._waiting)

    def get(self, statement: Statement, key: str) -> Values | None:
        """The values that still wait for this key."""
        return self._waiting.get((statement, key))

    async def flush(self) -> None:
        """Write all that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        taken = dict(self._waiting)
        if not taken:
            return
        by_statement: dict[Statement, list[Values]] = {}
        for (statement, _), values in sorted(taken.items(), key=lambda item: item[0][1]):
            by_statement.setdefault(statement, []).append(values)

        async def work(transaction: Transaction) -> None:
            for statement, rows in by_statement.items():
                await transaction.many(statement, rows)

        try:
            await self._write(work)
        except StorageError as error:
            _log.warning("lazy_writes_wait", error=str(error), values=len(taken))
            return
        for key, values in taken.items():  # a newer value for the key stays
            if self._waiting.get(key) is values:
                del self._waiting[key]

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.flush(), name="lazy writes")
