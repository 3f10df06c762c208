"""The stream of a component outside, by the sections of XEP-0114, without a socket."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.component import ComponentStream, NotProven, Proven, State
from xmpp_server.stream.events import Ended, Opened
from xmpp_server.stream.framing import Limits, Malformed

SECRET = "the cauldron boils"
HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    b"xmlns:stream='http://etherx.jabber.org/streams' to='plays.shakespeare.lit'>"
)
MESSAGE = b"<message from='a@plays.shakespeare.lit' to='b@localhost'><body>Hi</body></message>"


class Peer:
    """The component's end."""

    def __init__(self) -> None:
        self.stream = ComponentStream(Limits(1024, 8, 16), Limits(4096, 8, 16), "localhost")

    def say(self, data: bytes) -> Any:
        self.stream.receive_data(data)
        return self.stream.next_event()

    def heard(self) -> str:
        return b"".join(self.stream.parts_to_send()).decode()

    def open(self) -> str:
        """The id of the stream."""
        opened = self.say(HEADER)
        assert isinstance(opened, Opened)
        assert opened.to == "plays.shakespeare.lit"
        self.stream.accept("plays.shakespeare.lit", SECRET)
        header = self.heard()
        assert "xmlns='jabber:component:accept'" in header
        assert "from='plays.shakespeare.lit'" in header
        found = re.search("id='([^']+)'", header)
        assert found is not None
        return found[1]

    def prove(self, id: str, secret: str = SECRET) -> Any:
        digest = hashlib.sha1(f"{id}{secret}".encode()).hexdigest()
        return self.say(f"<handshake>{digest}</handshake>".encode())

    def establish(self) -> None:
        assert isinstance(self.prove(self.open()), Proven)
        self.stream.established()
        assert self.heard() == "<handshake/>"


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_who_knows_the_secret_speaks_for_the_domain(peer: Peer) -> None:
    peer.establish()
    stanza = peer.say(MESSAGE)
    assert isinstance(stanza, Stanza)
    assert stanza.payload == b"<body>Hi</body>"
    assert stanza.keys == ["jabber:client\nbody"], "in plain form, as from everybody else"
    assert peer.say(b"</stream:stream>").__class__ is Ended
    assert peer.heard() == "</stream:stream>"


def test_the_id_of_each_stream_is_another(peer: Peer) -> None:
    assert peer.open() != Peer().open()


@pytest.mark.parametrize("secret", ["", "wrong", SECRET.upper()])
def test_who_does_not_know_the_secret_is_refused(peer: Peer, secret: str) -> None:
    assert isinstance(peer.prove(peer.open(), secret), NotProven)
    assert peer.say(MESSAGE) is None, "nothing is read before the answer"
    peer.stream.close(StreamError("not-authorized"))
    assert "<not-authorized" in peer.heard()
    assert peer.stream.state is State.CLOSED


def test_a_handshake_that_is_no_ascii_is_a_wrong_one(peer: Peer) -> None:
    peer.open()
    assert isinstance(peer.say("<handshake>ä</handshake>".encode()), NotProven)


@pytest.mark.parametrize("early", [MESSAGE, b"<handshake xmlns='urn:x'/>", b"<iq type='get' id='1'/>"])
def test_nothing_goes_before_the_handshake(peer: Peer, early: bytes) -> None:
    peer.open()
    assert isinstance(peer.say(early), Ended)
    assert "<not-authorized" in peer.heard()


def test_another_domain_than_ours_is_refused_under_a_header(peer: Peer) -> None:
    assert isinstance(peer.say(HEADER), Opened)
    peer.stream.refuse(StreamError("host-unknown"))
    heard = peer.heard()
    assert heard.startswith("<?xml version='1.0'?><stream:stream ")
    assert "<host-unknown" in heard
    assert heard.endswith("</stream:stream>")


@pytest.mark.parametrize(
    ("sent", "condition"),
    [
        (HEADER.replace(b"component:accept", b"client"), "invalid-namespace"),
        (HEADER.replace(b"etherx", b"other"), "invalid-namespace"),
        (b"<!DOCTYPE x><x/>", "restricted-xml"),
        (b"x", "not-well-formed"),
        (HEADER[:-1] + b" x='" + b"y" * 2000 + b"'>", "policy-violation"),
    ],
)
def test_a_bad_header_gets_the_error_that_it_deserves(peer: Peer, sent: bytes, condition: str) -> None:
    assert isinstance(peer.say(sent), Ended)
    assert f"<{condition}" in peer.heard()


def test_limits_are_narrow_before_the_handshake_and_wide_after_it(peer: Peer) -> None:
    peer.open()
    assert isinstance(peer.say(b"<handshake>" + b"0" * 2000), Ended)
    assert "<policy-violation" in peer.heard()
    other = Peer()
    other.establish()
    assert isinstance(other.say(MESSAGE.replace(b"Hi", b"x" * 2000)), Stanza)
    assert isinstance(other.say(MESSAGE.replace(b"Hi", b"x" * 5000)), Ended)
    assert "<policy-violation" in other.heard()


def test_what_is_no_stanza_ends_the_stream_after_the_handshake(peer: Peer) -> None:
    peer.establish()
    assert isinstance(peer.say(b"<route/>"), Ended)
    assert "<unsupported-stanza-type" in peer.heard()


def test_a_malformed_address_is_told_apart_from_a_malformed_stream(peer: Peer) -> None:
    peer.establish()
    event = peer.say(MESSAGE.replace(b"b@localhost", b"@"))
    assert isinstance(event, Malformed)
    assert event.attribute == "to"
    assert isinstance(peer.say(MESSAGE), Stanza)


def test_an_answer_out_of_turn_is_a_mistake_of_the_driver(peer: Peer) -> None:
    with pytest.raises(RuntimeError):
        peer.stream.established()
