"""Messages to the room: to all occupants (XEP-0045 §7.4), of the subject (§8.1), and what is for the room itself."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.archivable import is_worth_keeping
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza, qname

from . import invitations, presence, voice
from .forged import stripped
from .history import is_subject
from .names import OCCUPANT_ID, USER, USER_X
from .occupants import Occupant
from .privileges import Role
from .room import Room, Subject

_FORM: Final = qname(ns.DATA, "x")


def receive(room: Room, stanza: Stanza) -> None:
    """A message to the room's own address."""
    assert stanza.sender is not None
    if stanza.type == "groupchat":
        speak(room, stanza)
    elif stanza.type == "error":
        occupant = room.occupants.of(stanza.sender)
        if occupant is not None:
            presence.failed(room, occupant, stanza)
    elif USER_X in stanza.keys and (x := stanza.child(USER, "x")) is not None and x.children:
        invitations.receive(room, stanza, x)
    elif _FORM in stanza.keys and (form := stanza.child(ns.DATA, "x")) is not None:
        voice.receive(room, stanza, form)
    else:
        raise StanzaError("bad-request", "Messages to a room are of type groupchat.")


def speak(room: Room, stanza: Stanza, former: Stanza | None = None) -> None:
    """Reflect it to all; `former` is the message itself, if it is sent again and in the log already.

    Raises StanzaError not-acceptable for who is not in the room, forbidden without voice, for the subject without the
    right to change it; policy-violation if it is too large.
    """
    occupant = room.occupant(stanza)
    changes_subject = is_subject(stanza)
    if changes_subject:
        if not may_change_subject(room, occupant):
            raise StanzaError("forbidden", "You may not change the subject.")
    elif occupant.role < Role.PARTICIPANT:
        raise StanzaError("forbidden", "You have no voice.")
    room.count(occupant, len(stanza.payload))
    again = former or room.history.same(stanza, occupant.id)
    if again is not None:  # who sends it again is shown it as it was, or in its turn with what he missed
        if stanza.sender not in room.behind:
            room.send(again.stamped(to=stanza.sender))
        return
    message = as_occupant(room, occupant, stanza)
    n = 0
    if room.logs and (changes_subject or is_worth_keeping(message)):
        message, n = room.log(message, occupant.address, mark=room.mark(stanza))
    elif is_worth_keeping(message) and not changes_subject:
        at = room.surroundings.now()
        room.last = room.surroundings.number(room.last)
        room.history.add(room.last, at, message)
    if changes_subject:
        room.subject = Subject(message, room.surroundings.now())
        room.save()
    behind = room.behind
    receivers = room.occupants.sessions
    room.fan_out(message, [each for each in receivers if each not in behind] if behind else list(receivers), n)


def as_occupant(room: Room, occupant: Occupant, stanza: Stanza) -> Stanza:
    """The stanza as the room sends it on for its occupant: without `to`."""
    sent = stripped(stanza, room.jid)
    identity = Element(OCCUPANT_ID, "occupant-id", {"id": occupant.id})
    return Stanza(
        sent.name, occupant.address, None, sent.type, sent.id, sent.lang, None, sent._children, sent.payload
    ).with_child(identity)


def may_change_subject(room: Room, occupant: Occupant) -> bool:
    """§8.1: moderators, and others with voice where the room is configured so."""
    if occupant.role is Role.MODERATOR:
        return True
    return room.config.anyone_changes_subject and occupant.role is Role.PARTICIPANT
