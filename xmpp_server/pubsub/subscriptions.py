"""Subscriptions (XEP-0060 §6.1 to §6.4), and what owners do to them (§8.8). An address has one at a node."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from msgspec.structs import replace

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form, FormKind
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_relations import BEHIND, Relations
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

    async def subscribe(self, owner: JID, name: str, jid: JID, by: JID, wanted: Form | None = None) -> Subscription:
        """Subscribe an address (§6.1), with these options (§6.3.7); who has a subscription keeps it."""
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
            kept, over = here.subscriptions(jid), here.over(jid)
            state = _state(here, by, here.reading_error(by, groups.get(by.bare)))
            if state == "pending" and kept:
                raise refuse("not-authorized", "pending-subscription")
            if not kept and len(row.subscriptions) - len(over) >= _RESOURCES:
                raise refuse("policy-violation", "too-many-subscriptions")
            changed = [replace(each, state=state) for each in kept or [new]]
            if wanted is not None:
                changed = [self._with_options(here, each, wanted) for each in changed]
            made = changed[0]
            return Relations([*changed, *(each.ended() for each in over)], most=self._most)

        with refusing():
            was = self._engine.found(owner, name, await self._engine.store.relate(owner, name, by.bare, change))
        if made.state == "pending":
            await self._approvals.ask(was, [made], was.owners)
        else:
            await self._engine.notifications.tell_last(was, jid)
            if was.config.notify_sub and made.subid == new.subid:
                await self._engine.notifications.tell_of_subscription(owner, name, made, was.owners)
        return made

    async def unsubscribe(self, owner: JID, name: str, jid: JID, by: JID) -> None:
        """End a subscription (§6.2)."""
        node = await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")
        gone = [each.ended() for each in _existing(node, jid, "cancel")]
        with refusing():
            await self._engine.store.relate(owner, name, by.bare, lambda _: Relations(gone))
        if node.config.notify_sub:
            await self._engine.notifications.tell_of_subscription(owner, name, gone[0], node.owners)

    # -- options (§6.3, §6.4)

    def _with_options(self, node: Node, subscription: Subscription, wanted: Form) -> Subscription:
        before, collection = SubscriptionOptions.of(subscription), node.config.is_collection
        after = options.changed(before, wanted, presence=self._presence, collection=collection, now=node.now)
        return replace(subscription, options=after.to_bytes())

    async def options(self, owner: JID, name: str, jid: JID, by: JID) -> Form:
        """The form of a subscription's options."""
        node = await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")
        return self.form_of(node, _existing(node, jid, "modify")[0])

    async def configure(self, owner: JID, name: str, jid: JID, submitted: Form, by: JID) -> None:
        """Other options for a subscription."""
        await self._engine.node(owner, name, by)
        if jid.bare != by.bare:
            raise refuse("forbidden")

        def change(row: NodeRow) -> Relations:
            node = self._engine.found(owner, name, row)
            return Relations([self._with_options(node, each, submitted) for each in _existing(node, jid, "modify")])

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
        """A page by address of the subscriptions at a node, without those that wait for approval (§8.8.1)."""
        await self._engine.owned(owner, name, by)
        after, before, limit = pages.bounds(page)
        edges = (None if after is None else (after, BEHIND), None if before is None else (before, ""))
        found, count = await self._engine.store.subscribers_page(owner, name, *edges, limit)
        return found, pages.said([str(each.jid) for each in found], count, page)

    async def set(self, owner: JID, name: str, jid: JID, state: str, by: JID) -> Sequence[Subscription]:
        """An owner gives an address a subscription, or ends it (§8.8.2); those that cannot be changed so, as they
        are."""
        await self._engine.owned(owner, name, by)
        new = Subscription(jid, secrets.token_hex(8), "none")
        changed: Sequence[Subscription] = ()
        failed: Sequence[Subscription] = ()

        def change(row: NodeRow) -> Relations:
            nonlocal changed, failed
            here = self._engine.found(owner, name, row)
            before = here.subscriptions(jid) or [new]
            if state not in ("none", "subscribed"):
                failed = before
                return Relations()
            changed = [replace(each, state=state) for each in before if each.state != state]
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


def _existing(node: Node, jid: JID, type: str) -> Sequence[Subscription]:
    found = node.subscriptions(jid)
    if not found:
        raise refuse("unexpected-request", "not-subscribed", type=type)
    return found
