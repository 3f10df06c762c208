"""What a room tells of itself (XEP-0045 §6.4, §6.5, §7.12)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.stanza import Stanza

from . import hats
from .avatar import hashes
from .names import HATS, MODERATE, MUC, OCCUPANT_ID, PING, REGISTER, SELF_PING, STABLE_ID, VCARD
from .privileges import Affiliation
from .registration import reserved_nick
from .room import Room

ALWAYS: Final = (ns.DISCO_INFO, ns.DISCO_ITEMS, MUC, STABLE_ID, SELF_PING, OCCUPANT_ID, PING, REGISTER, VCARD)
LOGGED: Final = (ns.MAM, f"{ns.MAM}#extended", ns.STANZA_ID, MODERATE)
_ROOM_INFO: Final = "http://jabber.org/protocol/muc#roominfo"
_NICK: Final = "x-roomuser-item"


def info(room: Room, stanza: Stanza, query: Element) -> None:
    """Identity, features and the form with details. Raises StanzaError: item-not-found for a room that is locked,
    service-unavailable and item-not-found for other nodes (§18.1.1)."""
    assert stanza.sender is not None
    _check(room, stanza)
    node = query.get("node")
    if node == _NICK:
        answer = Element(ns.DISCO_INFO, "query", {"node": node})
        if nick := reserved_nick(room, stanza.sender):
            answer.add(Identity("conference", "text", name=nick).element())
        room.answer(stanza, answer)
        return
    if (about := hats.info(node)) is not None:
        room.answer(stanza, about)
        return
    if node:
        raise StanzaError("service-unavailable" if node.endswith("#traffic") else "item-not-found")
    config = room.config
    features = [
        *ALWAYS,
        *(LOGGED if room.logs else ()),
        HATS,
        COMMANDS,
        "muc_membersonly" if config.members_only else "muc_open",
        "muc_moderated" if config.moderated else "muc_unmoderated",
        "muc_nonanonymous" if config.non_anonymous else "muc_semianonymous",
        "muc_passwordprotected" if config.password else "muc_unsecured",
        "muc_persistent" if config.persistent else "muc_temporary",
        "muc_public" if config.public else "muc_hidden",
    ]
    identity = Identity("conference", "text", name=config.name or room.jid.localpart)
    room.answer(stanza, Info.of((identity,), features, (_details(room, stanza),)).element())


def _details(room: Room, stanza: Stanza) -> Form:
    assert stanza.sender is not None
    config = room.config
    inside = room.occupants.of(stanza.sender) is not None or room.affiliation(stanza.sender) >= Affiliation.MEMBER
    fields = [
        Field("muc#roominfo_description", (config.description,), "text-single", "Description"),
        Field("muc#roominfo_occupants", (str(len(room.occupants)),), "text-single", "Number of occupants"),
        Field("muc#roominfo_lang", (config.lang,), "text-single", "Language"),
        boolean("muc#roominfo_subjectmod", config.anyone_changes_subject, "Occupants may change the subject"),
        boolean("muc#roomconfig_changesubject", config.anyone_changes_subject, "Occupants may change the subject"),
        Field("muc#maxhistoryfetch", (str(config.history),), "text-single", "Messages shown to newcomers"),
        boolean("{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites", config.members_invite),
        boolean("muc#roomconfig_allowinvites", config.members_invite, "Members may invite others"),
        Field("muc#roomconfig_allowpm", (config.messages_by,), "list-single", "Who may send private messages"),
    ]
    if config.pubsub:
        fields.append(Field("muc#roominfo_pubsub", (config.pubsub,), "text-single"))
    if inside and room.subject is not None:  # §14.4
        subject = room.subject.message.child(ns.CLIENT, "subject")
        fields.append(Field("muc#roominfo_subject", (subject.text if subject else "",), "text-single", "Subject"))
    if room.avatar:
        fields.append(Field("muc#roominfo_avatarhash", tuple(hashes(room)), "text-multi", "Hash of the avatar"))
    if inside and room.hats:
        fields.append(Field("hats#hash", (hats.digest(room),), "text-single", "Hats hash"))
    return Form.of("result", _ROOM_INFO, *fields)


def items(room: Room, stanza: Stanza, query: Element) -> None:
    """The occupants, for those who are in the room; for others where the operator wants it, none of a room that is
    hidden or for members only (§14.4)."""
    assert stanza.sender is not None
    _check(room, stanza)
    node = query.get("node")
    answer = Element(ns.DISCO_ITEMS, "query", {"node": node} if node else {})
    if node == COMMANDS:
        answer.add(*hats.items(room, stanza))
    outside = room.lists_occupants and room.config.public and not room.config.members_only
    if not node and (outside or room.occupants.of(stanza.sender) is not None):
        shown = [occupant for occupant in room.occupants if room.is_shown(occupant.role)]
        answer.add(*(Element(ns.DISCO_ITEMS, "item", {"jid": str(occupant.address)}) for occupant in shown))
    room.answer(stanza, answer)


def _check(room: Room, stanza: Stanza) -> None:
    assert stanza.sender is not None
    if room.locked and room.affiliation(stanza.sender) is not Affiliation.OWNER:
        raise StanzaError("item-not-found")
