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
    return asyncio.get_running_loop().create_task(_rest(coroutine, waits_for))


class Gate(asyncio.Future[T]):
    """A future that many wait for. Coroutines that came to it by `run_to_gate` go on in the order in which they came,
    all in the turn in which it is opened: a task for each is half of what their waiting would cost. It cannot be
    cancelled, for then one who waits could do that to all; he is when it opens."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._parked: list[Coroutine[Any, Any, object]] = []

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
        for coroutine in parked:
            try:
                task = run_to_gate(coroutine)
            except Exception:
                _log.exception("task_failed", task=repr(coroutine))
            else:
                if isinstance(task, asyncio.Task):
                    hold(task)


def run_to_gate(coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[None] | Gate[Any] | None:
    """The same, but where the coroutine has to wait for a gate, there is no task: the gate, which lets it go on."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    if isinstance(waits_for, Gate):
        waits_for._asyncio_future_blocking = False  # as a task does with what is awaited in it
        waits_for._parked.append(coroutine)
        return waits_for
    return asyncio.get_running_loop().create_task(_rest(coroutine, waits_for))


class _Rest:
    """Awaitable for a coroutine that was started and yielded `waits_for`."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, object], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
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
                return


async def _rest(coroutine: Coroutine[Any, Any, object], waits_for: Any) -> None:
    await _Rest(coroutine, waits_for)


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
