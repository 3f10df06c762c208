"""Deadlines of many connections: one timer for all of them instead of one for each."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

_log = structlog.get_logger()

TICK: Final = 1.0  # seconds


class Timed(Protocol):
    """Something with deadlines."""

    due: int
    """The tick at which it is to be looked at; the wheel's own."""

    def tick(self, now: int) -> int:
        """Look at the deadlines; returns in how many ticks to look again, 0 for never."""
        ...


class Wheel:
    """Calls `tick` of each connection about when it asked for it."""

    def __init__(self) -> None:
        self.now = 0
        """Ticks since the start."""
        self._slots: dict[int, set[Timed]] = {}

    def schedule(self, connection: Timed, ticks: int) -> None:
        """Look at the connection in so many ticks, and not before."""
        self.cancel(connection)
        connection.due = self.now + max(1, ticks)
        self._slots.setdefault(connection.due, set()).add(connection)

    def cancel(self, connection: Timed) -> None:
        """Forget the connection."""
        slot = self._slots.get(connection.due)
        if slot is not None:
            slot.discard(connection)
            if not slot:
                del self._slots[connection.due]
        connection.due = 0

    async def turn(self) -> None:
        """Turn for ever."""
        while True:
            await asyncio.sleep(TICK)
            self.step()

    def step(self) -> None:
        """One tick."""
        self.now += 1
        for connection in self._slots.pop(self.now, ()):
            connection.due = 0
            try:
                again = connection.tick(self.now)
            except Exception:
                _log.exception("tick_failed")
                continue
            if again:
                self.schedule(connection, again)
