"""Retracted messages, and what is left of them.

XEP: 0424 (0.4.2) complete
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from . import ns
from .delay import format_time
from .element import Element, parse
from .jid import JID, InvalidJID
from .stanza import Stanza, qname

NS: Final = "urn:xmpp:message-retract:1"
RETRACT: Final = qname(NS, "retract")
_MUC_USER: Final = "http://jabber.org/protocol/muc#user"


def retracted_id(message: Stanza) -> str:
    """The id of the message that this one retracts; empty if it retracts none."""
    if RETRACT not in message.keys:
        return ""
    child = message.find(NS, "retract")
    return "" if child is None else child.get("id")


def mark(sender: JID, id: str) -> int:
    """What a message of this sender with this id is looked for by, -2^63 to 2^63 - 1; `tombstone` then looks closer."""
    return int.from_bytes(blake2b(f"{sender.bare}\n{id}".encode(), digest_size=8).digest(), "big", signed=True)


def is_left_of(kept: bytes, message: Stanza) -> bool:
    """Whether `kept` stands in the place of this message, which is sent again after it was retracted."""
    if b"retracted" not in kept:
        return False
    found = parse(kept)
    return found.child(NS, "retracted") is not None and found.get("id") == message.id


def tombstone(original: bytes, retraction: Stanza, at: int, kept: Collection[tuple[str, str]] = ()) -> bytes | None:
    """What takes the place of a message in an archive when it is retracted (§4); None if this is not the message that
    is meant, or is another's: §5 wants the same bare address, or, in a room, the same full one.

    `original` names its namespace; `at` is when the retraction took place, in microseconds; children of the names (and
    namespaces) in `kept` stay.
    """
    message = parse(original)
    sender = retraction.sender
    assert sender is not None
    try:
        author = JID.parse(message.get("from"))
    except InvalidJID:
        return None
    if message.get("id") != retracted_id(retraction) or message.child(NS, "retracted") is not None:
        return None
    in_room = retraction.has(_MUC_USER, "x") or message.child(_MUC_USER, "x") is not None
    if author != sender if in_room else author.bare != sender.bare:
        return None
    retracted = Element(NS, "retracted", {"id": retraction.id, "stamp": format_time(at)})
    children = [child for child in message if (child.ns, child.name) in kept]
    return Element(ns.CLIENT, "message", message.attrs, [retracted, *children]).to_bytes("")
