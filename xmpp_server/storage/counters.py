"""Counters of an account, such as the version of its roster: from 1, without gaps, in the order of the commits."""

from __future__ import annotations

from typing import Final, Literal

from sqlalchemy import BigInteger, Column, Table, Text, bindparam
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.schema import metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

counters: Final = Table(
    "counters",
    metadata,
    owner(),
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

Counter = Literal["report", "roster", "roster forgotten"]

_new = insert(counters).values(account=bindparam("account"), name=bindparam("name"), value=bindparam("value"))
_NEXT: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[counters.c.account, counters.c.name], set_={"value": counters.c.value + 1}
    ).returning(counters.c.value)
)
_SET: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[counters.c.account, counters.c.name], set_={"value": _new.excluded.value}
    )
)


async def next_value(transaction: Transaction, account: JID, name: Counter) -> int:
    """Count one more; raises NoSuchAccount."""
    row = await transaction.one(_NEXT, account=str(account), name=name, value=1)
    assert row is not None
    value: int = row[0]
    return value


async def set_value(transaction: Transaction, account: JID, name: Counter, value: int) -> None:
    """Set the counter; raises NoSuchAccount."""
    await transaction.run(_SET, account=str(account), name=name, value=value)
