"""Registering with a room: becoming a member, and reserving a nickname (XEP-0045 §7.10, §7.12)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza

from . import joining
from .admin import set_affiliation
from .names import REGISTER
from .privileges import Affiliation
from .room import Room

FORM: Final = "http://jabber.org/protocol/muc#register"
_NICK: Final = "muc#register_roomnick"


def form(room: Room, stanza: Stanza, _query: Element) -> None:
    """What is needed to register, and which nickname is reserved already."""
    jid = _candidate(room, stanza)
    answer = Element(REGISTER, "query")
    entry = room.affiliates.get(jid)
    if entry is not None and entry.nick:
        answer.add(Element(REGISTER, "registered"), Element(REGISTER, "username", {}, [entry.nick]))
    field = Field(_NICK, kind="text-single", label="Nickname", required=True)
    room.answer(stanza, answer.add(Form.of("form", FORM, field).element()))


def register(room: Room, stanza: Stanza, query: Element) -> None:
    """Reserve the nickname, or give it and the membership back. Raises StanzaError: bad-request for no form, conflict
    for a nickname that is another's, registration-required for who has to be made a member by an admin."""
    assert stanza.sender is not None
    if query.child(REGISTER, "remove") is not None:
        _remove(room, stanza)
        return
    jid = _candidate(room, stanza)
    x = query.child(ns.DATA, "x")
    if x is None:
        raise StanzaError("bad-request")
    submitted = Form.parse(x)
    submitted.expect(FORM)
    try:
        nick = joining.acceptable(room.jid.with_resource(submitted.text(_NICK)))
    except InvalidJID as error:
        raise StanzaError("bad-request", "This is no nickname.") from error
    joining.owner_of(room, nick, stanza.sender)
    if jid not in room.affiliates and len(room.affiliates) >= room.bounds.affiliations:
        raise StanzaError("resource-constraint", "The room has too many members.")
    affiliation = max(room.affiliation(jid), Affiliation.MEMBER)
    then = set_affiliation(room, jid, affiliation, nick=nick)
    room.answer(stanza)
    if then is not None:
        then()


def _candidate(room: Room, stanza: Stanza) -> JID:
    assert stanza.sender is not None
    jid = stanza.sender.bare
    affiliation = room.affiliation(jid)
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden")
    if affiliation is Affiliation.NONE and not room.config.register:
        raise StanzaError("registration-required", "An admin of the room makes members.")
    return jid


def _remove(room: Room, stanza: Stanza) -> None:
    """§7.10, as XEP-0077 §3.2 has it; an owner or admin gives back the nickname alone."""
    assert stanza.sender is not None
    jid = stanza.sender.bare
    entry = room.affiliates.get(jid)
    if entry is None or entry.affiliation is Affiliation.OUTCAST:
        raise StanzaError("registration-required")
    wanted = entry.affiliation if entry.affiliation > Affiliation.MEMBER else Affiliation.NONE
    then = set_affiliation(room, jid, wanted, nick="")
    room.answer(stanza)
    if then is not None:
        then()


def reserved_nick(room: Room, jid: JID) -> str:
    """The nickname that is reserved for the account, or an empty one."""
    entry = room.affiliates.get(jid.bare)
    return entry.nick if entry is not None else ""
