"""How far each member's devices have read each room: moved when a device has acknowledged a message, and written now
and then, so that after a crash a message may come twice, under the same id, and none is missed."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.rooms import Rooms
from xmpp_server.util.tasks import keep

_log = structlog.get_logger()

_EVERY: Final = 10.0  # seconds


class Cursors:
    """The cursors of a service's rooms; those that were moved and are not written yet are in memory."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._moved: dict[tuple[JID, JID], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def get(self, room: JID, session: JID) -> int | None:
        """The number of the last message that this device has, or for a new one that any of its account has; None if
        the account never was in the room as a member. Raises StorageError."""
        moved = self._moved.get((room, session))
        return moved if moved is not None else await self._rooms.cursor(room, session)

    def move(self, room: JID, session: JID, n: int) -> None:
        """The device has the message of this number, and all before it."""
        key = (room, session)
        if self._moved.get(key, -1) < n:
            self._moved[key] = n
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_EVERY, self._start)

    def _start(self) -> None:
        self._timer = None
        keep(self.save(), "cursors")

    async def save(self) -> None:
        """Write them; those that cannot be written wait for the next time."""
        moved = dict(self._moved)
        try:
            await self._rooms.move((room, session, n) for (room, session), n in moved.items())
        except StorageError as error:
            _log.warning("cursors_wait_for_the_database", reason=str(error))
            return
        for key, n in moved.items():
            if self._moved.get(key) == n:
                del self._moved[key]

    async def close(self) -> None:
        """Write them for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        await self.save()
