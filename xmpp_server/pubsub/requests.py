"""The requests of XEP-0060 as they come on the wire, for both faces.

A subscription shows its SubID where an address may have several at a node, and nowhere else.

XEP: 0060 (1.30.0) partial: without digests, bodies, subscriptions till offline
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_tables import Item, Subscription

from . import pages
from .affiliations import Affiliations
from .approvals import Approvals
from .config import NODE_CONFIG, form, meta_data
from .engine import Engine
from .errors import NS, OWNER, refuse, unsupported
from .events import item_element
from .options import SUBSCRIBE_OPTIONS
from .subscriptions import Subscriptions

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
            "get-pending",
            "instant-nodes",
            "item-ids",
            "leased-subscription",
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
            "retrieve-default-sub",
            "retrieve-items",
            "retrieve-subscriptions",
            "rsm",
            "subscribe",
            "subscription-notifications",
            "subscription-options",
        )
    ]
)
COLLECTIONS: Final = frozenset({f"{NS}#collections", f"{NS}#multi-collections"})
"""Where the face has them."""
MULTI_SUBSCRIBE: Final = frozenset({f"{NS}#multi-subscribe"})
"""Where the face lets an address have several subscriptions."""

_Handler = Callable[[JID, JID, Element, Element], Awaitable[Element | None]]
"""Takes owner, asker, the action and the `<pubsub/>` that it stands in."""


class Requests:
    """Answers what is asked of the nodes of an owner."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.approvals = Approvals(engine)
        self._subscribing = Subscriptions(engine, self.approvals)
        self._affiliating = Affiliations(engine, self.approvals)
        self._handlers: dict[tuple[str, str, str], _Handler] = {
            ("set", NS, "create"): self._create,
            ("set", NS, "publish"): self._publish,
            ("set", NS, "retract"): self._retract,
            ("set", NS, "subscribe"): self._subscribe,
            ("set", NS, "unsubscribe"): self._unsubscribe,
            ("get", NS, "options"): self._options,
            ("set", NS, "options"): self._set_options,
            ("get", NS, "default"): self._default_options,
            ("get", NS, "items"): self._items,
            ("get", NS, "subscriptions"): self._subscriptions,
            ("get", NS, "affiliations"): self._affiliations,
            ("get", OWNER, "default"): self._default,
            ("get", OWNER, "configure"): self._configuration,
            ("set", OWNER, "configure"): self._configure,
            ("set", OWNER, "collection"): self._link,
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
        raise refuse("bad-request") if not name else unsupported(name)

    async def _create(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element | None:
        wanted, configure = action.get("node"), _following(pubsub, action, "configure")
        if configure is None and pubsub.child(NS, "configure") is not None:
            raise refuse("bad-request")  # §8.1.3: it follows
        if configure is not None and configure.get("node"):
            raise refuse("bad-request")
        name = await self._engine.create(owner, wanted, _form(configure, NODE_CONFIG), by)
        return None if wanted else _answer(NS, "create", {"node": name})

    # -- items (§6.5, §7)

    async def _publish(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        new = []
        for item in action:
            content = list(item)
            if (item.ns, item.name) != (NS, "item") or len(content) > 1:
                raise refuse("bad-request", "invalid-payload")
            new.append(Item(item.get("id"), content[0].to_bytes("") if content else b"", by.bare))
        options = pubsub.child(NS, "publish-options")
        x = options.child(ns.DATA, "x") if options is not None else None
        # COMPAT(Prosody's plays, 13.0): the form says no type
        form = Form.parse(x, "submit") if x is not None else None
        name = _node(action)
        ids = await self._engine.publish(owner, name, new, form, by)
        return _answer(NS, "publish", {"node": name}, *(Element(NS, "item", {"id": id}) for id in ids))

    async def _retract(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        ids = [item.get("id") for item in action if item.name == "item"]
        notify = action.get("notify") in ("1", "true")
        await self._engine.retract(owner, _node(action), ids, notify=notify, by=by)

    async def _items(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = _node(action)
        ids = [item.get("id") for item in action if item.name == "item"]
        publisher = self._engine.face.names_publishers
        if ids:
            node, found, page = await self._engine.named(owner, name, ids, by)
        else:
            most = _number(action.get("max_items"))
            node, found, page = await self._engine.page(owner, name, PageRequest.parse(pubsub), most, by)
        self._subscribing.expect_subid(node, by, action.get("subid"))
        elements = [item_element(NS, node, item, publisher=publisher) for item in found]
        return _paged(_answer(NS, "items", {"node": name}, *elements), page)

    # -- subscriptions (§5.6, §6.1 to §6.4)

    async def _subscribe(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name, wanted = _node(action), _following(pubsub, action, "options")
        if wanted is not None and (wanted.get("node") or wanted.get("jid")):
            raise refuse("bad-request")  # §6.3.7
        form = _form(wanted, SUBSCRIBE_OPTIONS)
        made = await self._subscribing.subscribe(owner, name, _jid(action), by, form)
        answer = Element(NS, "pubsub", {}, [self._entry(NS, made, name)])
        if form is None:
            return answer
        node = await self._engine.node(owner, name, by)
        x = self._subscribing.form_of(node, made, "result").element()
        return answer.add(Element(NS, "options", {}, [x]))

    async def _unsubscribe(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name, jid = _node(action), _jid(action)
        ended = await self._subscribing.unsubscribe(owner, name, jid, by, action.get("subid"))
        return Element(NS, "pubsub", {}, [self._entry(NS, ended, name)])

    async def _options(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name, jid = _node(action), _jid(action)
        found, form = await self._subscribing.options(owner, name, jid, by, action.get("subid"))
        return _answer(NS, "options", {"node": name, "jid": str(jid)} | self._subid(found), form.element())

    async def _set_options(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        submitted = _submitted(action)
        if submitted is not None:
            subid = action.get("subid")
            await self._subscribing.configure(owner, _node(action), _jid(action), submitted, by, subid)

    async def _default_options(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        form = await self._subscribing.default(owner, name, by)
        return _answer(NS, "default", {"node": name} if name else {}, form.element())

    async def _subscriptions(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        found = await self._subscribing.of(owner, name, by.bare)
        named = [(f"{node} {each.jid} {each.subid}", self._entry(NS, each, node)) for node, each in found]
        listed, page = pages.listed(named, PageRequest.parse(pubsub))
        return _paged(_answer(NS, "subscriptions", {"node": name} if name else {}, *listed), page)

    async def _affiliations(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = action.get("node")
        found = await self._affiliating.of(owner, name, by.bare)
        named = [(node, Element(NS, "affiliation", {"node": node, "affiliation": each})) for node, each in found]
        listed, page = pages.listed(named, PageRequest.parse(pubsub))
        return _paged(_answer(NS, "affiliations", {"node": name} if name else {}, *listed), page)

    def _entry(self, ns: str, subscription: Subscription, node: str = "") -> Element:
        attrs = {"node": node} if node else {}
        attrs |= {"jid": str(subscription.jid), "subscription": subscription.state}
        return Element(ns, "subscription", attrs | self._subid(subscription))

    def _subid(self, subscription: Subscription) -> dict[str, str]:
        """What tells it from others of its address, where there may be others (§6.1.6)."""
        named = self._engine.face.multi_subscribe and subscription.subid
        return {"subid": subscription.subid} if named else {}

    # -- for owners (§8)

    async def _default(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        kind, bounds, config = action.get("type"), self._engine.bounds, self._engine.face.default("")
        if kind == "collection" and bounds.children:
            config = replace(config, node_type=kind)  # XEP-0248 §7.3
        return _answer(OWNER, "default", {}, form(config, bounds, whole=True).element())

    async def _configuration(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = _node(action)
        node = await self._engine.owned(owner, name, by)
        return _answer(OWNER, "configure", {"node": name}, (await self._engine.form(node)).element())

    async def _configure(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        submitted = _submitted(action)
        if submitted is not None:
            submitted.expect(NODE_CONFIG)
            await self._engine.configure(owner, _node(action), submitted, by)

    async def _link(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        if not self._engine.face.has_collections:
            raise unsupported("collections")
        added, removed = ([_node(each) for each in action if each.name == name] for name in ("associate", "dissociate"))
        if not added and not removed:
            raise refuse("bad-request")
        await self._engine.collections.link(owner, _node(action), added, removed, by)

    async def _delete(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        if self._engine.face.has_collections and not action.get("node"):
            raise refuse("not-allowed")  # XEP-0248 §7.4.3.1: the root node
        redirect = action.child(OWNER, "redirect")
        await self._engine.delete(owner, _node(action), by, redirect.get("uri") if redirect is not None else "")

    async def _purge(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        await self._engine.purge(owner, _node(action), by)

    async def _subscribers(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = _node(action)
        found, page = await self._subscribing.at(owner, name, by, PageRequest.parse(pubsub))
        listed = (self._entry(OWNER, each) for each in found)
        return _paged(_answer(OWNER, "subscriptions", {"node": name}, *listed), page)

    async def _change_subscribers(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        name, failed = _node(action), []
        listed = [child for child in action if child.name == "subscription"]
        wanted = {(_jid(child), child.get("subid")): child.get("subscription") for child in listed}
        for (jid, subid), state in wanted.items():
            if state:
                unchanged = await self._subscribing.set(owner, name, jid, state, by, subid)
                failed += [self._entry(OWNER, each) for each in unchanged]
        _expect_none(failed, "subscriptions", name)

    async def _affiliated(self, owner: JID, by: JID, action: Element, pubsub: Element) -> Element:
        name = _node(action)
        found, page = await self._affiliating.at(owner, name, by, PageRequest.parse(pubsub))
        listed = (_affiliation(jid, each) for jid, each in found)
        return _paged(_answer(OWNER, "affiliations", {"node": name}, *listed), page)

    async def _affiliate(self, owner: JID, by: JID, action: Element, pubsub: Element) -> None:
        name, failed = _node(action), []
        listed = [child for child in action if child.name == "affiliation"]
        wanted = {_jid(child).bare: child.get("affiliation") for child in listed}
        if len(wanted) < len(listed):
            raise refuse("bad-request")  # one entity twice
        for jid, affiliation in wanted.items():
            after = await self._affiliating.set(owner, name, jid, affiliation, by) if affiliation else ""
            if after != affiliation:
                failed.append(_affiliation(jid, after))
        _expect_none(failed, "affiliations", name)

    # -- discovery (§5.3, §5.4)

    async def meta_data(self, owner: JID, name: str, by: JID) -> Form:
        """What is told of a node to who may read it; raises StanzaError."""
        node = await self._engine.readable(owner, name, by)
        related = await self._engine.store.affiliates(owner, name)
        owners, publishers = (
            [str(jid) for jid, affiliation in related if affiliation == wanted] for wanted in ("owner", "publisher")
        )
        return meta_data(node.config, owners, publishers, await self._engine.store.count_subscribers(owner, name))


def _answer(ns: str, name: str, attrs: dict[str, str], *content: Element) -> Element:
    return Element(ns, "pubsub", {}, [Element(ns, name, attrs, content)])


def _paged(answer: Element, page: Page | None) -> Element:
    return answer if page is None else answer.add(page.element())


def _affiliation(jid: JID, affiliation: str) -> Element:
    return Element(OWNER, "affiliation", {"jid": str(jid), "affiliation": affiliation})


def _expect_none(failed: Sequence[Element], name: str, node: str) -> None:
    """Raises not-acceptable with the entries that could not be changed, as they are (§8.8.2.4, §8.9.2.4)."""
    if failed:
        raise refuse("not-acceptable", about=_answer(OWNER, name, {"node": node}, *failed))


def _node(action: Element) -> str:
    name = action.get("node")
    if not name:
        raise refuse("bad-request", "nodeid-required")
    return name


def _number(text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise refuse("bad-request")
    return int(text) if text else None


def _following(pubsub: Element, action: Element, name: str) -> Element | None:
    """The sibling of this name that comes after the action."""
    children = list(pubsub)
    return next((each for each in children[children.index(action) :] if (each.ns, each.name) == (NS, name)), None)


def _submitted(action: Element) -> Form | None:
    """The form that is submitted; None if it is cancelled."""
    x = action.child(ns.DATA, "x")
    if x is None:
        raise refuse("bad-request")
    form = Form.parse(x)
    return None if form.kind == "cancel" else form


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
