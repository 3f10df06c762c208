"""Coroutines that mostly finish at once, and tasks that somebody keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

_log = structlog.get_logger()
_kept: set[asyncio.Task[Any]] = set()


def run_eagerly(coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[None] | None:
    """Run the coroutine until it is done or has to wait: None if it is done, else a task that runs the rest.

    What is in memory is handled without a task; an exception before the first wait is raised here.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return _go_on(coroutine, waits_for)


class Lane:
    """Coroutines that stay in their order behind gates too, where one has to wait for something else: each has its
    place, and goes on when none before it is under way."""

    __slots__ = ("_places", "_under_way")

    def __init__(self) -> None:
        self._places = 0
        self._under_way: dict[int, asyncio.Task[None]] = {}

    def place(self) -> int:
        """The next place."""
        self._places += 1
        return self._places

    @property
    def is_blocked(self) -> bool:
        """Whether the next one has to wait."""
        return bool(self._under_way)

    @property
    def last(self) -> asyncio.Task[None] | None:
        """The last one that is under way."""
        under_way = self._under_way
        return under_way[max(under_way)] if under_way else None

    def before(self, place: int) -> list[asyncio.Task[None]]:
        """Those whom this place has to wait for."""
        under_way = self._under_way
        return [task for each, task in under_way.items() if each < place] if under_way else []

    def enter(self, place: int, task: asyncio.Task[None]) -> None:
        """This place is under way until the task is done; it may have another one by the time that this is told."""
        self._under_way[place] = task

        def leave(task: asyncio.Task[None]) -> None:
            if self._under_way.get(place) is task:
                del self._under_way[place]

        task.add_done_callback(leave)


class Gate(asyncio.Future[T]):
    """A future that many wait for. Coroutines that came to it by `run_to_gate` go on in the order in which they came,
    all in the turn in which it is opened, except those of a lane that is blocked: a task for each is half of what their
    waiting would cost. It cannot be cancelled, for then one who waits could do that to all; he is when it opens."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._parked: list[tuple[Coroutine[Any, Any, object], Lane | None, int]] = []

    def cancel(self, msg: object = None) -> bool:
        """It is not."""
        return False

    def open(self, result: T) -> None:
        """It is done."""
        self.set_result(result)
        self._go_on()

    def fail(self, error: Exception) -> None:
        """It will never be."""
        self.set_exception(error)
        self.exception()  # it may be that nobody waits
        self._go_on()

    def _go_on(self) -> None:
        parked, self._parked = self._parked, []
        for coroutine, lane, place in parked:
            if lane is not None and lane.before(place):
                lane.enter(place, keep(_after(coroutine, lane, place), "behind"))
                continue
            try:
                task = run_to_gate(coroutine, lane, place)
            except Exception:
                _log.exception("task_failed", task=repr(coroutine))
            else:
                if isinstance(task, asyncio.Task):
                    hold(task)
                    if lane is not None:
                        lane.enter(place, task)


def run_to_gate(
    coroutine: Coroutine[Any, Any, object], lane: Lane | None = None, place: int = 0
) -> asyncio.Task[None] | Gate[Any] | None:
    """The same, but where the coroutine has to wait for a gate, there is no task: the gate, which lets it go on, at its
    place in its lane (0: the next one). Where it has to wait for something else before, the task ends at the gate."""
    if lane is not None and not place:
        place = lane.place()
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    _put_down(waits_for)
    if isinstance(waits_for, Gate):
        waits_for._parked.append((coroutine, lane, place))
        return waits_for
    return asyncio.get_running_loop().create_task(_rest_to_gate(coroutine, waits_for, lane, place))


class _Rest:
    """Awaitable for a coroutine that was started and yielded `waits_for`; with `to_gate` only until it has to wait for
    a gate, which is the result."""

    __slots__ = ("_coroutine", "_to_gate", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, object], waits_for: Any, *, to_gate: bool = False) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._to_gate = to_gate

    def __await__(self) -> Generator[Any, Any, Gate[Any] | None]:
        waits_for = self._waits_for
        if getattr(waits_for, "_asyncio_future_blocking", None) is not None:
            waits_for._asyncio_future_blocking = True  # this task awaits it
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:
                thrown: BaseException | None = error
            else:
                thrown = None
            try:
                waits_for = self._coroutine.send(sent) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration:
                return None
            if self._to_gate and isinstance(waits_for, Gate):
                return waits_for


def _go_on(coroutine: Coroutine[Any, Any, object], waits_for: Any) -> asyncio.Task[None]:
    _put_down(waits_for)
    return asyncio.get_running_loop().create_task(_rest(coroutine, waits_for))


def _put_down(waits_for: Any) -> None:
    """As a task does with a future that is awaited in it: until then nobody else can await it."""
    if getattr(waits_for, "_asyncio_future_blocking", None):
        waits_for._asyncio_future_blocking = False


async def _rest(coroutine: Coroutine[Any, Any, object], waits_for: Any) -> None:
    await _Rest(coroutine, waits_for)


async def _rest_to_gate(coroutine: Coroutine[Any, Any, object], waits_for: Any, lane: Lane | None, place: int) -> None:
    gate = await _Rest(coroutine, waits_for, to_gate=True)
    if gate is not None:
        _put_down(gate)
        gate._parked.append((coroutine, lane, place))


async def _after(coroutine: Coroutine[Any, Any, object], lane: Lane, place: int) -> None:
    while earlier := lane.before(place):
        await asyncio.wait(earlier)
    await _rest_to_gate(coroutine, None, lane, place)


def keep(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the coroutine as a task of its own; what it raises is logged."""
    return hold(asyncio.get_running_loop().create_task(coroutine, name=name))


def hold(task: asyncio.Task[None]) -> asyncio.Task[None]:
    """Keep a task that nobody waits for until it is done; what it raises is logged."""
    _kept.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[None]) -> None:
    _kept.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task_failed", task=task.get_name(), exc_info=error)
