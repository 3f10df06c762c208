"""Message archives (XEP-0313).

The messages of an archive are numbered upwards in the order in which they were added. A number is never below the
clock of that moment in microseconds, so that a time is found by the primary key; when the clock was turned back it only
counts up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from xmpp_server.storage.archive_writer import Commit, Writer
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

LAST: Final = 2**63 - 1
_SKEW: Final = 3600_000_000
"""A number is looked for this far above a time, in microseconds: the clock may have been turned back by so much."""
_CANDIDATES: Final = 8
SENT_AGAIN: Final = 3 * 86_400_000_000
"""Microseconds after which nobody sends a message again: one that is the same is another, of who counts anew."""

_WITH_RESOURCE: Final = text("resource <> ''")


def log_table(name: str, owner_column: Column[Any]) -> Table:
    """The table of a kind of archives, whose rows belong to what this column names."""
    return Table(
        name,
        metadata,
        owner_column,
        Column("n", BigInteger, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        Column("peer", Address, nullable=False),
        Column("resource", Address, nullable=False),
        Column("mark", BigInteger),
        Column("stanza", LargeBinary, nullable=False),
        Index(f"{name}_by_peer", owner_column.name, "peer", "n"),
        Index(
            f"{name}_by_resource",
            owner_column.name,
            "peer",
            "resource",
            "n",
            sqlite_where=_WITH_RESOURCE,
            postgresql_where=_WITH_RESOURCE,
        ),
        Index(f"{name}_by_mark", owner_column.name, "mark", "n"),
    )


class Statements:
    """All that is asked of one table of archives; `of` is its owner's column in the table of owners, and `host` that
    of the owner's domain there. In each triple: for everybody, for one peer, for one of its resources."""

    def __init__(self, table: Table, of: Column[Any], host: Column[Any]) -> None:
        self._table = table
        self._columns = columns = table.c
        self._owner = owner = next(iter(table.columns))
        self._is_owner = is_owner = owner == bindparam("account")
        kinds: tuple[tuple[str, ...], ...] = ((), ("peer",), ("peer", "resource"))
        forward, back, load, count = (
            tuple(make(*names) for names in kinds) for make in (self._page, self._back, self._load, self._count)
        )
        self.page, self.back, self.load, self.count = forward, back, load, count
        is_message = columns.n == bindparam("n")
        self.add = Statement(
            insert(table)
            .values({each.name: bindparam("account" if each is owner else each.name) for each in table.columns})
            .on_conflict_do_nothing()
        )
        self.entomb = Statement(update(table).where(is_owner, is_message).values(stanza=bindparam("stanza")))
        self.has = Statement(select(columns.n).where(is_owner, is_message))
        size = func.length(columns.stanza)
        self.pick = Statement(
            select(columns.n, columns.at, columns.peer, columns.resource, size).where(is_owner, is_message)
        )
        self.one = Statement(select(columns.n, columns.at, columns.stanza).where(is_owner, is_message))
        ends = select(columns.n, columns.at).where(is_owner).limit(1)
        self.first = Statement(ends.order_by(columns.n))
        self.newest = Statement(ends.order_by(columns.n.desc()))
        self.marked = Statement(
            select(columns.n, columns.stanza)
            .where(
                is_owner,
                tuple_(columns.mark, columns.n)
                > tuple_(bindparam("mark", type_=BigInteger), literal_column("-1", BigInteger)),
                columns.mark <= bindparam("mark"),
            )
            .order_by(columns.mark.desc(), columns.n.desc())
            .limit(_CANDIDATES)
        )
        self.outdated = Statement(
            select(of)
            .where(
                host == bindparam("host"),
                of > bindparam("after"),
                select(columns.n).where(owner == of, columns.n < bindparam("before")).exists(),
            )
            .order_by(of)
            .limit(bindparam("limit"))
        )
        oldest = (
            select(columns.n)
            .where(is_owner, columns.n < bindparam("before"))
            .order_by(columns.n)
            .limit(bindparam("limit"))
        )
        self.purge = Statement(delete(table).where(is_owner, columns.n.in_(oldest)))

    def _matching(self, *names: str) -> list[ColumnElement[bool]]:
        """A conversation is found by its index, between a lower and an upper bound, both left out.

        As rows, for so the planner of PostgreSQL cannot hope for the messages of a rare peer among all others.
        """
        columns = self._columns
        key: Any = tuple_(*(columns[name] for name in (*names, "n")))
        low, high = (
            tuple_(*(bindparam(name, type_=Text) for name in names), bindparam(bound, type_=BigInteger))
            for bound in ("low", "high")
        )
        conditions = [
            self._is_owner,
            key > low,
            key < high,
            columns.at.between(bindparam("start"), bindparam("end")),
        ]
        return [*conditions, _WITH_RESOURCE] if "resource" in names else conditions  # type: ignore[list-item]

    def _page(self, *names: str, backwards: bool = False) -> Statement:
        columns = self._columns
        order = [columns[name] for name in (*names, "n")]
        return Statement(
            select(columns.n, columns.at, func.length(columns.stanza))
            .where(*self._matching(*names))
            .order_by(*(column.desc() if backwards else column for column in order))
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )

    def _back(self, *names: str) -> Statement:
        return self._page(*names, backwards=True)

    def _load(self, *names: str) -> Statement:
        columns = self._columns
        order = [columns[name] for name in (*names, "n")]
        return Statement(select(columns.n, columns.at, columns.stanza).where(*self._matching(*names)).order_by(*order))

    def _count(self, *names: str) -> Statement:
        matching: Select[Any] = select(self._columns.n).where(*self._matching(*names)).limit(bindparam("limit"))
        return Statement(select(func.count()).select_from(matching.subquery()))


archive: Final = log_table("archive", owner())
_OF_ACCOUNTS: Final = Statements(archive, accounts.c.account, accounts.c.host)


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

    def choose(self, statements: tuple[Statement, ...]) -> Statement:
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


class Archive:
    """The archives of all accounts, or of all of another kind of owners (called accounts here)."""

    def __init__(self, database: Database, statements: Statements = _OF_ACCOUNTS) -> None:
        self._database = database
        self._statements = statements
        self._writer = Writer(database, statements.add, statements.entomb)
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
    ) -> Commit:
        """Add a message to the archive with others that come at the same time; they are committed in the order of the
        calls, and waited for as long as the database is away. `mark` is what it can be found by, see `marked`;
        `entombed` are the numbers of messages that are replaced by other bytes with it.

        Raises Unavailable if too much waits for the database.
        """
        return self._writer.add((str(account), n, at, str(peer.bare), peer.resource, mark, stanza), entombed)

    async def settled(self) -> None:
        """Return when all that was added so far is committed. This is no wait at a gate, for whoever waits here has no
        place in the order yet: others must not go by."""
        if (latest := self._writer.latest) is not None:
            await asyncio.shield(latest)

    # -- looking

    async def last(self, account: JID) -> int:
        """The highest number; 0 if there is no message."""
        row = await self._database.one(self._statements.newest, account=str(account))
        return row[0] if row else 0

    async def ends(self, account: JID) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Number and time of the first and of the last message; None if there is none."""

        async def work(transaction: Transaction) -> tuple[tuple[int, int], tuple[int, int]] | None:
            first = await transaction.one(self._statements.first, account=str(account))
            last = await transaction.one(self._statements.newest, account=str(account))
            return None if first is None or last is None else ((first[0], first[1]), (last[0], last[1]))

        return await self._database.read(work)

    async def page(
        self, account: JID, matching: Matching, *, limit: int, backwards: bool = False, offset: int = 0
    ) -> Sequence[Found]:
        """The first messages that match, or the last ones, after `offset` of them; always in their order."""
        pages = self._statements.back if backwards else self._statements.page
        rows = await self._database.all(
            matching.choose(pages), account=str(account), limit=limit, offset=offset, **matching.values()
        )
        found = [Found(*row) for row in rows]
        return found[::-1] if backwards else found

    async def load(self, account: JID, matching: Matching, first: int, last: int) -> Sequence[ArchivedMessage]:
        """Those that match, from one number to another."""
        values = {**matching.values(), "low": first - 1, "high": last + 1}
        rows = await self._database.all(matching.choose(self._statements.load), account=str(account), **values)
        return [ArchivedMessage(*row) for row in rows]

    async def count(self, account: JID, matching: Matching, most: int) -> int | None:
        """How many match; None if there are more than `most`, for counting them would take long."""
        row = await self._database.one(
            matching.choose(self._statements.count),
            account=str(account),
            limit=most + 1,
            **matching.values(),
        )
        return None if row is None or row[0] > most else row[0]

    async def has(self, account: JID, numbers: Iterable[int]) -> bool:
        """Whether there are messages of all these numbers."""

        async def work(transaction: Transaction) -> bool:
            for n in numbers:
                if await transaction.one(self._statements.has, account=str(account), n=n) is None:
                    return False
            return True

        return await self._database.read(work)

    async def pick(self, account: JID, numbers: Iterable[int], matching: Matching) -> Sequence[Found] | None:
        """Those of these numbers that match, in their order; None if one of them does not exist at all."""

        async def work(transaction: Transaction) -> Sequence[Found] | None:
            picked: list[Found] = []
            for n in sorted(set(numbers)):
                row = await transaction.one(self._statements.pick, account=str(account), n=n)
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
            rows = [await transaction.one(self._statements.one, account=str(account), n=n) for n in numbers]
            return [ArchivedMessage(*row) for row in rows if row is not None]

        return await self._database.read(work)

    async def marked(self, account: JID, mark: int) -> Sequence[tuple[int, bytes]]:
        """Numbers and bytes of the messages with this mark, the newest first, and no more than a few."""
        rows = await self._database.all(self._statements.marked, account=str(account), mark=mark)
        return [(n, stanza) for n, stanza in rows]

    # -- forgetting

    async def outdated(self, host: str, *, before: int, after: JID | None = None, limit: int = 100) -> Sequence[JID]:
        """A page of the accounts of a host, in order of their addresses, that have messages from before this time."""
        rows = await self._database.all(
            self._statements.outdated, host=host, before=before, after=str(after or ""), limit=limit
        )
        return [JID.parse(account) for (account,) in rows]

    async def purge(self, account: JID, *, before: int, limit: int) -> int:
        """Remove the oldest messages, those from before this time and at most so many; how many there were."""
        return await self._database.run(self._statements.purge, account=str(account), before=before, limit=limit)
