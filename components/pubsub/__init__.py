"""A publish-subscribe service at a domain of its own, on which the host's administrators make nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from xmpp_server.port import Component, ComponentOptions, Port
from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import PageRequest
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.pubsub import pages
from xmpp_server.pubsub.approvals import GET_PENDING
from xmpp_server.pubsub.config import NodeConfig
from xmpp_server.pubsub.engine import Engine
from xmpp_server.pubsub.errors import NS, OWNER
from xmpp_server.pubsub.face import Count
from xmpp_server.pubsub.requests import COLLECTIONS, FEATURES, MULTI_SUBSCRIBE, Requests
from xmpp_server.storage.database import Database
from xmpp_server.storage.pubsub import PubSub
from xmpp_server.storage.pubsub_tables import Item


class PubSubOptions(ComponentOptions, frozen=True):
    """How much the service keeps."""

    subdomain: str = "pubsub"
    nodes: Count = 10_000
    """Nodes of the service."""
    items: Count = 1000
    """Items of one node, which is what `max` stands for."""
    item_bytes: Count = 262_144
    """Octets of one item."""
    subscribers: Count = 100_000
    """Subscriptions at one node."""
    publishes_per_minute: Count = 600
    """Items that one account may publish in a minute."""
    collections: bool = False
    """Whether nodes may hold other nodes, and be subscribed to with all that they hold (XEP-0248). No client that we
    know asks for it."""
    multi_subscribe: bool = False
    """Whether an address may have several subscriptions at a node, told apart by SubIDs (XEP-0060 §6.1.6). Clients that
    subscribe again whenever they start pile them up then."""


class ServiceFace:
    """What the engine has to know of the service (`xmpp_server.pubsub.face.Face`): it has no roster and no presence."""

    auto_creates = False
    names_publishers = True
    knows_presence = False
    octets = 0

    def __init__(self, port: Port, options: PubSubOptions) -> None:
        self._port = port
        self.limits = options

    @property
    def has_collections(self) -> bool:
        """As the operator likes."""
        return self.limits.collections

    @property
    def multi_subscribe(self) -> bool:
        """As the operator likes."""
        return self.limits.multi_subscribe

    def default(self, node: str) -> NodeConfig:
        """Open, with some items."""
        return NodeConfig(max_items=min(20, self.limits.items))

    def effective(self, node: str, config: NodeConfig) -> NodeConfig:
        """As it is."""
        return config

    def may_create(self, owner: JID, jid: JID) -> bool:
        """Administrators."""
        return jid in self._port.admins

    async def groups(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str] | None]:
        """None: nodes for those who see presence, or are in a group, are for nobody who has no affiliation."""
        return {}

    async def blocked(self, owner: JID, jids: Iterable[JID]) -> Collection[JID]:
        """Nobody: there are outcasts for that."""
        return ()

    async def shows(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str]]:
        """Nothing is known."""
        return dict.fromkeys(jids, ())

    async def followers(self, owner: JID, node: str) -> Collection[JID]:
        """Nobody without a subscription."""
        return ()

    async def send(self, stanza: Stanza) -> None:
        """Through the port."""
        await self._port.send(stanza)

    async def published(self, owner: JID, node: str, items: Sequence[Item], by: JID | None) -> None:
        """Nobody else wants to know."""

    async def retracted(self, owner: JID, node: str, ids: Sequence[str], by: JID | None) -> None:
        """Nobody else wants to know."""


class Service(Component):
    """Answers requests at its domain."""

    name = "pubsub"
    title = "Publish-subscribe"
    Options = PubSubOptions

    def __init__(self, port: Port, database: Database, options: PubSubOptions) -> None:
        self._port = port
        self._face = ServiceFace(port, options)
        self.engine = Engine(self._face, PubSub(database))
        self._requests = Requests(self.engine)
        self.options = options

    async def start(self) -> None:
        """There is nothing to be loaded."""
        self._port.receive(self.handle)

    def reconfigure(self, options: PubSubOptions) -> None:
        """The limits are others."""
        self.options = self._face.limits = options

    async def handle(self, stanza: Stanza) -> asyncio.Future[Any] | None:
        """Requests are answered; messages are for nobody here, and presence says nothing to the service."""
        if stanza.name == "iq" and stanza.type in ("get", "set"):
            await self._port.send(stanza.result(*await self._answer(stanza)))
        elif stanza.name == "message" and stanza.type != "error":
            form = self._requests.approvals.answer_in(stanza)
            if form is None or stanza.to != self._port.jid or stanza.sender is None:
                raise StanzaError("service-unavailable")
            await self._requests.approvals.answered(self._port.jid, form, stanza.sender)
        elif stanza.name == "message" and stanza.to == self._port.jid:
            await self.engine.notifications.bounced(self._port.jid, stanza)
        return None

    async def _answer(self, stanza: Stanza) -> tuple[Element, ...]:
        if stanza.to != self._port.jid or stanza.sender is None:
            raise StanzaError("item-not-found")
        if not stanza.id or len(stanza.children) != 1:
            raise StanzaError("bad-request", "a request has an id and exactly one child element")
        payload = stanza.parse(stanza.children[0])
        if payload.name == "pubsub" and payload.ns in (NS, OWNER):
            answer = await self._requests.answer(self._port.jid, stanza.sender, stanza.type, payload)
            return () if answer is None else (answer,)
        if stanza.type == "set" and (payload.ns, payload.name) == (COMMANDS, "command"):
            return (await self._requests.approvals.command(self._port.jid, payload, stanza.sender),)
        if stanza.type == "get" and (payload.ns, payload.name) == (ns.DISCO_INFO, "query"):
            return (await self._info(payload.get("node"), stanza.sender),)
        if stanza.type == "get" and (payload.ns, payload.name) == (ns.DISCO_ITEMS, "query"):
            return (await self._items(payload, stanza.sender),)
        raise StanzaError("service-unavailable")

    async def _info(self, node: str, sender: JID) -> Element:
        if node == GET_PENDING:
            return Info.of([Identity("automation", "command-node")], {COMMANDS, ns.DATA}, node=node).element()
        if node:
            form = await self._requests.meta_data(self._port.jid, node, sender)
            kind = (await self.engine.readable(self._port.jid, node, sender)).config.node_type
            return Info.of([Identity("pubsub", kind)], {NS, ns.DISCO_INFO}, [form], node).element()
        features = FEATURES | {COMMANDS, ns.DISCO_INFO, ns.DISCO_ITEMS}
        if self._face.has_collections:
            features |= COLLECTIONS
        if self._face.multi_subscribe:
            features |= MULTI_SUBSCRIBE
        return Info.of([Identity("pubsub", "service", name=self.title)], features).element()

    async def _items(self, asked: Element, sender: JID) -> Element:
        jid, node = self._port.jid, asked.get("node")
        query = Element(ns.DISCO_ITEMS, "query", {"node": node} if node else {})
        if node == COMMANDS:
            attrs = {"jid": str(jid), "node": GET_PENDING, "name": "Pending subscriptions"}
            return query.add(Element(ns.DISCO_ITEMS, "item", attrs))
        if node and not (await self.engine.readable(jid, node, sender)).config.is_collection:
            entries = [(id, {"name": id}) for id in await self.engine.ids(jid, node, sender)]
        else:
            nodes = await self.engine.nodes(jid, sender, node)
            entries = [(name, {"node": name, **({"name": c.title} if c.title else {})}) for name, c in nodes]
        named = [(id, Element(ns.DISCO_ITEMS, "item", {"jid": str(jid), **attrs})) for id, attrs in entries]
        listed, page = pages.listed(named, PageRequest.parse(asked))
        query.add(*listed)
        return query if page is None else query.add(page.element())
