"""Messages that are taken back: by a moderator, or by who sent them. In the log a tombstone takes their place.

XEP: 0425 (0.3.0) complete
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from xmpp_server.protocol import ns, retraction
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza

from .names import MODERATE, OCCUPANT_ID
from .privileges import Role
from .receiving import receive
from .room import Room

_REASON = 2000  # characters


def check(room: Room, stanza: Stanza) -> None:
    """Raises StanzaError forbidden for who is no moderator."""
    assert stanza.sender is not None
    occupant = room.occupants.of(stanza.sender)
    if occupant is None or occupant.role is not Role.MODERATOR:
        raise StanzaError("forbidden", "Only moderators are allowed to moderate other participants' messages")


def moderate(room: Room, stanza: Stanza, request: Element, n: int, original: bytes) -> None:
    """Retract the message of this number: in the log by a tombstone (§5), and in front of everybody (§4)."""
    check(room, stanza)
    if request.child(retraction.NS, "retract") is None:
        raise StanzaError("bad-request", "Messages can be retracted.")
    assert stanza.sender is not None
    moderator = room.occupants.of(stanza.sender)
    assert moderator is not None
    by = Element(MODERATE, "moderated", {"by": str(moderator.address)})
    by.add(Element(OCCUPANT_ID, "occupant-id", {"id": moderator.id}))
    reason = request.child_text(MODERATE, "reason")[:_REASON]
    told = [by, Element(MODERATE, "reason", {}, [reason])] if reason else [by]
    retract = Element(retraction.NS, "retract", {"id": request.get("id")}, told)
    notice = Stanza.build("message", retract, sender=room.jid, type="groupchat", id=secrets.token_urlsafe(9))
    room.history.discard(n)
    notice, number = room.log(notice, room.jid, ((n, _tombstone(room, parse(original), *told)),))
    room.answer(stanza)
    room.fan_out(notice, [each for each in room.occupants.sessions if each not in room.behind], number)


def retract(room: Room, stanza: Stanza, n: int, original: bytes) -> None:
    """Reflect a message by which its sender takes another of his own back (XEP-0424 §4)."""
    receive(room, stanza)
    logged = room.turn.logged
    message = parse(original)
    author = message.child(OCCUPANT_ID, "occupant-id")
    own = logged.stanza.child(OCCUPANT_ID, "occupant-id") if logged is not None else None
    if logged is None or author is None or own is None or author.get("id") != own.get("id"):
        return
    if message.child(retraction.NS, "retracted") is not None:
        return  # the tombstone of a moderator stays
    room.history.discard(n)
    room.turn.logged = replace(logged, entombed=((n, _tombstone(room, message)),))


def _tombstone(room: Room, message: Element, *told: Element) -> bytes:
    author = message.child(OCCUPANT_ID, "occupant-id")
    retracted = Element(retraction.NS, "retracted", {"stamp": format_time(room.surroundings.now())}, told)
    left = [author, retracted] if author is not None else [retracted]
    return Element(ns.CLIENT, "message", message.attrs, left).to_bytes("")
