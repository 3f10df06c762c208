"""Entering a room (XEP-0045 §7.1, §7.2, §10.1), and being shown it again (§17.3)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import delay
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from .forged import stripped
from .history import HistoryRequest
from .names import JOIN, MUC
from .occupants import Occupant
from .privileges import Affiliation, Role, default_role
from .room import Room

_PLACES_FOR_ADMINS: Final = 10


def join(room: Room, stanza: Stanza) -> None:
    """Let the sender in, or raise StanzaError with the reason (§7.2.17)."""
    session, to = stanza.sender, stanza.to
    assert session is not None
    assert to is not None
    if JOIN not in stanza.keys:
        _not_in_room(room, stanza)
        return
    nick = acceptable(to)
    asked = stanza.child(MUC, "x")
    assert asked is not None
    history = HistoryRequest.parse(asked)
    room.count_join(session.bare)
    affiliation = _admit(room, session, asked)
    occupant = owner_of(room, nick, session)
    created = room.locked and not room.occupants
    if occupant is None:
        _find_place(room, affiliation)
        role = default_role(affiliation, moderated=room.config.moderated)
        identity = room.surroundings.occupant_id(room.jid, session.bare)
        occupant = Occupant(to, session.bare, identity, role)
    _show_others(room, session, occupant)
    room.occupants.enter(occupant, session, reflected(room, stanza))
    room.since[session] = room.last
    room.beginning.add(session)
    room.announce(occupant, own_codes=_entry_codes(room, created=created), own_id=stanza.id)
    _owe_history(room, session, affiliation, history)


def synchronize(room: Room, occupant: Occupant, stanza: Stanza) -> None:
    """One who is in the room asks to enter it: he lost track, and is shown all of it (§17.3)."""
    session = stanza.sender
    assert session is not None
    asked = stanza.child(MUC, "x")
    assert asked is not None
    history = HistoryRequest.parse(asked)
    room.count_join(session.bare)
    presence = reflected(room, stanza)
    changed = presence.payload != occupant.sessions[session].payload
    _show_others(room, session, occupant)
    occupant.update(session, presence)
    room.announce(occupant, own_codes=_entry_codes(room, created=False), own_id=stanza.id, others=changed)
    room.behind.discard(session)
    room.beginning.add(session)  # it is the server that crashed, where this runs in a process of its own
    _owe_history(room, session, room.affiliation(session), history)


def reflected(room: Room, stanza: Stanza) -> Stanza:
    """The presence as the room shows it, less what it adds."""
    presence = stripped(stanza, room.jid)
    return Stanza(
        "presence", None, None, presence.type, presence.id, presence.lang, None, presence.children, presence.payload
    )


def acceptable(address: JID) -> str:
    """The nickname that is asked for. Raises StanzaError: jid-malformed for none (§7.2.1), not-acceptable for one that
    looks like another or like nothing (§17.1)."""
    nick = address.resource
    if not nick:
        raise StanzaError("jid-malformed", "Who enters a room has a nickname.")
    if nick != nick.strip() or not nick.strip():
        raise StanzaError("not-acceptable", "A nickname neither begins nor ends with a space.")
    return nick


def owner_of(room: Room, nick: str, session: JID) -> Occupant | None:
    """The occupant of this nickname, if it is the same account (§7.2.8), None if it is free; raises StanzaError
    conflict if it is another's, or is reserved for another."""
    occupant = room.occupants.named(nick)
    if occupant is not None:
        if occupant.jid != session.bare:
            raise StanzaError("conflict")
        return occupant
    reserved = room.reserved(nick)
    if reserved is not None and reserved != session.bare:
        raise StanzaError("conflict", "This nickname is reserved.")
    return None


def send_subject(room: Room, session: JID) -> None:
    """The subject, which ends what a newcomer is shown (§7.2.15)."""
    if room.subject is None:
        empty = Stanza.build("message", Element(ns.CLIENT, "subject"), sender=room.jid, type="groupchat")
        room.send(empty.stamped(to=session))
    else:
        room.send(room.subject.message.with_child(delay(room.jid, room.subject.at)).stamped(to=session))


def catch_up(room: Room, session: JID, after: int) -> None:
    """Show a session that is behind what came after this message, and the subject: it gets live messages from now
    on."""
    if session not in room.behind:
        return
    room.behind.discard(session)
    for entry in room.history.after(after):
        room.fan_out(entry.late(room.jid), (session,), entry.n, late=True)
    send_subject(room, session)


def show_default(room: Room, session: JID, request: HistoryRequest | None = None) -> None:
    """Show a session what it asked for, or what the room shows to everybody."""
    room.behind.discard(session)
    for entry in room.history.asked(request, room.config.history, room.surroundings.now()):
        room.send(entry.late(room.jid).stamped(to=session))
    send_subject(room, session)


def _admit(room: Room, session: JID, asked: Element) -> Affiliation:
    affiliation = room.affiliation(session)
    if room.locked and affiliation is not Affiliation.OWNER:
        raise StanzaError("item-not-found")  # §7.2.10
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden")
    if room.config.members_only and affiliation < Affiliation.MEMBER:
        raise StanzaError("registration-required")
    password = room.config.password
    if password and not compare_digest(asked.child_text(MUC, "password").encode(), password.encode()):
        raise StanzaError("not-authorized")
    return affiliation


def _find_place(room: Room, affiliation: Affiliation) -> None:
    """§7.2.9: some places beyond are for admins."""
    most = min(room.config.occupants or room.bounds.occupants, room.bounds.occupants)
    if affiliation >= Affiliation.ADMIN:
        most += _PLACES_FOR_ADMINS
    if len(room.occupants) >= most:
        raise StanzaError("service-unavailable", type="wait")


def _show_others(room: Room, session: JID, occupant: Occupant) -> None:
    with_jid = room.config.non_anonymous or occupant.role is Role.MODERATOR
    for other in room.occupants:
        if other.nick != occupant.nick and room.is_shown(other.role):
            room.send(room.shown(other, with_jid=with_jid).addressed(session))
    if not room.is_shown(Role.NONE):
        return
    for jid, entry in room.affiliates.items():
        if entry.nick and entry.nick != occupant.nick and room.occupants.named(entry.nick) is None:
            room.send(absent(room, jid, entry.nick, with_jid=with_jid).stamped(to=session))


def absent(room: Room, jid: JID, nick: str, *, with_jid: bool) -> Stanza:
    """The presence of a member who is not there."""
    x = room.user_x(jid, Role.NONE, jid=str(jid) if with_jid else "", nick=nick)
    return Stanza.build("presence", x, sender=room.jid.with_resource(nick), type="unavailable")


def _entry_codes(room: Room, *, created: bool) -> list[int]:
    codes = []
    if room.config.non_anonymous:
        codes.append(100)
    if room.config.public_log:
        codes.append(170)
    if created:
        codes.append(201)
    return codes


def _owe_history(room: Room, session: JID, affiliation: Affiliation, request: HistoryRequest | None) -> None:
    """Members who ask for nothing special get all that they missed, of which the service knows how much."""
    if request is None and affiliation >= Affiliation.MEMBER and room.logs:
        room.behind.add(session)
        room.since[session] = room.last
        room.turn.arrived.append(session)
    else:
        show_default(room, session, request)


def _not_in_room(room: Room, stanza: Stanza) -> None:
    """§7.2.18: presence of one who believes that he is in the room."""
    x = room.user_x(Affiliation.NONE, Role.NONE, reason="You are not in the room.", codes=(110, 307, 333))
    room.send(Stanza.build("presence", x, sender=stanza.to, to=stanza.sender, type="unavailable"))
