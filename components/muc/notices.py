"""Who is to be told of a message that he does not see: the members who are not in the room, for push to wake.

XEP: 0372 (0.5.0) partial: mentions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza

from .privileges import Affiliation
from .room import Room

_REFERENCE = "urn:xmpp:reference:0\nreference"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of the room's log, by its number, and the accounts that are members and not in the room; `mentioned`
    are those of them whom it refers to (XEP-0372)."""

    room: JID
    n: int
    absent: frozenset[JID]
    mentioned: frozenset[JID]


Listener = Callable[[Notice], None]


def notice(room: Room, message: Stanza, n: int) -> Notice:
    """The notice of this message."""
    present = {occupant.jid for occupant in room.occupants}
    absent = frozenset(
        jid
        for jid, entry in room.affiliates.items()
        if entry.affiliation >= Affiliation.MEMBER and jid.localpart and jid not in present
    )
    return Notice(room.jid, n, absent, frozenset(_mentioned(room, message)) & absent)


def _mentioned(room: Room, message: Stanza) -> set[JID]:
    """By real address, or by the nickname that is reserved."""
    found: set[JID] = set()
    if _REFERENCE not in message.keys:
        return found
    for child in message.children:
        uri = child.get("uri")
        if child.key != _REFERENCE or child.get("type") != "mention" or not uri.startswith("xmpp:"):
            continue
        try:
            jid = JID.parse(uri.removeprefix("xmpp:").partition("?")[0])
        except InvalidJID:
            continue
        if jid.bare != room.jid:
            found.add(jid.bare)
        elif (member := room.reserved(jid.resource)) is not None:
            found.add(member)
    return found
