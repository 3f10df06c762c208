"""Blocklists (XEP-0191)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Column, Table, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

blocks: Final = Table(
    "blocks",
    metadata,
    owner(),
    Column("jid", Address, primary_key=True),
    sqlite_with_rowid=False,
)

_is_owner = blocks.c.account == bindparam("account")
_LOAD: Final = Statement(select(blocks.c.jid).where(_is_owner))
_ADD: Final = Statement(
    insert(blocks).values(account=bindparam("account"), jid=bindparam("jid")).on_conflict_do_nothing()
)
_REMOVE: Final = Statement(delete(blocks).where(_is_owner, blocks.c.jid == bindparam("jid")))
_CLEAR: Final = Statement(delete(blocks).where(_is_owner))


class Blocking:
    """Whom each account has blocked: accounts, resources, whole domains."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, account: JID) -> frozenset[JID]:
        """All blocked addresses."""
        return frozenset([JID.parse(jid) for (jid,) in await self._database.all(_LOAD, account=str(account))])

    async def add(self, account: JID, jids: Iterable[JID]) -> None:
        """Block these, some of which may be blocked already; raises NoSuchAccount."""
        await self._each(_ADD, account, jids)

    async def remove(self, account: JID, jids: Iterable[JID]) -> None:
        """Unblock these, some of which may not be blocked."""
        await self._each(_REMOVE, account, jids)

    async def clear(self, account: JID) -> None:
        """Unblock all."""
        await self._database.run(_CLEAR, account=str(account))

    async def _each(self, statement: Statement, account: JID, jids: Iterable[JID]) -> None:
        rows = [{"account": str(account), "jid": str(jid)} for jid in jids]

        async def work(transaction: Transaction) -> None:
            await transaction.many(statement, rows)

        await self._database.write(work)
