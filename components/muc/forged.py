"""What others send, less what only the room may say."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Child, Stanza, qname
from xmpp_server.protocol.stanza_ids import STANZA_ID

from .names import HATS_KEY, JOIN, OCCUPANT_ID_KEY, USER_X

_DELAY: Final = qname(ns.DELAY, "delay")
_OURS: Final = frozenset((OCCUPANT_ID_KEY, USER_X, JOIN, HATS_KEY))


def stripped(stanza: Stanza, room: JID) -> Stanza:
    """The stanza without what its sender must not say in this room: who is what (XEP-0045 §17.3), which occupant he is
    (XEP-0421 §3), which hats he wears (XEP-0317), ids and delays in the room's name."""
    keys = stanza.keys
    if _OURS.isdisjoint(keys) and STANZA_ID not in keys and _DELAY not in keys:
        return stanza
    return stanza.without(lambda child: _is_forged(child, room))


def _is_forged(child: Child, room: JID) -> bool:
    if child.key in _OURS:
        return True
    if child.key not in (STANZA_ID, _DELAY):
        return False
    try:
        by = JID.parse(child.get("by" if child.key == STANZA_ID else "from"))
    except InvalidJID:
        return False
    return by.bare == room
