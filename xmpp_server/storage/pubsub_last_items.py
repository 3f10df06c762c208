"""The last items of nodes, for a client that comes online (XEP-0163 §4.3.4).

However many contacts there are, what is read at once has a bound that they cannot raise: large items are left out, and
read one by one by who sends them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import and_, bindparam, case, exists, func, null, or_, select

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.blocking import blocks
from xmpp_server.storage.database import Database
from xmpp_server.storage.pubsub_tables import ITEM, Item, affiliations, items, nodes
from xmpp_server.storage.roster import roster
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

INTERESTS: Final = 32
"""Nodes that one query names."""
SMALL: Final = 4096
"""Octets of an item that comes with its payload."""


class LastItem(msgspec.Struct, frozen=True):
    """The last item of a node of somebody whose presence is seen. `groups` is where the owner's roster has the viewer,
    `affiliation` what the node gives it. With `is_large` the item comes without its payload."""

    owner: JID
    node: str
    config: bytes
    item: Item
    affiliation: str
    groups: tuple[str, ...]
    is_large: bool


_newest = select(func.max(items.c.n)).where(items.c.owner == nodes.c.owner, items.c.node == nodes.c.node)
_is_newest = and_(
    items.c.owner == nodes.c.owner,
    items.c.node == nodes.c.node,
    items.c.n == _newest.correlate(nodes).scalar_subquery(),
)
_payload = case((func.length(items.c.payload) <= SMALL, items.c.payload), else_=null())
_ITEM: Final = tuple(_payload if column is items.c.payload else column for column in ITEM)
_wanted = nodes.c.node.in_([bindparam(f"node{i}") for i in range(INTERESTS)])
_OWN_LAST: Final = Statement(
    select(nodes.c.owner, nodes.c.node, nodes.c.config, *_ITEM)
    .select_from(nodes.join(items, _is_newest))
    .where(nodes.c.owner == bindparam("viewer"), _wanted)
)
_is_blocked = exists().where(
    blocks.c.account == roster.c.account,
    blocks.c.jid.in_([bindparam("viewer"), bindparam("domain"), bindparam("full")]),
)
_LAST: Final = Statement(
    select(nodes.c.owner, nodes.c.node, nodes.c.config, *_ITEM, affiliations.c.affiliation, roster.c.groups)
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


async def last_items(database: Database, viewer: JID, interests: Sequence[str]) -> AsyncIterator[Sequence[LastItem]]:
    """The last item of each of these nodes of the viewer's own account and of everybody whose presence it may see: two
    queries for each 32 nodes, however many contacts there are."""
    for start in range(0, len(interests), INTERESTS):
        some = interests[start : start + INTERESTS]
        names = {f"node{i}": some[min(i, len(some) - 1)] for i in range(INTERESTS)}
        bare = str(viewer.bare)

        async def work(transaction: Transaction, names: dict[str, str] = names, bare: str = bare) -> list[LastItem]:
            own = await transaction.all(_OWN_LAST, viewer=bare, **names)
            others = await transaction.all(_LAST, viewer=bare, domain=viewer.domain, full=str(viewer), **names)
            return [_last_of([*row, "owner", ""]) for row in own] + [_last_of(row) for row in others]

        yield await database.read(work)


def _last_of(row: Sequence[Any]) -> LastItem:
    id, payload, publisher, at, n = row[3:8]
    groups = tuple(msgspec.json.decode(row[9])) if row[9] else ()
    item = Item.of(id, payload or b"", publisher, at, n)
    return LastItem(JID.parse(row[0]), row[1], row[2], item, row[8] or "none", groups, payload is None)
