"""What clients can do, by the hash that they advertise (XEP-0115): verified before it comes here.

A hash stands for the same for all users of a host, and the first of them who advertises it is asked for all.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

capabilities: Final = Table(
    "capabilities",
    metadata,
    Column("host", Address, primary_key=True),
    Column("hash", Address, primary_key=True),
    Column("ver", Address, primary_key=True),
    Column("info", LargeBinary, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Index("capabilities_by_time", "host", "seen"),
)

DAY: Final = 86_400_000_000
"""Microseconds after which it is noted that a hash is still in use."""

_is_of = capabilities.c.host == bindparam("of_host")
_is_it = _is_of & (capabilities.c.hash == bindparam("of_hash")) & (capabilities.c.ver == bindparam("of_ver"))
_LOAD: Final = Statement(select(capabilities.c.info, capabilities.c.seen).where(_is_it))
_TOUCH: Final = Statement(update(capabilities).where(_is_it).values(seen=bindparam("now")))
_new = insert(capabilities).values({column.name: bindparam(column.name) for column in capabilities.columns})
_SAVE: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[capabilities.c.host, capabilities.c.hash, capabilities.c.ver],
        set_={"info": _new.excluded.info, "seen": _new.excluded.seen},
    )
)
_oldest = (
    select(capabilities.c.seen)
    .where(_is_of)
    .order_by(capabilities.c.seen.desc())
    .limit(1)
    .offset(bindparam("most"))
    .scalar_subquery()
)
_FORGET: Final = Statement(delete(capabilities).where(_is_of, capabilities.c.seen <= _oldest))


class Capabilities:
    """Answers to disco#info by hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, host: JID, caps: Caps, now: int) -> bytes | None:
        """The `<query/>` that the hash stands for; None if it is not known. `now` is the time in microseconds."""
        row = await self._database.one(_LOAD, of_host=str(host), of_hash=caps.hash, of_ver=caps.ver)
        if row is None:
            return None
        if now - row[1] > DAY:
            await self._database.run(_TOUCH, of_host=str(host), of_hash=caps.hash, of_ver=caps.ver, now=now)
        return bytes(row[0])

    async def save(self, host: JID, caps: Caps, info: bytes, now: int, *, most: int) -> None:
        """Keep what the hash stands for, and of the host's only the `most` that were seen last."""

        async def work(transaction: Transaction) -> None:
            await transaction.run(_SAVE, host=str(host), hash=caps.hash, ver=caps.ver, info=info, seen=now)
            await transaction.run(_FORGET, of_host=str(host), most=most)

        await self._database.write(work)
