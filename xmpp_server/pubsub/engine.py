"""Publish-subscribe in the process: what requests of clients, and modules, do to the nodes of an owner.

    await engine.publish(owner, "urn:xmpp:avatar:metadata", [Item("1", payload, owner)])
    items = await engine.items(owner, "urn:xmpp:avatar:metadata")

An owner is the bare address of an account, or the domain of a service. Every change is committed when a call returns,
and its notification has its place in the node's line. `by` is who asks; None stands for the server itself, which may do
everything. All raise StanzaError with the condition that XEP-0060 names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.forms import Form, FormKind
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.pubsub import (
    NewNode,
    NodeExists,
    NoSuchItem,
    OfSomebodyElse,
    PubSub,
    Storing,
    TooManyNodes,
    TooMuch,
)
from xmpp_server.storage.pubsub_links import Links
from xmpp_server.storage.pubsub_relations import NoSuchNode, TooManyRelations
from xmpp_server.storage.pubsub_tables import Item, NodeRow

from . import events, pages
from .access import Node
from .collections import Collections
from .config import PUBLISH_OPTIONS, Bounds, NodeConfig, changed, check, expect_known, form
from .errors import EVENT, refuse, unsupported
from .face import Face
from .notifications import Notifications
from .options import About

_LONGEST: Final = 512
"""Characters of the longest name of a node or an item."""
_PUBLISHERS: Final = 10_000
"""Publishers whose pace is remembered."""


class Engine:
    """The nodes of all owners at one face, and their items."""

    def __init__(self, face: Face, store: PubSub) -> None:
        self.face = face
        self.store = store
        self.notifications = Notifications(face, store)
        self.collections = Collections(face, store, self.notifications, self.node)
        self._pace: dict[JID, tuple[float, int]] = {}

    @property
    def bounds(self) -> Bounds:
        """What configurations may ask for."""
        limits = self.face.limits
        children = limits.nodes if self.face.has_collections else 0
        return Bounds(limits.items, limits.item_bytes, self.face.knows_presence, children)

    # -- nodes

    async def node(self, owner: JID, name: str, by: JID | None = None) -> Node:
        """The node with what `by` is to it; raises item-not-found."""
        if not name:
            raise refuse("bad-request", "nodeid-required")
        row = await self.store.node(owner, name, (by or owner).bare)
        if row is None:
            raise refuse("item-not-found")
        return self.found(owner, name, row)

    def found(self, owner: JID, name: str, row: NodeRow) -> Node:
        """The node that has this row."""
        config = self.face.effective(name, NodeConfig.of(row.config))
        return Node(owner, name, config, row, time.time_ns() // 1000)

    async def owned(self, owner: JID, name: str, by: JID | None) -> Node:
        """The node, if `by` is an owner of it; raises forbidden."""
        node = await self.node(owner, name, by)
        node.expect_owner(by)
        return node

    async def readable(self, owner: JID, name: str, by: JID | None) -> Node:
        """The node, if `by` may read it."""
        node = await self.node(owner, name, by)
        if by is not None:
            groups = await self.face.groups(owner, [by.bare]) if node.asks_roster else {}
            if (error := node.reading_error(by, groups.get(by.bare))) is not None:
                raise error
        return node

    async def nodes(self, owner: JID, by: JID, collection: str = "") -> Sequence[tuple[str, NodeConfig]]:
        """Names and configurations of the nodes in a collection, or in none, that `by` may read or subscribe to, by
        name."""
        graph = await self.collections.graph(owner)
        inside = set(graph.children(collection))
        rows = await self.store.nodes(owner)
        rows = [row for row in rows if (row[0] in inside if collection else not graph.parents(row[0]))]
        found = [(name, NodeConfig.of(config)) for name, config in rows]
        applied = [(name, self.face.effective(name, config)) for name, config in found]
        groups = (await self.face.groups(owner, [by.bare])).get(by.bare)
        related = dict(await self.store.affiliations(owner, by.bare))

        def shown(name: str, config: NodeConfig) -> bool:
            row = NodeRow(b"", {by.bare: related[name]} if name in related else {})
            error = Node(owner, name, config, row, 0).reading_error(by, groups)
            return error is None or (config.access_model == "authorize" and error.condition == "not-authorized")

        return [each for each in applied if shown(*each)]

    async def create(self, owner: JID, name: str = "", form: Form | None = None, by: JID | None = None) -> str:
        """Make a node (§8.1), with a name of our own if none is given; its name."""
        if by is not None and not self.face.may_create(owner, by.bare):
            raise refuse("forbidden")
        name = name or secrets.token_hex(8)
        config = self._configured(self.face.default(name), form)
        new = self._new(config, owner, by)
        node = self.found(owner, _name(name), NodeRow(new.config, {new.creator: "owner"}))
        async with self.collections.changing(owner) as graph:
            links = await self.collections.planned(graph, node, form, by)
            with refusing():
                await self.store.create(owner, name, new, links)
            graph.apply(links)
        await self.collections.tell(node, events.about(name, "create"), "nodes")
        await self.collections.tell_links(node, Links(tuple(link for link in links.added if link[0] == name)))
        return name

    async def configure(self, owner: JID, name: str, submitted: Form, by: JID | None = None) -> None:
        """Another configuration (§8.2)."""

        def change(row: NodeRow) -> tuple[bytes, Storing]:
            self.found(owner, name, row).expect_owner(by)
            config = self._configured(NodeConfig.of(row.config), submitted)
            # what was kept stays kept where nothing is to be kept from now on, but for a collection (XEP-0248 §7.2.4)
            keep = 0 if config.is_collection else max(1, config.keep(self.face.limits.items))
            return config.to_bytes(), replace(self._storing(config), keep=keep)

        async with self.collections.changing(owner) as graph:
            node = await self.owned(owner, name, by)
            config = self._configured(NodeConfig.of(node.row.config), submitted)
            node = self.found(owner, name, replace(node.row, config=config.to_bytes()))
            links = await self.collections.planned(graph, node, submitted, by)
            with refusing():
                await self.store.configure(owner, name, (by or owner).bare, change, links)
            graph.apply(links)
        node = await self.node(owner, name, by)
        if node.config.notify_config:
            payload = node.config.deliver_payloads
            content = [(await self.form(node, kind="result", whole=True)).element()] if payload else []
            await self._tell(node, events.about(name, "configuration", *content), "nodes")
        await self.collections.tell_links(node, links)

    async def form(self, node: Node, *, kind: FormKind = "form", whole: bool = False) -> Form:
        """The configuration of a node with its place among collections: as it is applied in a result, and as it is kept
        in a form, which is submitted again."""
        graph = await self.collections.graph(node.owner)
        place = {"parents": graph.parents(node.name), "children": graph.children(node.name)}
        config = node.config if kind == "result" else NodeConfig.of(node.row.config)
        return form(config, self.bounds, kind=kind, whole=whole, **place)

    async def delete(self, owner: JID, name: str, by: JID | None = None, redirect: str = "") -> None:
        """Remove a node (§8.4); `redirect` is a URI to look at from now on."""
        async with self.collections.changing(owner) as graph:
            node = await self.owned(owner, name, by)
            receivers = await self.notifications.receivers(owner, name, pending=True)
            if not await self.store.delete(owner, name):
                raise refuse("item-not-found")
            above = graph.above(name)
            graph.forget(name)
        if node.config.notify_delete:
            content = [Element(EVENT, "redirect", {"uri": redirect})] if redirect else []
            event = events.about(name, "delete", *content)
            await self.notifications.tell(node, event, receivers)
            await self.collections.tell(node, event, "nodes", above)
        await self.face.retracted(owner, name, (), by)

    async def purge(self, owner: JID, name: str, by: JID | None = None) -> None:
        """Remove all items (§8.5)."""
        node = await self.owned(owner, name, by)
        node.expect_items()
        await self.store.purge(owner, name)
        if node.config.notify_retract:
            await self._tell(node, events.about(name, "purge"), "items")
        await self.face.retracted(owner, name, (), by)

    async def _tell(self, node: Node, event: Element, about: About) -> None:
        await self.notifications.tell(node, event)
        await self.collections.tell(node, event, about)

    def _configured(self, config: NodeConfig, submitted: Form | None) -> NodeConfig:
        return config if submitted is None else changed(config, submitted, self.bounds)

    def _new(self, config: NodeConfig, owner: JID, by: JID | None) -> NewNode:
        return NewNode(config.to_bytes(), (by or owner).bare, self.face.limits.nodes)

    def _storing(self, config: NodeConfig) -> Storing:
        now = time.time_ns() // 1000
        return Storing(config.keep(self.face.limits.items), config.since(now), octets=self.face.octets)

    # -- items

    async def publish(
        self, owner: JID, name: str, items: Sequence[Item], options: Form | None = None, by: JID | None = None
    ) -> Sequence[str]:
        """Publish items in their order (§7.1), which is atomic; their ids, made where they have none.

        `options` are preconditions, and configure a node that is made by this (§7.1.5).
        """
        if by is not None:
            self._count(by.bare, len(items))
        if options is not None:
            options.expect(PUBLISH_OPTIONS)
        if len(items) > self.face.limits.items:
            raise refuse("not-allowed", "max-items-exceeded")
        now = time.time_ns() // 1000
        new = [replace(item, id=_name(item.id or secrets.token_hex(8)), at=now) for item in items]

        def decide(row: NodeRow | None) -> Storing:
            if row is None:
                config = self._made_by_publishing(owner, name, options, by)
                _expect(new, config, self.bounds)
                return replace(self._storing(config), create=self._new(config, owner, by))
            node = self.found(owner, name, row)
            error = node.publishing_error(by) if by is not None else None
            if error is not None:
                raise error
            if node.config.is_collection:
                raise unsupported("publish")
            if options is not None:
                check(NodeConfig.of(row.config), options, self.bounds)
            _expect(new, node.config, self.bounds)
            # who may publish without being a publisher replaces nobody else's items
            return replace(self._storing(node.config), own=by is not None and node.affiliation(by) == "none")

        with refusing():
            row = await self.store.publish(owner, _name(name), new, (by or owner).bare, decide)
        node = self.found(owner, name, row)
        await self._tell(node, events.published(node, new, publisher=self.face.names_publishers), "items")
        await self.face.published(owner, name, new, by)
        return [item.id for item in new]

    def _made_by_publishing(self, owner: JID, name: str, options: Form | None, by: JID | None) -> NodeConfig:
        """The configuration of a node that there is none of yet (§7.1.4)."""
        if not self.face.auto_creates:
            raise refuse("item-not-found")
        if by is not None and not self.face.may_create(owner, by.bare):
            raise refuse("forbidden")
        if options is not None:
            expect_known(options)
        config = self._configured(self.face.default(name), options)
        if options is not None:
            check(config, options, self.bounds)
        return config

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

    async def items(self, owner: JID, name: str, by: JID | None = None) -> Sequence[Item]:
        """All items that are kept (§6.5), the oldest first."""
        node = await self.readable(owner, name, by)
        node.expect_items("retrieve-items")
        since = node.config.since(node.now)
        return [item for item in await self.store.between(owner, name, 0, pages.LAST) if item.at >= since]

    async def page(
        self, owner: JID, name: str, request: PageRequest, most: int | None, by: JID | None = None
    ) -> tuple[Node, Sequence[Item], Page | None]:
        """A page of what is kept, the oldest first (§6.5.4), of the newest `most` items; what is to be said of the page
        if it is not all that was asked for."""
        node = await self.readable(owner, name, by)
        node.expect_items("retrieve-items")
        contents = await self.store.contents(owner, name)
        since = node.config.since(node.now)
        if any(entry.at < since for entry in contents):
            await self.store.expire(owner, name, since)
        chosen, page = pages.choose([entry for entry in contents if entry.at >= since], request, most)
        if not chosen:
            return node, (), page
        return node, await self.store.between(owner, name, chosen[0].n, chosen[-1].n), page

    async def named(
        self, owner: JID, name: str, ids: Sequence[str], by: JID | None = None
    ) -> tuple[Node, Sequence[Item], Page | None]:
        """The items with these ids in that order (§6.5.6), as many as make a page; what is said if that is not all."""
        node = await self.readable(owner, name, by)
        node.expect_items("retrieve-items")
        since = node.config.since(node.now)
        contents = [entry for entry in await self.store.contents(owner, name) if entry.at >= since]
        chosen, page = pages.named(contents, ids)
        found = await self.store.named(owner, name, [entry.id for entry in chosen]) if chosen else ()
        return node, found, page

    async def ids(self, owner: JID, name: str, by: JID) -> Sequence[str]:
        """The ids of all items that are kept, the oldest first (§5.5)."""
        node = await self.readable(owner, name, by)
        since = node.config.since(node.now)
        return [entry.id for entry in await self.store.contents(owner, name) if entry.at >= since]

    async def retract(
        self, owner: JID, name: str, ids: Sequence[str], *, notify: bool = False, by: JID | None = None
    ) -> None:
        """Remove items (§7.2), all or none (§12.11): an owner any, others what they published."""
        node = await self.node(owner, name, by)
        if by is not None and (error := node.publishing_error(by)) is not None:
            raise error
        node.expect_items()
        if not ids or not all(ids):
            raise refuse("bad-request", "item-required")
        own = by.bare if by is not None and node.affiliation(by) != "owner" else None
        with refusing():
            await self.store.retract(owner, name, ids, own)
        if notify or node.config.notify_retract:
            await self._tell(node, events.retracted(name, dict.fromkeys(ids)), "items")
        await self.face.retracted(owner, name, ids, by)


@contextmanager
def refusing() -> Iterator[None]:
    """What storage refuses, as XEP-0060 names it."""
    try:
        yield
    except NodeExists:
        raise refuse("conflict") from None
    except (NoSuchNode, NoSuchItem, NoSuchAccount):
        raise refuse("item-not-found") from None
    except TooManyNodes:
        raise refuse("resource-constraint", text="There are as many nodes as one owner may have.") from None
    except TooManyRelations:
        raise refuse("policy-violation", "too-many-subscriptions") from None
    except TooMuch:
        raise refuse("resource-constraint", text="The nodes hold as much as they may.") from None
    except OfSomebodyElse:
        raise refuse("forbidden") from None


def _expect(items: Sequence[Item], config: NodeConfig, bounds: Bounds) -> None:
    """Raises StanzaError where items are not as the node wants them (§7.1.3)."""
    largest = min(config.max_payload_size or bounds.octets, bounds.octets)
    if any(len(item.payload) > largest for item in items):
        raise refuse("not-acceptable", "payload-too-big")
    if config.persist_items and len(items) > config.keep(bounds.items):
        raise refuse("not-allowed", "max-items-exceeded")  # §12.11
    if not items and config.persist_items:
        raise refuse("bad-request", "item-required")
    if items and not config.persist_items and not config.deliver_payloads:
        raise refuse("bad-request", "item-forbidden")
    if config.deliver_payloads and any(not item.payload for item in items):
        raise refuse("bad-request", "payload-required")


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST:
        raise refuse("not-acceptable", text=f"A name has 1 to {_LONGEST} characters.")
    return text
