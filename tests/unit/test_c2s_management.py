"""Stream management on a client's stream, by the sections of XEP-0198, without a socket."""

from __future__ import annotations

import pytest

from tests.unit.test_c2s import Peer, condition
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.events import Acknowledgement, Bind, Enable, Ended, Request, Resume
from xmpp_server.stream.states import State

SM3 = "urn:xmpp:sm:3"


@pytest.fixture
def peer() -> Peer:
    return Peer()


def failure(peer: Peer) -> str:
    """The condition of the one element that came, `<failed/>`."""
    (element,) = peer.heard()
    assert element.name == "failed"
    (child,) = element
    assert child.ns == ns.STANZA_ERRORS
    return child.name


def only(peer: Peer) -> Element:
    (element,) = peer.heard()
    return element


def enable(peer: Peer, attributes: str = "") -> Enable:
    event = peer.say(f"<enable xmlns='{SM3}' {attributes}/>".encode())
    assert isinstance(event, Enable)
    return event


# -- §3: enable


@pytest.mark.parametrize("uri", [SM3, "urn:xmpp:sm:2"])
def test_each_version_is_enabled_in_its_own(peer: Peer, uri: str) -> None:
    peer.bind()
    assert peer.say(f"<enable xmlns='{uri}'/>".encode()) == Enable(uri, resume=False, most=None)
    peer.stream.enabled()
    answer = only(peer)
    assert (answer.ns, answer.name, answer.attrs) == (uri, "enabled", {})


@pytest.mark.parametrize("word", ["true", "1"])
def test_a_client_says_that_it_wants_to_resume_and_for_how_long(peer: Peer, word: str) -> None:
    peer.bind()
    assert enable(peer, f"resume='{word}' max='300'") == Enable(SM3, resume=True, most=300)
    peer.stream.enabled("some-id", 200)
    assert only(peer).attrs == {"id": "some-id", "resume": "true", "max": "200"}


@pytest.mark.parametrize("attributes", ["resume='yes'", "max='0'", "max='-1'", "max='soon'", "max=''"])
def test_enable_with_a_wrong_attribute_fails_and_may_be_tried_again(peer: Peer, attributes: str) -> None:
    peer.bind()
    assert peer.say(f"<enable xmlns='{SM3}' {attributes}/>".encode()) is None
    assert failure(peer) == "bad-request"
    enable(peer)


def test_nothing_comes_before_the_answer_to_enable(peer: Peer) -> None:
    peer.bind()
    enable(peer)
    assert peer.say(b"<message/>") is None
    peer.stream.enabled()
    assert isinstance(peer.stream.next_event(), Stanza)


def test_enable_before_bind_fails_and_the_client_may_bind(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    assert peer.say(f"<enable xmlns='{SM3}' resume='true'/>".encode()) is None
    assert failure(peer) == "unexpected-request"
    assert isinstance(peer.say(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"), Bind)


def test_enable_twice_fails_and_ends_the_stream(peer: Peer) -> None:
    peer.bind()
    enable(peer)
    peer.stream.enabled()
    peer.heard()
    assert isinstance(peer.say(f"<enable xmlns='{SM3}'/>".encode()), Ended)
    failed, error = peer.heard()
    assert failed.child(ns.STANZA_ERRORS, "unexpected-request") is not None
    assert error.child(ns.STREAM_ERRORS, "policy-violation") is not None


def test_enable_that_cannot_be_had_leaves_the_stream_as_it_was(peer: Peer) -> None:
    peer.bind()
    enable(peer)
    peer.stream.enable_failed("feature-not-implemented")
    assert failure(peer) == "feature-not-implemented"
    assert isinstance(peer.say(b"<message/>"), Stanza)


# -- §4: acks


def test_requests_and_acknowledgements_come_in_their_order(peer: Peer) -> None:
    peer.bind()
    enable(peer)
    peer.stream.enabled()
    assert isinstance(peer.say(b"<message/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='7'/>"), Stanza)
    assert isinstance(peer.stream.next_event(), Request)
    assert peer.stream.next_event() == Acknowledgement(7)


@pytest.mark.parametrize("nonza", ["<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>"])
def test_acks_before_enable_fail_and_what_follows_is_read(peer: Peer, nonza: str) -> None:
    peer.bind()
    assert isinstance(peer.say(f"{nonza}<message/>".encode()), Stanza)
    assert failure(peer) == "unexpected-request"


@pytest.mark.parametrize("attribute", ["", "h=''", "h='-1'", "h='4294967296'", "h='many'"])
def test_an_acknowledgement_of_no_number_ends_the_stream(peer: Peer, attribute: str) -> None:
    peer.bind()
    enable(peer)
    peer.stream.enabled()
    peer.heard()
    assert isinstance(peer.say(f"<a xmlns='{SM3}' {attribute}/>".encode()), Ended)
    assert condition(peer) == "invalid-xml"


# -- §5: resume


def test_resume_instead_of_bind(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    assert peer.say(f"<resume xmlns='{SM3}' h='12' previd='some-id'/><message/>".encode()) == Resume("some-id", 12)
    peer.stream.resumed("some-id", 34)
    answer = only(peer)
    assert (answer.ns, answer.name, answer.attrs) == (SM3, "resumed", {"h": "34", "previd": "some-id"})
    assert isinstance(peer.stream.next_event(), Stanza)
    assert isinstance(peer.say(f"<r xmlns='{SM3}'/>".encode()), Request)


def test_a_resumed_stream_cannot_enable_once_more(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    peer.say(f"<resume xmlns='{SM3}' h='12' previd='some-id'/>".encode())
    peer.stream.resumed("some-id", 34)
    peer.heard()
    assert isinstance(peer.say(f"<enable xmlns='{SM3}'/>".encode()), Ended)


def test_after_a_failed_resume_the_client_may_bind_and_enable(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    peer.say(f"<resume xmlns='{SM3}' h='12' previd='some-id'/>".encode())
    peer.stream.resume_failed("item-not-found", 5)
    (answer,) = peer.heard()
    assert answer.get("h") == "5"
    assert answer.child(ns.STANZA_ERRORS, "item-not-found") is not None
    assert isinstance(peer.say(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"), Bind)


@pytest.mark.parametrize("attributes", ["", "h='1'", "previd='x'", "h='' previd='x'", "h='x' previd='x'"])
def test_resume_without_its_attributes_fails(peer: Peer, attributes: str) -> None:
    peer.authenticate()
    peer.open()
    assert peer.say(f"<resume xmlns='{SM3}' {attributes}/>".encode()) is None
    assert failure(peer) == "bad-request"


def test_resume_before_authentication_fails(peer: Peer) -> None:
    peer.open()
    assert peer.say(f"<resume xmlns='{SM3}' h='0' previd='x'/>".encode()) is None
    assert failure(peer) == "unexpected-request"
    assert peer.stream.state is State.NEGOTIATING


def test_resume_after_bind_fails_and_the_stream_goes_on(peer: Peer) -> None:
    peer.bind()
    assert isinstance(peer.say(f"<resume xmlns='{SM3}' h='0' previd='x'/><message/>".encode()), Stanza)
    assert failure(peer) == "unexpected-request"
