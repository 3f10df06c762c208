"""What notifications say (XEP-0060 §7.1.2, §7.2.2, §8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.pubsub_tables import Item, Subscription

from .access import Node
from .errors import EVENT

_SHIM: Final = "http://jabber.org/protocol/shim"


def item_element(ns: str, node: Node, item: Item, *, payload: bool = True, publisher: bool = False) -> Element:
    """The `<item/>`, in the namespace of requests or of events; `publisher`: it names publishers (§7.1.2.3)."""
    element = Element(ns, "item", {"id": item.id} if item.id else {})
    reply = node.config.itemreply
    if reply == "owner" and node.owners:
        element.attrs["publisher"] = str(node.owners[0])
    elif reply == "publisher" or publisher:
        element.attrs["publisher"] = str(item.publisher)
    if payload and item.payload:
        element.add(parse(item.payload))
    return element


def published(node: Node, items: Iterable[Item], *, publisher: bool) -> Element:
    """Items were published; without any it is a mere event (§4.3)."""
    payload = node.config.deliver_payloads
    content = [item_element(EVENT, node, item, payload=payload, publisher=publisher) for item in items]
    return Element(EVENT, "event", {}, [Element(EVENT, "items", {"node": node.name}, content)])


def retracted(node: str, ids: Iterable[str]) -> Element:
    """Items were removed (§7.2.2)."""
    content = [Element(EVENT, "retract", {"id": id}) for id in ids]
    return Element(EVENT, "event", {}, [Element(EVENT, "items", {"node": node}, content)])


def about(node: str, name: str, *content: Element) -> Element:
    """`purge`, `delete` or `configuration` of the node (§8)."""
    return Element(EVENT, "event", {}, [Element(EVENT, name, {"node": node}, content)])


def linked(collection: str, what: str, node: str) -> Element:
    """A node came into a collection or left it: `associate` or `dissociate` (XEP-0248 §5.3.2)."""
    content = Element(EVENT, "collection", {"node": collection}, [Element(EVENT, what, {"node": node})])
    return Element(EVENT, "event", {}, [content])


def tells_of_items(event: Element) -> bool:
    """Whether items were published or retracted, which alone differs by subscription (§12.16)."""
    return any(each.name == "items" for each in event)


def headers(*values: tuple[str, str]) -> Sequence[Element]:
    """What tells by which subscriptions a notification comes: names and values (XEP-0131); nothing without any."""
    content = [Element(_SHIM, "header", {"name": name}, [value]) for name, value in values]
    return [Element(_SHIM, "headers", {}, content)] if content else ()


def subscription_changed(node: str, subscription: Subscription, *, subid: bool) -> Element:
    """A subscription has another state (§12.14)."""
    attrs = {"node": node, "jid": str(subscription.jid), "subscription": subscription.state}
    if subid:
        attrs["subid"] = subscription.subid
    return Element(EVENT, "event", {}, [Element(EVENT, "subscription", attrs)])


def message(owner: JID, event: Element, kind: str, *more: Element) -> Stanza:
    """The notification, to be given a receiver."""
    return Stanza.build("message", event, *more, sender=owner, type=kind)
