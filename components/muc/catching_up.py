"""A member who was away is given what he missed, a page at a time, as he acknowledges it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import Matching
from xmpp_server.storage.archive_pages import fitting
from xmpp_server.storage.errors import DatabaseClosed, StorageError, Unavailable
from xmpp_server.storage.rooms import Rooms

from . import joining, keeping
from .cursors import Cursors
from .history import Entry
from .live import LiveRoom, arrival, used
from .privileges import Affiliation
from .room import Room
from .turn import Turn

_log = structlog.get_logger()

_AT_ONCE: Final = 50  # messages, until he has acknowledged them
_PATIENCE: Final = 60.0  # seconds to wait for that
_AGAIN: Final = 1.0  # seconds until the database is asked again that did not answer

Take = Callable[[LiveRoom, Turn], "asyncio.Future[Any] | None"]
"""Lets a turn of a room have its effects, as `LiveRoom.take` does."""


class CatchingUp:
    """What a service's rooms owe to those who come back."""

    def __init__(self, rooms: Rooms, cursors: Cursors, take: Take) -> None:
        self._rooms = rooms
        self._cursors = cursors
        self._take = take

    async def give(self, live: LiveRoom, session: JID) -> None:
        """Give a member all that came since he was here, the oldest first, no faster than he takes it."""
        room = live.room
        with used(live), suppress(DatabaseClosed):
            after = await self._give_older(live, session)
            if session not in room.behind:
                return
            last = room.last
            if after is None:
                turn = room.act(lambda: joining.show_default(room, session))
            else:
                known = after
                turn = room.act(lambda: joining.catch_up(room, session, known))
            done = self._take(live, turn)
            with suppress(StorageError):
                if after is None and is_owed(room, session):
                    await self._cursors.begin(room.jid, session, last)
                if done is not None:
                    await done

    async def _give_older(self, live: LiveRoom, session: JID) -> int | None:
        """Give a member what he missed and is not in memory; the number of the last message that he has then, None if
        he never was here. What the database does not give at the moment is waited for."""
        room = live.room
        after: int | None = None
        while session in room.behind:
            try:
                if after is None:
                    after = await self._cursors.get(room.jid, session)
                while after is not None and after < room.history.floor and session in room.behind:
                    after = await self._give_page(live, session, after)
                break
            except DatabaseClosed:
                raise
            except Unavailable:
                _log.warning("history_waits_for_the_database", room=str(room.jid))
                await asyncio.sleep(_AGAIN)
            except StorageError:
                _log.warning("history_is_missing", room=str(room.jid))
                return None
        return after

    async def _give_page(self, live: LiveRoom, session: JID, after: int) -> int:
        """A page of the log from after this message; the number of its last one."""
        room = live.room
        log = self._rooms.log
        floor = room.history.floor
        await log.settled()  # what is in memory no more may not be in the log yet
        found = fitting(await log.page(room.jid, Matching(low=after), limit=_AT_ONCE))
        if not found:
            return floor
        delivery = None
        for message in await log.load(room.jid, Matching(low=after), found[0].n, found[-1].n):
            if session not in room.behind:
                break
            entry = Entry(message.n, message.at, keeping.read(message.stanza))
            if not entry.is_subject:
                delivery = await live.deliver(entry.late(room.jid), session, entry.n)
        if delivery is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await arrival(delivery)
        return found[-1].n


def is_owed(room: Room, session: JID) -> bool:
    """Whether he gets what he misses."""
    entry = room.affiliates.get(session.bare)
    return room.logs and entry is not None and entry.affiliation >= Affiliation.MEMBER
