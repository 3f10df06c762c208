"""Presence of occupants: changes of nickname (XEP-0045 §7.6) and availability (§7.7), leaving (§7.14), probes (§17.3),
and people who are gone without a word (§18.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from . import joining
from .names import JOIN
from .occupants import Occupant
from .room import Room, not_in_room

_GONE: Final = frozenset(
    (
        "gone",
        "item-not-found",
        "recipient-unavailable",
        "redirect",
        "remote-server-not-found",
        "remote-server-timeout",
        "service-unavailable",  # RFC 6121 §8.5: what a server answers to a groupchat message for a resource that left
    )
)
_MOST_TEXT: Final = 200  # characters
_UNAVAILABLE: Final = Stanza("presence", None, None, "unavailable", "", "", None, (), b"")


def receive(room: Room, stanza: Stanza) -> None:
    """Presence of any type."""
    assert stanza.sender is not None
    occupant = room.occupants.of(stanza.sender)
    kind = stanza.type
    if kind == "":
        if occupant is not None:
            room.count(occupant, len(stanza.payload))  # §14.6: rapid and repeated changes of presence
        if occupant is None:
            joining.join(room, stanza)
        elif stanza.to is not None and stanza.to.resource != occupant.nick:
            rename(room, occupant, stanza)
        elif JOIN in stanza.keys:
            joining.synchronize(room, occupant, stanza)
        else:
            occupant.update(stanza.sender, joining.reflected(room, stanza))
            room.announce(occupant, own_id=stanza.id)
    elif kind == "unavailable":
        if occupant is not None:
            leave(room, occupant, stanza)
    elif kind == "probe":
        probe(room, stanza, occupant)
    elif kind == "error" and occupant is not None:
        failed(room, occupant, stanza)


def rename(room: Room, occupant: Occupant, stanza: Stanza) -> None:
    """The session wants another nickname; the account's other sessions keep the old one."""
    session, to = stanza.sender, stanza.to
    assert session is not None
    assert to is not None
    nick = joining.acceptable(to)
    target = joining.owner_of(room, nick, session)
    alone = len(occupant.sessions) == 1
    room.announce_gone(
        occupant,
        _UNAVAILABLE,
        sessions=(session,),
        others=alone,
        role=occupant.role,
        nick=nick,
        codes=(303,),
        own_id=stanza.id,
    )
    role = occupant.role
    was_behind = session in room.behind
    room.occupants.leave(session)
    if not alone:
        room.announce(occupant)
    if target is None:
        target = Occupant(to, occupant.jid, occupant.id, role)
    room.occupants.enter(target, session, joining.reflected(room, stanza))
    if was_behind:
        room.behind.add(session)
    room.announce(target, own_id=stanza.id)


def leave(room: Room, occupant: Occupant, stanza: Stanza, codes: tuple[int, ...] = ()) -> None:
    """The session leaves, and its occupant with the last one."""
    session = stanza.sender
    assert session is not None
    presence = joining.reflected(room, stanza).stamped(type="unavailable")
    alone = len(occupant.sessions) == 1
    room.announce_gone(occupant, presence, sessions=(session,), others=alone, codes=codes, own_id=stanza.id)
    was_shown = occupant.session == session
    room.forget_session(session)
    if not alone and was_shown:
        room.announce(occupant)


def remove(
    room: Room, occupant: Occupant, *codes: int, actor: Occupant | None = None, reason: str = ""
) -> Callable[[], None]:
    """Put the occupant out of the room, all of its sessions, for the reason that the codes give: it is told now, and
    the others by what this returns, with which the occupant is gone."""

    def tell(sessions: Iterable[JID], *, own: bool) -> None:
        room.announce_gone(
            occupant, _UNAVAILABLE, sessions=sessions, own=own, others=not own, actor=actor, reason=reason, codes=codes
        )

    def tell_others() -> None:
        if not occupant.sessions:  # put out twice by one request
            return
        tell((), own=False)
        for session in list(occupant.sessions):
            room.forget_session(session)

    tell(list(occupant.sessions), own=True)
    return tell_others


def shut_out(room: Room, sessions: Iterable[JID]) -> None:
    """The service stops, and these sessions are told to enter the room again later (§11.2)."""
    for session in sessions:
        occupant = room.occupants.of(session)
        if occupant is not None:
            leave(room, occupant, _UNAVAILABLE.stamped(sender=session), (332,))
    room.turn.left.clear()  # the room stands


def probe(room: Room, stanza: Stanza, occupant: Occupant | None) -> None:
    """Tell an occupant how another is (§17.3)."""
    assert stanza.to is not None
    if occupant is None:
        raise not_in_room()
    with_jid = room.sees_addresses(occupant)
    nick = stanza.to.resource
    target = room.occupants.named(nick) if nick else occupant
    if target is not None:
        room.send(room.shown(target, with_jid=with_jid).stamped(to=stanza.sender))
        return
    member = room.reserved(nick)
    if member is None:
        raise StanzaError("item-not-found")
    room.send(joining.absent(room, member, nick, with_jid=with_jid).stamped(to=stanza.sender))


def failed(room: Room, occupant: Occupant, stanza: Stanza) -> None:
    """Something could not be delivered to the occupant: if the error says that it is gone, so it is (§11.1)."""
    session = stanza.sender
    assert session is not None
    error = stanza.child(ns.CLIENT, "error")
    conditions = [child.name for child in error if child.ns == ns.STANZA_ERRORS] if error is not None else []
    if error is None or _GONE.isdisjoint(conditions):
        return
    text = error.child_text(ns.STANZA_ERRORS, "text")[:_MOST_TEXT]
    words = ["Kicked", next(name for name in conditions if name in _GONE).replace("-", " "), *([text] if text else [])]
    lose(room, session, ": ".join(words))


def lose(room: Room, session: JID, why: str = "") -> None:
    """The session is gone without a word of its own; `why` is for people."""
    occupant = room.occupants.of(session)
    if occupant is not None:
        gone = _UNAVAILABLE.with_child(Element(ns.CLIENT, "status", {}, [why])) if why else _UNAVAILABLE
        leave(room, occupant, gone.stamped(sender=session), (333,))
