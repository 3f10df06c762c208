"""Affiliations (XEP-0060 §4.1), and how owners change them (§8.9)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import NodeRow, Subscription

from . import pages
from .access import AFFILIATIONS
from .approvals import Approvals
from .engine import Engine, refusing


class Affiliations:
    """The affiliations at the nodes of an engine."""

    def __init__(self, engine: Engine, approvals: Approvals) -> None:
        self._engine = engine
        self._approvals = approvals

    async def of(self, owner: JID, name: str, jid: JID) -> Sequence[tuple[str, str]]:
        """Node and affiliation of a bare address (§5.7), at all nodes or at this one."""
        found = await self._engine.store.affiliations(owner, jid)
        if name:
            await self._engine.node(owner, name)
        return [(node, each) for node, each in found if name in ("", node)]

    async def at(
        self, owner: JID, name: str, by: JID, page: PageRequest
    ) -> tuple[Sequence[tuple[JID, str]], Page | None]:
        """A page by address of the affiliations at a node (§8.9.1)."""
        await self._engine.owned(owner, name, by)
        found, count = await self._engine.store.affiliates_page(owner, name, *pages.bounds(page))
        return found, pages.said([str(jid) for jid, _ in found], count, page)

    async def set(self, owner: JID, name: str, jid: JID, affiliation: str, by: JID) -> str:
        """Give a bare address an affiliation (§8.9.2); the one it has after this, which is another if that cannot be: a
        node has an owner. What waits for approval is approved or refused by it (§8.7.4)."""
        await self._engine.owned(owner, name, by)
        after = affiliation

        def change(row: NodeRow) -> Relations:
            nonlocal after
            before = row.affiliations.get(jid, "none")
            owners = [each for each, is_what in row.affiliations.items() if is_what == "owner"]
            after = affiliation
            if affiliation not in AFFILIATIONS or (owners == [jid] and affiliation != "owner"):
                after = before
                return Relations()
            most = self._engine.face.limits.subscribers
            return Relations(_subscriptions(row, affiliation), {jid: affiliation}, most)

        with refusing():
            row = await self._engine.store.relate(owner, name, jid, change)
        if after == affiliation:
            node = self._engine.found(owner, name, row)
            await self._approvals.tell(node, _subscriptions(row, affiliation))
        return after


def _subscriptions(row: NodeRow, affiliation: str) -> Sequence[Subscription]:
    """What an affiliation makes of the subscriptions of who gets it."""
    if affiliation == "outcast":
        return [each.ended() for each in row.subscriptions]
    if affiliation in ("owner", "publisher", "member"):
        return [replace(each, state="subscribed") for each in row.subscriptions if each.state == "pending"]
    return ()
