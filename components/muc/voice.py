"""Asking for voice in a moderated room, and giving it (XEP-0045 §7.13, §8.6)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.stanza import Stanza

from .occupants import Occupant
from .privileges import Role
from .room import Room

FORM: Final = "http://jabber.org/protocol/muc#request"


def receive(room: Room, stanza: Stanza, x: Element) -> None:
    """A form in a message to the room: a request or its approval. Raises StanzaError bad-request for another form,
    forbidden for an approval by who is no moderator."""
    form = Form.parse(x)
    form.expect(FORM)
    occupant = room.occupant(stanza)
    if form.get("muc#request_allow") is None:
        _ask(room, occupant, form)
    elif occupant.role is not Role.MODERATOR:
        raise StanzaError("forbidden")
    elif form.boolean("muc#request_allow"):
        _approve(room, form)


def _ask(room: Room, occupant: Occupant, form: Form) -> None:
    if form.choice("muc#role", ("participant",), "participant") and occupant.role is not Role.VISITOR:
        return  # he has voice
    room.count(occupant)
    moderators = [other for other in room.occupants if other.role is Role.MODERATOR]
    approval = Form.of(
        "form",
        FORM,
        Field("muc#role", ("participant",), "list-single", "Requested role", (("participant", "Participant"),)),
        Field("muc#jid", (str(occupant.session),), "jid-single", "Address"),
        Field("muc#roomnick", (occupant.nick,), "text-single", "Nickname"),
        boolean("muc#request_allow", False, "Give this person voice?"),
        title="Request for voice",
        instructions="To approve this request for voice, tick the box and send the form.",
    )
    room.tell(approval.element(), to=[s for moderator in moderators for s in moderator.sessions], type="")


def _approve(room: Room, form: Form) -> None:
    target = room.occupants.named(form.text("muc#roomnick"))
    jid = form.jid("muc#jid")
    if target is None or (jid is not None and jid.bare != target.jid):
        raise StanzaError("item-not-found", "There is no such occupant.")
    if target.role is Role.VISITOR:
        target.role = Role.PARTICIPANT
        target.changed()
        room.announce(target)
