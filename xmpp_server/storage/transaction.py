"""A piece of work, and what it runs on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

from xmpp_server.storage.statement import Statement

T = TypeVar("T")
Row = Sequence[Any]

Control = Literal["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT work", "RELEASE work", "ROLLBACK TO work"]


class Transaction(ABC):
    """Where a piece of work reads and writes.

    Every method raises NoSuchAccount if a row would belong to no account, Unavailable if the database is, StorageError
    for everything else that the database refuses.
    """

    changed: bool = False
    """Whether something was changed, or the database refused something, since this was last set to False."""

    @abstractmethod
    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        """Run it; all rows of its result."""

    async def one(self, statement: Statement, /, **values: Any) -> Row | None:
        """Run it; the first row of its result, or None if it has none."""
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    @abstractmethod
    async def run(self, statement: Statement, /, **values: Any) -> int:
        """Run a statement that changes rows and returns none; how many it changed."""

    @abstractmethod
    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]], /) -> None:
        """Run a statement that returns no rows once for each of the values."""

    @abstractmethod
    async def insert(self, statement: Statement, rows: Sequence[Row], /) -> None:
        """The same for an insert whose values stand in the order of the columns."""

    @abstractmethod
    async def control(self, command: Control) -> None:
        """Begin, end or divide the transaction: for the batches alone."""


Work = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A piece of work: it awaits its transaction and nothing else, and has no other effects, for it may run twice."""
