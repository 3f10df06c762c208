"""How a room is kept: its state as bytes, and its messages as they are read from the log again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.rooms import RoomAffiliation, RoomChange

from .config import Config
from .hat import Hat
from .names import USER_X
from .occupants import Occupant
from .privileges import Affiliation, Role
from .room import Affiliate, Room, Subject
from .turn import Changed


class _Hat(msgspec.Struct, omit_defaults=True):
    uri: str
    title: str
    hue: str = ""
    wearers: list[str] = []


class _State(msgspec.Struct, omit_defaults=True):
    config: Config
    subject: bytes = b""
    subject_at: int = 0
    avatar: bytes = b""
    hats: list[_Hat] = []


class _Sitting(msgspec.Struct):
    """An occupant as it is kept over a restart; `sessions` are addresses with their presence, `behind` those of
    them who are owed what they missed."""

    nick: str
    jid: str
    role: int
    sessions: dict[str, bytes]
    behind: list[str] = []


_ROOM: Final = msgspec.json.Decoder(_State)
_OCCUPANTS: Final = msgspec.json.Decoder(list[_Sitting])


def change(room: Room, changed: Changed, accounts: Iterable[JID]) -> RoomChange:
    """What is to be written."""
    written = RoomChange(room.jid, public=room.config.public, name=room.config.name)
    if Changed.ROOM in changed:
        subject = room.subject
        state = _State(
            room.config,
            subject.message.to_bytes(ns.CLIENT) if subject is not None else b"",
            subject.at if subject is not None else 0,
            room.avatar,
            [_Hat(hat.uri, hat.title, hat.hue, sorted(map(str, hat.wearers))) for hat in room.hats.values()],
        )
        written.state = msgspec.json.encode(state)
    for jid in accounts:
        entry = room.affiliates.get(jid)
        if entry is None:
            written.removed.append(jid)
        else:
            written.affiliated.append(RoomAffiliation(jid, int(entry.affiliation), entry.nick, entry.reason))
    return written


def restore(room: Room, state: bytes, affiliations: Iterable[RoomAffiliation]) -> None:
    """Make the room what was kept."""
    kept = _ROOM.decode(state)
    room.config = kept.config
    room.avatar = kept.avatar
    room.hats = {hat.uri: Hat(hat.uri, hat.title, hat.hue, frozenset(map(JID.parse, hat.wearers))) for hat in kept.hats}
    if kept.subject:
        room.subject = Subject(read(kept.subject), kept.subject_at)
    room.affiliates = {
        each.account: Affiliate(Affiliation(each.affiliation), each.nick, each.reason) for each in affiliations
    }


def config(state: bytes) -> Config:
    """How the room is configured whose state this is."""
    return _ROOM.decode(state).config


def occupants(room: Room) -> bytes:
    """Who is in the room."""
    return msgspec.json.encode(
        [
            _Sitting(
                occupant.nick,
                str(occupant.jid),
                int(occupant.role),
                {str(session): presence.to_bytes(ns.CLIENT) for session, presence in occupant.sessions.items()},
                [str(session) for session in occupant.sessions if session in room.behind],
            )
            for occupant in room.occupants
        ]
    )


def seat(room: Room, state: bytes) -> None:
    """Who was in the room is in it again, and those who were `behind` still are."""
    for kept in _OCCUPANTS.decode(state):
        jid = JID.parse(kept.jid)
        identity = room.surroundings.occupant_id(room.jid, jid)
        occupant = Occupant(room.jid.with_resource(kept.nick), jid, identity, Role(kept.role))
        for session, presence in kept.sessions.items():
            jid = JID.parse(session)
            room.occupants.enter(occupant, jid, read(presence))
            room.since[jid] = room.last
            room.beginning.add(jid)
        room.behind.update(map(JID.parse, kept.behind))


def read(data: bytes) -> Stanza:
    """A stanza of the room that was kept as bytes, without what names the real address of its sender."""
    element = parse(data)
    sender = JID.parse(element.get("from")) if element.get("from") else None
    stanza = Stanza(
        element.name,
        sender,
        None,
        element.get("type"),
        element.get("id"),
        element.get("xml:lang"),
        None,
        (),
        b"",
    ).with_child(*element)
    return stanza.without(lambda child: child.key == USER_X)
