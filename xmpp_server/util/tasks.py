"""Coroutines that mostly finish at once, and tasks that somebody keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import structlog

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
