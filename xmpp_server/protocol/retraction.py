"""Retracted messages, and what is left of them.

XEP: 0424 (0.4.2) complete
"""

from __future__ import annotations

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


def tombstone(original: bytes, retraction: Stanza, at: int) -> bytes | None:
    """What takes the place of a message in an archive when it is retracted (§4); None if this is not the message that
    is meant, or is another's: §5 wants the same bare address, or, in a room, the same full one.

    `original` names its namespace; `at` is when the retraction took place, in microseconds.
    """
    message = parse(original)
    sender = retraction.sender
    assert sender is not None
    try:
        author = JID.parse(message.get("from"))
    except InvalidJID:
        return None
    if message.get("id") != retracted_id(retraction):
        return None
    in_room = retraction.has(_MUC_USER, "x") or message.child(_MUC_USER, "x") is not None
    if author != sender if in_room else author.bare != sender.bare:
        return None
    retracted = Element(NS, "retracted", {"id": retraction.id, "stamp": format_time(at)})
    return Element(ns.CLIENT, "message", message.attrs, [retracted]).to_bytes("")
