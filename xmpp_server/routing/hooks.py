"""Hooks: where features take part in a stanza's way without knowing each other.

Three kinds. A *Filter* may stop a stanza (it fails closed), a *Collector* gathers an answer, a *Notice* only tells (an
error in it stops nobody). Listeners stand in the order of named stages, and within a stage by `after`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import structlog

_log = structlog.get_logger()

C = TypeVar("C")


class Stage(IntEnum):
    """The order of listeners: GUARD refuses, STAMP adds to the stanza, KEEP stores it, COPY sends copies."""

    GUARD = 0
    STAMP = 1
    KEEP = 2
    COPY = 3
    LAST = 4


class Dropped:
    """The type of DROPPED."""

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED: Final = Dropped()
"""What a filter's listener returns to stop a stanza without an answer; for an error it raises StanzaError."""

Verdict = Dropped | None
Listener = Callable[[Any], Any]


class _Hook:
    """An ordered list of listeners; false while there are none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: list[tuple[Stage, str, str, Listener]] = []
        self.listeners: tuple[Listener, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.listeners)

    def add(self, listener: Listener, *, owner: str, stage: Stage = Stage.LAST, after: str = "") -> None:
        """Add the listener of the feature `owner`, within its stage after that of the feature `after`."""
        self._entries.append((stage, owner, after, listener))
        ordered: list[tuple[Stage, str, str, Listener]] = []
        waiting = sorted(self._entries, key=lambda entry: (entry[0], entry[1]))
        while waiting:
            names = {entry[1] for entry in waiting}
            entry = next((entry for entry in waiting if entry[2] not in names - {entry[1]}), None)
            if entry is None:
                raise ValueError(f"hook {self.name}: {' and '.join(sorted(names))} each want to be after another")
            waiting.remove(entry)
            ordered.append(entry)
        ordered.sort(key=lambda entry: entry[0])
        self.listeners = tuple(entry[3] for entry in ordered)
        self._entries = ordered

    def clear(self) -> None:
        """Forget all listeners."""
        self._entries.clear()
        self.listeners = ()

    def explain(self) -> list[tuple[str, str]]:
        """Stage and feature of each listener, in order."""
        return [(stage.name.lower(), owner) for stage, owner, _, _ in self._entries]


class Filter(_Hook, Generic[C]):
    """Listeners that may stop what passes: each returns None to let it go on or DROPPED, or raises StanzaError; it may
    be a coroutine function. Any other exception goes up to whoever runs the filter, and so stops the stanza."""

    async def run(self, context: C) -> Verdict:
        """What the first listener says that does not let the context go on, or None."""
        verdict = self.ask(context)
        return verdict if verdict is None or isinstance(verdict, Dropped) else await verdict

    def ask(self, context: C) -> Verdict | Awaitable[Verdict]:
        """The same without a coroutine, for what passes often, as long as no listener has to wait; if one has, what is
        to be awaited for the verdict."""
        listeners = self.listeners
        for listener in listeners:
            verdict: Verdict | Awaitable[Verdict] = listener(context)
            if verdict is not None:
                if isinstance(verdict, Dropped):
                    return verdict
                return self._rest(context, verdict, listeners[listeners.index(listener) + 1 :])
        return None

    async def _rest(self, context: C, pending: Awaitable[Verdict], following: tuple[Listener, ...]) -> Verdict:
        if await pending is not None:
            return DROPPED
        for listener in following:
            verdict: Verdict | Awaitable[Verdict] = listener(context)
            if verdict is not None and (isinstance(verdict, Dropped) or await verdict is not None):
                return DROPPED
        return None


class Collector(_Hook, Generic[C]):
    """Listeners that add to an answer; an error in one goes up, for half an answer would be a wrong one."""

    async def run(self, context: C) -> C:
        """The context after all listeners added to it."""
        for listener in self.listeners:
            pending: Awaitable[None] | None = listener(context)
            if pending is not None:
                await pending
        return context


class Notice(_Hook, Generic[C]):
    """Listeners that are told something; what one raises is logged and stops nobody."""

    async def run(self, context: C) -> None:
        """Tell all listeners."""
        pending = self.tell(context)
        if pending is not None:
            await pending

    def tell(self, context: C) -> Awaitable[None] | None:
        """The same without a coroutine, for what happens often, as long as no listener has to wait; if one has, what is
        to be awaited."""
        listeners = self.listeners
        for listener in listeners:
            try:
                pending: Awaitable[None] | None = listener(context)
            except Exception:
                self._failed(listener)
            else:
                if pending is not None:
                    return self._rest(context, pending, listeners[listeners.index(listener) :])
        return None

    async def _rest(self, context: C, pending: Awaitable[None] | None, listeners: tuple[Listener, ...]) -> None:
        """`pending` is what the first of the listeners waits for."""
        for listener in listeners:
            try:
                if pending is None:
                    pending = listener(context)
                if pending is not None:
                    await pending
            except Exception:
                self._failed(listener)
            pending = None

    def _failed(self, listener: Listener) -> None:
        _log.exception("listener_failed", hook=self.name, listener=getattr(listener, "__qualname__", "?"))
