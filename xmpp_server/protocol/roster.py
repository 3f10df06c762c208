"""The payload of roster sets, results and pushes (RFC 6121 §2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from . import ns
from .element import Element
from .errors import StanzaError
from .jid import JID, InvalidJID

MAX_NAME: Final = 1023
"""Octets of a handle, and of the name of a group."""
MAX_GROUPS: Final = 100


class Item(Protocol):
    """What clients see of a contact (§2.1.2): `subscription` is none, to, from or both; `name` is empty if there is
    none; `version` is that of the roster when the contact was last changed (§2.6)."""

    @property
    def jid(self) -> JID: ...
    @property
    def name(self) -> str: ...
    @property
    def subscription(self) -> str: ...
    @property
    def ask(self) -> bool: ...
    @property
    def approved(self) -> bool: ...
    @property
    def groups(self) -> Iterable[str]: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RosterSet:
    """What a client asks for: to remove the contact, or that its handle and groups be these from now on."""

    jid: JID
    name: str = ""
    groups: tuple[str, ...] = ()
    remove: bool = False

    @classmethod
    def parse(cls, query: Element, account: JID) -> RosterSet:
        """From the `<query/>` that `account` sent. `ask`, `approved` and a `subscription` other than remove are the
        server's and ignored (§2.1.2).

        Raises StanzaError (§2.3.3): bad-request (not exactly one item, no address of an account or server, a group
        twice), not-acceptable (a handle or group too long, an empty group, too many groups), not-allowed (oneself).
        """
        items = [child for child in query if child.ns == ns.ROSTER and child.name == "item"]
        if len(items) != 1:
            raise StanzaError("bad-request", "A roster set has exactly one item.")
        item = items[0]
        try:
            jid = JID.parse(item.get("jid"))
        except InvalidJID as error:
            raise StanzaError("bad-request", "The item has no valid address.") from error
        if not jid.is_bare:
            raise StanzaError("bad-request", "A contact's address has no resource.")
        if jid == account.bare:
            raise StanzaError("not-allowed", "Nobody is their own contact.")
        if item.get("subscription") == "remove":
            return cls(jid, remove=True)
        name = item.get("name")
        groups = tuple(child.text for child in item if child.ns == ns.ROSTER and child.name == "group")
        if len(set(groups)) != len(groups):
            raise StanzaError("bad-request", "A group is there twice.")
        if len(groups) > MAX_GROUPS or not all(groups) or any(map(_too_long, (name, *groups))):
            raise StanzaError("not-acceptable", "A group is empty, or there are too many, or a name is too long.")
        return cls(jid, name, groups)


def item_push(contact: Item) -> Element:
    """The `<query/>` of a push that tells of a contact who was added or changed."""
    return _query(contact.version, [_item(contact)])


def removal_push(jid: JID, version: int) -> Element:
    """The `<query/>` of a push that tells of a removal (§2.5.2), by which the roster came to `version`."""
    return _query(version, [Element(ns.ROSTER, "item", {"jid": str(jid), "subscription": "remove"})])


def roster_result(contacts: Iterable[Item], version: int) -> Element:
    """The `<query/>` that answers the request for a roster (§2.1.4)."""
    return _query(version, map(_item, contacts))


def _query(version: int, items: Iterable[Element]) -> Element:
    return Element(ns.ROSTER, "query", {"ver": str(version)}, items)


def _item(contact: Item) -> Element:
    element = Element(ns.ROSTER, "item", {"jid": str(contact.jid), "subscription": contact.subscription})
    if contact.name:
        element.attrs["name"] = contact.name
    if contact.ask:
        element.attrs["ask"] = "subscribe"
    if contact.approved:
        element.attrs["approved"] = "true"
    return element.add(*(Element(ns.ROSTER, "group", {}, [group]) for group in contact.groups))


def _too_long(text: str) -> bool:
    return len(text.encode()) > MAX_NAME
