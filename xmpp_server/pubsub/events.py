"""Notifications (XEP-0060 §7.1.2, §7.2.2, §8): built once, and given to many without stalling anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.pubsub import Item

from .config import NodeConfig
from .errors import EVENT

_TOGETHER: Final = 50
"""Notifications that are sent in one turn of the loop."""


def item_element(ns: str, item: Item, *, payload: bool = True, publisher: bool = False) -> Element:
    """The `<item/>`, in the namespace of requests or of events."""
    element = Element(ns, "item", {"id": item.id} if item.id else {})
    if publisher:
        element.attrs["publisher"] = str(item.publisher)
    if payload and item.payload:
        element.add(parse(item.payload))
    return element


def published(node: str, items: Iterable[Item], config: NodeConfig, *, publisher: bool) -> Element:
    """Items were published; one that has no payload and is not kept is a mere event (§4.3)."""
    content = [item_element(EVENT, item, payload=config.deliver_payloads, publisher=publisher) for item in items]
    return Element(EVENT, "event", {}, [Element(EVENT, "items", {"node": node}, content)])


def retracted(node: str, ids: Iterable[str]) -> Element:
    """Items were removed (§7.2.2)."""
    content = [Element(EVENT, "retract", {"id": id}) for id in ids]
    return Element(EVENT, "event", {}, [Element(EVENT, "items", {"node": node}, content)])


def about(node: str, name: str, *content: Element) -> Element:
    """`purge`, `delete` or `configuration` of the node (§8)."""
    return Element(EVENT, "event", {}, [Element(EVENT, name, {"node": node}, content)])


def message(owner: JID, event: Element, kind: str, *more: Element) -> Stanza:
    """The notification, to be given a receiver."""
    return Stanza.build("message", event, *more, sender=owner, type=kind)


def subscription_changed(node: str, jid: JID, state: str, subid: str = "") -> Element:
    """A subscription was approved, denied or ended by an owner (§8.6, §8.8.4)."""
    attrs = {"node": node, "jid": str(jid), "subscription": state}
    if subid:
        attrs["subid"] = subid
    return Element(EVENT, "event", {}, [Element(EVENT, "subscription", attrs)])


async def give(send: Callable[[Stanza], Awaitable[None]], stanza: Stanza, receivers: Iterable[JID]) -> None:
    """Send the same notification to all, some in each turn of the loop. What one's server refuses stops nobody."""
    for number, receiver in enumerate(receivers, 1):
        try:
            await send(stanza.stamped(to=receiver))
        except StanzaError:
            continue
        if number % _TOGETHER == 0:
            await asyncio.sleep(0)
