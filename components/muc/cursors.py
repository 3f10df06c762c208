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
_MOST: Final = 32
"""Devices of an account in a room; those that read least are forgotten: some clients are a new one at each login."""


class Cursors:
    """The cursors of a service's rooms; those that were moved and are not written yet are in memory."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._moved: dict[tuple[JID, JID], dict[str, int]] = {}
        """By room and account, of each resource."""
        self._timer: asyncio.TimerHandle | None = None
        self._saving = asyncio.Lock()

    async def get(self, room: JID, session: JID) -> int | None:
        """The number of the last message that this device has; a new one begins with the last that any of its account
        has. None if the account never was in the room as a member. Raises StorageError."""
        key = (room, session.bare)
        moved = self._moved.get(key, {}).get(session.resource)
        if moved is not None:
            return moved
        known = await self._rooms.cursors(*key)
        if len(known) > _MOST:
            oldest = sorted(known, key=known.__getitem__)[:-_MOST]
            await self._rooms.forget_cursors(*key, [resource for resource in oldest if resource != session.resource])
        known.update(self._moved.get(key, {}))
        own = known.get(session.resource)
        if own is None and known:
            own = max(known.values())
            await self.begin(room, session, own)
        return own

    async def begin(self, room: JID, session: JID, n: int) -> None:
        """The device is new, and is owed what comes after this message: also if the server crashes soon."""
        self.move(room, session, n)
        await self.save()

    def move(self, room: JID, session: JID, n: int) -> None:
        """The device has the message of this number, and all before it."""
        moved = self._moved.setdefault((room, session.bare), {})
        if moved.get(session.resource, -1) < n:
            moved[session.resource] = n
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_EVERY, self._start)

    def _start(self) -> None:
        self._timer = None
        keep(self.save(), "cursors")

    async def save(self) -> None:
        """Write them; those that cannot be written wait for the next time."""
        async with self._saving:
            if self._moved:
                await self._save()

    async def _save(self) -> None:
        saved = {key: dict(moved) for key, moved in self._moved.items()}
        try:
            await self._rooms.move(
                (room, account.with_resource(resource), n)
                for (room, account), moved in saved.items()
                for resource, n in moved.items()
            )
        except StorageError as error:
            _log.warning("cursors_wait_for_the_database", reason=str(error))
            return
        for key, written in saved.items():
            left = {resource: n for resource, n in self._moved[key].items() if written.get(resource) != n}
            if left:
                self._moved[key] = left
            else:
                del self._moved[key]

    async def close(self) -> None:
        """Write them for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        await self.save()
