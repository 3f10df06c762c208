"""Group commit: what many callers write at the same time is committed in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from xmpp_server.storage.errors import Interrupted, StorageError, Unavailable
from xmpp_server.storage.transaction import Transaction, Work

_ATTEMPTS: Final = 5


class Unit:
    """A piece of work on its way into the database, and what became of it."""

    __slots__ = ("attempts", "error", "future", "result", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.attempts = 0

    @property
    def again(self) -> bool:
        """Whether the database gave it up, and it has not been tried often enough yet."""
        return isinstance(self.error, Interrupted) and self.attempts < _ATTEMPTS

    def settle(self) -> None:
        """Tell the one who waits, if he still does."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, Interrupted):
            self.future.set_exception(Unavailable("too many writers want the same rows"))
        else:
            self.future.set_exception(self.error)

    async def attempt(self, transaction: Transaction) -> None:
        self.attempts += 1
        self.result = self.error = None
        try:
            self.result = await self.work(transaction)
        except Unavailable:
            raise
        except Exception as error:
            self.error = error


async def commit(units: Sequence[Unit], transaction: Transaction) -> None:
    """Run all of them in one transaction, in their order; each has its result or its error afterwards.

    They run without a savepoint first, because nearly all work. When one leaves half of its changes behind, everything
    is rolled back and run again with savepoints, so that the error is its own alone.
    """
    try:
        await transaction.control("BEGIN")
        if not await _together(units, transaction):
            await transaction.control("ROLLBACK")
            await transaction.control("BEGIN")
            await _apart(units, transaction)
        await transaction.control("COMMIT")
    except Exception as error:
        for unit in units:
            unit.error = error
        await _give_up(transaction)


async def _together(units: Sequence[Unit], transaction: Transaction) -> bool:
    for unit in units:
        transaction.changed = False
        await unit.attempt(transaction)
        if unit.error is not None and transaction.changed:
            return False
    return True


async def _apart(units: Sequence[Unit], transaction: Transaction) -> None:
    for unit in units:
        await transaction.control("SAVEPOINT work")
        await unit.attempt(transaction)
        if unit.error is not None:
            await transaction.control("ROLLBACK TO work")
        await transaction.control("RELEASE work")


async def _give_up(transaction: Transaction) -> None:
    try:
        await transaction.control("ROLLBACK")
    except StorageError:
        return  # the connection is gone, and the transaction with it
