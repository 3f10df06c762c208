"""BOSH sessions, by the sections of XEP-0124 (1.11.2) and XEP-0206 (1.4), without HTTP."""

from __future__ import annotations

import hashlib

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, parse
from xmpp_server.stream.bosh import MAX_RID, Request, Session, Settings, Terminated, number

FIRST = {"rid": "1573741820", "to": "im.example", "wait": "60", "hold": "1", "ver": "1.6"}
RID = 1573741820


class Peer:
    """The client's end, and the driver between: requests have their rid for a slot."""

    def __init__(self, **attrs: str) -> None:
        first = Request(FIRST | attrs, empty=True)
        self.session: Session[str] = Session("sid", first, Settings(wait=30, polling=5, inactivity=20, maxpause=100))
        self.now = 0.0
        self.handled: list[bytes] = []
        self._give(first, "0")

    def ask(self, offset: int, content: bytes = b"", *, slot: str = "", after: float = 10, **attrs: str) -> None:
        """A request, so many rids after the first, `after` seconds after the last."""
        self.now += after
        attrs = {"rid": str(RID + offset), "sid": "sid"} | attrs
        self._give(Request(attrs, empty=not content, content=content), slot or str(offset))

    def _give(self, request: Request, slot: str) -> None:
        self.session.receive(request, slot, self.now)
        while (taken := self.session.next_request()) is not None:
            self.handled.append(taken.content)
            if taken.pause:
                self.session.pause(taken, self.now)
            if taken.terminates:
                self.session.close()
        self.session.settle(self.now)

    def say(self, *parts: bytes) -> None:
        self.session.say(parts)
        self.session.settle(self.now)

    def heard(self) -> dict[str, Element]:
        """What was answered since the last call, by slot."""
        return {slot: parse(body, "") for slot, body in self.session.answers()}

    def logged_in(self) -> Peer:
        """The first request was answered."""
        self.say(b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>")
        self.heard()
        return self


@pytest.fixture
def peer() -> Peer:
    return Peer().logged_in()


def terminated(peer: Peer, offset: int, content: bytes = b"", *, after: float = 10, **attrs: str) -> str:
    with pytest.raises(Terminated) as raised:
        peer.ask(offset, content, after=after, **attrs)
    answer = peer.heard()[str(offset)]
    assert (answer.get("type"), answer.get("condition")) == ("terminate", raised.value.condition)
    assert peer.session.over
    return raised.value.condition


# -- §7: creation


def test_the_first_response_tells_the_terms_and_the_features() -> None:
    peer = Peer()
    assert peer.heard() == {}
    peer.say(b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>")
    body = peer.heard()["0"]
    assert (body.ns, body.name) == (ns.BOSH, "body")
    assert {name: body.get(name) for name in ("sid", "wait", "requests", "hold", "ver", "from", "ack")} == {
        "sid": "sid", "wait": "30", "requests": "2", "hold": "1", "ver": "1.6", "from": "im.example", "ack": str(RID),
    }  # fmt: skip
    assert (body.get("polling"), body.get("inactivity"), body.get("maxpause")) == ("5", "20", "100")
    assert body.get(f"{{{ns.XBOSH}}}restartlogic") == "true"
    assert body.child(ns.STREAMS, "features") is not None
    peer.ask(1)
    peer.say(b"<a xmlns='x'/>")
    assert peer.heard()["1"].attrs == {}


@pytest.mark.parametrize("attrs", [{"rid": "0"}, {"rid": "x"}, {"rid": str(MAX_RID + 1)}, {"wait": "-1"}, {"hold": ""}])
def test_numbers_that_are_none_are_a_bad_request(attrs: dict[str, str]) -> None:
    with pytest.raises(Terminated) as raised:
        Peer(**attrs)
    assert raised.value.condition == "bad-request"


@pytest.mark.parametrize("text", ["", "-1", "1.0", " 1", "٣", "9" * 17])
def test_only_ascii_digits_are_numbers(text: str) -> None:
    assert number(text, MAX_RID) is None


# -- §8: requests and responses


def test_a_request_is_held_until_there_is_something_to_say(peer: Peer) -> None:
    peer.ask(1)
    assert peer.heard() == {}
    peer.say(b"<message xmlns='jabber:client'/>", b"<iq xmlns='jabber:client'/>")
    assert [child.name for child in peer.heard()["1"]] == ["message", "iq"]


def test_what_is_said_while_no_request_waits_goes_out_with_the_next(peer: Peer) -> None:
    peer.say(b"<message xmlns='jabber:client'/>")
    assert not peer.session.can_say
    assert peer.heard() == {}
    peer.ask(1)
    assert peer.heard()["1"].child(ns.CLIENT, "message") is not None


def test_a_request_that_waited_long_enough_is_answered_with_nothing(peer: Peer) -> None:
    peer.ask(1)
    assert peer.session.due() == peer.now + 30
    assert peer.session.tick(peer.now + 29)
    assert peer.heard() == {}
    assert peer.session.tick(peer.now + 30)
    assert peer.heard()["1"].children == []


def test_no_more_requests_are_held_than_were_agreed_on(peer: Peer) -> None:
    peer.ask(1)
    peer.ask(2, b"<iq/>")
    body = peer.heard()
    assert list(body) == ["1"]
    assert body["1"].get("ack") == str(RID + 2)  # §9.1


def test_requests_are_handled_and_answered_in_the_order_of_their_rids(peer: Peer) -> None:
    """§14.2"""
    peer.ask(2, b"second")
    assert b"second" not in peer.handled
    peer.say(b"<a xmlns='x'/>")
    assert peer.heard() == {}
    peer.ask(1, b"first")
    assert peer.handled[-2:] == [b"first", b"second"]
    assert list(peer.heard()) == ["1"]


# -- §10: inactivity


def test_a_silent_client_is_gone(peer: Peer) -> None:
    assert peer.session.tick(peer.now + 19)
    assert not peer.session.tick(peer.now + 20)


def test_a_client_with_a_request_is_not_silent(peer: Peer) -> None:
    peer.ask(1)
    assert peer.session.tick(peer.now + 29)


def test_a_pause_answers_all_and_allows_a_longer_silence(peer: Peer) -> None:
    peer.ask(1)
    peer.ask(2, pause="90")
    bodies = peer.heard()
    assert [bodies[slot].children for slot in ("1", "2")] == [[], []]
    assert peer.session.tick(peer.now + 89)
    assert not peer.session.tick(peer.now + 90)


def test_a_pause_whose_answer_was_lost_gets_it_again(peer: Peer) -> None:
    """§14.3"""
    peer.ask(1)
    peer.ask(2, pause="90")
    peer.heard()
    peer.ask(2, slot="again", after=1, pause="90")
    peer.ask(1, slot="the other", after=1)
    assert list(peer.heard()) == ["again", "the other"]
    assert not peer.session.over


def test_after_a_pause_the_usual_silence_holds_again(peer: Peer) -> None:
    peer.ask(1, pause="90")
    peer.heard()
    peer.ask(2, after=80)
    peer.say(b"<a xmlns='x'/>")
    assert not peer.session.tick(peer.now + 20)


def test_a_pause_beyond_the_limit_is_a_violation(peer: Peer) -> None:
    with pytest.raises(Terminated) as raised:
        peer.ask(1, pause="101")
    assert raised.value.condition == "policy-violation"


# -- §11, §12: too often


def test_an_empty_request_right_after_one_that_is_held_is_too_many(peer: Peer) -> None:
    peer.ask(1)
    assert terminated(peer, 2, after=1) == "policy-violation"


def test_something_to_say_is_no_reason_to_wait(peer: Peer) -> None:
    peer.ask(1)
    peer.ask(2, b"<message/>", after=0)
    peer.ask(3, b"<message/>", after=0)
    assert not peer.session.over


def test_an_empty_request_that_was_overtaken_is_not_too_many(peer: Peer) -> None:
    """A browser sends it first, but each goes by a connection of its own."""
    peer.ask(2, b"<message/>")
    peer.ask(1, after=0)
    assert peer.handled[-2:] == [b"", b"<message/>"]
    assert list(peer.heard()) == ["1"]
    assert not peer.session.over


def test_polls_come_at_intervals() -> None:
    peer = Peer(hold="0").logged_in()
    peer.ask(1)
    peer.ask(2, after=5)
    assert terminated(peer, 3, after=4) == "policy-violation"


def test_who_got_something_may_poll_again_at_once() -> None:
    peer = Peer(wait="0").logged_in()
    peer.say(b"<a xmlns='x'/>")
    peer.ask(1)
    peer.ask(2, after=1)
    assert not peer.session.over


# -- §13: the end


def test_a_client_that_leaves_is_heard_and_answered(peer: Peer) -> None:
    peer.ask(1)
    peer.ask(2, b"<presence type='unavailable'/>", type="terminate")
    assert peer.handled[-1] == b"<presence type='unavailable'/>"
    bodies = peer.heard()
    assert (bodies["1"].get("type"), bodies["1"].get("condition")) == ("terminate", "")
    assert bodies["2"].attrs == {}


def test_an_error_of_the_stream_ends_the_session_with_it(peer: Peer) -> None:
    """§17.2, XEP-0206 §2"""
    peer.ask(1)
    error = b"<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>"
    peer.session.close("remote-stream-error", [error])
    body = peer.heard()["1"]
    assert (body.get("type"), body.get("condition")) == ("terminate", "remote-stream-error")
    assert body.child(ns.STREAMS, "error") is not None


# -- §14: rids, repeats, keys


@pytest.mark.parametrize("offset", [3, 100, -1, -100])
def test_a_rid_out_of_the_window_is_unknown(peer: Peer, offset: int) -> None:
    assert terminated(peer, offset, b"<a/>") == "item-not-found"


def test_a_request_that_was_answered_gets_the_same_answer_again(peer: Peer) -> None:
    peer.ask(1, b"<message/>")
    peer.say(b"<a xmlns='x'/>")
    (answer,) = peer.session.answers()
    peer.ask(1, b"<message/>", slot="again")
    assert peer.session.answers() == [("again", answer[1])]
    assert peer.handled.count(b"<message/>") == 1


def test_a_request_that_waits_is_answered_when_it_comes_again(peer: Peer) -> None:
    """§14.3: with a recoverable condition"""
    peer.ask(1)
    peer.ask(1, slot="again")
    assert peer.heard()["1"].attrs == {"type": "error"}
    peer.say(b"<a xmlns='x'/>")
    assert list(peer.heard()) == ["again"]


def test_what_would_go_to_a_broken_connection_waits_for_the_request_to_come_again(peer: Peer) -> None:
    peer.ask(1)
    peer.session.dropped("1", peer.now)
    peer.say(b"<a xmlns='x'/>")
    assert peer.heard() == {}
    peer.ask(1, slot="again", after=1)
    assert peer.heard()["again"].child("x", "a") is not None


def test_a_client_whose_connections_broke_is_gone_after_a_while(peer: Peer) -> None:
    peer.ask(1)
    peer.session.dropped("1", peer.now)
    assert not peer.session.tick(peer.now + 20)


def test_nobody_repeats_a_request_for_ever(peer: Peer) -> None:
    for _ in range(11):
        peer.ask(1, b"<a/>", after=0)
    peer.heard()
    assert terminated(peer, 1, b"<a/>", after=0) == "policy-violation"


def test_answers_are_not_kept_for_ever(peer: Peer) -> None:
    for offset in range(1, 6):
        peer.ask(offset, b"<a/>")
        peer.say(b"<a xmlns='x'/>")
    peer.heard()
    assert terminated(peer, 2, b"<a/>") == "item-not-found"


def keys(count: int, seed: str = "seed") -> list[str]:
    made = [seed]
    for _ in range(count):
        made.append(hashlib.sha1(made[-1].encode()).hexdigest())
    return made[:0:-1]


def test_keys_follow_each_other_and_may_be_changed() -> None:
    """§14.4"""
    old, new = keys(3), keys(3, "another")
    peer = Peer(newkey=old[0].upper()).logged_in()
    peer.ask(1, b"<a/>", key=old[1])
    peer.ask(2, b"<a/>", key=old[2], newkey=new[0])
    peer.ask(3, b"<a/>", key=new[1])
    assert terminated(peer, 4, b"stolen", key=old[0]) == "item-not-found"
    assert b"stolen" not in peer.handled


def test_without_its_key_a_request_is_not_handled() -> None:
    peer = Peer(newkey=keys(3)[0]).logged_in()
    assert terminated(peer, 1, b"stolen") == "item-not-found"
    assert b"stolen" not in peer.handled


def test_without_a_first_key_keys_are_not_asked_for(peer: Peer) -> None:
    peer.ask(1, b"<a/>", key="anything")
    peer.ask(2, b"<a/>")
    assert not peer.session.over


# -- what has to wait


def test_a_request_that_is_not_handled_yet_is_not_answered(peer: Peer) -> None:
    """So no more come than the window holds."""
    session = peer.session
    for offset in (1, 2):
        session.receive(Request({"rid": str(RID + offset), "sid": "sid"}, False, b"<a/>"), str(offset), 10)
    assert session.next_request() is not None
    session.say([b"<a xmlns='x'/>"])
    session.settle(10)
    assert list(peer.heard()) == ["1"]
    assert not session.can_say
    assert session.next_request() is not None
    assert session.can_say


def test_a_request_after_the_end_is_told_of_it(peer: Peer) -> None:
    peer.session.close("system-shutdown")
    assert peer.heard() == {}
    peer.ask(1)
    assert peer.heard()["1"].get("condition") == "system-shutdown"
