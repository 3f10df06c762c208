"""Collections: nodes that hold other nodes (XEP-0248), at services that have them by their options.

The graph of a service is in memory; a change of it is decided, committed and made before another is begun.

XEP: 0248 (0.5.0) partial: without subscriptions to the root node and the items of a collection
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.pubsub import PubSub
from xmpp_server.storage.pubsub_links import NO_LINKS, Link, Links

from . import events
from .access import Node
from .config import CHILDREN, PARENTS
from .errors import refuse
from .face import Face
from .graph import Graph
from .notifications import Notifications
from .options import About, SubscriptionOptions

_PARENTS: Final = 20
"""Collections that a node is in at most: so many lines its notifications go through, and those above them."""
_TOGETHER: Final = 50
"""Lines in which something is put in one turn of the loop."""

FindNode = Callable[[JID, str, JID | None], Awaitable[Node]]


class Collections:
    """The collections of an engine, which finds the nodes."""

    def __init__(self, face: Face, store: PubSub, notifications: Notifications, find: FindNode) -> None:
        self._face = face
        self._store = store
        self._notifications = notifications
        self._find = find
        self._lock = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._graphs: dict[JID, Graph] = {}

    async def graph(self, owner: JID) -> Graph:
        """What is in what, to be read."""
        return await self._loaded(owner) if self._face.has_collections else Graph()

    @asynccontextmanager
    async def changing(self, owner: JID) -> AsyncIterator[Graph]:
        """The graph while nobody else changes it. Where the change fails it is read anew, for nobody knows what was
        committed; but not where it is refused, as everybody's requests may be, and then nothing was."""
        if not self._face.has_collections:
            try:
                yield Graph()
            finally:
                self._graphs.clear()  # what is in memory is outdated, also where there are collections again meanwhile
            return
        async with self._lock:
            try:
                yield await self._loaded(owner)
            except StanzaError:
                raise
            except BaseException:
                self._graphs.pop(owner, None)
                raise

    async def _loaded(self, owner: JID) -> Graph:
        async with self._loading:  # nobody overtakes who waits for it: what was committed first is told first
            if owner not in self._graphs:
                self._graphs[owner] = Graph(await self._store.links(owner))
            return self._graphs[owner]

    # -- what is to be changed

    async def planned(self, graph: Graph, node: Node, submitted: Form | None, by: JID | None) -> Links:
        """What a submitted configuration, which `node` has already but for this, changes of its place among collections
        (§7.2). Raises StanzaError where that cannot be."""
        if submitted is None or not self._face.has_collections:
            return NO_LINKS
        name = node.name
        before = _links(name, graph.parents(name), graph.children(name))
        parents = submitted.texts(PARENTS, graph.parents(name))
        children = submitted.texts(CHILDREN, graph.children(name))
        if children and not node.config.is_collection:
            raise refuse("not-allowed", "invalid-options")  # §7.2.3.1
        after = _links(name, parents, children)
        changes = Links(tuple(after - before), tuple(before - after))
        await self._expect(graph, changes, {name: node}, by)
        return changes

    async def link(self, owner: JID, collection: str, added: Iterable[str], removed: Iterable[str], by: JID) -> None:
        """Put nodes into a collection, and take others out (§7.5, §7.6)."""
        async with self.changing(owner) as graph:
            parent = await self._find(owner, collection, by)
            asked, gone = ([(collection, name) for name in dict.fromkeys(names)] for names in (added, removed))
            changes = Links(tuple(link for link in asked if collection not in graph.parents(link[1])), tuple(gone))
            for _, name in changes.removed:
                child = await self._find(owner, name, by)
                if "owner" not in (parent.affiliation(by), child.affiliation(by)):
                    raise refuse("forbidden")
                if collection not in graph.parents(name):
                    raise refuse("bad-request")  # §7.6.3.1
            await self._expect(graph, changes, {collection: parent}, by, asked)
            await self._store.link(owner, changes)
            graph.apply(changes)
        await self.tell_links(parent, changes)

    async def _expect(
        self, graph: Graph, changes: Links, known: Mapping[str, Node], by: JID | None, asked: Iterable[Link] = ()
    ) -> None:
        """Raises StanzaError unless what is to be added may be, by who owns the node: what is in a collection is seen
        by all who may read the collection (§10.1). `asked` may be there already, which nobody learns who may not add
        it."""
        nodes = dict(known)
        owner = next(iter(known.values())).owner
        for link in dict.fromkeys((*changes.added, *asked)):
            for name in link:
                if name not in nodes:
                    nodes[name] = await self._find(owner, name, by)
            parent, child = (nodes[name] for name in link)
            if not parent.config.is_collection:
                raise refuse("not-allowed", "invalid-options")  # §7.2.3.1
            child.expect_owner(by)
            if by is not None and not parent.may_associate(by):
                raise refuse("forbidden")
        with graph.tried(changes):
            for name, node in nodes.items():
                children, parents = len(graph.children(name)), len(graph.parents(name))
                if 0 < node.config.children_max < children or parents > _PARENTS:
                    raise refuse("not-allowed", "max-nodes-exceeded")  # §7.2.3.3
            for name in dict.fromkeys(parent for parent, _ in changes.added):  # a new cycle goes through one of them
                if name in graph.above(name):
                    raise refuse("not-allowed", "invalid-options")  # §7.2.3.5

    # -- what is told (§5.3)

    async def tell(self, node: Node, event: Element, about: About, above: Mapping[str, int] | None = None) -> None:
        """Tell those who have subscribed to the collections that the node is in, or was in (`above`)."""
        if not self._face.has_collections:
            return
        if above is None:
            above = (await self.graph(node.owner)).above(node.name)
        await self._tell_above(node, event, about, above)

    async def _tell_above(self, node: Node, event: Element, about: About, above: Mapping[str, int]) -> None:
        for number, (collection, steps) in enumerate(above.items(), 1):
            await self._notifications.tell(node, event, through=collection, wants=_wants(about, steps))
            if number % _TOGETHER == 0:
                await asyncio.sleep(0)

    async def tell_links(self, node: Node, changes: Links) -> None:
        """Nodes came into collections, or left them (§5.3.2); `node` is one of them."""
        graph = await self.graph(node.owner)
        named = [("associate", link) for link in changes.added] + [("dissociate", link) for link in changes.removed]
        parents = dict.fromkeys(parent for _, (parent, _) in named)
        above = {parent: {name: steps + 1 for name, steps in graph.above(parent).items()} for parent in parents}
        for what, (parent, child) in named:
            try:
                collection = node if parent == node.name else await self._find(node.owner, parent, None)
            except StanzaError:  # it is gone meanwhile
                continue
            event = events.linked(parent, what, child)
            await self._notifications.tell(collection, event, wants=_wants("nodes", 1))
            await self._tell_above(collection, event, "nodes", above[parent])


def _links(name: str, parents: Iterable[str], children: Iterable[str]) -> set[Link]:
    return {(parent, name) for parent in parents} | {(name, child) for child in children}


def _wants(about: About, steps: int) -> Callable[[SubscriptionOptions], bool]:
    return lambda options: options.reaches(about, steps)
