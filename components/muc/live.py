"""A room in memory: its turns go out in their order, each when what it changed is committed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import structlog

from xmpp_server.port import Delivery, Port
from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.errors import NoSuchAccount, StorageError
from xmpp_server.storage.rooms import Rooms
from xmpp_server.util.tasks import hold, run_eagerly

from . import keeping
from .room import Room
from .turn import Changed, Copies, Logged, Turn

_log = structlog.get_logger()

_AGAIN: Final = 5.0  # seconds until what could not be written is written again

Moved = Callable[[JID, JID, int], None]
"""Told when a session has a message of a room: the room, the session, and the message's number."""


class _Batch:
    """A turn, the writes that it waits for, and what became of it."""

    __slots__ = ("done", "error", "finished", "turn", "writes")

    def __init__(self, turn: Turn, writes: list[asyncio.Future[Any]]) -> None:
        self.turn = turn
        self.writes = writes
        self.error: Exception | None = None
        self.finished = False
        self.done: asyncio.Future[None] | None = None


class LiveRoom:
    """A room with what it owes to its database and its occupants."""

    def __init__(
        self,
        room: Room,
        port: Port,
        rooms: Rooms,
        moved: Moved,
        idle: Callable[[LiveRoom], None],
        reflected: Callable[[Room, Logged], None],
    ) -> None:
        self.room = room
        self._port = port
        self._rooms = rooms
        self._moved = moved
        self._idle = idle
        self._reflected = reflected
        self._pending: deque[_Batch] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._owed = Changed.NOTHING
        self._owed_accounts: set[JID] = set()
        """What could not be written."""
        self.users = 0
        """Who needs it, though nobody may be in it."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody needs it."""
        return not (self.users or self._pending or self._owed or len(self.room.occupants))

    def rest(self) -> None:
        """Nobody may need it any more."""
        self._idle(self)

    def take(self, turn: Turn) -> asyncio.Future[None] | None:
        """Let the turn have its effects; None if it has them now, else a future for when it has. Raises StorageError,
        or the future does."""
        batch = _Batch(turn, self._write(turn))
        self._pending.append(batch)
        if self._worker is None:
            task = run_eagerly(self._work())
            if task is not None and self._pending:
                self._worker = hold(task)
        if batch.finished:
            if batch.error is not None:
                raise batch.error
            return None
        batch.done = asyncio.get_running_loop().create_future()
        return batch.done

    def _write(self, turn: Turn) -> list[asyncio.Future[Any]]:
        """Give everything to the database, in its order."""
        writes: list[asyncio.Future[Any]] = []
        room = self.room
        changed, accounts = turn.changed | self._owed, turn.accounts | self._owed_accounts
        try:
            if turn.destroyed:
                if not room.locked:
                    writes.append(self._rooms.remove(room.jid))
                return writes
            if changed:
                writes.append(self._rooms.change(keeping.change(room, changed, accounts)))
                self._owed, self._owed_accounts = Changed.NOTHING, set()
            if (logged := turn.logged) is not None:
                stanza = logged.stanza.to_bytes(ns.CLIENT)
                writes.append(
                    self._rooms.log.add(
                        room.jid,
                        logged.n,
                        stanza,
                        at=logged.at,
                        peer=logged.author,
                        mark=logged.mark,
                        entombed=logged.entombed,
                    )
                )
        except StorageError as error:
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            writes.append(failed)
        return writes

    async def _work(self) -> None:
        try:
            while self._pending:
                batch = self._pending[0]
                for write in batch.writes:
                    try:
                        if await write:  # what the log refused
                            batch.error = NoSuchAccount("no such room")
                    except StorageError as error:
                        batch.error = error
                if batch.error is None:
                    try:
                        await self._send(batch.turn)
                    except Exception:
                        _log.exception("room_failed", room=str(self.room.jid))
                else:
                    self._failed(batch.turn)
                self._pending.popleft()
                batch.finished = True
                if batch.done is not None and not batch.done.done():
                    if batch.error is None:
                        batch.done.set_result(None)
                    else:
                        batch.done.set_exception(batch.error)
        finally:
            self._worker = None
        self.rest()

    def _failed(self, turn: Turn) -> None:
        """The database is away: nobody sees the message; what changed in the room is written later."""
        if turn.logged is not None:
            self.room.history.discard(turn.logged.n)
        if turn.changed:
            self._owed |= turn.changed
            self._owed_accounts |= turn.accounts
            asyncio.get_running_loop().call_later(_AGAIN, self._write_again)

    def _write_again(self) -> None:
        if self._owed:
            done = self.take(Turn())
            if done is not None:
                done.add_done_callback(lambda done: done.exception())

    async def _send(self, turn: Turn) -> None:
        send = self._port.send
        if turn.logged is not None:
            self._reflected(self.room, turn.logged)
        for item in turn.sends:
            if isinstance(item, Copies):
                await self._fan_out(item)
            else:
                await send(item)

    async def _fan_out(self, copies: Copies) -> None:
        send, stanza, n = self._port.send, copies.stanza, copies.n
        members = self.room.affiliates
        _ = stanza.children  # found once, for all copies share them
        still_gets = self.room.still_gets
        tracked = stanza.type != "groupchat"  # of what is for one of them the server takes care
        for jid in copies.to:
            if n and not copies.late and not still_gets(jid, n):
                continue
            if n and jid.bare in members:
                self._track(jid, n, await send(stanza.addressed(jid)))
            else:
                await send(stanza.addressed(jid), tracked=tracked)

    def _track(self, session: JID, n: int, delivery: Delivery | None) -> None:
        """The session's cursor moves when it has the message."""
        if delivery is None:
            self.has(session, n)
        else:
            delivery.when_standing(partial(self._arrived, session, n, delivery))

    def _arrived(self, session: JID, n: int, delivery: Delivery) -> None:
        if delivery.seen:
            self.has(session, n)

    def has(self, session: JID, n: int) -> None:
        """The session has the message of this number, and is owed none before it."""
        self._moved(self.room.jid, session, n)

    async def deliver(self, stanza: Stanza, session: JID, n: int) -> Delivery | None:
        """Send one message of the log, past the order of the turns."""
        delivery = await self._port.send(stanza.stamped(to=session))
        self._track(session, n, delivery)
        return delivery


@contextmanager
def used(live: LiveRoom) -> Iterator[None]:
    """Keeps the room in memory for the length of a block."""
    live.users += 1
    try:
        yield
    finally:
        live.users -= 1
        live.rest()


async def arrival(delivery: Delivery) -> None:
    """Ask for it, and wait until it is safe."""
    standing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    delivery.when_standing(lambda: None if standing.done() else standing.set_result(None))
    delivery.hurry()
    await standing
