"""Configuring a room, also for the first time, and destroying it (XEP-0045 §10.1, §10.2, §10.9)."""

from __future__ import annotations

import msgspec

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza

from . import admin, presence
from .config import Config
from .names import OWNER, USER
from .privileges import Affiliation, Role
from .room import Room, status


def form(room: Room, stanza: Stanza, _query: Element) -> None:
    """The form of the configuration."""
    _owner(room, stanza)
    owners, admins = room.with_affiliation(Affiliation.OWNER), room.with_affiliation(Affiliation.ADMIN)
    x = room.config.form(room.jid, owners, admins, room.bounds.occupants).element()
    room.answer(stanza, Element(OWNER, "query", {}, [x]))


def change(room: Room, stanza: Stanza, query: Element) -> None:
    """Another configuration, the first one, or the end of the room. Raises StanzaError: forbidden for who is no owner,
    bad-request for what is neither, not-acceptable for values that make no sense."""
    _owner(room, stanza)
    end = query.child(OWNER, "destroy")
    if end is not None:
        destroy(room, end)
        room.answer(stanza)
        return
    x = query.child(ns.DATA, "x")
    if x is None:
        raise StanzaError("bad-request")
    submitted = Form.parse(x)
    if submitted.kind == "cancel":
        if room.locked:
            destroy(room, Element(OWNER, "destroy"))
        room.answer(stanza)
        return
    config = room.config.changed(submitted, room.bounds.occupants)
    steps = _affiliations(room, stanza, submitted)
    if room.locked:
        room.unlock()
    later = [then for step in steps if (then := step()) is not None]
    codes = _set(room, config)
    room.answer(stanza)
    for then in later:
        then()
    if codes:
        room.tell(Element(USER, "x", {}, status(codes)))
    _apply(room)


def _owner(room: Room, stanza: Stanza) -> None:
    assert stanza.sender is not None
    if room.affiliation(stanza.sender) is not Affiliation.OWNER:
        raise StanzaError("forbidden")


def _affiliations(room: Room, stanza: Stanza, submitted: Form) -> list[admin.Step]:
    """The changes that the lists of owners and admins ask for; both are full lists."""
    sender = stanza.sender
    assert sender is not None
    items = []
    owners = submitted.jids("muc#roomconfig_roomowners", room.with_affiliation(Affiliation.OWNER))
    admins = submitted.jids("muc#roomconfig_roomadmins", room.with_affiliation(Affiliation.ADMIN))
    wanted = {jid.bare: Affiliation.ADMIN for jid in admins} | {jid.bare: Affiliation.OWNER for jid in owners}
    for jid in [*room.with_affiliation(Affiliation.OWNER), *room.with_affiliation(Affiliation.ADMIN)]:
        wanted.setdefault(jid, Affiliation.NONE)
    for jid, affiliation in sorted(wanted.items(), key=lambda item: -item[1]):  # new owners before the old ones go
        entry = room.affiliates.get(jid)
        if entry is None or entry.affiliation is not affiliation:
            items.append(admin.Item(jid, None, affiliation, None, ""))
    return admin.affiliation_steps(room, sender, items)


def _set(room: Room, config: Config) -> set[int]:
    """Take the configuration; the codes that tell of it (§10.2.1)."""
    before, room.config = room.config, config
    if config == before:
        return set()
    codes = set()
    if config.public_log != before.public_log:
        codes.add(170 if config.public_log else 171)
    if config.non_anonymous != before.non_anonymous:
        codes.add(172 if config.non_anonymous else 173)
        for occupant in room.occupants:
            occupant.changed()
    told = {"public_log": before.public_log, "non_anonymous": before.non_anonymous}
    if msgspec.structs.replace(config, **told) != before:
        codes.add(104)
    room.save()
    return codes


def _apply(room: Room) -> None:
    """Put out who may not be here any more: §10.2, code 322."""
    if not room.config.members_only:
        return
    strangers = [each for each in room.occupants if room.affiliation(each.jid) < Affiliation.MEMBER]
    for occupant in strangers:
        presence.remove(room, occupant, 322)()


def destroy(room: Room, end: Element) -> None:
    """Put out everybody, and end the room; `end` is the `<destroy/>`. Raises StanzaError jid-malformed."""
    farewell = Element(USER, "destroy")
    if end.get("jid"):
        try:
            farewell.attrs["jid"] = str(JID.parse(end.get("jid")))
        except InvalidJID as error:
            raise StanzaError("jid-malformed") from error
    for name in ("reason", "password"):
        child = end.child(OWNER, name)
        if child is not None:
            farewell.add(Element(USER, name, {}, [child.text] if child.text else []))
    for occupant in room.occupants:
        for session in list(occupant.sessions):
            x = room.user_x(occupant.jid, Role.NONE, jid=str(session), codes=(110,))
            x.children.insert(0, farewell)
            gone = Stanza.build("presence", x, sender=occupant.address, to=session, type="unavailable")
            room.send(gone)
            room.forget_session(session)
    room.turn.destroyed = True
