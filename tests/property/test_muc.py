"""A room as a state machine: whatever people do in it, one nickname is one account, an owner stays, and all who are in
it see the same messages in the same order."""

from __future__ import annotations

from itertools import count

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from components.muc import joining, keeping, presence
from components.muc.names import ADMIN, MUC, OWNER, USER
from components.muc.privileges import Affiliation, Role
from components.muc.room import Affiliate, Room
from components.muc.surroundings import Bounds
from components.muc.turn import Changed, Copies, Turn
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import BODY, Stanza
from xmpp_server.storage.rooms import RoomAffiliation

ROOM = JID.parse("cave@conference.localhost")
PEOPLE = ("crone", "hag", "witch", "hecate")
NICKS = ("a", "b", "c")
FOUNDER = JID.parse("crone@localhost/1")
sessions = strategies.sampled_from([JID.parse(f"{name}@localhost/{n}") for name in PEOPLE for n in (1, 2)])
accounts = strategies.sampled_from([JID.parse(f"{name}@localhost") for name in PEOPLE])
nicks = strategies.sampled_from(NICKS)


class Surroundings:
    """Counts."""

    def __init__(self) -> None:
        self.numbers = count(1)

    def now(self) -> int:
        return 1_000_000_000

    def number(self, after: int) -> int:
        return next(self.numbers)

    def stanza_id(self, room: JID, n: int) -> str:
        return str(n)

    def mark(self, room: JID, account: JID, id: str) -> int:
        return hash((room, account, id))

    def occupant_id(self, room: JID, account: JID) -> str:
        return str(account)


class RoomMachine(RuleBasedStateMachine):
    """What each session is told is compared with who is in the room."""

    def __init__(self) -> None:
        super().__init__()
        self.surroundings = Surroundings()
        self.room = self.empty()
        self.room.affiliates[FOUNDER.bare] = Affiliate(Affiliation.OWNER)
        self.room.config = self.room.config.__class__(persistent=True)
        self.state = b""
        self.affiliations: dict[JID, RoomAffiliation] = {}
        """What was written of the room."""
        self.write(Turn(changed=Changed.ROOM | Changed.AFFILIATIONS, accounts={FOUNDER.bare}))
        self.inside: dict[JID, JID] = {}
        """By session, the address that it was last told to be its own."""
        self.heard: dict[JID, list[str]] = {}
        self.said: list[str] = []
        self.since: dict[JID, int] = {}

    def empty(self) -> Room:
        return Room(ROOM, self.surroundings, Bounds(occupants=3, burst=1_000_000, joins=0))

    def write(self, turn: Turn) -> None:
        """As the service does it, before anything is sent."""
        if not turn.changed:
            return
        change = keeping.change(self.room, turn.changed, turn.accounts)
        if change.state is not None:
            self.state = change.state
        for entry in change.affiliated:
            self.affiliations[entry.account] = entry
        for jid in change.removed:
            self.affiliations.pop(jid, None)

    def act(self, stanza: Stanza) -> None:
        self.take(self.room.receive(stanza))

    def take(self, turn: Turn) -> None:
        self.write(turn)
        for item in turn.sends:
            stanza = item.stanza if isinstance(item, Copies) else item
            for to in item.to if isinstance(item, Copies) else (item.to,):
                assert to is not None
                self.see(to, stanza)
        if turn.logged is not None:
            self.said.append(turn.logged.stanza.id)
        for session in turn.left:
            assert session not in self.inside, "who is out was told so"
        for session in turn.arrived:
            self.take(self.room.act(lambda session=session: joining.catch_up(self.room, session, self.room.last)))

    def see(self, to: JID, stanza: Stanza) -> None:
        sender = stanza.sender
        assert sender is not None
        assert sender.bare == ROOM
        if stanza.name == "presence" and stanza.type in ("", "unavailable"):
            x = stanza.child(USER, "x")
            assert x is not None
            codes = {child.get("code") for child in x if child.name == "status"}
            if "110" in codes and stanza.type == "":
                if to not in self.inside:
                    self.heard[to], self.since[to] = [], len(self.said)
                self.inside[to] = sender
            elif "110" in codes and "303" not in codes:
                assert self.inside.pop(to, sender) == sender
        elif stanza.name == "message" and stanza.type == "groupchat" and BODY in stanza.keys:
            assert to in self.inside, "only who is in the room hears"
            if "urn:xmpp:delay\ndelay" not in stanza.keys:
                self.heard[to].append(stanza.id)

    @initialize()
    def found(self) -> None:
        self.enter(FOUNDER, "a")

    @rule(session=sessions, nick=nicks)
    def enter(self, session: JID, nick: str) -> None:
        address = ROOM.with_resource(nick)
        x = Element(MUC, "x", {}, [Element(MUC, "history", {"maxstanzas": "0"})])
        self.act(Stanza.build("presence", x, sender=session, to=address))

    @rule(session=sessions, nick=nicks)
    def rename(self, session: JID, nick: str) -> None:
        if session in self.inside:
            self.act(Stanza.build("presence", sender=session, to=ROOM.with_resource(nick)))

    @rule(session=sessions)
    def leave(self, session: JID) -> None:
        self.act(Stanza.build("presence", sender=session, to=ROOM, type="unavailable"))

    @rule(session=sessions)
    def be_lost(self, session: JID) -> None:
        self.take(self.room.act(lambda: presence.lose(self.room, session)))

    @rule(graceful=strategies.booleans())
    def start_anew(self, graceful: bool) -> None:
        """What counts was written. After a stop people are in the room as before; after a crash nobody is."""
        before, self.room = self.room, self.empty()
        keeping.restore(self.room, self.state, self.affiliations.values())
        self.room.last = before.last
        assert self.room.affiliates == before.affiliates
        assert self.room.config == before.config
        if graceful:
            keeping.seat(self.room, keeping.occupants(before))
        else:
            self.inside.clear()

    @rule(session=sessions)
    def speak(self, session: JID) -> None:
        body = Element("jabber:client", "body", {}, ["x"])
        id = f"m{len(self.said)}"
        self.act(Stanza.build("message", body, sender=session, to=ROOM, type="groupchat", id=id))

    @rule(session=sessions, account=accounts, wanted=strategies.sampled_from(list(Affiliation)), nick=nicks)
    def affiliate(self, session: JID, account: JID, wanted: Affiliation, nick: str) -> None:
        attrs = {"affiliation": wanted.text, "jid": str(account)}
        if wanted is Affiliation.MEMBER:
            attrs["nick"] = nick
        self.administrate(session, attrs)

    @rule(session=sessions, nick=nicks, wanted=strategies.sampled_from(list(Role)))
    def give_role(self, session: JID, nick: str, wanted: Role) -> None:
        self.administrate(session, {"nick": nick, "role": wanted.text})

    def administrate(self, session: JID, attrs: dict[str, str]) -> None:
        query = Element(ADMIN, "query", {}, [Element(ADMIN, "item", attrs)])
        self.act(Stanza.build("iq", query, sender=session, to=ROOM, type="set", id="1"))

    @rule(session=sessions, chosen=strategies.sampled_from(("membersonly", "moderatedroom")), on=strategies.booleans())
    def configure(self, session: JID, chosen: str, on: bool) -> None:
        value = Element("jabber:x:data", "value", {}, ["1" if on else "0"])
        field = Element("jabber:x:data", "field", {"var": f"muc#roomconfig_{chosen}"}, [value])
        x = Element("jabber:x:data", "x", {"type": "submit"}, [field])
        query = Element(OWNER, "query", {}, [x])
        self.act(Stanza.build("iq", query, sender=session, to=ROOM, type="set", id="1"))

    @invariant()
    def one_account_has_a_nickname(self) -> None:
        for occupant in self.room.occupants:
            assert {session.bare for session in occupant.sessions} == {occupant.jid}
        assert {session: str(address) for session, address in self.inside.items()} == {
            session: str(occupant.address) for occupant in self.room.occupants for session in occupant.sessions
        }

    @invariant()
    def an_owner_stays(self) -> None:
        assert self.room.with_affiliation(Affiliation.OWNER)

    @invariant()
    def nobody_is_where_he_may_not_be(self) -> None:
        for occupant in self.room.occupants:
            affiliation = self.room.affiliation(occupant.jid)
            assert affiliation is not Affiliation.OUTCAST
            assert affiliation >= Affiliation.MEMBER or not self.room.config.members_only
            reserved = self.room.reserved(occupant.nick)
            assert reserved in (None, occupant.jid)
            assert affiliation < Affiliation.ADMIN or occupant.role is Role.MODERATOR

    @invariant()
    def all_hear_the_same_in_the_same_order(self) -> None:
        for session in self.inside:
            assert self.heard[session] == self.said[self.since[session] :]


RoomMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoom = RoomMachine.TestCase
