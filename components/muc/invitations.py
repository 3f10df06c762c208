"""Invitations that the room passes on, and their refusal (XEP-0045 §7.8.2)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza

from .names import INVITATION, USER
from .occupants import Occupant
from .privileges import Affiliation
from .room import Affiliate, Room

_MOST: Final = 20
_REASON: Final = 2000  # characters


def receive(room: Room, stanza: Stanza, x: Element) -> None:
    """A message with invitations or a refusal in it; raises StanzaError bad-request for anything else."""
    invited = [child for child in x if (child.ns, child.name) == (USER, "invite")]
    declined = x.child(USER, "decline")
    if invited:
        if len(invited) > _MOST:
            raise StanzaError("policy-violation", f"At most {_MOST} people are invited at once.")
        occupant = room.occupant(stanza)
        people = [_address(child) for child in invited]
        for whom in people:
            _check(room, occupant, whom)
            room.count(occupant)
        for whom, child in zip(people, invited, strict=True):
            _invite(room, stanza, occupant, whom, child)
    elif declined is not None:
        _decline(room, stanza, declined)
    else:
        raise StanzaError("bad-request")


def _check(room: Room, occupant: Occupant, whom: JID) -> None:
    """In a room of members only, who may edit the list of members invites, and members where it is configured so."""
    affiliation = room.affiliation(occupant.jid)
    if room.affiliation(whom) is Affiliation.OUTCAST:
        raise StanzaError("forbidden" if affiliation < Affiliation.ADMIN else "not-allowed", "This user is banned.")
    if not room.config.members_only or affiliation >= Affiliation.ADMIN:
        return
    if affiliation < Affiliation.MEMBER or not room.config.members_invite:
        raise StanzaError("forbidden", "You may not invite others to this room.")


def _invite(room: Room, stanza: Stanza, occupant: Occupant, whom: JID, child: Element) -> None:
    inviter = occupant.address
    if room.config.members_only and room.affiliation(whom) < Affiliation.MEMBER:
        if len(room.affiliates) >= room.bounds.affiliations:
            raise StanzaError("resource-constraint", "The room has too many members.")
        room.affiliate(whom.bare, Affiliate(Affiliation.MEMBER))
        tell_affiliation(room, whom.bare)
    reason = child.child_text(USER, "reason")[:_REASON]
    invite = Element(USER, "invite", {"from": str(inviter)}, [Element(USER, "reason", {}, [reason] if reason else [])])
    thread = child.child(USER, "continue")
    if thread is not None:
        invite.add(Element(USER, "continue", {"thread": thread.get("thread")} if thread.get("thread") else {}))
    room.send(_message(room, invite, whom, stanza.id, _text(inviter, room.jid, reason)))


def invite_member(room: Room, whom: JID) -> None:
    """Tell somebody that he is a member of a room for members only (§9.5)."""
    invite = Element(USER, "invite", {"from": str(room.jid)})
    room.send(_message(room, invite, whom, "", _text(room.jid, room.jid, "")))


def _message(room: Room, invite: Element, whom: JID, id: str, text: str) -> Stanza:
    x = Element(USER, "x", {}, [invite])
    direct = Element(INVITATION, "x", {"jid": str(room.jid)})  # XEP-0249, for those who know only that
    if room.config.password:
        x.add(Element(USER, "password", {}, [room.config.password]))
        direct.attrs["password"] = room.config.password
    reason = invite.child_text(USER, "reason")
    if reason:
        direct.attrs["reason"] = reason
    body = Element(ns.CLIENT, "body", {}, [text])
    return Stanza.build("message", body, x, direct, sender=room.jid, to=whom, id=id)


def _text(inviter: JID, room: JID, reason: str) -> str:
    text = f"{inviter} invited you to the room {room}"
    return f"{text} ({reason})" if reason else text


def _decline(room: Room, stanza: Stanza, child: Element) -> None:
    """To the inviter, if he has to do with the room: nobody else is written to in its name."""
    sender = stanza.sender
    assert sender is not None
    if room.affiliation(sender) is Affiliation.OUTCAST:
        raise StanzaError("forbidden")
    to = _address(child)
    if to.bare == room.jid:
        found = room.occupants.named(to.resource)
        occupants = [found] if found is not None else []
    else:
        occupants = room.occupants.by_account(to.bare)
    receivers = [session for occupant in occupants for session in occupant.sessions]
    if not receivers:
        if to.bare == room.jid or room.affiliation(to) < Affiliation.MEMBER:
            raise StanzaError("item-not-found")
        receivers = [to]
    decline = Element(USER, "decline", {"from": str(sender.bare)})
    reason = child.child_text(USER, "reason")[:_REASON]
    if reason:
        decline.add(Element(USER, "reason", {}, [reason]))
    message = Stanza.build("message", Element(USER, "x", {}, [decline]), sender=room.jid, id=stanza.id)
    room.fan_out(message, receivers)


def tell_affiliation(room: Room, whom: JID, *, codes: tuple[int, ...] = (), reason: str = "") -> None:
    """Tell those who may see real addresses what somebody who is not in the room has become (§10.3)."""
    seeing = [session for occupant in room.occupants if room.sees_addresses(occupant) for session in occupant.sessions]
    x = room.user_x(whom, None, jid=str(whom), reason=reason, codes=codes)
    room.tell(x, to=seeing, type="")


def _address(child: Element) -> JID:
    try:
        return JID.parse(child.get("to"))
    except InvalidJID as error:
        raise StanzaError("jid-malformed") from error
