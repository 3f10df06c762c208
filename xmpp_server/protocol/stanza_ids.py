"""The id that an entity gives to a message which it keeps or passes on (XEP-0359 §3.1)."""

from __future__ import annotations

from typing import Final

from . import ns
from .jid import JID
from .stanza import Stanza, qname

STANZA_ID: Final = qname(ns.STANZA_ID, "stanza-id")


def with_stanza_id(message: Stanza, by: JID, id: str) -> Stanza:
    """The message with this id, of characters that XML lets stand as they are."""
    data = f"<stanza-id xmlns='{ns.STANZA_ID}' by='{by.xml}' id='{id}'/>".encode()
    return message.with_empty(STANZA_ID, ["by", str(by), "id", id], data)
