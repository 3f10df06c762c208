"""A client's stream, by the sections of RFC 6120, without a socket."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from xml.parsers import expat

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.credentials import Credentials
from xmpp_server.protocol.element import Element, TreeBuilder
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.c2s import C2SStream, Offer, Settings
from xmpp_server.stream.events import (
    Authenticated,
    AuthenticationFailed,
    Bind,
    Early,
    Ended,
    NeedCredentials,
    NeedWork,
    Nonza,
    Opened,
    StartTLS,
)
from xmpp_server.stream.framing import Limits, Malformed
from xmpp_server.stream.sasl import make_verifiers
from xmpp_server.stream.states import ANSWERS, TRANSITIONS, State

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='im.example' version='1.0' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'>"
)
CREDENTIALS = Credentials(make_verifiers("r0m30", 10_000))
PLAIN = b64encode(b"\0romeo\0r0m30").decode()
BIND = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>%s</bind></iq>"


class Peer:
    """The client's end, and the driver between: `say` sends bytes, `heard` is what came, parsed."""

    def __init__(self, offer: Offer | None = None, bindings: dict[str, bytes] | None = None) -> None:
        settings = Settings(b"s" * 32, Limits(16_384, 16, 32), Limits(262_144, 64, 64), domain="im.example")
        self.stream = C2SStream(settings, bindings)
        self.offer = offer or Offer("im.example", tls=True, plain_without_tls=True)

    def say(self, data: bytes) -> Any:
        self.stream.receive_data(data)
        return self.stream.next_event()

    def heard(self) -> list[Element]:
        """The top-level elements that came since the last call, without headers."""
        data = self.stream.data_to_send()
        start = data.find(b"<stream:stream")
        if start >= 0:
            data = data[data.find(b">", start) + 1 :]
        data = data.removesuffix(b"</stream:stream>")
        builder = TreeBuilder()
        parser = expat.ParserCreate("UTF-8", "\n")
        parser.StartElementHandler = builder.start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.text
        parser.Parse(
            b"<r xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>" + data + b"</r>", True
        )
        return list(builder.root)

    def open(self) -> Element:
        """Send a header, be accepted, and return the features."""
        assert isinstance(self.say(HEADER), Opened)
        self.stream.accept(self.offer)
        return self.heard()[0]

    def authenticate(self) -> None:
        self.open()
        event = self.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode())
        assert isinstance(event, NeedCredentials)
        event = self.stream.give_credentials(CREDENTIALS)
        assert isinstance(event, NeedWork)
        event = self.stream.give_result(event.work.work())
        assert isinstance(event, Authenticated)
        assert str(event.account) == "romeo@im.example"
        assert [element.name for element in self.heard()] == ["success"]

    def bind(self, resource: str = "orchard") -> None:
        self.authenticate()
        self.open()
        event = self.say(BIND % f"<resource>{resource}</resource>".encode())
        assert isinstance(event, Bind)
        self.stream.bound(JID.parse(f"romeo@im.example/{resource}"))
        self.heard()


@pytest.fixture
def peer() -> Peer:
    return Peer()


def condition(peer: Peer) -> str:
    """The condition of the stream error that came last."""
    error = peer.heard()[-1]
    assert (error.ns, error.name) == (ns.STREAMS, "error")
    return next(iter(error)).name


# -- §4.2, §4.7: the header


def test_a_header_is_answered_with_from_id_version_and_lang(peer: Peer) -> None:
    assert peer.say(HEADER) == Opened("im.example")
    peer.stream.accept(peer.offer)
    answer = peer.stream.data_to_send()
    assert answer.startswith(b"<?xml version='1.0'?><stream:stream ")
    assert b" from='im.example'" in answer
    assert b" version='1.0'" in answer
    assert b" xml:lang='en'" in answer


def test_each_header_has_an_id_of_its_own(peer: Peer) -> None:
    answers = set()
    for _ in range(2):
        other = Peer()
        other.say(HEADER)
        other.stream.accept(other.offer)
        answers.add(other.stream.data_to_send().split(b" id='")[1].split(b"'")[0])
    assert len(answers) == 2
    assert all(len(answer) >= 16 for answer in answers)


def test_a_domain_that_is_not_served_gets_host_unknown(peer: Peer) -> None:
    peer.say(HEADER.replace(b"im.example", b"elsewhere.example"))
    peer.stream.refuse("im.example", StreamError("host-unknown"))
    data = peer.stream.data_to_send()
    assert data.index(b"<stream:stream") < data.index(b"<host-unknown") < data.index(b"</stream:stream>")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER.replace(b" version='1.0' xmlns='", b" xmlns='"), "unsupported-version"),
        (HEADER.replace(b"version='1.0' xmlns='", b"version='0.9' xmlns='"), "unsupported-version"),
        (HEADER.replace(b"jabber:client", b"jabber:server"), "invalid-namespace"),
        (HEADER.replace(b"http://etherx.jabber.org/streams", b"http://wrong.example/"), "invalid-namespace"),
        (b"<message/>", "invalid-namespace"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"<!DOCTYPE x><stream:stream>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER.split(b"?>")[1], "unsupported-encoding"),
    ],
)
def test_a_wrong_header_gets_its_error_after_a_header_of_ours(peer: Peer, header: bytes, expected: str) -> None:
    event = peer.say(header)
    assert isinstance(event, Ended)
    data = peer.stream.data_to_send()
    assert data.index(b"<stream:stream") < data.index(f"<{expected} ".encode()) < data.index(b"</stream:stream>")
    assert b" from='im.example'" in data
    assert peer.stream.state is State.CLOSED


def test_nothing_is_said_before_the_client_speaks(peer: Peer) -> None:
    assert peer.stream.next_event() is None
    assert peer.stream.data_to_send() == b""


# -- §4.4: closing


def test_a_closed_stream_is_closed_in_return(peer: Peer) -> None:
    peer.open()
    assert isinstance(peer.say(b"</stream:stream>"), Ended)
    assert peer.stream.data_to_send() == b"</stream:stream>"


def test_after_the_end_nothing_is_read(peer: Peer) -> None:
    peer.bind()
    peer.say(b"</stream:stream>")
    assert peer.say(b"<message to='a@b'/>") is None


# -- §5: STARTTLS


def test_required_tls_is_the_only_way_on() -> None:
    peer = Peer(Offer("im.example", tls=True, tls_required=True))
    features = peer.open()
    assert features.child(ns.TLS, "starttls").child(ns.TLS, "required") is not None  # type: ignore[union-attr]
    assert features.child(ns.SASL, "mechanisms") is None
    event = peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode())
    assert isinstance(event, AuthenticationFailed)
    peer.stream.send_failure()
    assert peer.heard()[0].child(ns.SASL, "encryption-required") is not None


def test_the_stream_starts_anew_after_tls(peer: Peer) -> None:
    peer.open()
    assert isinstance(peer.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), StartTLS)
    assert peer.heard()[0].name == "proceed"
    peer.stream.tls_started({"tls-exporter": b"x" * 32})
    features = peer.open()
    assert features.child(ns.TLS, "starttls") is None
    names = [mechanism.text for mechanism in features.child(ns.SASL, "mechanisms")]  # type: ignore[union-attr]
    assert names == [
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    ]
    assert features.child("urn:xmpp:sasl-cb:0", "sasl-channel-binding") is not None


@pytest.mark.parametrize("early", [HEADER, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"x", b"\x16\x03\x01"])
def test_bytes_sent_early_past_starttls_close_the_stream_and_are_not_processed(peer: Peer, early: bytes) -> None:
    peer.open()
    assert isinstance(peer.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + early), Ended)
    answer = peer.heard()
    assert [element.name for element in answer] == ["error"]
    assert peer.stream.state is State.CLOSED


def test_a_line_feed_after_starttls_is_dropped(peer: Peer) -> None:
    """go-sendxmpp sends one"""
    peer.open()
    assert isinstance(peer.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\n"), StartTLS)
    assert [element.name for element in peer.heard()] == ["proceed"]
    peer.stream.tls_started({})
    peer.open()


def test_tls_is_not_started_twice(peer: Peer) -> None:
    peer.open()
    peer.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    peer.stream.tls_started({})
    peer.open()
    assert isinstance(peer.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), Ended)
    assert [element.name for element in peer.heard()] == ["failure", "error"]


# -- §6: SASL


def test_a_wrong_password_may_be_followed_by_the_right_one(peer: Peer) -> None:
    peer.open()
    wrong = b64encode(b"\0romeo\0wrong").decode()
    peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{wrong}</auth>".encode())
    work = peer.stream.give_credentials(CREDENTIALS)
    assert isinstance(work, NeedWork)
    failed = peer.stream.give_result(work.work.work())
    assert failed == AuthenticationFailed("romeo", guessed=True)
    peer.stream.send_failure()
    assert peer.heard()[0].child(ns.SASL, "not-authorized") is not None
    event = peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode())
    assert isinstance(event, NeedCredentials)


def test_credentials_that_cannot_be_looked_up_now_are_a_temporary_failure(peer: Peer) -> None:
    peer.open()
    peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode())
    assert peer.stream.cannot_verify() == AuthenticationFailed("romeo", guessed=False)
    peer.stream.send_failure()
    assert peer.heard()[0].child(ns.SASL, "temporary-auth-failure") is not None


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("mechanism='NONE'>" + PLAIN, "invalid-mechanism"),
        (">" + PLAIN, "invalid-mechanism"),
        ("mechanism='PLAIN'>****", "incorrect-encoding"),
        ("mechanism='PLAIN'>" + b64encode(b"romeo").decode(), "malformed-request"),
        ("mechanism='PLAIN'>" + b64encode(b"juliet@im.example\0romeo\0r0m30").decode(), "invalid-authzid"),
        ("mechanism='SCRAM-SHA-1'>" + b64encode(b"n,a=juliet@im.example,n=romeo,r=abc").decode(), "invalid-authzid"),
        ("mechanism='SCRAM-SHA-1'>" + b64encode(b"n,,m=x,n=romeo,r=abc").decode(), "malformed-request"),
    ],
)
def test_a_wrong_auth_gets_its_failure(peer: Peer, auth: str, expected: str) -> None:
    peer.open()
    event = peer.say(f"<auth xmlns='{ns.SASL}' {auth}</auth>".encode())
    assert isinstance(event, AuthenticationFailed)
    assert not event.guessed
    peer.stream.send_failure()
    failure = peer.heard()[0]
    assert (failure.name, next(iter(failure)).name) == ("failure", expected)


def test_an_aborted_exchange_is_answered(peer: Peer) -> None:
    peer.open()
    assert peer.say(f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-1'/>".encode()) is None
    assert peer.heard()[0].name == "challenge"
    assert isinstance(peer.say(f"<abort xmlns='{ns.SASL}'/>".encode()), AuthenticationFailed)
    peer.stream.send_failure()
    assert peer.heard()[0].child(ns.SASL, "aborted") is not None


def test_too_many_failures_close_the_stream(peer: Peer) -> None:
    peer.open()
    for _ in range(5):
        assert peer.stream.state is State.NEGOTIATING
        peer.say(f"<auth xmlns='{ns.SASL}' mechanism='NONE'/>".encode())
        peer.stream.send_failure()
    assert condition(peer) == "policy-violation"


def test_a_response_without_an_exchange_ends_the_stream(peer: Peer) -> None:
    peer.open()
    assert isinstance(peer.say(f"<response xmlns='{ns.SASL}'/>".encode()), Ended)


def test_who_is_authenticated_does_not_authenticate_again(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    assert isinstance(peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode()), Ended)
    assert condition(peer) == "policy-violation"


def test_a_header_that_was_sent_along_with_the_last_response_is_read(peer: Peer) -> None:
    peer.open()
    peer.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{PLAIN}</auth>".encode() + HEADER)
    work = peer.stream.give_credentials(CREDENTIALS)
    assert isinstance(work, NeedWork)
    peer.stream.give_result(work.work.work())
    assert peer.stream.next_event() == Opened("im.example")


@pytest.mark.parametrize("other", [b"other.example", b"@", b"im.example.other.example"])
def test_the_domain_stays_after_authentication(peer: Peer, other: bytes) -> None:
    peer.authenticate()
    assert isinstance(peer.say(HEADER.replace(b"im.example", other)), Ended)
    assert condition(peer) == "not-authorized"


@pytest.mark.parametrize("same", [b" to='IM.Example'", b" to='im.example.'", b""])
def test_the_domain_after_authentication_may_be_written_otherwise_or_left_out(peer: Peer, same: bytes) -> None:
    peer.authenticate()
    assert peer.say(HEADER.replace(b" to='im.example'", same)) == Opened("im.example")


# -- §7: bind


def test_after_authentication_bind_is_offered_and_sasl_is_not(peer: Peer) -> None:
    peer.authenticate()
    features = peer.open()
    assert features.child(ns.BIND, "bind") is not None
    assert features.child(ns.SASL, "mechanisms") is None
    assert features.child(ns.TLS, "starttls") is None


def test_a_resource_is_bound(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    assert peer.say(BIND % b"<resource>orchard</resource>") == Bind("orchard")
    peer.stream.bound(JID.parse("romeo@im.example/orchard"))
    iq = peer.heard()[0]
    assert (iq.get("type"), iq.get("id")) == ("result", "b")
    assert iq.child(ns.BIND, "bind").child_text(ns.BIND, "jid") == "romeo@im.example/orchard"  # type: ignore[union-attr]


def test_after_a_refused_resource_another_may_be_asked_for(peer: Peer) -> None:
    peer.authenticate()
    peer.open()
    peer.say(BIND % b"<resource>orchard</resource>")
    peer.stream.bind_failed(StanzaError("conflict"))
    error = peer.heard()[0].child(ns.CLIENT, "error")
    assert error is not None
    assert error.child(ns.STANZA_ERRORS, "conflict") is not None
    assert peer.say(BIND % b"") == Bind("")


@pytest.mark.parametrize(
    "stanza", [b"<message to='a@b'/>", b"<presence/>", b"<iq type='get' id='1'><query xmlns='x'/></iq>"]
)
def test_stanzas_before_bind_are_not_authorized(peer: Peer, stanza: bytes) -> None:
    peer.authenticate()
    peer.open()
    assert isinstance(peer.say(stanza), Ended)
    assert condition(peer) == "not-authorized"


@pytest.mark.parametrize("stanza", [b"<message to='a@b'/>", b"<presence/>"])
def test_stanzas_before_authentication_are_not_authorized(peer: Peer, stanza: bytes) -> None:
    peer.open()
    assert isinstance(peer.say(stanza), Ended)
    assert condition(peer) == "not-authorized"


def test_an_iq_before_authentication_is_handed_on(peer: Peer) -> None:
    peer.open()
    event = peer.say(b"<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>")
    assert isinstance(event, Early)
    peer.stream.reply(event.stanza.error(StanzaError("service-unavailable")))
    assert peer.heard()[0].get("type") == "error"


# -- bound


def test_stanzas_and_elements_come_as_they_are(peer: Peer) -> None:
    peer.bind()
    assert isinstance(peer.say(b"<message to='a@b'/>"), Stanza)
    event = peer.say(b"<active xmlns='urn:xmpp:csi:0'/>")
    assert isinstance(event, Nonza)
    assert event.element.name == "active"
    assert isinstance(peer.say(b"<message to='@'/>"), Malformed)


def test_what_is_wrong_comes_after_what_was_right(peer: Peer) -> None:
    peer.bind()
    assert isinstance(peer.say(b"<message to='a@b'/><message><<>"), Stanza)
    assert isinstance(peer.stream.next_event(), Ended)
    assert condition(peer) == "not-well-formed"


def test_after_login_larger_stanzas_are_taken(peer: Peer) -> None:
    big = b"<message to='a@b'><body>" + b"x" * 100_000 + b"</body></message>"
    peer.open()
    assert isinstance(peer.say(big), Ended)
    assert condition(peer) == "policy-violation"
    other = Peer()
    other.bind()
    assert isinstance(other.say(big), Stanza)


def test_a_closed_stream_closes_once(peer: Peer) -> None:
    peer.bind()
    peer.stream.close(StreamError("system-shutdown"))
    peer.stream.close(StreamError("conflict"))
    assert condition(peer) == "system-shutdown"
    assert peer.stream.data_to_send() == b""


# -- the table


def test_an_answer_is_legal_in_its_state_only(peer: Peer) -> None:
    with pytest.raises(RuntimeError):
        peer.stream.accept(peer.offer)
    peer.say(HEADER)
    with pytest.raises(RuntimeError):
        peer.stream.tls_started({})
    with pytest.raises(RuntimeError):
        peer.stream.bound(JID.parse("a@b/c"))


def test_every_state_but_the_last_can_be_left_and_each_is_reached() -> None:
    assert set(TRANSITIONS) | set(ANSWERS) | {State.CLOSED} == set(State)
    reached = {state for inputs in TRANSITIONS.values() for _, states in inputs.values() for state in states}
    reached |= {state for answers in ANSWERS.values() for states in answers.values() for state in states}
    assert reached == set(State)
