"""Requests from one occupant to another through the room (XEP-0045 §17.4), and of one to himself (XEP-0410)."""

from __future__ import annotations

import secrets
from typing import Final

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza, qname

from .forged import stripped
from .names import PING, VCARD
from .room import Room, not_in_room

_PING: Final = qname(PING, "ping")
_VCARD: Final = qname(VCARD, "vCard")
_MOST: Final = 1000


def receive(room: Room, stanza: Stanza) -> None:
    """An iq to the address of an occupant, or the answer to one that went on. Raises StanzaError: not-acceptable for
    who is not in the room, item-not-found for nobody."""
    if stanza.type in ("result", "error"):
        _answered(room, stanza)
        return
    sender, to = stanza.sender, stanza.to
    assert sender is not None
    assert to is not None
    occupant = room.occupants.of(sender)
    if occupant is None:
        # §6.6 asks for bad-request where it is about discovery, XEP-0410 §3.2 for this otherwise
        discovery = any(key.startswith("http://jabber.org/protocol/disco#") for key in stanza.keys)
        raise StanzaError("bad-request", "You are not in the room.") if discovery else not_in_room()
    target = room.occupants.named(to.resource)
    if target is None:
        raise StanzaError("item-not-found", "There is no such occupant.")
    if target is occupant and stanza.keys == [_PING]:
        room.answer(stanza)
        return
    if stanza.keys != [_VCARD]:  # of which a client asks for those of all at once
        room.count(occupant, len(stanza.payload))
    id = secrets.token_urlsafe(12)
    if len(room.forwarded) >= _MOST:
        del room.forwarded[next(iter(room.forwarded))]
    room.forwarded[id] = (sender, stanza.id, target.jid)
    # a vCard is asked for at the account: its server answers, the client need not
    receiver = target.jid if stanza.keys == [_VCARD] else target.session
    room.send(stripped(stanza, room.jid).stamped(sender=occupant.address, to=receiver, id=id))


def _answered(room: Room, stanza: Stanza) -> None:
    sender, to = stanza.sender, stanza.to
    assert sender is not None
    assert to is not None
    asked = room.forwarded.get(stanza.id)
    if asked is None or asked[2] != sender.bare:
        return
    del room.forwarded[stanza.id]
    requester, id, _ = asked
    answering = room.occupants.of(sender) or next(iter(room.occupants.by_account(sender.bare)), None)
    if room.occupants.of(requester) is not None and answering is not None:
        room.send(stripped(stanza, room.jid).stamped(sender=answering.address, to=requester, id=id))
