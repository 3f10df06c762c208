"""Bookmarks of rooms in both of their forms: an item for each, and the list of old in one element.

XEP: 0048 (1.2) complete
"""

from __future__ import annotations

from typing import Final

from .element import Element
from .jid import JID, InvalidJID

NS: Final = "urn:xmpp:bookmarks:1"
LEGACY: Final = "storage:bookmarks"

_TEXTS: Final = ("nick", "password")
_ATTRIBUTES: Final = ("name", "autojoin")


def collated(items: dict[str, Element], others: Element | None = None) -> Element:
    """The list of old (XEP-0402 §5.3.1): each item with its address, and what else is in `others`."""
    storage = Element(LEGACY, "storage", {}, [_legacy(jid, item) for jid, item in items.items()])
    if others is not None:
        storage.add(*(child for child in others if not _is_room(child)))
    return storage


def without_rooms(storage: Element) -> Element:
    """What is in a list of old and no room, such as the addresses of web pages."""
    return Element(LEGACY, "storage", {}, [child for child in storage if not _is_room(child)])


def rooms(storage: Element) -> dict[str, Element]:
    """The rooms in a list of old by their addresses, each as an item's payload; what has no address is left out."""
    found: dict[str, Element] = {}
    for child in storage:
        try:
            jid = JID.parse(child.get("jid")) if _is_room(child) else None
        except InvalidJID:
            continue
        if jid is not None:
            found[str(jid)] = _item(child)
    return found


def merged(before: Element | None, after: Element) -> Element:
    """`after`, from a client that knows the form of old only, with what that cannot say of the item before, such as its
    extensions (XEP-0402 §3.1: they are preserved)."""
    kept = [child for child in before or () if not (child.ns == NS and child.name in _TEXTS)]
    return Element(NS, "conference", dict(after.attrs), [*after, *kept])


def same(one: Element | None, other: Element) -> bool:
    """Whether two payloads say the same."""
    return one is not None and _said(one) == _said(other)


def _said(conference: Element) -> tuple[object, ...]:
    children = sorted(child.to_bytes() for child in conference if not (child.ns == NS and child.name in _TEXTS))
    texts = tuple(conference.child_text(NS, name) for name in _TEXTS)
    return conference.get("name"), conference.get("autojoin") in ("true", "1"), texts, children


def _is_room(child: Element) -> bool:
    return (child.ns, child.name) == (LEGACY, "conference")


def _legacy(jid: str, item: Element) -> Element:
    return _copied(item, LEGACY, {"jid": jid})


def _item(conference: Element) -> Element:
    return _copied(conference, NS, {})


def _copied(conference: Element, to: str, attrs: dict[str, str]) -> Element:
    attrs |= {name: conference.get(name) for name in _ATTRIBUTES if name in conference.attrs}
    copy = Element(to, "conference", attrs)
    for name in _TEXTS:
        if (child := conference.child(conference.ns, name)) is not None and child.text:
            copy.add(Element(to, name, {}, [child.text]))
    return copy
