"""Nodes, items, subscriptions and affiliations of publish-subscribe (XEP-0060), led by the account or the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.pubsub_last_items import LastItem, last_items
from xmpp_server.storage.pubsub_links import NO_LINKS, Links, NodeLinks, change_links
from xmpp_server.storage.pubsub_relations import AFFILIATE, LOCK, NodeRelations, NoSuchNode, with_relations
from xmpp_server.storage.pubsub_tables import (
    ITEM,
    Entry,
    Item,
    NodeRow,
    columns,
    items,
    nodes,
    of_node,
    upsert,
)
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

IDS: Final = 32
"""Items that one statement names."""
_COUNTED: Final = 16
"""Items of a node between two looks at what the owner's items hold."""


_ACCOUNT: Final = Statement(select(accounts.c.account).where(accounts.c.account == bindparam("owner")))
_CREATE: Final = Statement(insert(nodes).values(columns(nodes)).on_conflict_do_nothing())
_CONFIG: Final = Statement(select(nodes.c.config).where(of_node(nodes)))
_ADVANCE: Final = Statement(update(nodes).values(last=bindparam("value")).where(of_node(nodes)))
_CONFIGURE: Final = Statement(update(nodes).values(config=bindparam("value")).where(of_node(nodes)))
_DELETE: Final = Statement(delete(nodes).where(of_node(nodes)))
_LIST: Final = Statement(
    select(nodes.c.node, nodes.c.config).where(nodes.c.owner == bindparam("owner")).order_by(nodes.c.node)
)
_COUNT: Final = Statement(select(func.count()).select_from(nodes).where(nodes.c.owner == bindparam("owner")))

_named = items.c.item.in_([bindparam(f"item{i}") for i in range(IDS)])
_by_publisher = items.c.publisher == bindparam("publisher")
_PUT_ITEM: Final = upsert(items)
_NEWEST: Final = Statement(select(*ITEM).where(of_node(items)).order_by(items.c.n.desc()).limit(bindparam("limit")))
_CONTENTS: Final = Statement(
    select(items.c.item, items.c.n, items.c.at, func.length(items.c.payload)).where(of_node(items)).order_by(items.c.n)
)
_BETWEEN: Final = Statement(
    select(*ITEM)
    .where(of_node(items), items.c.n >= bindparam("first"), items.c.n <= bindparam("last"))
    .order_by(items.c.n)
)
_NAMED: Final = Statement(select(*ITEM).where(of_node(items), _named))
_OF_OTHERS: Final = Statement(select(items.c.item).where(of_node(items), _named, ~_by_publisher).limit(1))
_RETRACT: Final = Statement(delete(items).where(of_node(items), _named).returning(items.c.item))
_PURGE: Final = Statement(delete(items).where(of_node(items)))
_OCTETS: Final = Statement(
    select(func.coalesce(func.sum(func.length(items.c.payload)), 0)).where(items.c.owner == bindparam("owner"))
)
_BEYOND: Final = Statement(
    select(items.c.n).where(of_node(items)).order_by(items.c.n.desc()).limit(1).offset(bindparam("kept"))
)
_TRIM: Final = Statement(delete(items).where(of_node(items), items.c.n <= bindparam("n")))
_EXPIRE: Final = Statement(delete(items).where(of_node(items), items.c.at < bindparam("before")))


class NodeExists(Exception):  # noqa: N818
    """There is a node of this name."""


class TooManyNodes(Exception):  # noqa: N818
    """The owner has as many nodes as it may."""


class TooMuch(Exception):  # noqa: N818
    """The owner's items hold as much as they may."""


class OfSomebodyElse(Exception):  # noqa: N818
    """An item was published by another, and is not to be touched."""


class NoSuchItem(Exception):  # noqa: N818
    """There is no item of this id."""


class NewNode(msgspec.Struct, frozen=True):
    """A node to be made, if the owner has less than `most`."""

    config: bytes
    creator: JID
    most: int


class Storing(msgspec.Struct, frozen=True):
    """How items are stored: the newest `keep` stay (0: none is stored), none older than `since` (microseconds); with
    `own` the publisher may replace nobody else's. `create` if there is no node. All items of the owner hold `octets`
    at most (0: what they like), which is looked at once in 16 items of a node."""

    keep: int
    since: int = 0
    own: bool = False
    create: NewNode | None = None
    octets: int = 0


class PubSub(NodeRelations, NodeLinks):
    """All nodes. Every change is one transaction, which sees the node as no other writer changes it meanwhile.

    What is decided by the node is decided inside of it, by the functions that the methods take: they have no other
    effects, for they may run twice, and what they raise ends the transaction with nothing changed.
    """

    # -- nodes

    async def node(self, owner: JID, node: str, of: JID) -> NodeRow | None:
        """A node with its owners and the relations of this bare address; None if there is none."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> NodeRow | None:
            row = await transaction.one(_CONFIG, **place)
            return await with_relations(transaction, place, row[0], of) if row is not None else None

        return await self._database.read(work)

    async def nodes(self, owner: JID) -> Sequence[tuple[str, bytes]]:
        """Names and configurations of the owner's nodes, by name."""
        return [(name, config) for name, config in await self._database.all(_LIST, owner=str(owner))]

    async def create(self, owner: JID, node: str, new: NewNode, links: Links = NO_LINKS) -> None:
        """Make a node, with its place among collections. Raises NodeExists, TooManyNodes, NoSuchAccount."""

        async def work(transaction: Transaction) -> None:
            await _create(transaction, owner, node, new)
            await change_links(transaction, owner, links)

        await self._database.write(work)

    async def configure(
        self,
        owner: JID,
        node: str,
        of: JID,
        change: Callable[[NodeRow], tuple[bytes, Storing]],
        links: Links = NO_LINKS,
    ) -> None:
        """Another configuration and place among collections, and how items are stored from now on. Raises
        NoSuchNode."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> None:
            row = await transaction.one(LOCK, **place)
            if row is None:
                raise NoSuchNode(node)
            config, storing = change(await with_relations(transaction, place, row[0], of))
            await transaction.run(_CONFIGURE, **place, value=config)
            await change_links(transaction, owner, links)
            await _trim(transaction, place, storing)

        await self._database.write(work)

    async def delete(self, owner: JID, node: str) -> bool:
        """Remove a node with all that hangs on it; False if there was none."""
        return await self._database.run(_DELETE, owner=str(owner), node=node) > 0

    # -- items

    async def publish(
        self, owner: JID, node: str, new: Sequence[Item], by: JID, decide: Callable[[NodeRow | None], Storing]
    ) -> NodeRow:
        """Put the items in, in their order; the node with its owners. `decide` is given the node with the relations of
        `by`, None if there is none. Raises NoSuchNode if it makes none then, OfSomebodyElse, TooMuch, and what `create`
        does."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> NodeRow:
            row = await transaction.one(LOCK, **place)
            related = await with_relations(transaction, place, row[0], by) if row is not None else None
            storing = decide(related)
            last = 0 if row is None else row[1]
            if not last or last // _COUNTED != (last + len(new)) // _COUNTED:
                await _expect_room(transaction, place, new, storing)
            if related is None:
                if storing.create is None:
                    raise NoSuchNode(node)
                await _create(transaction, owner, node, storing.create)
                related = NodeRow(storing.create.config, {storing.create.creator: "owner"})
            elif storing.own and await _any_of_others(transaction, place, [item.id for item in new], by):
                raise OfSomebodyElse(node)
            if storing.keep and new:
                for number, item in enumerate(new, last + 1):
                    values = {"item": item.id, "payload": item.payload, "publisher": str(item.publisher)}
                    await transaction.run(_PUT_ITEM, **place, **values, at=item.at, n=number)
                await transaction.run(_ADVANCE, **place, value=last + len(new))
                await _trim(transaction, place, storing)
            return related

        return await self._database.write(work)

    async def contents(self, owner: JID, node: str) -> Sequence[Entry]:
        """All items, the oldest first, without what they hold."""
        return [Entry(*row) for row in await self._database.all(_CONTENTS, owner=str(owner), node=node)]

    async def between(self, owner: JID, node: str, first: int, last: int) -> Sequence[Item]:
        """The items whose `n` is between these, with both ends, the oldest first."""
        rows = await self._database.all(_BETWEEN, owner=str(owner), node=node, first=first, last=last)
        return [Item.of(*row) for row in rows]

    async def newest(self, owner: JID, node: str, limit: int = 1) -> Sequence[Item]:
        """The newest items, the newest first."""
        rows = await self._database.all(_NEWEST, owner=str(owner), node=node, limit=limit)
        return [Item.of(*row) for row in rows]

    async def named(self, owner: JID, node: str, ids: Sequence[str]) -> Sequence[Item]:
        """The items of these ids that are there, in the order of the ids: one statement for each 32."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> dict[str, Item]:
            rows = [row for names in _names(ids) for row in await transaction.all(_NAMED, **place, **names)]
            return {row[0]: Item.of(*row) for row in rows}

        found = await self._database.read(work)
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    async def retract(self, owner: JID, node: str, ids: Sequence[str], own: JID | None = None) -> None:
        """Remove these items. Removes none and raises NoSuchItem if one is not there, OfSomebodyElse if one was not
        published by `own`."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> None:
            if own is not None and await _any_of_others(transaction, place, ids, own):
                raise OfSomebodyElse(node)
            gone = [row[0] for names in _names(ids) for row in await transaction.all(_RETRACT, **place, **names)]
            if len(gone) < len(set(ids)):
                raise NoSuchItem(node)

        await self._database.write(work)

    async def purge(self, owner: JID, node: str) -> None:
        """Remove all items."""
        await self._database.run(_PURGE, owner=str(owner), node=node)

    async def expire(self, owner: JID, node: str, before: int) -> None:
        """Remove the items that are older."""
        await self._database.run(_EXPIRE, owner=str(owner), node=node, before=before)

    def last_items(self, viewer: JID, interests: Sequence[str]) -> AsyncIterator[Sequence[LastItem]]:
        """As `pubsub_last_items.last_items` has it."""
        return last_items(self._database, viewer, interests)


async def _create(transaction: Transaction, owner: JID, node: str, new: NewNode) -> None:
    if owner.localpart and await transaction.one(_ACCOUNT, owner=str(owner)) is None:
        raise NoSuchAccount(f"{owner} does not exist")
    count = await transaction.one(_COUNT, owner=str(owner))
    place = {"owner": str(owner), "node": node}
    if count is not None and count[0] >= new.most and await transaction.one(_CONFIG, **place) is None:
        raise TooManyNodes(node)
    if not await transaction.run(_CREATE, **place, config=new.config, last=0):
        raise NodeExists(node)
    await transaction.run(AFFILIATE, **place, jid=str(new.creator), affiliation="owner")


async def _trim(transaction: Transaction, place: dict[str, str], storing: Storing) -> None:
    if storing.since:
        await transaction.run(_EXPIRE, **place, before=storing.since)
    if (beyond := await transaction.one(_BEYOND, **place, kept=storing.keep)) is not None:
        await transaction.run(_TRIM, **place, n=beyond[0])


async def _expect_room(transaction: Transaction, place: dict[str, str], new: Sequence[Item], storing: Storing) -> None:
    if not storing.keep or not storing.octets:
        return
    row = await transaction.one(_OCTETS, owner=place["owner"])
    if row is not None and row[0] + sum(len(item.payload) for item in new) > storing.octets:
        raise TooMuch(place["owner"])


async def _any_of_others(transaction: Transaction, place: dict[str, str], ids: Sequence[str], own: JID) -> bool:
    for names in _names(ids):
        if await transaction.one(_OF_OTHERS, **place, **names, publisher=str(own.bare)) is not None:
            return True
    return False


def _names(ids: Sequence[str]) -> Sequence[dict[str, str]]:
    """The parameters of as many statements as it takes to name all ids."""
    some = [ids[start : start + IDS] for start in range(0, len(ids), IDS)]
    return [{f"item{i}": each[min(i, len(each) - 1)] for i in range(IDS)} for each in some]
