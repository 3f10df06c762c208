"""Who has to do with nodes: subscriptions and affiliations (XEP-0060 §4.1, §4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, exists, func, or_, select, tuple_

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.pubsub_tables import (
    SUBSCRIPTION,
    NodeRow,
    Subscription,
    affiliations,
    nodes,
    of_node,
    subscriptions,
    upsert,
)
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

LOCK: Final = Statement(select(nodes.c.config, nodes.c.last).where(of_node(nodes)).with_for_update())

# All resources of a bare address, and what is alphabetically between: "a@b-c/d" too, which the reader leaves out.
_has_bare = (subscriptions.c.jid >= bindparam("bare"), subscriptions.c.jid < bindparam("behind"))
_by_address = (subscriptions.c.jid, subscriptions.c.subid)
_SUBSCRIPTIONS: Final = Statement(
    select(*SUBSCRIPTION).where(of_node(subscriptions), *_has_bare).order_by(*_by_address)
)
_SUBSCRIBERS: Final = Statement(
    select(*SUBSCRIPTION)
    .where(of_node(subscriptions), subscriptions.c.jid > bindparam("after"))
    .order_by(*_by_address)
    .limit(bindparam("limit"))
)
_listed = (of_node(subscriptions), subscriptions.c.state != "pending")
_LISTED: Final = Statement(
    select(*SUBSCRIPTION)
    .where(*_listed, tuple_(*_by_address) > tuple_(bindparam("after"), bindparam("after_subid")))
    .order_by(*_by_address)
    .limit(bindparam("limit"))
)
_LISTED_BACK: Final = Statement(
    select(*SUBSCRIPTION)
    .where(*_listed, tuple_(*_by_address) < tuple_(bindparam("before"), bindparam("before_subid")))
    .order_by(*(column.desc() for column in _by_address))
    .limit(bindparam("limit"))
)
_COUNT_LISTED: Final = Statement(select(func.count()).select_from(subscriptions).where(*_listed))
_WAITING: Final = Statement(
    select(*SUBSCRIPTION)
    .where(of_node(subscriptions), subscriptions.c.state == "pending")
    .order_by(*_by_address)
    .limit(bindparam("limit"))
)
_COUNT_SUBSCRIPTIONS: Final = Statement(select(func.count()).select_from(subscriptions).where(of_node(subscriptions)))
_SUBSCRIBE: Final = upsert(subscriptions)
_UNSUBSCRIBE: Final = Statement(
    delete(subscriptions).where(
        of_node(subscriptions), subscriptions.c.jid == bindparam("jid"), subscriptions.c.subid == bindparam("subid")
    )
)
_SUBSCRIBED: Final = Statement(
    select(subscriptions.c.node, *SUBSCRIPTION).where(subscriptions.c.owner == bindparam("owner"), *_has_bare)
)
_PENDING: Final = Statement(
    select(affiliations.c.node).where(
        affiliations.c.owner == bindparam("owner"),
        affiliations.c.jid == bindparam("jid"),
        affiliations.c.affiliation == "owner",
        exists().where(
            subscriptions.c.owner == affiliations.c.owner,
            subscriptions.c.node == affiliations.c.node,
            subscriptions.c.state == "pending",
        ),
    )
)
_AFFILIATIONS: Final = Statement(
    select(affiliations.c.jid, affiliations.c.affiliation).where(
        of_node(affiliations), or_(affiliations.c.jid == bindparam("bare"), affiliations.c.affiliation == "owner")
    )
)
_AFFILIATES: Final = Statement(
    select(affiliations.c.jid, affiliations.c.affiliation).where(of_node(affiliations)).order_by(affiliations.c.jid)
)
_AFFILIATES_AFTER: Final = Statement(
    select(affiliations.c.jid, affiliations.c.affiliation)
    .where(of_node(affiliations), affiliations.c.jid > bindparam("after"))
    .order_by(affiliations.c.jid)
    .limit(bindparam("limit"))
)
_AFFILIATES_BEFORE: Final = Statement(
    select(affiliations.c.jid, affiliations.c.affiliation)
    .where(of_node(affiliations), affiliations.c.jid < bindparam("before"))
    .order_by(affiliations.c.jid.desc())
    .limit(bindparam("limit"))
)
_COUNT_AFFILIATIONS: Final = Statement(select(func.count()).select_from(affiliations).where(of_node(affiliations)))
AFFILIATE: Final = upsert(affiliations)
_UNAFFILIATE: Final = Statement(
    delete(affiliations).where(of_node(affiliations), affiliations.c.jid == bindparam("jid"))
)
_AFFILIATED: Final = Statement(
    select(affiliations.c.node, affiliations.c.affiliation).where(
        affiliations.c.owner == bindparam("owner"), affiliations.c.jid == bindparam("jid")
    )
)


BEHIND: Final = "\U0010ffff"
"""Behind every address, and every SubID."""

Place = tuple[str, str]
"""Address and SubID, between which and the others a page of subscriptions begins or ends."""


class NoSuchNode(Exception):  # noqa: N818
    """There is no node of this name."""


class TooManyRelations(Exception):  # noqa: N818
    """The node has as many subscriptions or affiliations as it may."""


class Relations(msgspec.Struct, frozen=True):
    """What is to become of relations. A subscription in the state `none` ends, an affiliation `none` too; a node has at
    most `most` of either."""

    subscriptions: Sequence[Subscription] = ()
    affiliations: dict[JID, str] = {}
    most: int = 0


class NodeRelations:
    """The relations of all nodes; `PubSub` has them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def relate(self, owner: JID, node: str, of: JID, change: Callable[[NodeRow], Relations]) -> NodeRow:
        """Change relations of a bare address as `change` makes them of those that there are; the node before it. Raises
        NoSuchNode, TooManyRelations."""
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> NodeRow:
            row = await transaction.one(LOCK, **place)
            if row is None:
                raise NoSuchNode(node)
            before = await with_relations(transaction, place, row[0], of)
            after = change(before)
            await _subscribe(transaction, place, before, after)
            await _affiliate(transaction, place, before, after)
            return before

        return await self._database.write(work)

    async def subscribers(self, owner: JID, node: str, after: str, limit: int) -> Sequence[Subscription]:
        """So many subscriptions at a node by address, from the one after `after`, or some less: all that an address has
        come at once. It has less than `limit`."""
        rows = await self._database.all(_SUBSCRIBERS, owner=str(owner), node=node, after=after, limit=limit)
        whole = len(rows)
        if whole == limit:  # the last address may have more, and comes with the next ones
            while whole and rows[whole - 1][0] == rows[-1][0]:
                whole -= 1
        return [Subscription.of(*row) for row in rows[:whole]]

    async def subscribers_page(
        self, owner: JID, node: str, after: Place | None, before: Place | None, limit: int
    ) -> tuple[Sequence[Subscription], int]:
        """Subscriptions that do not wait for approval, by address and SubID, and how many there are: from the one after
        `after`, or the last ones before `before`, where an empty address is behind all."""
        statements = (_COUNT_LISTED, _LISTED, _LISTED_BACK)
        rows, count = await self._page(statements, owner, node, after, before, limit)
        return [Subscription.of(*row) for row in rows], count

    async def affiliates_page(
        self, owner: JID, node: str, after: str | None, before: str | None, limit: int
    ) -> tuple[Sequence[tuple[JID, str]], int]:
        """Affiliations at a node by address, as `subscribers_page` has subscriptions."""
        statements = (_COUNT_AFFILIATIONS, _AFFILIATES_AFTER, _AFFILIATES_BEFORE)
        first, last = (None if jid is None else (jid, "") for jid in (after, before))
        rows, count = await self._page(statements, owner, node, first, last, limit)
        return [(JID.parse(jid), affiliation) for jid, affiliation in rows], count

    async def _page(
        self,
        statements: tuple[Statement, Statement, Statement],
        owner: JID,
        node: str,
        after: Place | None,
        before: Place | None,
        limit: int,
    ) -> tuple[Sequence[Any], int]:
        count, forth, back = statements
        place = {"owner": str(owner), "node": node}

        async def work(transaction: Transaction) -> tuple[Sequence[Any], int]:
            counted = await transaction.one(count, **place)
            assert counted is not None
            if before is None or after is not None:
                jid, subid = after or ("", "")
                return await transaction.all(forth, **place, after=jid, after_subid=subid, limit=limit), counted[0]
            jid, subid = before
            rows = await transaction.all(back, **place, before=jid or BEHIND, before_subid=subid, limit=limit)
            return rows[::-1], counted[0]

        return await self._database.read(work)

    async def waiting(self, owner: JID, node: str, limit: int) -> Sequence[Subscription]:
        """Subscriptions at a node that wait for approval, by address."""
        rows = await self._database.all(_WAITING, owner=str(owner), node=node, limit=limit)
        return [Subscription.of(*row) for row in rows]

    async def count_subscribers(self, owner: JID, node: str) -> int:
        """How many subscriptions a node has."""
        row = await self._database.one(_COUNT_SUBSCRIPTIONS, owner=str(owner), node=node)
        return row[0] if row is not None else 0

    async def affiliates(self, owner: JID, node: str) -> Sequence[tuple[JID, str]]:
        """All affiliations at a node, by address."""
        rows = await self._database.all(_AFFILIATES, owner=str(owner), node=node)
        return [(JID.parse(jid), affiliation) for jid, affiliation in rows]

    async def subscriptions(self, owner: JID, jid: JID) -> Sequence[tuple[str, Subscription]]:
        """Node and subscription of all resources of a bare address at all nodes of the owner, by node, address and
        SubID."""
        rows = await self._database.all(_SUBSCRIBED, owner=str(owner), **_bare(jid))
        found = [(row[0], Subscription.of(*row[1:])) for row in sorted(rows, key=lambda row: tuple(row[:3]))]
        return [(node, each) for node, each in found if each.jid.bare == jid]

    async def affiliations(self, owner: JID, jid: JID) -> Sequence[tuple[str, str]]:
        """Node and affiliation, for an address at all nodes of the owner."""
        rows = await self._database.all(_AFFILIATED, owner=str(owner), jid=str(jid))
        return sorted((node, affiliation) for node, affiliation in rows)

    async def pending(self, owner: JID, jid: JID) -> Sequence[str]:
        """The nodes which this address owns and at which subscriptions wait for approval."""
        return sorted(node for (node,) in await self._database.all(_PENDING, owner=str(owner), jid=str(jid)))


async def with_relations(transaction: Transaction, place: dict[str, str], config: bytes, of: JID) -> NodeRow:
    """The node with its owners and the relations of this bare address."""
    related = await transaction.all(_AFFILIATIONS, **place, bare=str(of))
    rows = await transaction.all(_SUBSCRIPTIONS, **place, **_bare(of))
    found = [Subscription.of(*row) for row in rows]
    return NodeRow(
        config,
        {JID.parse(jid): affiliation for jid, affiliation in related},
        [each for each in found if each.jid.bare == of],
    )


async def _subscribe(transaction: Transaction, place: dict[str, str], before: NodeRow, after: Relations) -> None:
    """Those that end leave room for others."""
    for each in after.subscriptions:
        if each.state == "none":
            await transaction.run(_UNSUBSCRIBE, **place, jid=str(each.jid), subid=each.subid)
    put = [each for each in after.subscriptions if each.state != "none"]
    if {(each.jid, each.subid) for each in put} - {(each.jid, each.subid) for each in before.subscriptions}:
        await _room(transaction, _COUNT_SUBSCRIPTIONS, place, after.most)
    for each in put:
        await transaction.run(_SUBSCRIBE, **place, **msgspec.structs.asdict(each) | {"jid": str(each.jid)})


async def _affiliate(transaction: Transaction, place: dict[str, str], before: NodeRow, after: Relations) -> None:
    if after.affiliations.keys() - before.affiliations.keys():
        await _room(transaction, _COUNT_AFFILIATIONS, place, after.most)
    for jid, affiliation in after.affiliations.items():
        if affiliation == "none":
            await transaction.run(_UNAFFILIATE, **place, jid=str(jid))
        else:
            await transaction.run(AFFILIATE, **place, jid=str(jid), affiliation=affiliation)


async def _room(transaction: Transaction, count: Statement, place: dict[str, str], most: int) -> None:
    row = await transaction.one(count, **place)
    if row is not None and row[0] >= most:
        raise TooManyRelations(place["node"])


def _bare(jid: JID) -> dict[str, str]:
    """The range of addresses in which all resources of this bare one are."""
    return {"bare": str(jid), "behind": f"{jid}0"}  # what follows "/" is "0"
