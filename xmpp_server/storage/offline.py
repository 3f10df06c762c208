"""The inbox: messages that wait for an account that is away (XEP-0160), or for those whom they went to to have them.

Whoever writes gives the ids, so that a row stands in the order in which its message came, whenever it is written, and
writing it once more changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    Table,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol import ns
from xmpp_server.protocol import retraction as retractions
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Row, Transaction

_CANDIDATES: Final = 8
_COUNTED: Final = 20_000
"""Accounts whose number of waiting messages is remembered."""
_STAYS: Final = frozenset({(ns.DELAY, "delay"), (ns.STANZA_ID, "stanza-id")})
"""What is left of a retracted message beside its tombstone: it bears the same time and id as ever."""
_HAS_MARK: Final = text("mark IS NOT NULL")

inbox: Final = Table(
    "inbox",
    metadata,
    owner(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", Address, nullable=False),
    Column("stanza", LargeBinary, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("mark", BigInteger),
    Index("inbox_by_expiry", "expires"),
    Index("inbox_by_mark", "account", "mark", "id", sqlite_where=_HAS_MARK, postgresql_where=_HAS_MARK),
)

_is_owner = inbox.c.account == bindparam("account")
_COUNT: Final = Statement(select(func.count()).select_from(inbox).where(_is_owner))
_COUNT_TO: Final = Statement(
    select(func.count()).select_from(select(inbox.c.id).where(_is_owner).limit(bindparam("quota")).subquery())
)
_STORE: Final = Statement(
    insert(inbox).values({column.name: bindparam(column.name) for column in inbox.columns}).on_conflict_do_nothing()
)
_LOAD: Final = Statement(
    select(inbox.c.id, inbox.c.sender, inbox.c.stanza, inbox.c.received, inbox.c.expires)
    .where(_is_owner, inbox.c.id > bindparam("after"), inbox.c.expires > bindparam("now"))
    .order_by(inbox.c.id)
    .limit(bindparam("limit"))
)
_DELETE: Final = Statement(delete(inbox).where(_is_owner, inbox.c.id == bindparam("id")))
_PURGE: Final = Statement(
    delete(inbox).where(
        tuple_(inbox.c.account, inbox.c.id).in_(
            select(inbox.c.account, inbox.c.id)
            .where(inbox.c.expires <= bindparam("now"))
            .order_by(inbox.c.expires)
            .limit(bindparam("limit"))
        )
    )
)
_MARKED: Final = Statement(
    select(inbox.c.id, inbox.c.stanza)
    .where(_is_owner, inbox.c.mark == bindparam("mark"), inbox.c.id < bindparam("before"), _HAS_MARK)
    .order_by(inbox.c.id.desc())
    .limit(_CANDIDATES)
)
_ENTOMB: Final = Statement(
    update(inbox).where(_is_owner, inbox.c.id == bindparam("id")).values(mark=None, stanza=bindparam("stanza"))
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be kept. `id` goes up with each of an account; `received` and `expires` are in microseconds; with
    `quota` messages of the account in the inbox already it is refused (None: never). `mark` is what a later retraction
    finds it by; `retraction` is the message itself if it retracts another one, which becomes a tombstone."""

    account: JID
    id: int
    sender: JID
    stanza: bytes
    received: int
    expires: int
    quota: int | None = None
    mark: int | None = None
    retraction: Stanza | None = None


@dataclass(frozen=True, slots=True)
class OfflineMessage:
    """A message that waits: in the order of the ids."""

    id: int
    sender: JID
    stanza: bytes
    received: int
    expires: int


class _Counts:
    """How many messages wait for each account, in one transaction: counted, up to `most`, only where that is not known,
    or where so many are known to have waited that the next one may be too much."""

    def __init__(self, transaction: Transaction, known: Mapping[JID, int | None], most: int) -> None:
        self._transaction = transaction
        self._counts = {account: count for account, count in known.items() if count is not None}
        self._most = most
        self._exact: set[JID] = set()
        self._added: Counter[JID] = Counter()

    async def is_full(self, account: JID, quota: int) -> bool:
        count = self._counts.get(account)
        if (count is None or count >= quota) and account not in self._exact:
            row = await self._transaction.one(_COUNT_TO, account=str(account), quota=self._most)
            count = self._counts[account] = (row[0] if row is not None else 0) + self._added[account]
            self._exact.add(account)
        return count is not None and count >= quota

    def add(self, account: JID) -> None:
        self._added[account] += 1
        if account in self._counts:
            self._counts[account] += 1

    def known(self) -> dict[JID, int]:
        """What may be relied on later: not where counting ended at `most`."""
        return {
            account: count
            for account, count in self._counts.items()
            if account not in self._exact or count < self._most
        }


class Offline:
    """The waiting messages of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[JID, int] = {}
        """How many messages wait for the accounts that were counted last: so many, or fewer."""

    async def keep(self, messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
        """Keep all of them in one transaction; account and id of those that were refused for their quota. Raises
        NoSuchAccount, and then keeps none."""
        known = {message.account: self._counted.pop(message.account, None) for message in messages}

        async def work(transaction: Transaction) -> tuple[set[tuple[JID, int]], dict[JID, int]]:
            counts = _Counts(transaction, known, max((message.quota or 0 for message in messages), default=0))
            refused: set[tuple[JID, int]] = set()
            rows: list[Row] = []
            for message in messages:
                account = message.account
                if message.quota is not None and await counts.is_full(account, message.quota):
                    refused.add((account, message.id))
                    continue
                counts.add(account)
                rows.append(
                    (
                        str(account),
                        message.id,
                        str(message.sender),
                        message.stanza,
                        message.received,
                        message.expires,
                        message.mark,
                    )
                )
            await transaction.insert(_STORE, rows)
            for message in messages:
                if message.retraction is not None and (message.account, message.id) not in refused:
                    await _retract(transaction, message, message.retraction)
            return refused, counts.known()

        refused, counted = await self._database.write(work)
        self._counted.update(counted)
        while len(self._counted) > _COUNTED:
            del self._counted[next(iter(self._counted))]
        return refused

    async def load(self, account: JID, *, now: int, after: int = 0, limit: int = 100) -> Sequence[OfflineMessage]:
        """A page of what waits and is not expired, in order, from the one after the id `after`."""
        rows = await self._database.all(_LOAD, account=str(account), now=now, after=after, limit=limit)
        return [
            OfflineMessage(id_, JID.parse(sender), stanza, received, expires)
            for id_, sender, stanza, received, expires in rows
        ]

    async def former(self, wanted: Sequence[tuple[JID, int]], *, before: int) -> Sequence[Sequence[tuple[int, bytes]]]:
        """For each account and mark: id and stanza of the messages of this mark with an id below `before`. Whoever asks
        looks closer."""

        async def work(transaction: Transaction) -> list[Sequence[tuple[int, bytes]]]:
            return [
                [
                    (id_, stanza)
                    for id_, stanza in await transaction.all(_MARKED, account=str(account), mark=mark, before=before)
                ]
                for account, mark in wanted
            ]

        return await self._database.read(work)

    async def delete(self, messages: Iterable[tuple[JID, int]]) -> None:
        """Forget these messages, given by account and id; what is gone already is left out."""
        rows = [{"account": str(account), "id": id_} for account, id_ in messages]

        async def work(transaction: Transaction) -> None:
            await transaction.many(_DELETE, rows)

        await self._database.write(work)

    async def count(self, account: JID) -> int:
        """How many messages wait."""
        row = await self._database.one(_COUNT, account=str(account))
        return row[0] if row else 0

    async def purge(self, *, now: int, limit: int = 1000) -> int:
        """Remove what has expired, of all accounts and at most so many; how many there were."""
        return await self._database.run(_PURGE, now=now, limit=limit)


async def _retract(transaction: Transaction, message: Message, retraction: Stanza) -> None:
    """XEP-0424 §4 also for what still waits; of several with the same id the newest."""
    assert retraction.sender is not None
    mark = retractions.mark(retraction.sender, retractions.retracted_id(retraction))
    for id_, original in await transaction.all(_MARKED, account=str(message.account), mark=mark, before=message.id):
        tombstone = retractions.tombstone(original, retraction, message.received, _STAYS)
        if tombstone is not None:
            await transaction.run(_ENTOMB, account=str(message.account), id=id_, stanza=tombstone)
            return
