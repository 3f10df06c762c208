"""Groups: rooms in which many people talk (XEP-0045).

A room is brought from the database when somebody speaks to it, and dropped when nobody is in it. Messages are in its
log before anybody sees them or the sender is told that they were taken; a member who was away is given what came
meanwhile when he joins again, wherever his devices were.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

import structlog

from xmpp_server.port import Component, Port
from xmpp_server.protocol import retraction
from xmpp_server.protocol.archivable import is_worth_keeping
from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.storage.archive import SENT_AGAIN, Matching
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.patience import patiently
from xmpp_server.storage.rooms import Rooms
from xmpp_server.storage.secrets import Secrets
from xmpp_server.util.limits import Allowance
from xmpp_server.util.tasks import keep

from . import archive, joining, keeping, messages, moderation, owner, presence, search, service_commands, service_disco
from .catching_up import CatchingUp, is_owed
from .cursors import Cursors
from .history import is_same, is_subject
from .live import LiveRoom, used
from .names import JOIN, MODERATE, OWNER
from .notices import Listener, notice
from .options import MucOptions
from .privileges import Affiliation
from .room import Affiliate, Room, not_in_room
from .surroundings import Bounds
from .turn import Logged, Turn

_log = structlog.get_logger()

_MODERATE: Final = qname(MODERATE, "moderate")
_COMMAND: Final = qname(COMMANDS, "command")
_SEARCH: Final = qname(search.NS, "search")
_IN_MEMORY: Final = 100  # messages of the log that a room is brought with
_UPKEEP: Final = 3600.0  # seconds
_BATCH: Final = 1000  # messages that are removed from a log at once
_DAY: Final = 86_400_000_000  # microseconds


class Muc(Component):
    """The service at one domain."""

    name = "muc"
    title = "Groups"
    Options = MucOptions

    def __init__(self, port: Port, database: Database, options: MucOptions) -> None:
        self.options: MucOptions = options
        self._port = port
        self._rooms = Rooms(database)
        self._secrets = Secrets(database)
        self._live: dict[JID, LiveRoom] = {}
        self._loading: dict[JID, asyncio.Task[LiveRoom | None]] = {}
        self._cursors = Cursors(self._rooms)
        self._catching_up = CatchingUp(self._rooms, self._cursors, self._take)
        self.listeners: list[Listener] = []
        """Told of every message that is logged and reflected, so that those who are away can be woken."""
        self._upkeep: asyncio.Task[None] | None = None
        self._ids: ArchiveIds
        self._occupant_key: bytes
        self._archive: archive.RoomArchive
        self._created = self._allowance()
        self._searched = self._search_allowance()

    def _allowance(self) -> Allowance:
        return Allowance(time.monotonic, count=self.options.rooms_per_hour or 1, period=3600)

    def _search_allowance(self) -> Allowance:
        return Allowance(time.monotonic, count=self.options.searches_per_minute or 1, period=60)

    def reconfigure(self, options: MucOptions) -> None:
        """Take new options without a restart; rooms take theirs when they are brought next."""
        if options.rooms_per_hour != self.options.rooms_per_hour:
            self.options = options
            self._created = self._allowance()
        if options.searches_per_minute != self.options.searches_per_minute:
            self.options = options
            self._searched = self._search_allowance()
        self.options = options

    # -- start and stop

    async def start(self) -> None:
        """As `Component` has it; who was in a room when the server stopped is in it again."""
        self._ids = ArchiveIds(await self._secrets.get("", "archive ids"))
        self._occupant_key = await self._secrets.get("", "occupant ids")
        self._archive = archive.RoomArchive(self._rooms.log, self._ids, self.options.page)
        for jid, state in await self._rooms.take_occupants(self._port.jid.domain):
            live = await self._find(jid)
            if live is not None:
                keeping.seat(live.room, state)
        self._port.receive(self.handle)
        for live in list(self._live.values()):
            for session in live.room.behind:
                keep(self._catching_up.give(live, session), "catching up")
        self._upkeep = asyncio.get_running_loop().create_task(self._purge(), name="upkeep of rooms")

    async def announce_stop(self) -> None:
        """As `Component` has it: who cannot resume his session is told that he is in no room any more (§11.2)."""
        for live in list(self._live.values()):
            room = live.room
            gone = [session for session in room.occupants.sessions if not self._port.resumes(session)]
            if gone:
                live.take(room.act(lambda room=room, gone=gone: presence.shut_out(room, gone)))  # type: ignore[misc]

    async def stop(self) -> None:
        """As `Component` has it: those who are in a room still have sessions that they will resume."""
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self._cursors.close()
        sitting = [live.room for live in self._live.values() if len(live.room.occupants) and not live.room.locked]
        await self._rooms.save_occupants((room.jid, keeping.occupants(room)) for room in sitting)

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(_UPKEEP)
            if not self.options.days:
                continue
            before = time.time_ns() // 1000 - self.options.days * _DAY
            last = None
            with suppress(StorageError):
                while rooms := await self._rooms.log.outdated(self._port.jid.domain, before=before, after=last):
                    for room in rooms:
                        count = _BATCH
                        while count == _BATCH:
                            count = await self._rooms.log.purge(room, before=before, limit=_BATCH)
                            await asyncio.sleep(0.1)
                    last = rooms[-1]

    # -- what a room needs

    def now(self) -> int:
        """As `Surroundings` has it."""
        return time.time_ns() // 1000

    def number(self, after: int) -> int:
        """As `Surroundings` has it."""
        return self._rooms.log.number(after)

    def stanza_id(self, room: JID, n: int) -> str:
        """As `Surroundings` has it."""
        return self._ids.seal(room, n)

    def mark(self, room: JID, account: JID, id: str) -> int:
        """As `Surroundings` has it."""
        return self._ids.mark(room, room, account, id)

    def occupant_id(self, room: JID, account: JID) -> str:
        """As `Surroundings` has it."""
        return blake2b(f"{room}\0{account}".encode(), key=self._occupant_key, digest_size=20).hexdigest()

    # -- stanzas

    async def handle(self, stanza: Stanza) -> asyncio.Future[Any] | None:
        """As `port.Handler` has it."""
        to = stanza.to
        assert to is not None
        if not to.localpart:
            await self._to_service(stanza)
            return None
        live = self._live.get(to.bare) or await self._find(to.bare, waits=stanza.name != "iq") or self._create(stanza)
        if live is None:
            await self._nowhere(stanza)
            return None
        if stanza.type in ("get", "set") and not to.resource:
            if archive.is_query(stanza):
                await self._query(live, stanza)
                return None
            if stanza.keys == [_MODERATE]:
                return await self._moderate(live, stanza)
        if stanza.type == "groupchat":
            former = await self._former(live, stanza) if stanza.sender in live.room.beginning else None
            if former is not None:
                return self._take(live, live.room.act(lambda: messages.speak(live.room, stanza, former), stanza))
            if retraction.RETRACT in stanza.keys:
                return await self._retract(live, stanza)
        return self._take(live, live.room.receive(stanza))

    def _take(self, live: LiveRoom, turn: Turn) -> asyncio.Future[Any] | None:
        done = live.take(turn)
        if turn.destroyed:
            self._live.pop(live.room.jid, None)
        for session in turn.arrived:
            keep(self._catching_up.give(live, session), "catching up")
        return done

    async def _to_service(self, stanza: Stanza) -> None:
        if stanza.name == "iq" and stanza.type in ("get", "set"):
            options = self.options
            assert stanza.sender is not None
            is_admin = stanza.sender.bare in self._port.admins
            answer: tuple[Element, ...]
            if stanza.type == "set" and stanza.keys == [_COMMAND]:
                command = stanza.parse(stanza.children[0])
                answer = (await service_commands.execute(command, self._port.jid, self._destroy, is_admin=is_admin),)
            elif options.searches_per_minute and stanza.type == "get" and stanza.keys == [_SEARCH]:
                answer = (await self._search(stanza),)
            else:
                searched = bool(options.searches_per_minute)
                answer = await service_disco.answer(
                    self._rooms, stanza, archive=options.archive, search=searched, is_admin=is_admin
                )
            await self._port.send(stanza.result(*answer))
        elif stanza.name == "message" and stanza.type not in ("error", "headline"):
            raise StanzaError("service-unavailable")

    async def _destroy(self, jid: JID) -> bool:
        """End the room; False if there is none."""
        live = self._live.get(jid) or await self._find(jid)
        if live is None:
            return False
        room = live.room
        done = self._take(live, room.act(lambda: owner.destroy(room, Element(OWNER, "destroy"))))
        if done is not None:
            await done
        return True

    async def _search(self, stanza: Stanza) -> Element:
        assert stanza.sender is not None
        if not self._searched.take(str(stanza.sender.bare)):
            raise search.too_often()
        return await search.search(self._rooms, self._port.jid.domain, stanza.parse(stanza.children[0]), self._users)

    def _users(self, room: JID) -> int:
        live = self._live.get(room)
        return len(live.room.occupants) if live is not None else 0

    async def _nowhere(self, stanza: Stanza) -> None:
        """To a room that does not exist."""
        if stanza.type in ("error", "result", "unavailable"):
            return
        if stanza.name == "presence" and stanza.type == "":
            if JOIN not in stanza.keys:
                room = Room(stanza.to.bare if stanza.to else self._port.jid, self)
                for item in room.act(lambda: joining.join(room, stanza), stanza).sends:
                    assert isinstance(item, Stanza)
                    await self._port.send(item)
                return
            raise StanzaError("not-allowed", "You may not make rooms here.")
        if stanza.name == "iq" and stanza.to is not None and stanza.to.resource:
            raise not_in_room()
        raise StanzaError("item-not-found", "There is no such room.")

    # -- bringing and making rooms

    async def _find(self, jid: JID, *, waits: bool = False) -> LiveRoom | None:
        """The room, from the database if it is not in memory; None if there is none. Raises StanzaError
        resource-constraint where the database is away, unless it `waits` for it."""
        try:
            live = await (patiently(lambda: self._bring(jid)) if waits else self._bring(jid))
        except StorageError as error:
            raise StanzaError("resource-constraint", "The room cannot be read at the moment.") from error
        return self._live.get(jid) or live

    async def _bring(self, jid: JID) -> LiveRoom | None:
        loading = self._loading.get(jid)
        if loading is None:
            loading = self._loading[jid] = asyncio.get_running_loop().create_task(self._load(jid))
            loading.add_done_callback(lambda _: self._loading.pop(jid, None))
        return await asyncio.shield(loading)

    async def _load(self, jid: JID) -> LiveRoom | None:
        kept = await self._rooms.load(jid)
        if kept is None:
            return None
        room = self._room(jid)
        keeping.restore(room, *kept)
        log = self._rooms.log
        room.last = await log.last(jid)
        found = await log.page(jid, Matching(), limit=_IN_MEMORY, backwards=True)
        if found:
            room.history.floor = found[0].n - 1 if len(found) == _IN_MEMORY else 0
            for message in await log.load(jid, Matching(), found[0].n, found[-1].n):
                room.history.add(message.n, message.at, keeping.read(message.stanza))
        return self._live.setdefault(jid, self._alive(room))

    def _room(self, jid: JID) -> Room:
        options = self.options
        room = Room(
            jid,
            self,
            Bounds(
                options.occupants,
                options.affiliations,
                options.message_bytes,
                options.messages_per_second,
                options.messages_per_second * 10,
                options.joins_per_minute,
            ),
        )
        room.keeps = options.archive
        room.lists_occupants = options.list_occupants
        return room

    def _alive(self, room: Room) -> LiveRoom:
        return LiveRoom(room, self._port, self._rooms, self._moved, self._idle, self._reflected)

    def _reflected(self, room: Room, logged: Logged) -> None:
        if not self.listeners:
            return
        told = notice(room, logged.stanza, logged.n)
        for listener in self.listeners:
            try:
                listener(told)
            except Exception:
                _log.exception("listener_failed", listener=getattr(listener, "__qualname__", "?"))

    def _idle(self, live: LiveRoom) -> None:
        if live.is_idle:
            self._live.pop(live.room.jid, None)

    def _create(self, stanza: Stanza) -> LiveRoom | None:
        """A new room for one who enters one that does not exist (§10.1.1); None if he does not, or may not."""
        sender, to = stanza.sender, stanza.to
        assert sender is not None
        assert to is not None
        if stanza.name != "presence" or stanza.type != "" or JOIN not in stanza.keys:
            return None
        joining.acceptable(to)
        if not self._may_create(sender):
            return None
        if self.options.rooms_per_hour and not self._created.take(str(sender.bare)):
            raise StanzaError("resource-constraint", "You made many rooms; try again later.")
        room = self._room(to.bare)
        room.locked = True
        room.affiliates[sender.bare] = Affiliate(Affiliation.OWNER)
        live = self._live[to.bare] = self._alive(room)
        return live

    def _may_create(self, sender: JID) -> bool:
        if sender.bare in self._port.admins or self.options.create == "anyone":
            return True
        return self.options.create == "local" and self._port.jid.domain == f"{self.options.subdomain}.{sender.domain}"

    # -- what waits for the database

    async def _query(self, live: LiveRoom, stanza: Stanza) -> None:
        with used(live):
            async for each in self._archive.answer(live.room, stanza):
                await self._port.send(each)

    async def _moderate(self, live: LiveRoom, stanza: Stanza) -> asyncio.Future[Any] | None:
        room = live.room
        with used(live):
            moderation.check(room, stanza)
            request = stanza.parse(stanza.children[0])
            n = self._ids.open(room.jid, request.get("id"))
            found = await self._rooms.log.each(room.jid, (n,)) if n is not None else ()
            if n is None or not found:
                raise StanzaError("item-not-found", "The room has no message of this id.")
            original = found[0].stanza
            return self._take(live, room.act(lambda: moderation.moderate(room, stanza, request, n, original), stanza))

    async def _former(self, live: LiveRoom, stanza: Stanza) -> Stanza | None:
        """The message itself, as it was reflected, if it is in the log since before a crash."""
        room, sender = live.room, stanza.sender
        is_logged = room.logs and (is_subject(stanza) or is_worth_keeping(stanza))
        mark = room.mark(stanza) if is_logged else None
        if mark is None:
            return None
        assert sender is not None
        occupant_id = self.occupant_id(room.jid, sender.bare)
        oldest = self.now() - SENT_AGAIN
        with used(live):
            await self._rooms.log.settled()
            found = await patiently(lambda: self._rooms.log.marked(room.jid, mark))
        left = (
            keeping.read(original)
            for n, original in found
            if n > oldest
            and (retraction.is_left_of(original, stanza) or is_same(keeping.read(original), stanza, occupant_id))
        )
        former = next(left, None)
        if former is None:
            room.beginning.discard(sender)
        return former

    async def _retract(self, live: LiveRoom, stanza: Stanza) -> asyncio.Future[Any] | None:
        room = live.room
        with used(live):
            n = self._ids.open(room.jid, retraction.retracted_id(stanza))
            found = await self._rooms.log.each(room.jid, (n,)) if n is not None and room.logs else ()
            if n is None or not found:
                return self._take(live, room.receive(stanza))
            original = found[0].stanza
            return self._take(live, room.act(lambda: moderation.retract(room, stanza, n, original), stanza))

    # -- cursors

    def _moved(self, room: JID, session: JID, n: int) -> None:
        """As `live.Moved` has it."""
        live = self._live.get(room)
        if live is not None and is_owed(live.room, session):
            self._cursors.move(room, session, n)
