"""Message archives (XEP-0313).

The messages of an archive are numbered upwards in the order in which they were added. A number is never below the
clock of that moment in microseconds, so that a time is found by the primary key; when the clock was turned back it only
counts up. What is added in one turn of the loop is written with one statement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import StorageError, Unavailable
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

LAST: Final = 2**63 - 1
_SKEW: Final = 3600_000_000
"""A number is looked for this far above a time, in microseconds: the clock may have been turned back by so much."""
_CANDIDATES: Final = 8

_WITH_RESOURCE: Final = text("resource <> ''")
archive: Final = Table(
    "archive",
    metadata,
    owner(),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("peer", Address, nullable=False),
    Column("resource", Address, nullable=False),
    Column("mark", BigInteger),
    Column("stanza", LargeBinary, nullable=False),
    Index("archive_by_peer", "account", "peer", "n"),
    Index(
        "archive_by_resource",
        "account",
        "peer",
        "resource",
        "n",
        sqlite_where=_WITH_RESOURCE,
        postgresql_where=_WITH_RESOURCE,
    ),
    Index("archive_by_mark", "account", "mark", "n"),
)

_is_owner = archive.c.account == bindparam("account")
_size = func.length(archive.c.stanza)


def _key(*names: str) -> tuple[Any, Any, Any]:
    """What is compared to find a conversation by its index, and its lower and upper bound, both left out.

    As rows, for so the planner of PostgreSQL cannot hope for the messages of a rare peer among all others.
    """
    columns = [archive.c[name] for name in (*names, "n")]
    low, high = (
        tuple_(*(bindparam(name, type_=Text) for name in names), bindparam(bound, type_=BigInteger))
        for bound in ("low", "high")
    )
    return tuple_(*columns), low, high


def _matching(*names: str) -> list[ColumnElement[bool]]:
    key, low, high = _key(*names)
    conditions = [_is_owner, key > low, key < high, archive.c.at.between(bindparam("start"), bindparam("end"))]
    return [*conditions, _WITH_RESOURCE] if "resource" in names else conditions  # type: ignore[list-item]


def _page(*names: str, backwards: bool = False) -> Statement:
    columns = [archive.c[name] for name in (*names, "n")]
    return Statement(
        select(archive.c.n, archive.c.at, _size)
        .where(*_matching(*names))
        .order_by(*(column.desc() if backwards else column for column in columns))
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )


def _load(*names: str) -> Statement:
    columns = [archive.c[name] for name in (*names, "n")]
    return Statement(select(archive.c.n, archive.c.at, archive.c.stanza).where(*_matching(*names)).order_by(*columns))


def _count(*names: str) -> Statement:
    matching: Select[Any] = select(archive.c.n).where(*_matching(*names)).limit(bindparam("limit"))
    return Statement(select(func.count()).select_from(matching.subquery()))


_PAGE_ALL: Final = _page()
_PAGE_PEER: Final = _page("peer")
_PAGE_RESOURCE: Final = _page("peer", "resource")
_BACK_ALL: Final = _page(backwards=True)
_BACK_PEER: Final = _page("peer", backwards=True)
_BACK_RESOURCE: Final = _page("peer", "resource", backwards=True)
_LOAD_ALL: Final = _load()
_LOAD_PEER: Final = _load("peer")
_LOAD_RESOURCE: Final = _load("peer", "resource")
_COUNT_ALL: Final = _count()
_COUNT_PEER: Final = _count("peer")
_COUNT_RESOURCE: Final = _count("peer", "resource")

_is_message = archive.c.n == bindparam("n")
_ADD: Final = Statement(insert(archive).values({column.name: bindparam(column.name) for column in archive.columns}))
_ENTOMB: Final = Statement(update(archive).where(_is_owner, _is_message).values(mark=None, stanza=bindparam("stanza")))
_HAS: Final = Statement(select(archive.c.n).where(_is_owner, _is_message))
_PICK: Final = Statement(
    select(archive.c.n, archive.c.at, archive.c.peer, archive.c.resource, _size).where(_is_owner, _is_message)
)
_ONE: Final = Statement(select(archive.c.n, archive.c.at, archive.c.stanza).where(_is_owner, _is_message))
_FIRST: Final = Statement(select(archive.c.n, archive.c.at).where(_is_owner).order_by(archive.c.n).limit(1))
_NEWEST: Final = Statement(select(archive.c.n, archive.c.at).where(_is_owner).order_by(archive.c.n.desc()).limit(1))
_MARKED: Final = Statement(
    select(archive.c.n, archive.c.stanza)
    .where(
        _is_owner,
        tuple_(archive.c.mark, archive.c.n)
        > tuple_(bindparam("mark", type_=BigInteger), literal_column("-1", BigInteger)),
        archive.c.mark <= bindparam("mark"),
    )
    .order_by(archive.c.mark.desc(), archive.c.n.desc())
    .limit(_CANDIDATES)
)
_OUTDATED: Final = Statement(
    select(accounts.c.account)
    .where(
        accounts.c.host == bindparam("host"),
        accounts.c.account > bindparam("after"),
        select(archive.c.n).where(archive.c.account == accounts.c.account, archive.c.n < bindparam("before")).exists(),
    )
    .order_by(accounts.c.account)
    .limit(bindparam("limit"))
)
_PURGE: Final = Statement(
    delete(archive).where(
        _is_owner,
        archive.c.n.in_(
            select(archive.c.n)
            .where(_is_owner, archive.c.n < bindparam("before"))
            .order_by(archive.c.n)
            .limit(bindparam("limit"))
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Matching:
    """Messages numbered above `low` and below `high`, that came from `start` to `end` (both included), to or from
    `peer`: an address with a resource, or without one for all of its resources; None: anybody."""

    peer: JID | None = None
    low: int = -1
    high: int = LAST
    start: int = 0
    end: int = LAST

    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "low": max(self.low, self.start - 1),
            "high": min(self.high, self.end + _SKEW + 1) if self.end < LAST - _SKEW else self.high,
            "start": self.start,
            "end": self.end,
        }
        if self.peer is not None:
            values["peer"] = str(self.peer.bare)
            if self.peer.resource:
                values["resource"] = self.peer.resource
        return values

    def choose(self, statements: tuple[Statement, Statement, Statement]) -> Statement:
        if self.peer is None:
            return statements[0]
        return statements[2 if self.peer.resource else 1]

    def holds(self, found: Found, peer: JID) -> bool:
        """Whether a message belongs to them that was found by its number."""
        if not (self.low < found.n < self.high and self.start <= found.at <= self.end):
            return False
        return self.peer in (None, peer, peer.bare)


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was found: its number, when it came, and its size in octets."""

    n: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """A message as it was kept: its bytes name their namespace."""

    n: int
    at: int
    stanza: bytes


class _Group:
    """What is written together, and who waits for it in which order: for a row (by its place) or only for its turn."""

    __slots__ = ("entombed", "rows", "waiting")

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.entombed: list[dict[str, Any]] = []
        self.waiting: list[tuple[asyncio.Future[None], int | None]] = []

    async def work(self, transaction: Transaction) -> None:
        await transaction.many(_ADD, self.rows)
        if self.entombed:
            await transaction.many(_ENTOMB, self.entombed)

    def apart(self) -> Iterable[_Group]:
        """A group for each row; who waits for a turn waits for that of the row before."""
        one = None
        for future, place in self.waiting:
            if place is not None:
                if one is not None:
                    yield one
                one = _Group()
                row = self.rows[place]
                one.rows.append(row)
                one.entombed = [each for each in self.entombed if each["account"] == row["account"]]
            if one is None:
                one = _Group()
            one.waiting.append((future, None if place is None else 0))
        if one is not None:
            yield one

    def settle(self, error: BaseException | None) -> None:
        for future, place in self.waiting:
            if future.done():  # its owner was cancelled
                continue
            if error is None or place is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # it may be that nobody waits: the message was refused in the meantime


class Archive:
    """The archives of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: _Group | None = None
        """What is added in this turn of the loop."""
        self._latest: _Group | None = None
        """What was given to the database last, and is not written yet."""
        self._number = 0

    # -- adding

    def number(self, after: int) -> int:
        """A number for a message that is added now, above `after` and every number given before."""
        self._number = max(self._number + 1, after + 1, time.time_ns() // 1000)
        return self._number

    def add(
        self,
        account: JID,
        n: int,
        stanza: bytes,
        *,
        at: int,
        peer: JID,
        mark: int | None = None,
        entombed: Sequence[tuple[int, bytes]] = (),
    ) -> asyncio.Future[None]:
        """Add a message to the archive, done when it is committed; in the order of the calls. `mark` is what it can be
        found by, see `marked`; `entombed` are the numbers of messages that are replaced by other bytes with it.

        Raises (at the await) NoSuchAccount, Unavailable or StorageError.
        """
        owner = str(account)
        loop = asyncio.get_running_loop()
        group = self._group
        if group is None:
            group = self._group = _Group()
            loop.call_soon(self._submit)
        future: asyncio.Future[None] = loop.create_future()
        group.waiting.append((future, len(group.rows)))
        group.rows.append(
            {
                "account": owner,
                "n": n,
                "at": at,
                "peer": str(peer.bare),
                "resource": peer.resource,
                "mark": mark,
                "stanza": stanza,
            }
        )
        for number, replacement in entombed:
            group.entombed.append({"account": owner, "n": number, "stanza": replacement})
        return future

    def turn(self) -> asyncio.Future[None]:
        """Done when all that was added so far is, after those who wait for that, and before those who come later."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group = self._group or self._latest
        if group is None:
            future.set_result(None)
        else:
            group.waiting.append((future, None))
        return future

    def _submit(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            self._write(group)

    def _write(self, group: _Group) -> None:
        self._latest = group
        try:
            self._database.submit(group.work).add_done_callback(partial(self._written, group))
        except StorageError as error:
            self._latest = None
            group.settle(error)

    def _written(self, group: _Group, done: asyncio.Future[None]) -> None:
        error = done.exception()
        if self._latest is group:
            self._latest = None
        if error is None or isinstance(error, Unavailable) or len(group.rows) == 1:
            group.settle(error)
            return
        for one in group.apart():  # one of them has no account any more
            self._write(one)

    # -- looking

    async def last(self, account: JID) -> int:
        """The highest number; 0 if there is no message."""
        row = await self._database.one(_NEWEST, account=str(account))
        return row[0] if row else 0

    async def ends(self, account: JID) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Number and time of the first and of the last message; None if there is none."""

        async def work(transaction: Transaction) -> tuple[tuple[int, int], tuple[int, int]] | None:
            first = await transaction.one(_FIRST, account=str(account))
            last = await transaction.one(_NEWEST, account=str(account))
            return None if first is None or last is None else ((first[0], first[1]), (last[0], last[1]))

        return await self._database.read(work)

    async def page(
        self, account: JID, matching: Matching, *, limit: int, backwards: bool = False, offset: int = 0
    ) -> Sequence[Found]:
        """The first messages that match, or the last ones, after `offset` of them; always in their order."""
        pages = (_BACK_ALL, _BACK_PEER, _BACK_RESOURCE) if backwards else (_PAGE_ALL, _PAGE_PEER, _PAGE_RESOURCE)
        rows = await self._database.all(
            matching.choose(pages), account=str(account), limit=limit, offset=offset, **matching.values()
        )
        found = [Found(*row) for row in rows]
        return found[::-1] if backwards else found

    async def load(self, account: JID, matching: Matching, first: int, last: int) -> Sequence[ArchivedMessage]:
        """Those that match, from one number to another."""
        values = {**matching.values(), "low": first - 1, "high": last + 1}
        rows = await self._database.all(
            matching.choose((_LOAD_ALL, _LOAD_PEER, _LOAD_RESOURCE)), account=str(account), **values
        )
        return [ArchivedMessage(*row) for row in rows]

    async def count(self, account: JID, matching: Matching, most: int) -> int | None:
        """How many match; None if there are more than `most`, for counting them would take long."""
        row = await self._database.one(
            matching.choose((_COUNT_ALL, _COUNT_PEER, _COUNT_RESOURCE)),
            account=str(account),
            limit=most + 1,
            **matching.values(),
        )
        return None if row is None or row[0] > most else row[0]

    async def has(self, account: JID, numbers: Iterable[int]) -> bool:
        """Whether there are messages of all these numbers."""

        async def work(transaction: Transaction) -> bool:
            for n in numbers:
                if await transaction.one(_HAS, account=str(account), n=n) is None:
                    return False
            return True

        return await self._database.read(work)

    async def pick(self, account: JID, numbers: Iterable[int], matching: Matching) -> Sequence[Found] | None:
        """Those of these numbers that match, in their order; None if one of them does not exist at all."""

        async def work(transaction: Transaction) -> Sequence[Found] | None:
            picked: list[Found] = []
            for n in sorted(set(numbers)):
                row = await transaction.one(_PICK, account=str(account), n=n)
                if row is None:
                    return None
                found = Found(row[0], row[1], row[4])
                if matching.holds(found, JID.parse(row[2]).with_resource(row[3]) if row[3] else JID.parse(row[2])):
                    picked.append(found)
            return picked

        return await self._database.read(work)

    async def each(self, account: JID, numbers: Iterable[int]) -> Sequence[ArchivedMessage]:
        """The messages of these numbers."""

        async def work(transaction: Transaction) -> Sequence[ArchivedMessage]:
            rows = [await transaction.one(_ONE, account=str(account), n=n) for n in numbers]
            return [ArchivedMessage(*row) for row in rows if row is not None]

        return await self._database.read(work)

    async def marked(self, account: JID, mark: int) -> Sequence[tuple[int, bytes]]:
        """Numbers and bytes of the messages with this mark, the newest first, and no more than a few."""
        rows = await self._database.all(_MARKED, account=str(account), mark=mark)
        return [(n, stanza) for n, stanza in rows]

    # -- forgetting

    async def outdated(self, host: str, *, before: int, after: JID | None = None, limit: int = 100) -> Sequence[JID]:
        """A page of the accounts of a host, in order of their addresses, that have messages from before this time."""
        rows = await self._database.all(_OUTDATED, host=host, before=before, after=str(after or ""), limit=limit)
        return [JID.parse(account) for (account,) in rows]

    async def purge(self, account: JID, *, before: int, limit: int) -> int:
        """Remove the oldest messages, those from before this time and at most so many; how many there were."""
        return await self._database.run(_PURGE, account=str(account), before=before, limit=limit)
