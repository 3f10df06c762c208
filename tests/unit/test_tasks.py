"""Coroutines that mostly finish at once."""

from __future__ import annotations

import asyncio

import pytest

from xmpp_server.util.tasks import Gate, Lane, run_eagerly, run_to_gate


@pytest.mark.parametrize("kind", [asyncio.Future, Gate])
async def test_many_may_come_to_wait_for_the_same_thing_in_one_turn(kind: type[asyncio.Future[int]]) -> None:
    future = kind()
    came: list[str] = []

    async def wait(name: str) -> None:
        assert await future == 1
        came.append(name)

    eager = run_eagerly(wait("eager"))
    at_the_gate = run_to_gate(wait("at the gate"))
    again = run_eagerly(wait("eager again"))
    plain = asyncio.create_task(wait("plain"))
    await asyncio.sleep(0)
    if isinstance(future, Gate):
        future.open(1)
    else:
        future.set_result(1)
    assert eager is not None
    assert again is not None
    async with asyncio.timeout(10):
        await asyncio.gather(eager, again, plain)
    assert at_the_gate is not None
    async with asyncio.timeout(10):
        await at_the_gate
    assert sorted(came) == ["at the gate", "eager", "eager again", "plain"]


async def test_behind_a_gate_nobody_of_a_lane_goes_by_one_who_has_to_wait() -> None:
    gates = Gate[None](), Gate[None]()
    other = asyncio.get_running_loop().create_future()
    lane = Lane()
    came: list[int] = []

    async def walk(number: int, gate: Gate[None]) -> None:
        await gate
        if number == 1:
            await other
        came.append(number)

    for number in range(4):
        run_to_gate(walk(number, gates[number // 3]), lane)
    free = run_to_gate(walk(9, gates[1]))
    for gate in gates:
        gate.open(None)
    assert free is gates[1]
    assert came == [0, 9]
    assert lane.is_blocked
    other.set_result(None)
    async with asyncio.timeout(10):
        while lane.is_blocked:
            assert lane.last is not None
            await asyncio.wait((lane.last,))
    assert came == [0, 9, 1, 2, 3]


async def test_what_waits_for_something_else_first_has_its_place_at_the_gate_too() -> None:
    gate = Gate[None]()
    other, slow = (asyncio.get_running_loop().create_future() for _ in range(2))
    lane = Lane()
    came: list[int] = []

    async def walk(number: int, first: asyncio.Future[None] | None) -> None:
        if first is not None:
            await first
        await gate
        if number == 0:
            await slow
        came.append(number)

    run_to_gate(walk(0, None), lane)
    begun = run_to_gate(walk(1, other), lane)
    other.set_result(None)
    assert isinstance(begun, asyncio.Task)
    async with asyncio.timeout(10):
        await begun
    run_to_gate(walk(2, None), lane)
    gate.open(None)
    await asyncio.sleep(0)
    assert came == []
    slow.set_result(None)
    async with asyncio.timeout(10):
        while lane.is_blocked:
            assert lane.last is not None
            await asyncio.wait((lane.last,))
    assert came == [0, 1, 2]


async def test_who_comes_to_a_second_gate_does_not_wait_for_those_behind_him() -> None:
    first, second = Gate[None](), Gate[None]()
    other = asyncio.get_running_loop().create_future()
    lane = Lane()
    came: list[int] = []

    async def walk(number: int) -> None:
        await first
        await (other if number else second)
        came.append(number)

    for number in range(2):
        run_to_gate(walk(number), lane)
    first.open(None)
    second.open(None)
    assert came == [0]
    other.set_result(None)
    async with asyncio.timeout(10):
        while lane.is_blocked:
            assert lane.last is not None
            await asyncio.wait((lane.last,))
    assert came == [0, 1]


async def test_a_place_that_has_a_second_task_is_under_way_until_that_one_is_done() -> None:
    lane = Lane()
    place = lane.place()
    goes = asyncio.Event()

    async def wait(event: asyncio.Event | None) -> None:
        if event is not None:
            await event.wait()

    first = asyncio.create_task(wait(None))
    second = asyncio.create_task(wait(goes))
    lane.enter(place, first)
    lane.enter(place, second)
    async with asyncio.timeout(10):
        await first
    assert lane.is_blocked
    goes.set()
    async with asyncio.timeout(10):
        await second
        while lane.is_blocked:
            await asyncio.sleep(0)
