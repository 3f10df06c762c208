"""How much of each stream was handled, saved before a client is told (XEP-0198 §5).

No client hears an h that a restart would not find. So the counts of all streams that were asked for are written in one
transaction, one after the other; the others a second later, for clients that never ask. While the database is away
they stand still.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

import structlog

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.sessions import SavedSession, Sessions
from xmpp_server.util.tasks import keep

_log = structlog.get_logger()

_LAZY: Final = 1.0  # seconds
_PAUSE: Final = 0.02  # seconds between two transactions, in which further streams come together
_AGAIN: Final = 1.0  # seconds until another attempt
_MOST_FORGOTTEN: Final = 10_000


class Counted(Protocol):
    """A stream whose count is saved."""

    key: bytes
    unsaved: bool
    """Whether it waits to be saved; the saver's own."""

    @property
    def owner(self) -> JID: ...

    @property
    def handled(self) -> int: ...

    def was_saved(self, handled: int) -> None:
        """So much will be found after a restart."""
        ...


class Counts:
    """Saves the counts of all streams."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._unsaved: list[Counted] = []
        self._forgotten: list[tuple[JID, bytes]] = []
        self._hurry = False
        self._saver: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, stream: Counted) -> None:
        """Its count has changed: save it within a second or so."""
        if not stream.unsaved:
            stream.unsaved = True
            self._unsaved.append(stream)
            self._wait()

    def save(self, stream: Counted) -> None:
        """Save its count now, for it is waited for."""
        self.note(stream)
        self._hurry = True
        self._start()

    def forget(self, owner: JID, key: bytes) -> None:
        """The stream was closed: nobody will ask for its count."""
        if len(self._forgotten) < _MOST_FORGOTTEN:
            self._forgotten.append((owner, key))
            self._wait()

    async def flush(self) -> None:
        """Save all that waits; what cannot be saved is given up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.wait([self._saver])
        await self._write()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._saver is None:
            self._saver = keep(self._run(), "saving counts")

    async def _run(self) -> None:
        try:
            while self._unsaved or self._forgotten:
                self._hurry = False
                if not await self._write():
                    await asyncio.sleep(_AGAIN)
                    continue
                await asyncio.sleep(_PAUSE)
                if not self._hurry:
                    break
        finally:
            self._saver = None
        if self._unsaved or self._forgotten:
            self._wait()

    def _wait(self) -> None:
        if self._timer is None and self._saver is None:
            self._timer = asyncio.get_running_loop().call_later(_LAZY, self._start)

    async def _write(self) -> bool:
        taken, self._unsaved = self._unsaved, []
        forgotten, self._forgotten = self._forgotten, []
        now = time.time_ns() // 1000
        counts = [(stream, stream.handled) for stream in taken]
        for stream in taken:
            stream.unsaved = False
        try:
            await self._sessions.write(
                [SavedSession(stream.owner, stream.key, handled, now) for stream, handled in counts], forgotten
            )
        except StorageError as error:
            _log.warning("counts_not_saved", streams=len(taken), error=str(error))
            self._forgotten += forgotten
            for stream in taken:
                self.note(stream)
            return False
        for stream, handled in counts:
            stream.was_saved(handled)
        return True
