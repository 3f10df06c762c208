"""The requests of XEP-0060 as they come on the wire, for both faces.

XEP: 0060 (1.30.0) partial: without collections, pending forms and subscription options
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.storage.pubsub import Item

from .config import NODE_CONFIG, NodeConfig, form, meta_data
from .engine import Engine
from .errors import NS, OWNER, refuse, unsupported
from .events import item_element

FEATURES: Final = frozenset(
    [NS]
    + [
        f"{NS}#{name}"
        for name in (
            "access-authorize",
            "access-open",
            "access-whitelist",
            "config-node",
            "config-node-max",
            "create-and-configure",
            "create-nodes",
            "delete-items",
            "delete-nodes",
            "instant-nodes",
            "item-ids",
            "manage-subscriptions",
            "member-affiliation",
            "meta-data",
            "modify-affiliations",
            "multi-items",
            "outcast-affiliation",
            "persistent-items",
            "publish",
            "publish-only-affiliation",
            "publish-options",
            "publisher-affiliation",
            "purge-nodes",
            "retract-items",
            "retrieve-affiliations",
            "retrieve-default",
            "retrieve-items",
            "retrieve-subscriptions",
            "subscribe",
        )
    ]
)


_Handler = Callable[[JID, JID, Element, Element], Awaitable[Element | None]]
"""Takes owner, asker, the action and the `<pubsub/>` that it stands in."""


class Requests:
    """Answers what is asked of the nodes of an owner."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._handlers: dict[
            tuple[str, str, str], Callable[[JID, JID, Element, Element], Awaitable[Element | None]]
        ] = {
            ("set", NS, "create"): self._create,
            ("set", NS, "publish"): self._publish,
            ("set", NS, "retract"): self._retract,
            ("set", NS, "subscribe"): self._subscribe,
            ("set", NS, "unsubscribe"): self._unsubscribe,
            ("get", NS, "items"): self._items,
            ("get", NS, "subscriptions"): self._subscriptions,
            ("get", NS, "affiliations"): self._affiliations,
            ("get", OWNER, "default"): self._default,
            ("get", OWNER, "configure"): self._configuration,
            ("set", OWNER, "configure"): self._configure,
            ("set", OWNER, "delete"): self._delete,
            ("set", OWNER, "purge"): self._purge,
            ("get", OWNER, "subscriptions"): self._subscribers,
            ("set", OWNER, "subscriptions"): self._change_subscribers,
            ("get", OWNER, "affiliations"): self._affiliated,
            ("set", OWNER, "affiliations"): self._affiliate,
        }

    async def answer(self, owner: JID, by: JID, type: str, pubsub: Element) -> Element | None:
        """The answer's payload to `<pubsub/>` of a get or set; None: an empty result. Raises StanzaError."""
        for action in pubsub:
            handler = self._handlers.get((type, pubsub.ns, action.name)) if action.ns == pubsub.ns else None
            if handler is not None:
                return await handler(owner, by, action, pubsub)
        name = next((action.name for action in pubsub), "")
        if name == "options":
            raise unsupported("subscription-options")
        raise refuse("bad-request") if not name else unsupported(name)

    async def _create(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element | None:
        wanted = action.get("node")
        name = await self._engine.create(owner, wanted, _form(pubsub.child(NS, "configure"), NODE_CONFIG), by)
        return None if wanted else Element(NS, "pubsub", {}, [Element(NS, "create", {"node": name})])

    async def _publish(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        new = []
        for item in action:
            content = list(item)
            if (item.ns, item.name) != (NS, "item") or len(content) > 1:
                raise refuse("bad-request", "invalid-payload")
            if not content:
                raise refuse("bad-request", "payload-required")
            new.append(Item(item.get("id"), content[0].to_bytes(""), by.bare))
        options = pubsub.child(NS, "publish-options")
        x = options.child(ns.DATA, "x") if options is not None else None
        name = action.get("node")
        if not name:
            raise refuse("bad-request", "nodeid-required")
        ids = await self._engine.publish(owner, name, new, Form.parse(x) if x is not None else None, by)
        published = Element(NS, "publish", {"node": name}, [Element(NS, "item", {"id": id}) for id in ids])
        return Element(NS, "pubsub", {}, [published])

    async def _retract(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        ids = [item.get("id") for item in action if item.name == "item"]
        notify = action.get("notify") in ("1", "true")
        await self._engine.retract(owner, action.get("node"), ids, notify=notify, by=by)

    async def _items(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        ids = [item.get("id") for item in action if item.name == "item"]
        text = action.get("max_items")
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise refuse("bad-request")
        most = min(int(text), self._engine.face.limits.items) if text else None
        found = await self._engine.items(owner, name, ids, most, by)
        elements = [item_element(NS, item, publisher=self._engine.face.names_publishers) for item in found]
        return Element(NS, "pubsub", {}, [Element(NS, "items", {"node": name}, elements)])

    async def _subscribe(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        made = await self._engine.subscribe(owner, name, _jid(action), by)
        attrs = {"node": name, "jid": str(made.jid), "subid": made.subid, "subscription": made.state}
        return Element(NS, "pubsub", {}, [Element(NS, "subscription", attrs)])

    async def _unsubscribe(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        await self._engine.unsubscribe(owner, action.get("node"), _jid(action), action.get("subid"), by)

    async def _subscriptions(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        answer = Element(NS, "subscriptions", {"node": name} if name else {})
        for node, each in await self._engine.subscriptions(owner, by.bare):
            if name in ("", node):
                attrs = {"node": node, "jid": str(each.jid), "subscription": each.state, "subid": each.subid}
                answer.add(Element(NS, "subscription", attrs))
        return Element(NS, "pubsub", {}, [answer])

    async def _affiliations(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        answer = Element(NS, "affiliations", {"node": name} if name else {})
        for node, affiliation in await self._engine.affiliations(owner, by.bare):
            if name in ("", node):
                answer.add(Element(NS, "affiliation", {"node": node, "affiliation": affiliation}))
        return Element(NS, "pubsub", {}, [answer])

    # -- for owners (§8)

    async def _default(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        return self._form("default", {}, self._engine.face.default(""))

    async def _configuration(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        node = await self._engine.owned(owner, name, by)
        return self._form("configure", {"node": name}, NodeConfig.of(node.row.config))

    def _form(self, name: str, attrs: dict[str, str], config: NodeConfig) -> Element:
        x = form(config, self._engine.face.models).element()
        return Element(OWNER, "pubsub", {}, [Element(OWNER, name, attrs, [x])])

    async def _configure(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        x = action.child(ns.DATA, "x")
        if x is None:
            raise refuse("bad-request")
        submitted = Form.parse(x)
        if submitted.kind == "cancel":
            return
        submitted.expect(NODE_CONFIG)
        await self._engine.configure(owner, action.get("node"), submitted, by)

    async def _delete(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        await self._engine.delete(owner, action.get("node"), by)

    async def _purge(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        await self._engine.purge(owner, action.get("node"), by)

    async def _subscribers(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        node = await self._engine.owned(owner, name, by)
        answer = Element(OWNER, "subscriptions", {"node": name})
        for each in node.row.subscriptions.values():
            attrs = {"jid": str(each.jid), "subscription": each.state, "subid": each.subid}
            answer.add(Element(OWNER, "subscription", attrs))
        return Element(OWNER, "pubsub", {}, [answer])

    async def _change_subscribers(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        for child in action:
            await self._engine.set_subscription(owner, action.get("node"), _jid(child), child.get("subscription"), by)

    async def _affiliated(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        node = await self._engine.owned(owner, name, by)
        answer = Element(OWNER, "affiliations", {"node": name})
        for jid, affiliation in node.row.affiliations.items():
            answer.add(Element(OWNER, "affiliation", {"jid": str(jid), "affiliation": affiliation}))
        return Element(OWNER, "pubsub", {}, [answer])

    async def _affiliate(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        changes = {_jid(child).bare: child.get("affiliation") for child in action if child.name == "affiliation"}
        await self._engine.affiliate(owner, action.get("node"), changes, by)

    # -- discovery (§5.3, §5.4)

    async def meta_data(self, owner: JID, name: str, by: JID) -> Form:
        """What is told of a node to who may read it; raises StanzaError."""
        node = await self._engine.readable(owner, name, by)
        owners = [str(jid) for jid, affiliation in node.row.affiliations.items() if affiliation == "owner"]
        return meta_data(node.config, owners, len(node.row.subscriptions))


def _form(parent: Element | None, form_type: str) -> Form | None:
    x = parent.child(ns.DATA, "x") if parent is not None else None
    if x is None:
        return None
    submitted = Form.parse(x)
    submitted.expect(form_type)
    return submitted


def _jid(element: Element) -> JID:
    text = element.get("jid")
    if not text:
        raise refuse("bad-request", "jid-required")
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise StanzaError("jid-malformed") from error
