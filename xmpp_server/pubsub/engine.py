"""Publish-subscribe in the process: what requests of clients, and modules, do to the nodes of an owner.

    await engine.publish(owner, "urn:xmpp:avatar:metadata", [Item("1", payload, owner)])
    items = await engine.items(owner, "urn:xmpp:avatar:metadata")

An owner is the bare address of an account, or the domain of a service. Every change is committed when a call returns;
notifications go out after it. `by` is who asks; None stands for the server itself, which may do everything. All raise
StanzaError with the condition that XEP-0060 names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.pubsub import Item, NodeExists, NodeRow, NoSuchNode, PubSub, Subscription, TooManyNodes
from xmpp_server.util.tasks import keep

from . import events
from .access import AFFILIATIONS, Node
from .config import PUBLISH_OPTIONS, NodeConfig, changed, check
from .errors import refuse, unsupported
from .face import Face

_LONGEST: Final = 512
"""Characters of the longest name of a node or an item."""
_PUBLISHERS: Final = 10_000
"""Publishers whose pace is remembered."""


class Engine:
    """The nodes of all owners at one face."""

    def __init__(self, face: Face, store: PubSub) -> None:
        self.face = face
        self._store = store
        self._pace: dict[JID, tuple[float, int]] = {}

    # -- nodes

    async def node(self, owner: JID, name: str) -> Node:
        """The node; raises item-not-found."""
        if not name:
            raise refuse("bad-request", "nodeid-required")
        row = await self._store.node(owner, name)
        if row is None:
            raise refuse("item-not-found")
        return self._node(owner, name, row)

    def _node(self, owner: JID, name: str, row: NodeRow) -> Node:
        return Node(owner, name, self.face.effective(name, NodeConfig.of(row.config)), row)

    async def nodes(self, owner: JID) -> Sequence[tuple[str, NodeConfig]]:
        """Names and configurations of all nodes of the owner, by name."""
        found = await self._store.nodes(owner)
        return [(name, self.face.effective(name, NodeConfig.of(config))) for name, config in found]

    async def create(self, owner: JID, name: str = "", form: Form | None = None, by: JID | None = None) -> str:
        """Make a node (§8.1), with a name of our own if none is given; its name."""
        if by is not None and not self.face.may_create(owner, by.bare):
            raise refuse("forbidden")
        name = name or secrets.token_hex(8)
        config = self._configured(self.face.default(name), form)
        try:
            creator = (by or owner).bare
            await self._store.create(owner, _name(name), config.to_bytes(), creator, most=self.face.limits.nodes)
        except NodeExists:
            raise refuse("conflict") from None
        except TooManyNodes:
            raise _too_many_nodes() from None
        except NoSuchAccount:
            raise refuse("item-not-found") from None
        return name

    async def configure(self, owner: JID, name: str, form: Form, by: JID | None = None) -> None:
        """Another configuration (§8.2)."""
        node = await self.owned(owner, name, by)
        config = self._configured(NodeConfig.of(node.row.config), form)
        try:
            await self._store.configure(
                owner, name, config.to_bytes(), keep=max(1, config.keep(self.face.limits.items))
            )
        except NoSuchNode:
            raise refuse("item-not-found") from None
        if config.notify_config:
            self._notify(node, events.about(name, "configuration"))

    async def delete(self, owner: JID, name: str, by: JID | None = None) -> None:
        """Remove a node (§8.4)."""
        node = await self.owned(owner, name, by)
        await self._store.delete(owner, name)
        if node.config.notify_delete:
            self._notify(node, events.about(name, "delete"))
        await self.face.retracted(owner, name, (), by)

    async def purge(self, owner: JID, name: str, by: JID | None = None) -> None:
        """Remove all items (§8.5)."""
        node = await self.owned(owner, name, by)
        if not node.config.persist_items:
            raise unsupported("persistent-items")
        await self._store.purge(owner, name)
        if node.config.notify_retract:
            self._notify(node, events.about(name, "purge"))
        await self.face.retracted(owner, name, (), by)

    async def owned(self, owner: JID, name: str, by: JID | None) -> Node:
        """The node, if `by` is an owner of it; raises forbidden."""
        node = await self.node(owner, name)
        if by is not None and node.affiliation(by) != "owner":
            raise refuse("forbidden")
        return node

    def _configured(self, config: NodeConfig, form: Form | None) -> NodeConfig:
        if form is None:
            return config
        limits = self.face.limits
        return changed(config, form, self.face.models, limits.items, limits.item_bytes)

    # -- items

    async def publish(
        self, owner: JID, name: str, items: Sequence[Item], options: Form | None = None, by: JID | None = None
    ) -> Sequence[str]:
        """Publish items in their order (§7.1), which is atomic; their ids, made where they have none.

        `options` are preconditions, and configure a node that is made by this (§7.1.5).
        """
        if by is not None:
            self._count(by.bare, len(items))
        limits = self.face.limits
        if options is not None:
            options.expect(PUBLISH_OPTIONS)
        row = await self._store.node(owner, _name(name))
        config, create = self._target(owner, name, row, options, by)
        largest = min(config.max_payload_size or limits.item_bytes, limits.item_bytes)
        if not items and config.persist_items:
            raise refuse("bad-request", "item-required")
        if any(len(item.payload) > largest for item in items):
            raise refuse("not-acceptable", "payload-too-big")
        if len(items) > limits.items:
            raise refuse("not-allowed", "max-items-exceeded")
        now = time.time_ns() // 1000
        new = [replace(item, id=_name(item.id or secrets.token_hex(8)), at=now) for item in items]
        try:
            row = await self._store.publish(owner, name, new, keep=config.keep(limits.items), create=create)
        except NoSuchNode:
            raise refuse("item-not-found") from None
        except TooManyNodes:
            raise _too_many_nodes() from None
        except NoSuchAccount:
            raise refuse("item-not-found") from None
        node = self._node(owner, name, row)
        event = events.published(name, new, node.config, publisher=self.face.names_publishers)
        self._notify(node, event)
        await self.face.published(owner, name, new, by)
        return [item.id for item in new]

    def _target(
        self, owner: JID, name: str, row: NodeRow | None, options: Form | None, by: JID | None
    ) -> tuple[NodeConfig, tuple[bytes, JID, int] | None]:
        """The configuration of the node that is published to, and what it is made with if there is none."""
        limits = self.face.limits
        if row is not None:
            node = self._node(owner, name, row)
            error = node.publishing_error(by) if by is not None else None
            if error is not None:
                raise error
            if options is not None:
                check(NodeConfig.of(row.config), options, self.face.models, limits.items, limits.item_bytes)
            return node.config, None
        if not self.face.auto_creates:
            raise refuse("item-not-found")
        if by is not None and not self.face.may_create(owner, by.bare):
            raise refuse("forbidden")
        config = self._configured(self.face.default(name), options)
        if options is not None:
            check(config, options, self.face.models, limits.items, limits.item_bytes)
        return config, (config.to_bytes(), (by or owner).bare, limits.nodes)

    def _count(self, publisher: JID, items: int) -> None:
        """Raises policy-violation for who publishes too fast."""
        now = time.monotonic()
        since, count = self._pace.pop(publisher, (now, 0))
        if now - since > 60:
            since, count = now, 0
        self._pace[publisher] = (since, count + max(1, items))
        if len(self._pace) > _PUBLISHERS:
            del self._pace[next(iter(self._pace))]
        if count >= self.face.limits.publishes_per_minute:
            raise refuse("policy-violation", text="Too many publications in a minute.", type="wait")

    async def items(
        self, owner: JID, name: str, ids: Sequence[str] = (), most: int | None = None, by: JID | None = None
    ) -> Sequence[Item]:
        """Items that are kept (§6.5): those with these ids, or the newest, the newest first."""
        node = await self.readable(owner, name, by)
        if not node.config.persist_items:
            raise unsupported("persistent-items")
        if ids:
            found = [await self._store.item(owner, name, id) for id in ids[: self.face.limits.items]]
            return [item for item in found if item is not None]
        return await self._store.items(owner, name, self.face.limits.items if most is None else most)

    async def retract(
        self, owner: JID, name: str, ids: Sequence[str], *, notify: bool = False, by: JID | None = None
    ) -> None:
        """Remove items (§7.2)."""
        node = await self.node(owner, name)
        error = node.publishing_error(by) if by is not None else None
        if error is not None:
            raise error
        if not node.config.persist_items:
            raise unsupported("persistent-items")
        if not ids or not all(ids):
            raise refuse("bad-request", "item-required")
        removed = await self._store.retract(owner, name, ids)
        if not removed:
            raise refuse("item-not-found")
        if notify or node.config.notify_retract:
            self._notify(node, events.retracted(name, removed))
        await self.face.retracted(owner, name, removed, by)

    async def readable(self, owner: JID, name: str, by: JID | None) -> Node:
        """The node, if `by` may read it."""
        node = await self.node(owner, name)
        await self._read(node, by)
        return node

    async def _read(self, node: Node, by: JID | None) -> None:
        if by is None:
            return
        error = node.reading_error(by, await self.face.groups(node.owner, by.bare))
        if error is not None:
            raise error

    # -- subscriptions and affiliations

    async def subscribe(self, owner: JID, name: str, jid: JID, by: JID) -> Subscription:
        """Subscribe an address (§6.1)."""
        if jid.bare != by.bare:
            raise refuse("bad-request", "invalid-jid")
        node = await self.node(owner, name)
        state = "subscribed"
        groups = await self.face.groups(owner, by.bare)
        if (error := node.reading_error(by, groups)) is not None:
            waits = node.config.access_model == "authorize" and node.affiliation(by) == "none"
            if not waits:
                raise error
            state = "pending"
        subscription = node.row.subscriptions.get(jid) or Subscription(jid, secrets.token_hex(8), state)
        if not await self._store.subscribe(owner, name, subscription, most=self.face.limits.subscribers):
            raise refuse("policy-violation", "too-many-subscriptions")
        if subscription.state == "subscribed" and node.config.send_last_published_item != "never":
            for item in await self._store.items(owner, name, 1):
                keep(self._send_last(node, item, jid), "last item")
        return subscription

    async def unsubscribe(self, owner: JID, name: str, jid: JID, subid: str, by: JID) -> None:
        """End a subscription (§6.2)."""
        node = await self.node(owner, name)
        if jid.bare != by.bare:
            raise refuse("forbidden")
        subscription = node.row.subscriptions.get(jid)
        if subscription is None:
            raise refuse("unexpected-request", "not-subscribed", type="cancel")
        if subid and subid != subscription.subid:
            raise refuse("not-acceptable", "invalid-subid")
        await self._store.unsubscribe(owner, name, jid)

    async def set_subscription(self, owner: JID, name: str, jid: JID, state: str, by: JID | None = None) -> None:
        """An owner approves, denies or ends a subscription (§8.6, §8.8)."""
        node = await self.owned(owner, name, by)
        if state not in ("none", "subscribed"):
            raise refuse("bad-request")
        subscription = node.row.subscriptions.get(jid) or Subscription(jid, secrets.token_hex(8))
        if state == "none":
            await self._store.unsubscribe(owner, name, jid)
        else:
            subscription = replace(subscription, state=state)
            if not await self._store.subscribe(owner, name, subscription, most=self.face.limits.subscribers):
                raise refuse("policy-violation", "too-many-subscriptions")
        event = events.subscription_changed(name, jid, state, subscription.subid)
        keep(events.give(self.face.send, events.message(owner, event, "headline"), [jid]), "notification")

    async def affiliate(self, owner: JID, name: str, changes: dict[JID, str], by: JID | None = None) -> None:
        """Set affiliations (§8.9.2); a node always has an owner."""
        await self.owned(owner, name, by)
        if not set(changes.values()) <= set(AFFILIATIONS):
            raise refuse("bad-request")
        if not await self._store.affiliate(owner, name, changes):
            raise refuse("not-acceptable")

    async def subscriptions(self, owner: JID, jid: JID) -> Sequence[tuple[str, Subscription]]:
        """Node and subscription of all resources of a bare address (§5.6)."""
        return [(name, each) for name, each in await self._store.subscriptions(owner) if each.jid.bare == jid]

    async def affiliations(self, owner: JID, jid: JID) -> Sequence[tuple[str, str]]:
        """Node and affiliation of a bare address (§5.7)."""
        return await self._store.affiliations(owner, jid)

    # -- notifications

    def _notify(self, node: Node, event: Element) -> None:
        if node.config.deliver_notifications:
            keep(self._tell(node, event), "notification")

    async def _tell(self, node: Node, event: Element) -> None:
        stanza = events.message(node.owner, event, node.config.notification_type)
        receivers: dict[JID, None] = {}
        candidates: Iterable[JID] = (each.jid for each in node.row.subscriptions.values() if each.state == "subscribed")
        for jid in (*candidates, *await self.face.followers(node.owner, node.name)):
            if node.reading_error(jid, await self.face.groups(node.owner, jid.bare)) is None:
                receivers[jid] = None
        await events.give(self.face.send, stanza, receivers)

    async def _send_last(self, node: Node, item: Item, jid: JID) -> None:
        event = events.published(node.name, [item], node.config, publisher=self.face.names_publishers)
        await self.face.send(events.message(node.owner, event, node.config.notification_type).stamped(to=jid))

    async def send_last_items(self, viewer: JID, interests: Sequence[str]) -> None:
        """A client became available: the last items of what it wants to be told of, of its own account and of those
        whose presence it sees (XEP-0163 §4.3.4)."""
        for last in await self._store.last_items(viewer, interests):
            config = self.face.effective(last.node, NodeConfig.of(last.config))
            if config.send_last_published_item != "on_sub_and_presence" or not config.deliver_notifications:
                continue
            row = NodeRow(last.config, {viewer.bare: last.affiliation}, {})
            node = Node(last.owner, last.node, config, row)
            if node.reading_error(viewer, last.groups) is None:
                await self._send_last(node, last.item, viewer)


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST:
        raise refuse("not-acceptable", text=f"A name has 1 to {_LONGEST} characters.")
    return text


def _too_many_nodes() -> Exception:
    return refuse("resource-constraint", text="There are as many nodes as one owner may have.")
