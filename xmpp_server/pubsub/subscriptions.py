"""Subscriptions (XEP-0060 §6.1 to §6.4), and what owners do to them (§8.8).

An address has one at a node, or several where the face lets it. If it has some from when that was so, what is done to
one is done to all.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from msgspec.structs import replace

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form, FormKind
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_relations import BEHIND, Place, Relations
from xmpp_server.storage.pubsub_tables import NodeRow, Subscription

from . import options, pages
from .access import Node
from .approvals import Approvals
from .engine import Engine, refusing
from .errors import refuse, unsupported
from .options import SubscriptionOptions

_RESOURCES = 50
"""Subscriptions of one account at a node."""


class Subscriptions:
    """The subscriptions at the nodes of an engine."""

    def __init__(self, engine: Engine, approvals: Approvals) -> None:
        self._engine = engine
        self._approvals = approvals

    @property
    def _presence(self) -> bool:
        return self._engine.face.knows_presence

    @property
    def _most(self) -> int:
        return self._engine.face.limits.subscribers

    @property
    def _several(self) -> bool:
        return self._engine.face.multi_subscribe

    async def subscribe(self, owner: JID, name: str, jid: JID, by: JID, wanted: Form | None = None) -> Subscription:
        """Subscribe an address (§6.1), with these options (§6.3.7). Who has a subscription keeps it; where an address
        may have several (§6.1.6) it gets another, unless one waits for approval."""
        if jid.bare != by.bare:
            raise refuse("bad-request", "invalid-jid")
        node = await self._engine.node(owner, name, by)
        groups = await self._engine.face.groups(owner, [by.bare]) if node.asks_roster else {}
        new = made = Subscription(jid, secrets.token_hex(8))

        def change(row: NodeRow) -> Relations:
            nonlocal made
            here = self._engine.found(owner, name, row)
            if not here.config.subscribe:
                raise unsupported("subscribe")
            there, over = here.subscriptions(jid), here.over(jid)
            state = _state(here, by, here.reading_error(by, groups.get(by.bare)))
            if state == "pending" and there:
                raise refuse("not-authorized", "pending-subscription")
            kept = [each for each in there if each.state == "pending"] if self._several else there
            if not kept and len(row.subscriptions) - len(over) >= _RESOURCES:
                raise refuse("policy-violation", "too-many-subscriptions")
            changed = [replace(each, state=state) for each in kept or [new]]
            if wanted is not None:
                changed = [self._with_options(here, each, wanted) for each in changed]
            made = changed[0]
            if here.config.is_collection and not kept and _type(made) in map(_type, there):
                raise refuse("conflict")  # XEP-0248 §6.1.3: one of each type
            return Relations([*changed, *(each.ended() for each in over)], most=self._most)

        with refusing():
            was = self._engine.found(owner, name, await self._engine.store.relate(owner, name, by.bare, change))
        if made.state == "pending":
            await self._approvals.ask(was, [made], was.owners)
        else:
            await self._engine.notifications.tell_last(was, jid, made.subid)
            if was.config.notify_sub and made.subid == new.subid:
                await self._engine.notifications.tell_of_subscription(owner, name, made, was.owners)
        return made

    async def unsubscribe(self, owner: JID, name: str, jid: JID, by: JID, subid: str = "") -> Subscription:
        """End a subscription (§6.2); as it was ended."""
        node = await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")
        gone = [each.ended() for each in self._meant(_existing(node, jid, "cancel"), subid)]
        with refusing():
            await self._engine.store.relate(owner, name, by.bare, lambda _: Relations(gone))
        if node.config.notify_sub:
            await self._engine.notifications.tell_of_subscription(owner, name, gone[0], node.owners)
        return gone[0]

    def _meant(self, found: Sequence[Subscription], subid: str) -> Sequence[Subscription]:
        """Those of an address that a request is about (§6.2.3, §6.3.4, §6.5.9): one, if there may be several."""
        if not self._several or not found:
            return found
        if subid:
            found = [each for each in found if each.subid == subid]
            if not found:
                raise refuse("not-acceptable", "invalid-subid")
        elif len(found) > 1:
            raise refuse("bad-request", "subid-required")
        return found

    def expect_subid(self, node: Node, by: JID, subid: str) -> None:
        """Raises what §6.5.9.1 and §6.5.9.2 say to who reads items of a node to which it is subscribed."""
        found = [each for jid in dict.fromkeys((by, by.bare)) for each in node.subscriptions(jid)]
        self._meant([each for each in found if each.state == "subscribed"], subid)

    # -- options (§6.3, §6.4)

    def _with_options(self, node: Node, subscription: Subscription, wanted: Form) -> Subscription:
        before, collection = SubscriptionOptions.of(subscription), node.config.is_collection
        after = options.changed(before, wanted, presence=self._presence, collection=collection, now=node.now)
        return replace(subscription, options=after.to_bytes())

    async def options(self, owner: JID, name: str, jid: JID, by: JID, subid: str = "") -> tuple[Subscription, Form]:
        """A subscription, and the form of its options."""
        node = await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")
        found = self._meant(_existing(node, jid, "modify"), subid)[0]
        return found, self.form_of(node, found)

    async def configure(self, owner: JID, name: str, jid: JID, submitted: Form, by: JID, subid: str = "") -> None:
        """Other options for a subscription."""
        await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")

        def change(row: NodeRow) -> Relations:
            node = self._engine.found(owner, name, row)
            there = _existing(node, jid, "modify")
            meant = self._meant(there, subid)
            changed = [self._with_options(node, each, submitted) for each in meant]
            others = {_type(each) for each in there if each not in meant}
            if node.config.is_collection and {*map(_type, changed)}.difference(map(_type, meant)) & others:
                raise refuse("conflict")  # XEP-0248 §6.1.3
            return Relations(changed)

        with refusing():
            await self._engine.store.relate(owner, name, by.bare, change)

    async def default(self, owner: JID, name: str, by: JID) -> Form:
        """What the options of a new subscription are, at a node or at all."""
        collection = bool(name) and (await self._engine.readable(owner, name, by)).config.is_collection
        return options.form(SubscriptionOptions(), presence=self._presence, collection=collection, kind="result")

    def form_of(self, node: Node, subscription: Subscription, kind: FormKind = "form") -> Form:
        """The options of this subscription at the node, to be changed or as they were made."""
        found, collection = SubscriptionOptions.of(subscription), node.config.is_collection
        return options.form(found, presence=self._presence, collection=collection, kind=kind)

    # -- lists, and management by owners

    async def of(self, owner: JID, name: str, jid: JID) -> Sequence[tuple[str, Subscription]]:
        """Node and subscription of all resources of a bare address (§5.6), at all nodes or at this one."""
        found = await self._engine.store.subscriptions(owner, jid)
        if name:
            await self._engine.node(owner, name)
        return [(node, each) for node, each in found if name in ("", node)]

    async def at(self, owner: JID, name: str, by: JID, page: PageRequest) -> tuple[Sequence[Subscription], Page | None]:
        """A page by address and SubID of the subscriptions at a node, without those that wait for approval
        (§8.8.1)."""
        await self._engine.owned(owner, name, by)
        after, before, limit = pages.bounds(page)
        edges = (self._place(after, BEHIND), self._place(before, ""))
        found, count = await self._engine.store.subscribers_page(owner, name, *edges, limit)
        ids = [f"{each.jid} {each.subid}" if self._several else str(each.jid) for each in found]
        return found, pages.said(ids, count, page)

    def _place(self, id: str | None, otherwise: str) -> Place | None:
        """What an entry of the list is called by the pages, which have no SubID where addresses have one subscription;
        a SubID has no space in it."""
        if id is None:
            return None
        jid, space, subid = id.rpartition(" ")
        return (jid, subid) if space and self._several else (id, otherwise)

    async def set(
        self, owner: JID, name: str, jid: JID, state: str, by: JID, subid: str = ""
    ) -> Sequence[Subscription]:
        """An owner gives an address a subscription, or ends one (§8.8.2), without a SubID all that it has (§8.8.3);
        those that cannot be changed so, as they are."""
        await self._engine.owned(owner, name, by)
        new = Subscription(jid, secrets.token_hex(8), "none")
        changed: Sequence[Subscription] = ()
        failed: Sequence[Subscription] = ()

        def change(row: NodeRow) -> Relations:
            nonlocal changed, failed
            changed = failed = ()
            here = self._engine.found(owner, name, row)
            there = here.subscriptions(jid)
            named = self._several and subid
            if named:
                there = [each for each in there if each.subid == subid]
            if state not in ("none", "subscribed") or (named and not there):
                failed = there or [Subscription(jid, subid, "none")]
                return Relations()
            changed = [replace(each, state=state) for each in there or [new] if each.state != state]
            return Relations([*changed, *(each.ended() for each in here.over(jid))], most=self._most)

        with refusing():
            row = await self._engine.store.relate(owner, name, jid.bare, change)
        await self._approvals.tell(self._engine.found(owner, name, row), changed)
        return failed


def _state(node: Node, by: JID, error: StanzaError | None) -> str:
    """The state of a new subscription; raises the error unless an owner may let the address in (§6.1.4)."""
    if error is None:
        return "subscribed"
    if node.config.access_model == "authorize" and node.affiliation(by) == "none":
        return "pending"
    raise error


def _type(subscription: Subscription) -> str:
    return SubscriptionOptions.of(subscription).type


def _existing(node: Node, jid: JID, type: str) -> Sequence[Subscription]:
    found = node.subscriptions(jid)
    if not found:
        raise refuse("unexpected-request", "not-subscribed", type=type)
    return found
