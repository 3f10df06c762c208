"""Numbers whose turn comes in their order, whoever is ready first."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Who takes a number, waits until it `comes`, and then `leaves`: all that it does before it waits again is done
    before the next one goes on."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._waiting: dict[int, asyncio.Future[None]] | None = None

    def take(self, n: int) -> None:
        """Numbers are taken in their order."""
        self._taken.append(n)

    def is_next(self, n: int) -> bool:
        """Whether its turn has come."""
        return self._taken[0] == n

    async def comes(self, n: int) -> None:
        """Wait until its turn has come."""
        while self._taken[0] != n:
            if self._waiting is None:
                self._waiting = {}
            turn = self._waiting[n] = asyncio.get_running_loop().create_future()
            try:
                await turn
            finally:
                del self._waiting[n]

    def leave(self, n: int) -> None:
        """It had its turn, or needs none any more."""
        taken = self._taken
        if taken[0] != n:
            taken.remove(n)
            return
        taken.popleft()
        if not self._waiting:
            self._waiting = None
        elif taken and (turn := self._waiting.get(taken[0])) is not None and not turn.done():
            turn.set_result(None)
