"""Numbers whose turn comes in their order, whoever is ready first."""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush


class Turns:
    """Who takes a number, waits until nobody has a smaller one, and then leaves: all that it does before it waits again
    is done before the next one goes on."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._waiting: list[tuple[int, asyncio.Future[None]]] | None = None

    def take(self, n: int) -> None:
        """Numbers are taken in their order."""
        self._taken.append(n)

    def is_early(self, n: int) -> bool:
        """Whether somebody has a smaller number; n may be one that nobody took."""
        return bool(self._taken) and self._taken[0] < n

    async def comes(self, n: int) -> None:
        """Wait until nobody has a smaller number."""
        while self.is_early(n):
            if self._waiting is None:
                self._waiting = []
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (n, turn))
            await turn

    def leave(self, n: int) -> None:
        """It had its turn, or needs none any more."""
        taken = self._taken
        if taken[0] != n:
            taken.remove(n)
            return
        taken.popleft()
        waiting = self._waiting
        while waiting and (not taken or waiting[0][0] <= taken[0]):
            _, turn = heappop(waiting)
            if not turn.done():
                turn.set_result(None)
        if not waiting:
            self._waiting = None
