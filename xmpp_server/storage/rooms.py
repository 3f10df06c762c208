"""Rooms (XEP-0045): what an owner chose, who is affiliated, the log, and how far each member has read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import Archive, Statements, log_table
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction


def _room() -> Column[Any]:
    return Column("room", Address, ForeignKey("rooms.room", ondelete="CASCADE"), primary_key=True)


rooms: Final = Table(
    "rooms",
    metadata,
    Column("room", Address, primary_key=True),
    Column("domain", Address, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Index("rooms_by_domain", "domain", "room"),
)
affiliations: Final = Table(
    "room_affiliations",
    metadata,
    _room(),
    Column("account", Address, primary_key=True),
    Column("affiliation", BigInteger, nullable=False),
    Column("nick", Text, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
cursors: Final = Table(
    "room_cursors",
    metadata,
    _room(),
    Column("account", Address, primary_key=True),
    Column("resource", Address, primary_key=True),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
occupants: Final = Table(
    "room_occupants",
    metadata,
    _room(),
    Column("state", LargeBinary, nullable=False),
)
log: Final = log_table("room_log", _room())
_OF_ROOMS: Final = Statements(log, rooms.c.room, rooms.c.domain)

_is_room = rooms.c.room == bindparam("room")
_LOAD: Final = Statement(select(rooms.c.state).where(_is_room))
_AFFILIATIONS: Final = Statement(
    select(affiliations.c.account, affiliations.c.affiliation, affiliations.c.nick, affiliations.c.reason).where(
        affiliations.c.room == bindparam("room")
    )
)
_new = insert(rooms).values({column.name: bindparam(column.name) for column in rooms.columns})
_SAVE: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[rooms.c.room], set_={name: _new.excluded[name] for name in ("public", "name", "state")}
    )
)
_affiliated = insert(affiliations).values({column.name: bindparam(column.name) for column in affiliations.columns})
_AFFILIATE: Final = Statement(
    _affiliated.on_conflict_do_update(
        index_elements=[affiliations.c.room, affiliations.c.account],
        set_={name: _affiliated.excluded[name] for name in ("affiliation", "nick", "reason")},
    )
)
_UNAFFILIATE: Final = Statement(
    delete(affiliations).where(affiliations.c.room == bindparam("room"), affiliations.c.account == bindparam("account"))
)
_REMOVE: Final = Statement(delete(rooms).where(_is_room))
_listed = (rooms.c.domain == bindparam("domain"), rooms.c.public)
_LIST: Final = Statement(
    select(rooms.c.room, rooms.c.name)
    .where(*_listed, rooms.c.room > bindparam("after"))
    .order_by(rooms.c.room)
    .limit(bindparam("limit"))
)
_STATES: Final = Statement(
    select(rooms.c.room, rooms.c.state)
    .where(*_listed, rooms.c.room > bindparam("after"))
    .order_by(rooms.c.room)
    .limit(bindparam("limit"))
)
_LIST_BACK: Final = Statement(
    select(rooms.c.room, rooms.c.name)
    .where(*_listed, rooms.c.room < bindparam("before"))
    .order_by(rooms.c.room.desc())
    .limit(bindparam("limit"))
)
_COUNT: Final = Statement(select(func.count()).select_from(rooms).where(*_listed))
_CURSORS: Final = Statement(
    select(cursors.c.resource, cursors.c.n).where(
        cursors.c.room == bindparam("room"), cursors.c.account == bindparam("account")
    )
)
_FORGET_CURSORS: Final = Statement(
    delete(cursors).where(
        cursors.c.room == bindparam("room"),
        cursors.c.account == bindparam("account"),
        cursors.c.resource == bindparam("resource"),
    )
)
_cursor = insert(cursors).from_select(
    ["room", "account", "resource", "n"],
    select(rooms.c.room, bindparam("account"), bindparam("resource"), bindparam("n", type_=BigInteger)).where(_is_room),
)
_MOVE: Final = Statement(
    _cursor.on_conflict_do_update(
        index_elements=[cursors.c.room, cursors.c.account, cursors.c.resource], set_={"n": _cursor.excluded.n}
    )
)
_SAVE_OCCUPANTS: Final = Statement(
    insert(occupants).values(room=bindparam("room"), state=bindparam("state")).on_conflict_do_nothing()
)
_OCCUPANTS: Final = Statement(
    select(occupants.c.room, occupants.c.state)
    .join(rooms, rooms.c.room == occupants.c.room)
    .where(rooms.c.domain == bindparam("domain"))
)
_FORGET_OCCUPANTS: Final = Statement(delete(occupants).where(occupants.c.room == bindparam("room")))


@dataclass(frozen=True, slots=True)
class RoomAffiliation:
    """One account (a bare address or a domain) and its affiliation, -1 for an outcast to 3 for an owner."""

    account: JID
    affiliation: int
    nick: str = ""
    reason: str = ""


@dataclass(slots=True)
class RoomChange:
    """What is to be written of a room. `state` is None where nothing but affiliations changed; `removed` are those that
    are affiliated no more."""

    room: JID
    state: bytes | None = None
    public: bool = False
    name: str = ""
    affiliated: list[RoomAffiliation] = field(default_factory=list)
    removed: list[JID] = field(default_factory=list)


class Rooms:
    """The rooms of all services."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.log = Archive(database, _OF_ROOMS)

    async def load(self, room: JID) -> tuple[bytes, Sequence[RoomAffiliation]] | None:
        """State and affiliations; None if there is no such room."""

        async def work(transaction: Transaction) -> tuple[bytes, Sequence[RoomAffiliation]] | None:
            row = await transaction.one(_LOAD, room=str(room))
            if row is None:
                return None
            rows = await transaction.all(_AFFILIATIONS, room=str(room))
            return bytes(row[0]), [RoomAffiliation(JID.parse(row[0]), row[1], row[2], row[3]) for row in rows]

        return await self._database.read(work)

    def change(self, change: RoomChange) -> Any:
        """Write it; a future that is done when it is committed."""
        room = str(change.room)

        async def work(transaction: Transaction) -> None:
            if change.state is not None:
                await transaction.run(
                    _SAVE,
                    room=room,
                    domain=change.room.domain,
                    public=change.public,
                    name=change.name,
                    state=change.state,
                )
            await transaction.many(
                _AFFILIATE,
                [
                    {
                        "room": room,
                        "account": str(each.account),
                        "affiliation": each.affiliation,
                        "nick": each.nick,
                        "reason": each.reason,
                    }
                    for each in change.affiliated
                ],
            )
            await transaction.many(_UNAFFILIATE, [{"room": room, "account": str(jid)} for jid in change.removed])

        return self._database.submit(work)

    def remove(self, room: JID) -> Any:
        """Remove the room with all that belongs to it; a future that is done when it is committed."""

        async def work(transaction: Transaction) -> None:
            await transaction.run(_REMOVE, room=str(room))

        return self._database.submit(work)

    async def public(
        self, domain: str, *, after: str = "", before: str | None = None, limit: int
    ) -> Sequence[tuple[JID, str]]:
        """A page of the rooms that are listed, by address, with their names: after one address, or before another."""
        if before is None:
            rows = await self._database.all(_LIST, domain=domain, after=after, limit=limit)
        else:
            last = before or "\U0010ffff"
            rows = list(await self._database.all(_LIST_BACK, domain=domain, before=last, limit=limit))[::-1]
        return [(JID.parse(room), name) for room, name in rows]

    async def public_states(self, domain: str, *, after: str, limit: int) -> Sequence[tuple[JID, bytes]]:
        """A page of the rooms that are listed, by address, with their states: after an address."""
        rows = await self._database.all(_STATES, domain=domain, after=after, limit=limit)
        return [(JID.parse(room), bytes(state)) for room, state in rows]

    async def count(self, domain: str) -> int:
        """How many rooms are listed."""
        row = await self._database.one(_COUNT, domain=domain)
        return row[0] if row else 0

    # -- cursors

    async def cursors(self, room: JID, account: JID) -> dict[str, int]:
        """The number of the last message that each resource of the account has."""
        rows = await self._database.all(_CURSORS, room=str(room), account=str(account))
        return {resource: int(n) for resource, n in rows}

    async def forget_cursors(self, room: JID, account: JID, resources: Iterable[str]) -> None:
        """These resources will not come back."""
        rows = [{"room": str(room), "account": str(account), "resource": resource} for resource in resources]

        async def work(transaction: Transaction) -> None:
            await transaction.many(_FORGET_CURSORS, rows)

        if rows:
            await self._database.write(work)

    async def move(self, moved: Iterable[tuple[JID, JID, int]]) -> None:
        """Room, session and number of the last message that it has, many at once."""
        rows = [
            {"room": str(room), "account": str(jid.bare), "resource": jid.resource, "n": n} for room, jid, n in moved
        ]

        async def work(transaction: Transaction) -> None:
            await transaction.many(_MOVE, rows)

        if rows:
            await self._database.write(work)

    # -- over a restart

    async def save_occupants(self, saved: Iterable[tuple[JID, bytes]]) -> None:
        """Keep who is in these rooms."""
        rows = [{"room": str(room), "state": state} for room, state in saved]

        async def work(transaction: Transaction) -> None:
            await transaction.many(_SAVE_OCCUPANTS, rows)

        if rows:
            await self._database.write(work)

    async def take_occupants(self, domain: str) -> Sequence[tuple[JID, bytes]]:
        """Who was in the rooms of this domain when the server stopped; to be had once."""

        async def work(transaction: Transaction) -> Sequence[tuple[JID, bytes]]:
            rows = await transaction.all(_OCCUPANTS, domain=domain)
            await transaction.many(_FORGET_OCCUPANTS, [{"room": row[0]} for row in rows])
            return [(JID.parse(room), bytes(state)) for room, state in rows]

        return await self._database.write(work)
