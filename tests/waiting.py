"""Waiting for what comes about by itself, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as the condition holds; raises TimeoutError if it does not by then."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
