"""Which nodes of publish-subscribe are in which collections (XEP-0248)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Column, ForeignKeyConstraint, Index, Table, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.pubsub_tables import columns
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

links: Final = Table(
    "pubsub_links",
    metadata,
    Column("owner", Address, primary_key=True),
    Column("node", Address, primary_key=True),
    Column("collection", Address, primary_key=True),
    ForeignKeyConstraint(["owner", "node"], ["pubsub_nodes.owner", "pubsub_nodes.node"], ondelete="CASCADE"),
    ForeignKeyConstraint(["owner", "collection"], ["pubsub_nodes.owner", "pubsub_nodes.node"], ondelete="CASCADE"),
    Index("pubsub_links_by_collection", "owner", "collection"),
    sqlite_with_rowid=False,
)

_LIST: Final = Statement(select(links.c.collection, links.c.node).where(links.c.owner == bindparam("owner")))
_ADD: Final = Statement(insert(links).values(columns(links)).on_conflict_do_nothing())
_REMOVE: Final = Statement(
    delete(links).where(
        links.c.owner == bindparam("owner"),
        links.c.node == bindparam("node"),
        links.c.collection == bindparam("collection"),
    )
)

Link = tuple[str, str]
"""The names of a collection and of a node in it."""


class Links(msgspec.Struct, frozen=True):
    """What comes into collections, and what leaves them."""

    added: tuple[Link, ...] = ()
    removed: tuple[Link, ...] = ()


NO_LINKS: Final = Links()


class NodeLinks:
    """The collections of all owners; `PubSub` has them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def links(self, owner: JID) -> Sequence[Link]:
        """All that is in collections of the owner, read in the order of the writes: after a change whose caller was
        cancelled while it was being committed."""

        async def work(transaction: Transaction) -> Sequence[Link]:
            return [(collection, node) for collection, node in await transaction.all(_LIST, owner=str(owner))]

        return await self._database.write(work)

    async def link(self, owner: JID, changes: Links) -> None:
        """Change what is in collections. The nodes exist: see `change_links`."""

        async def work(transaction: Transaction) -> None:
            await change_links(transaction, owner, changes)

        await self._database.write(work)


async def change_links(transaction: Transaction, owner: JID, changes: Links) -> None:
    """Change what is in collections. That the nodes are there and no cycle comes of it is seen to by the caller, who
    lets no other do the same meanwhile."""
    for collection, node in changes.removed:
        await transaction.run(_REMOVE, owner=str(owner), collection=collection, node=node)
    for collection, node in changes.added:
        await transaction.run(_ADD, owner=str(owner), collection=collection, node=node)
