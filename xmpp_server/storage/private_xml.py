"""What clients store for themselves (XEP-0049): one element for each name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Column, LargeBinary, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import QuotaExceeded
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

private_xml: Final = Table(
    "private_xml",
    metadata,
    owner(),
    Column("name", Address, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

_is_owner = private_xml.c.account == bindparam("account")
_LOAD: Final = Statement(select(private_xml.c.data).where(_is_owner, private_xml.c.name == bindparam("name")))
_USED: Final = Statement(
    select(func.count(), func.coalesce(func.sum(func.length(private_xml.c.data)), 0)).where(_is_owner)
)
_new = insert(private_xml).values({column.name: bindparam(column.name) for column in private_xml.columns})
_SAVE: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[private_xml.c.account, private_xml.c.name], set_={"data": _new.excluded.data}
    )
)


class PrivateXML:
    """The elements of each account, by name: namespace and local name as `protocol.stanza.qname` joins them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, account: JID, name: str) -> bytes | None:
        """The element as XML that stands where `jabber:client` is the default namespace; None if there is none."""
        row = await self._database.one(_LOAD, account=str(account), name=name)
        return bytes(row[0]) if row is not None else None

    async def save(self, account: JID, elements: Mapping[str, bytes], *, most: int, octets: int) -> None:
        """Put these in the place of those of the same names, all or none. Raises QuotaExceeded if there would be more
        than `most`, or of more than so many octets together; NoSuchAccount."""

        async def work(transaction: Transaction) -> None:
            for name, data in elements.items():
                await transaction.run(_SAVE, account=str(account), name=name, data=data)
            used = await transaction.one(_USED, account=str(account))
            assert used is not None
            if used[0] > most or used[1] > octets:
                raise QuotaExceeded

        await self._database.write(work)
