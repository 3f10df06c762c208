"""Nodes, items, subscriptions and affiliations of publish-subscribe (XEP-0060), led by the account or the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.blocking import blocks
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.roster import roster
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

INTERESTS: Final = 32
"""Nodes that one query for last items names."""


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
    Column("subid", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("options", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
affiliations: Final = Table(
    "pubsub_affiliations",
    metadata,
    *_of_node(),
    Column("jid", Address, primary_key=True),
    Column("affiliation", Text, nullable=False),
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


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """`state` is subscribed or pending; `options` are encoded by those who know them."""

    jid: JID
    subid: str
    state: str = "subscribed"
    options: bytes = b""


class NodeRow(msgspec.Struct, frozen=True):
    """A node with all who have a relation to it."""

    config: bytes
    affiliations: dict[JID, str]
    subscriptions: dict[JID, Subscription]


class LastItem(msgspec.Struct, frozen=True):
    """The last item of a node of somebody whose presence is seen. `groups` is where the owner's roster has the viewer,
    `affiliation` what the node gives it."""

    owner: JID
    node: str
    config: bytes
    item: Item
    affiliation: str
    groups: tuple[str, ...]


def _is(table: Table) -> Any:
    return and_(table.c.owner == bindparam("owner"), table.c.node == bindparam("node"))


def _all(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name) for column in table.columns}


def _upsert(table: Table) -> Statement:
    put = insert(table).values(_all(table))
    keys = [column for column in table.columns if column.primary_key]
    rest = {column.name: put.excluded[column.name] for column in table.columns if not column.primary_key}
    return Statement(put.on_conflict_do_update(index_elements=keys, set_=rest))


_ACCOUNT: Final = Statement(select(accounts.c.account).where(accounts.c.account == bindparam("owner")))
_CREATE: Final = Statement(insert(nodes).values(_all(nodes)).on_conflict_do_nothing())
_CONFIG: Final = Statement(select(nodes.c.config).where(_is(nodes)))
_LOCK: Final = Statement(
    update(nodes)
    .values(last=nodes.c.last + bindparam("count"))
    .where(_is(nodes))
    .returning(nodes.c.last, nodes.c.config)
)
_CONFIGURE: Final = Statement(update(nodes).values(config=bindparam("value")).where(_is(nodes)))
_DELETE: Final = Statement(delete(nodes).where(_is(nodes)))
_LIST: Final = Statement(
    select(nodes.c.node, nodes.c.config).where(nodes.c.owner == bindparam("owner")).order_by(nodes.c.node)
)
_COUNT: Final = Statement(select(func.count()).select_from(nodes).where(nodes.c.owner == bindparam("owner")))
_item = (items.c.item, items.c.payload, items.c.publisher, items.c.at, items.c.n)
_PUT_ITEM: Final = _upsert(items)
_ITEMS: Final = Statement(select(*_item).where(_is(items)).order_by(items.c.n.desc()).limit(bindparam("limit")))
_ITEM: Final = Statement(select(*_item).where(_is(items), items.c.item == bindparam("item")))
_RETRACT: Final = Statement(delete(items).where(_is(items), items.c.item == bindparam("item")))
_PURGE: Final = Statement(delete(items).where(_is(items)))
_BEYOND: Final = Statement(
    select(items.c.n).where(_is(items)).order_by(items.c.n.desc()).limit(1).offset(bindparam("kept"))
)
_TRIM: Final = Statement(delete(items).where(_is(items), items.c.n <= bindparam("n")))
_SUBSCRIPTIONS: Final = Statement(
    select(subscriptions.c.jid, subscriptions.c.subid, subscriptions.c.state, subscriptions.c.options).where(
        _is(subscriptions)
    )
)
_SUBSCRIBE: Final = _upsert(subscriptions)
_UNSUBSCRIBE: Final = Statement(
    delete(subscriptions).where(_is(subscriptions), subscriptions.c.jid == bindparam("jid"))
)
_AFFILIATIONS: Final = Statement(select(affiliations.c.jid, affiliations.c.affiliation).where(_is(affiliations)))
_AFFILIATE: Final = _upsert(affiliations)
_UNAFFILIATE: Final = Statement(delete(affiliations).where(_is(affiliations), affiliations.c.jid == bindparam("jid")))
_OF_ALL: Final = Statement(
    select(
        subscriptions.c.node,
        subscriptions.c.jid,
        subscriptions.c.subid,
        subscriptions.c.state,
        subscriptions.c.options,
    ).where(subscriptions.c.owner == bindparam("owner"))
)
_AFFILIATED: Final = Statement(
    select(affiliations.c.node, affiliations.c.affiliation).where(
        affiliations.c.owner == bindparam("owner"), affiliations.c.jid == bindparam("jid")
    )
)
_newest = select(func.max(items.c.n)).where(items.c.owner == nodes.c.owner, items.c.node == nodes.c.node)
_is_newest = and_(
    items.c.owner == nodes.c.owner,
    items.c.node == nodes.c.node,
    items.c.n == _newest.correlate(nodes).scalar_subquery(),
)
_wanted = nodes.c.node.in_([bindparam(f"node{i}") for i in range(INTERESTS)])
_OWN_LAST: Final = Statement(
    select(nodes.c.owner, nodes.c.node, nodes.c.config, *_item)
    .select_from(nodes.join(items, _is_newest))
    .where(nodes.c.owner == bindparam("viewer"), _wanted)
)
_is_blocked = exists().where(
    blocks.c.account == roster.c.account,
    blocks.c.jid.in_([bindparam("viewer"), bindparam("domain"), bindparam("full")]),
)
_LAST: Final = Statement(
    select(nodes.c.owner, nodes.c.node, nodes.c.config, *_item, affiliations.c.affiliation, roster.c.groups)
    .select_from(
        roster.join(nodes, nodes.c.owner == roster.c.account)
        .join(items, _is_newest)
        .outerjoin(
            affiliations,
            and_(
                affiliations.c.owner == nodes.c.owner,
                affiliations.c.node == nodes.c.node,
                affiliations.c.jid == bindparam("viewer"),
            ),
        )
    )
    .where(
        roster.c.jid == bindparam("viewer"),
        or_(roster.c.subscription == "from", roster.c.subscription == "both"),
        _wanted,
        ~_is_blocked,
    )
)


class NodeExists(Exception):  # noqa: N818
    """There is a node of this name."""


class NoSuchNode(Exception):  # noqa: N818
    """There is no node of this name."""


class TooManyNodes(Exception):  # noqa: N818
    """The owner has as many nodes as it may."""


class PubSub:
    """All nodes. Every change is one transaction, which sees the node as no other writer changes it meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def node(self, owner: JID, node: str) -> NodeRow | None:
        """A node with its affiliations and subscriptions; None if there is none."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> NodeRow | None:
            return await _load(transaction, place)

        return await self._database.read(work)

    async def nodes(self, owner: JID) -> Sequence[tuple[str, bytes]]:
        """Names and configurations of the owner's nodes, by name."""
        return [(name, config) for name, config in await self._database.all(_LIST, owner=str(owner))]

    async def create(self, owner: JID, node: str, config: bytes, creator: JID, *, most: int) -> None:
        """Make a node. Raises NodeExists, TooManyNodes, NoSuchAccount."""

        async def work(transaction: Transaction) -> None:
            await _create(transaction, owner, node, config, creator, most)

        await self._database.write(work)

    async def publish(
        self, owner: JID, node: str, new: Sequence[Item], *, keep: int, create: tuple[bytes, JID, int] | None = None
    ) -> NodeRow:
        """Put the items in, in their order, and let the oldest go beyond `keep` (0: none is stored); the node after it.

        `create`: the configuration, creator and most nodes of the owner, if the node is to be made where there is none.
        Raises NoSuchNode without it, else what `create` raises less NodeExists.
        """
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> NodeRow:
            row = await transaction.one(_LOCK, **place, count=len(new))
            if row is None:
                if create is None:
                    raise NoSuchNode(node)
                await _create(transaction, owner, node, *create)
                row = await transaction.one(_LOCK, **place, count=len(new))
                assert row is not None
            if keep:
                first = row[0] - len(new) + 1
                for number, item in enumerate(new, first):
                    values = {"item": item.id, "payload": item.payload, "publisher": str(item.publisher)}
                    await transaction.run(_PUT_ITEM, **place, **values, at=item.at, n=number)
                if (beyond := await transaction.one(_BEYOND, **place, kept=keep)) is not None:
                    await transaction.run(_TRIM, **place, n=beyond[0])
            loaded = await _load(transaction, place)
            assert loaded is not None
            return loaded

        return await self._database.write(work)

    async def configure(self, owner: JID, node: str, config: bytes, *, keep: int) -> None:
        """Another configuration; the oldest items beyond `keep` go. Raises NoSuchNode."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> None:
            if not await transaction.run(_CONFIGURE, **place, value=config):
                raise NoSuchNode(node)
            if (beyond := await transaction.one(_BEYOND, **place, kept=keep)) is not None:
                await transaction.run(_TRIM, **place, n=beyond[0])

        await self._database.write(work)

    async def delete(self, owner: JID, node: str) -> bool:
        """Remove a node with all that hangs on it; False if there was none."""
        return await self._database.run(_DELETE, owner=str(owner), node=node) > 0

    async def items(self, owner: JID, node: str, limit: int) -> Sequence[Item]:
        """The newest items, the newest first."""
        return [_item_of(row) for row in await self._database.all(_ITEMS, owner=str(owner), node=node, limit=limit)]

    async def item(self, owner: JID, node: str, id: str) -> Item | None:
        """One item by its id."""
        row = await self._database.one(_ITEM, owner=str(owner), node=node, item=id)
        return _item_of(row) if row is not None else None

    async def retract(self, owner: JID, node: str, ids: Sequence[str]) -> Sequence[str]:
        """Remove these items; those that were there."""

        async def work(transaction: Transaction) -> Sequence[str]:
            return [i for i in ids if await transaction.run(_RETRACT, owner=str(owner), node=node, item=i)]

        return await self._database.write(work)

    async def purge(self, owner: JID, node: str) -> None:
        """Remove all items."""
        await self._database.run(_PURGE, owner=str(owner), node=node)

    async def subscribe(self, owner: JID, node: str, subscription: Subscription, *, most: int) -> bool:
        """Add or change a subscription; False if the node has as many as it may, or is gone."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> bool:
            if await transaction.one(_LOCK, **place, count=0) is None:
                return False
            there = {row[0] for row in await transaction.all(_SUBSCRIPTIONS, **place)}
            if str(subscription.jid) not in there and len(there) >= most:
                return False
            await transaction.run(
                _SUBSCRIBE,
                **place,
                jid=str(subscription.jid),
                subid=subscription.subid,
                state=subscription.state,
                options=subscription.options,
            )
            return True

        return await self._database.write(work)

    async def unsubscribe(self, owner: JID, node: str, jid: JID) -> bool:
        """Remove a subscription; False if there was none."""
        return await self._database.run(_UNSUBSCRIBE, owner=str(owner), node=node, jid=str(jid)) > 0

    async def affiliate(self, owner: JID, node: str, changes: dict[JID, str]) -> bool:
        """Set affiliations, `none` removes one; False, and nothing is changed, if the node is gone or would have no
        owner."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> bool:
            if await transaction.one(_LOCK, **place, count=0) is None:
                return False
            after = dict(await transaction.all(_AFFILIATIONS, **place))  # type: ignore[arg-type]
            after.update({str(jid): affiliation for jid, affiliation in changes.items()})
            if "owner" not in after.values():
                return False
            for jid, affiliation in changes.items():
                if affiliation == "none":
                    await transaction.run(_UNAFFILIATE, **place, jid=str(jid))
                else:
                    await transaction.run(_AFFILIATE, **place, jid=str(jid), affiliation=affiliation)
            return True

        return await self._database.write(work)

    async def subscriptions(self, owner: JID) -> Sequence[tuple[str, Subscription]]:
        """All subscriptions at all nodes of the owner."""
        rows = await self._database.all(_OF_ALL, owner=str(owner))
        return [(row[0], _subscription_of(row[1:])) for row in rows]

    async def affiliations(self, owner: JID, jid: JID) -> Sequence[tuple[str, str]]:
        """Node and affiliation, for an address at all nodes of the owner."""
        rows = await self._database.all(_AFFILIATED, owner=str(owner), jid=str(jid))
        return [(node, affiliation) for node, affiliation in rows]

    async def last_items(self, viewer: JID, interests: Sequence[str]) -> Sequence[LastItem]:
        """The last item of each of these nodes of the viewer's own account and of everybody whose presence it may see:
        two queries for each 32 nodes, however many contacts there are."""
        found: list[LastItem] = []
        for start in range(0, len(interests), INTERESTS):
            some = interests[start : start + INTERESTS]
            names = {f"node{i}": some[min(i, len(some) - 1)] for i in range(INTERESTS)}
            bare = str(viewer.bare)

            async def work(transaction: Transaction, names: dict[str, str] = names, bare: str = bare) -> list[LastItem]:
                own = await transaction.all(_OWN_LAST, viewer=bare, **names)
                others = await transaction.all(_LAST, viewer=bare, domain=viewer.domain, full=str(viewer), **names)
                return [_last_of([*row, "owner", ""]) for row in own] + [_last_of(row) for row in others]

            found += await self._database.read(work)
        return found


async def _create(transaction: Transaction, owner: JID, node: str, config: bytes, creator: JID, most: int) -> None:
    if owner.localpart and await transaction.one(_ACCOUNT, owner=str(owner)) is None:
        raise NoSuchAccount(f"{owner} does not exist")
    count = await transaction.one(_COUNT, owner=str(owner))
    place = {"owner": str(owner), "node": node}
    if count is not None and count[0] >= most and await transaction.one(_CONFIG, **place) is None:
        raise TooManyNodes(node)
    if not await transaction.run(_CREATE, **place, config=config, last=0):
        raise NodeExists(node)
    await transaction.run(_AFFILIATE, **place, jid=str(creator), affiliation="owner")


async def _load(transaction: Transaction, place: dict[str, str]) -> NodeRow | None:
    row = await transaction.one(_CONFIG, **place)
    if row is None:
        return None
    related = await transaction.all(_AFFILIATIONS, **place)
    subscribed = [_subscription_of(each) for each in await transaction.all(_SUBSCRIPTIONS, **place)]
    return NodeRow(
        row[0],
        {JID.parse(jid): affiliation for jid, affiliation in related},
        {subscription.jid: subscription for subscription in subscribed},
    )


def _item_of(row: Sequence[Any]) -> Item:
    return Item(row[0], row[1], JID.parse(row[2]), row[3], row[4])


def _subscription_of(row: Sequence[Any]) -> Subscription:
    return Subscription(JID.parse(row[0]), row[1], row[2], row[3])


def _last_of(row: Sequence[Any]) -> LastItem:
    groups = tuple(msgspec.json.decode(row[9])) if row[9] else ()
    return LastItem(JID.parse(row[0]), row[1], row[2], _item_of(row[3:8]), row[8] or "none", groups)
