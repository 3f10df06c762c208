"""The tables of publish-subscribe (XEP-0060), and their rows as others see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, LargeBinary, Table, Text, and_, bindparam
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement


def _of_node() -> list[Any]:
    return [
        Column("owner", Address, primary_key=True),
        Column("node", Address, primary_key=True),
        ForeignKeyConstraint(["owner", "node"], ["pubsub_nodes.owner", "pubsub_nodes.node"], ondelete="CASCADE"),
    ]


# `owner` is no foreign key, for it may be a service: who deletes an account deletes its nodes (`storage/accounts.py`).
nodes: Final = Table(
    "pubsub_nodes",
    metadata,
    Column("owner", Address, primary_key=True),
    Column("node", Address, primary_key=True),
    Column("config", LargeBinary, nullable=False),
    Column("last", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
items: Final = Table(
    "pubsub_items",
    metadata,
    *_of_node(),
    Column("item", Address, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("publisher", Address, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("pubsub_items_by_order", "owner", "node", "n"),
)
subscriptions: Final = Table(
    "pubsub_subscriptions",
    metadata,
    *_of_node(),
    Column("jid", Address, primary_key=True),
    Column("subid", Address, primary_key=True),
    Column("state", Text, nullable=False),
    Column("options", LargeBinary, nullable=False),
    Index("pubsub_subscriptions_by_subscriber", "owner", "jid"),
    sqlite_with_rowid=False,
)
affiliations: Final = Table(
    "pubsub_affiliations",
    metadata,
    *_of_node(),
    Column("jid", Address, primary_key=True),
    Column("affiliation", Text, nullable=False),
    Index("pubsub_affiliations_by_affiliate", "owner", "jid", "affiliation"),
    sqlite_with_rowid=False,
)


class Item(msgspec.Struct, frozen=True, gc=False):
    """`payload` is the item's content as bytes, empty if it has none; `n` its place in the order of publication, `at`
    its time in microseconds."""

    id: str
    payload: bytes
    publisher: JID
    at: int = 0
    n: int = 0

    @staticmethod
    def of(id: str, payload: bytes, publisher: str, at: int, n: int) -> Item:
        """From the columns `ITEM`."""
        return Item(id, payload, JID.parse(publisher), at, n)


ITEM: Final = (items.c.item, items.c.payload, items.c.publisher, items.c.at, items.c.n)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An item in a node's table of contents; `octets` is the size of its payload."""

    id: str
    n: int
    at: int
    octets: int


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """`subid` tells the subscription from others of the same address, also from earlier ones; `state` is subscribed or
    pending, none of one that ends; `options` are encoded by those who know them."""

    jid: JID
    subid: str
    state: str = "subscribed"
    options: bytes = b""

    @staticmethod
    def of(jid: str, subid: str, state: str, options: bytes) -> Subscription:
        """From the columns `SUBSCRIPTION`."""
        return Subscription(JID.parse(jid), subid, state, options)

    def ended(self) -> Subscription:
        """The same as it is to be, or was, ended."""
        return replace(self, state="none")


SUBSCRIPTION: Final = tuple(subscriptions.c[name] for name in Subscription.__struct_fields__)


class NodeRow(msgspec.Struct, frozen=True):
    """A node with the relations of whom was asked for: affiliations of bare addresses, and subscriptions of all their
    resources. Owners are always there."""

    config: bytes
    affiliations: dict[JID, str]
    subscriptions: Sequence[Subscription] = ()


def of_node(table: Table) -> Any:
    """The rows of one node."""
    return and_(table.c.owner == bindparam("owner"), table.c.node == bindparam("node"))


def columns(table: Table) -> dict[str, Any]:
    """A parameter for each column."""
    return {column.name: bindparam(column.name) for column in table.columns}


def upsert(table: Table) -> Statement:
    """Put a row in, or in the place of the one with its key."""
    put = insert(table).values(columns(table))
    keys = [column for column in table.columns if column.primary_key]
    rest = {column.name: put.excluded[column.name] for column in table.columns if not column.primary_key}
    return Statement(put.on_conflict_do_update(index_elements=keys, set_=rest))
