"""What is done while the database is slow, locked or away: to try again, until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from xmpp_server.storage.errors import DatabaseClosed, Unavailable

T = TypeVar("T")

_PAUSES: Final = (0.1, 0.5, 1.0, 2.0)


def pause(failures: int) -> float:
    """Seconds until the next attempt, after so many that failed."""
    return _PAUSES[min(failures, len(_PAUSES)) - 1]


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """What the attempt brings; it is made again as long as it raises Unavailable, but for DatabaseClosed."""
    failures = 0
    while True:
        try:
            return await attempt()
        except DatabaseClosed:
            raise
        except Unavailable:
            failures += 1
            await asyncio.sleep(pause(failures))
