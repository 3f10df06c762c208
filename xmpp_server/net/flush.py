"""One write a turn of the loop: what a connection is given to send is gathered, and written once."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

_log = structlog.get_logger()


class Dirty(Protocol):
    """A connection with something to write."""

    def flush(self) -> None: ...

    def abort(self) -> None: ...


class Flusher:
    """Writes all dirty connections at the end of the turn in which the first became dirty."""

    __slots__ = ("_dirty", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[Dirty] = []

    def mark(self, connection: Dirty) -> None:
        """Flush this connection at the end of the turn; called once until it is flushed."""
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(self._flush)
        dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            try:
                connection.flush()
            except Exception:  # one broken connection must not keep the others from their bytes
                _log.exception("flush_failed")
                connection.abort()
