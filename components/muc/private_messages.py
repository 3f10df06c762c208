"""Messages from one occupant to another through the room (XEP-0045 §7.5)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza

from . import presence
from .messages import as_occupant
from .names import USER
from .occupants import Occupant
from .privileges import Role
from .room import Room

_MOST: Final = 1000


def receive(room: Room, stanza: Stanza) -> None:
    """A message to the address of an occupant. Raises StanzaError: bad-request for one of type groupchat,
    not-acceptable for who is not in the room, forbidden where it is configured so, item-not-found for nobody."""
    assert stanza.sender is not None
    assert stanza.to is not None
    if stanza.type == "error":
        _returned(room, stanza)
        return
    if stanza.type == "groupchat":
        raise StanzaError("bad-request", "A message to one occupant is not of type groupchat.")
    occupant = room.occupant(stanza)
    if not _may_write(room, occupant):
        raise StanzaError("forbidden", "You may not send private messages.")
    room.count(occupant, len(stanza.payload))
    target = room.occupants.named(stanza.to.resource)
    if target is None:
        raise StanzaError("item-not-found", "There is no such occupant.")
    message = as_occupant(room, occupant, stanza).with_child(Element(USER, "x"))
    room.fan_out(message, list(target.sessions))
    if stanza.id:
        if len(room.whispered) >= _MOST:
            del room.whispered[next(iter(room.whispered))]
        room.whispered[stanza.id, target.jid] = stanza.sender


def _may_write(room: Room, occupant: Occupant) -> bool:
    match room.config.messages_by:
        case "anyone":
            return True
        case "participants":
            return occupant.role >= Role.PARTICIPANT
        case "moderators":
            return occupant.role is Role.MODERATOR
        case _:
            return False


def _returned(room: Room, stanza: Stanza) -> None:
    """What could not be delivered: the one who sent it is told, and perhaps the occupant is gone. An error that
    answers no such message is of a copy of one to all, of which nobody is told. Nothing but the error goes on."""
    assert stanza.sender is not None
    assert stanza.to is not None
    occupant = room.occupants.of(stanza.sender)
    if occupant is None:
        return
    error, writer = stanza.child(ns.CLIENT, "error"), room.whispered.pop((stanza.id, occupant.jid), None)
    if error is not None and writer is not None and room.occupants.of(writer) is not None:
        room.send(Stanza.build("message", error, sender=occupant.address, to=writer, type="error", id=stanza.id))
    presence.failed(room, occupant, stanza)
