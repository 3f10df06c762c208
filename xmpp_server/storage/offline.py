"""Messages that wait for an account that is away (XEP-0160)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.counters import next_value
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import QuotaExceeded
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

inbox: Final = Table(
    "inbox",
    metadata,
    owner(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", Address, nullable=False),
    Column("stanza", LargeBinary, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Index("inbox_by_expiry", "expires"),
)

_is_owner = inbox.c.account == bindparam("account")
_COUNT: Final = Statement(select(func.count()).select_from(inbox).where(_is_owner))
_COUNT_TO: Final = Statement(
    select(func.count()).select_from(select(inbox.c.id).where(_is_owner).limit(bindparam("quota")).subquery())
)
_STORE: Final = Statement(insert(inbox).values({column.name: bindparam(column.name) for column in inbox.columns}))
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


@dataclass(frozen=True, slots=True)
class OfflineMessage:
    """A message that waits. `id` counts up for each account, in the order in which the messages were stored."""

    id: int
    sender: JID
    stanza: bytes
    received: int
    expires: int


class Offline:
    """The waiting messages of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, account: JID, sender: JID, stanza: bytes, *, received: int, expires: int, quota: int) -> int:
        """Keep a message; its id. Raises QuotaExceeded if `quota` messages wait already, NoSuchAccount."""

        async def work(transaction: Transaction) -> int:
            row = await transaction.one(_COUNT_TO, account=str(account), quota=quota)
            if row is None or row[0] >= quota:
                raise QuotaExceeded(f"{quota} messages wait for {account}")
            id_ = await next_value(transaction, account, "inbox")
            values: dict[str, Any] = {"account": str(account), "id": id_, "sender": str(sender), "stanza": stanza}
            await transaction.run(_STORE, **values, received=received, expires=expires)
            return id_

        return await self._database.write(work)

    async def load(self, account: JID, *, now: int, after: int = 0, limit: int = 100) -> Sequence[OfflineMessage]:
        """A page of what waits and is not expired, in order, from the one after the id `after`."""
        rows = await self._database.all(_LOAD, account=str(account), now=now, after=after, limit=limit)
        return [
            OfflineMessage(id_, JID.parse(sender), stanza, received, expires)
            for id_, sender, stanza, received, expires in rows
        ]

    async def delete(self, account: JID, ids: Iterable[int]) -> None:
        """Forget these messages; what is gone already is left out."""
        rows = [{"account": str(account), "id": id_} for id_ in ids]

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
