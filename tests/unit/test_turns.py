"""Numbers whose turn comes in their order."""

from __future__ import annotations

import asyncio

from xmpp_server.util.turns import Turns


async def test_who_is_ready_first_waits_for_those_before_him_but_not_for_those_who_left() -> None:
    turns = Turns()
    came: list[int] = []
    ready = [asyncio.Event() for _ in range(4)]

    async def walk(n: int) -> None:
        turns.take(n)
        try:
            await ready[n].wait()
            if not turns.is_next(n):
                await turns.comes(n)
        finally:
            turns.leave(n)
        came.append(n)

    walking = [asyncio.create_task(walk(n)) for n in range(4)]
    await asyncio.sleep(0)
    ready[3].set()
    ready[1].set()
    await asyncio.sleep(0)
    assert came == []
    ready[0].set()
    async with asyncio.timeout(10):
        await walking[1]
    assert came == [0, 1]
    walking[2].cancel()
    async with asyncio.timeout(10):
        await walking[3]
    assert came == [0, 1, 3]
    assert turns._waiting is None
