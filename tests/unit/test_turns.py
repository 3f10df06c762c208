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
            if turns.is_early(n):
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


async def test_who_took_no_number_waits_for_those_below_his_only() -> None:
    turns = Turns()
    turns.take(1)
    turns.take(5)
    assert not turns.is_early(1)
    waiting = [asyncio.create_task(turns.comes(n)) for n in (7, 3)]
    await asyncio.sleep(0)
    turns.leave(1)
    async with asyncio.timeout(10):
        await waiting[1]
    assert not waiting[0].done()
    turns.leave(5)
    async with asyncio.timeout(10):
        await waiting[0]
    assert not turns.is_early(9)
