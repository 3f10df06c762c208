"""What a room takes at most: people, affiliations, octets."""

from __future__ import annotations

from itertools import count

import pytest

from components.muc.config import Config
from components.muc.names import ADMIN, MUC
from components.muc.privileges import Affiliation
from components.muc.room import Affiliate, Room
from components.muc.surroundings import Bounds
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

ROOM = JID.parse("cave@conference.localhost")
OWNER = JID.parse("crone@localhost/1")
JOIN = Element(MUC, "x", {}, [Element(MUC, "history", {"maxstanzas": "0"})])


class Surroundings:
    def __init__(self) -> None:
        self._numbers = count(1)

    def now(self) -> int:
        return 1_000_000_000

    def number(self, after: int) -> int:
        return next(self._numbers)

    def stanza_id(self, room: JID, n: int) -> str:
        return str(n)

    def mark(self, room: JID, account: JID, id: str) -> int:
        return hash((room, account, id))

    def occupant_id(self, room: JID, account: JID) -> str:
        return str(account)


@pytest.fixture
def room() -> Room:
    """A large room, which shows the presence of moderators alone, and its owner in it."""
    room = Room(ROOM, Surroundings(), Bounds())
    room.config = Config(persistent=True, presence_of=("moderator",))
    room.affiliates[OWNER.bare] = Affiliate(Affiliation.OWNER)
    assert enter(room, OWNER, "owner") == ""
    return room


def condition(room: Room, stanza: Stanza) -> str:
    """The condition of the error that answers it; empty if there is none."""
    for item in room.receive(stanza).sends:
        if isinstance(item, Stanza) and item.type == "error":
            error = item.child("jabber:client", "error")
            assert error is not None
            return f"{error.get('type')} {next(iter(error)).name}"
    return ""


def enter(room: Room, session: JID, nick: str) -> str:
    return condition(room, Stanza.build("presence", JOIN, sender=session, to=ROOM.with_resource(nick)))


def affiliate(room: Room, names: range, affiliation: str = "member") -> str:
    items = [Element(ADMIN, "item", {"jid": f"a{n}@localhost", "affiliation": affiliation}) for n in names]
    query = Element(ADMIN, "query", {}, items)
    return condition(room, Stanza.build("iq", query, sender=OWNER, to=ROOM, type="set", id="1"))


def test_the_1025th_is_turned_away_and_some_places_are_for_admins(room: Room) -> None:
    for n in range(1023):
        assert enter(room, JID.parse(f"u{n}@localhost/1"), f"n{n}") == ""
    assert len(room.occupants) == 1024
    late = JID.parse("late@localhost/1")
    assert enter(room, late, "late") == "wait service-unavailable"
    assert enter(room, JID.parse("u0@localhost/2"), "n0") == "", "another device of who is there takes no place"
    room.affiliates[late.bare] = Affiliate(Affiliation.ADMIN)
    assert enter(room, late, "late") == ""


def test_ten_thousand_affiliations_are_the_most(room: Room) -> None:
    for start in range(0, 9000, 1000):
        assert affiliate(room, range(start, start + 1000)) == ""
    assert affiliate(room, range(9000, 9999)) == ""
    assert len(room.affiliates) == 10_000
    assert affiliate(room, range(20_000, 20_001)) == "wait resource-constraint"
    assert affiliate(room, range(20_000, 20_001), "outcast") == "wait resource-constraint"
    assert affiliate(room, range(1), "admin") == "", "who is affiliated already may be so otherwise"
    assert affiliate(room, range(1), "none") == ""
    assert affiliate(room, range(20_000, 20_001)) == ""


def test_a_request_changes_a_thousand_at_most(room: Room) -> None:
    assert affiliate(room, range(1001)) == "modify policy-violation"
    assert len(room.affiliates) == 1


def test_a_subject_of_a_megabyte_is_refused(room: Room) -> None:
    subject = Element("jabber:client", "subject", {}, ["x" * 1_000_000])
    stanza = Stanza.build("message", subject, sender=OWNER, to=ROOM, type="groupchat")
    assert condition(room, stanza) == "modify policy-violation"
    assert room.subject is None
