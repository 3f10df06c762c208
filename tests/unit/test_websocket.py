"""Framing over WebSocket, by RFC 7395, without a socket."""

from __future__ import annotations

from base64 import b64encode

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.credentials import Credentials
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.c2s import C2SStream, Offer, Settings
from xmpp_server.stream.events import Authenticated, Bind, Ended, NeedCredentials, NeedWork, Opened
from xmpp_server.stream.framing import Event, Limits, Malformed, StreamClosed, StreamOpened
from xmpp_server.stream.sasl import make_verifiers
from xmpp_server.stream.websocket import WebSocketFramer, WebSocketWords, alone

LIMITS = Limits(max_bytes=10_000, max_depth=10, max_attributes=10)
OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='im.example' version='1.0' xml:lang='it'/>"
CLOSE = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
BODY = b"<body>a &amp; b</body>"


def opened() -> WebSocketFramer:
    framer = WebSocketFramer(LIMITS)
    framer.feed(OPEN)
    assert isinstance(framer.next_event(), StreamOpened)
    return framer


def read(message: bytes, framer: WebSocketFramer | None = None) -> Event | None:
    framer = framer or opened()
    framer.feed(message)
    return framer.next_event()


def condition(message: bytes, framer: WebSocketFramer | None = None) -> str:
    with pytest.raises(StreamError) as raised:
        read(message, framer)
    return raised.value.condition


# -- §3.4: the stream's begin


def test_open_stands_for_a_stream_header() -> None:
    event = read(OPEN, WebSocketFramer(LIMITS))
    assert event == StreamOpened("im.example", "", "1.0", "it", "", ns.CLIENT, {})


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"<open to='im.example'/>", "invalid-namespace"),
        (b"<open xmlns='jabber:client'/>", "invalid-namespace"),
        (b"<message xmlns='jabber:client'/>", "invalid-namespace"),
        (b"<begin xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", "bad-format"),
        (b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", "not-well-formed"),
    ],
)
def test_nothing_else_comes_first(first: bytes, expected: str) -> None:
    assert condition(first, WebSocketFramer(LIMITS)) == expected


def test_after_a_restart_open_comes_again_and_what_was_sent_ahead_is_kept() -> None:
    """§3.7"""
    framer = opened()
    framer.feed(OPEN)
    framer.restart()
    assert framer.pending
    assert isinstance(framer.next_event(), StreamOpened)
    assert framer.next_event() is None


def test_an_open_in_the_middle_is_an_element_like_any_other() -> None:
    event = read(OPEN)
    assert isinstance(event, Element)
    assert event.name == "open"


# -- §3.3.3: messages


def test_a_stanza_that_names_its_namespace_is_taken_as_it_is() -> None:
    event = read(b"<message xmlns='jabber:client' to='juliet@im.example' id='1'>" + BODY + b"</message>")
    assert isinstance(event, Stanza)
    assert (str(event.to), event.id, event.lang) == ("juliet@im.example", "1", "it")
    assert event.payload == BODY
    assert event.extra is None
    assert event.keys == [f"{ns.CLIENT}\nbody"]


def test_a_stanza_without_a_namespace_is_none() -> None:
    event = read(b"<message to='juliet@im.example'>" + BODY + b"</message>")
    assert isinstance(event, Element)
    assert event.ns == ""


def test_a_stanza_with_prefixes_is_written_anew() -> None:
    event = read(b"<c:message xmlns:c='jabber:client'><c:body>a &amp; b</c:body></c:message>")
    assert isinstance(event, Stanza)
    assert event.payload == BODY


def test_no_declaration_outlives_its_message() -> None:
    framer = opened()
    assert isinstance(read(b"<c:iq xmlns:c='jabber:client' type='get' id='1'/>", framer), Stanza)
    assert condition(b"<c:iq type='get' id='2'/>", framer) == "not-well-formed"


def test_a_wrong_address_is_answered_and_not_the_end() -> None:
    framer = opened()
    assert isinstance(read(b"<iq xmlns='jabber:client' to='@' type='get' id='1'/>", framer), Malformed)
    assert isinstance(read(b"<iq xmlns='jabber:client' type='get' id='2'/>", framer), Stanza)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", "bad-format"),
        (b" ", "bad-format"),  # §3.8: pings in place of white space
        (b"text", "bad-format"),
        (b"\xef\xbb\xbf<iq xmlns='jabber:client'/>", "bad-format"),
        (b"<iq xmlns='jabber:client'/><iq xmlns='jabber:client'/>", "bad-format"),
        (b"<iq xmlns='jabber:client'>", "not-well-formed"),
        (b"<iq xmlns='jabber:client'", "not-well-formed"),
        (b"</iq>", "not-well-formed"),
        (b"</w>", "not-well-formed"),
        (b"<iq xmlns='jabber:client'/></w>", "not-well-formed"),
        (b"<iq xmlns='jabber:client'/>text", "not-well-formed"),
        (b"<?xml version='1.0'?><iq xmlns='jabber:client'/>", "restricted-xml"),
        (b"<!-- --><iq xmlns='jabber:client'/>", "restricted-xml"),
        (b"<iq xmlns='jabber:client'><!-- --></iq>", "restricted-xml"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><iq xmlns='jabber:client'/>", "not-well-formed"),
        (b"<iq xmlns='jabber:client'>&b;</iq>", "restricted-xml"),
        (b"<iq xmlns='jabber:client'>\xff</iq>", "not-well-formed"),
        (b"<iq xmlns='jabber:client'>" + b"<a>" * 20 + b"</a>" * 20 + b"</iq>", "policy-violation"),
        (b"<iq xmlns='jabber:client'>" + b" " * 10_000 + b"</iq>", "policy-violation"),
    ],
)
def test_what_is_no_element_or_beyond_limits_ends_the_stream(message: bytes, expected: str) -> None:
    """RFC 6120 §11.1 holds here too"""
    framer = opened()
    assert condition(message, framer) == expected
    framer.feed(CLOSE)
    assert framer.next_event() is None


def test_what_one_stream_broke_hurts_no_other() -> None:
    for broken in (b"</w>", b"<iq xmlns='jabber:client'>", b"<iq xmlns='jabber:client'/><iq xmlns='jabber:client'/>"):
        condition(broken)
        assert isinstance(read(b"<iq xmlns='jabber:client' type='get' id='1'/>"), Stanza)


# -- §3.6: the stream's end


def test_close_ends_the_stream_and_nothing_counts_after_it() -> None:
    framer = opened()
    assert isinstance(read(CLOSE, framer), StreamClosed)
    framer.feed(OPEN)
    assert not framer.pending
    assert framer.next_event() is None


# -- what we write


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"<iq/>", b"<iq xmlns='jabber:client'/>"),
        (b"<message><body>x</body></message>", b"<message xmlns='jabber:client'><body>x</body></message>"),
        (b"<presence id='1'/>", b"<presence xmlns='jabber:client' id='1'/>"),
        (b"<message xmlns='jabber:client' id='1'/>", b"<message xmlns='jabber:client' id='1'/>"),
        (b"<r xmlns='urn:xmpp:sm:3'/>", b"<r xmlns='urn:xmpp:sm:3'/>"),
        (
            b"<stream:features><bind xmlns='b'/></stream:features>",
            b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='b'/></stream:features>",
        ),
    ],
)
def test_what_we_write_stands_for_itself(written: bytes, expected: bytes) -> None:
    assert alone(written) == expected


# -- a whole stream


def test_a_client_logs_in_over_websocket_and_every_part_is_a_document() -> None:
    settings = Settings(b"s" * 32, LIMITS, LIMITS, domain="im.example")
    stream = C2SStream(settings, {}, WebSocketFramer(LIMITS), WebSocketWords())

    def heard() -> list[Element]:
        return [parse(alone(part), "") for part in stream.parts_to_send()]

    def open_stream() -> Element:
        stream.receive_data(OPEN)
        assert stream.next_event() == Opened("im.example")
        stream.accept(Offer("im.example"))
        header, features = heard()
        assert (header.ns, header.name) == (ns.FRAMING, "open")
        assert (header.get("from"), header.get("version")) == ("im.example", "1.0")
        assert header.get("id")
        assert (features.ns, features.name) == (ns.STREAMS, "features")
        return features

    features = open_stream()
    mechanisms = features.child(ns.SASL, "mechanisms")
    assert mechanisms is not None
    names = [mechanism.text for mechanism in mechanisms]
    assert "SCRAM-SHA-256" in names
    assert not [name for name in names if name.endswith("-PLUS")]  # the TLS that the browser sees is not for us to bind
    assert features.child(ns.TLS, "starttls") is None
    token = b64encode(b"\0romeo\0r0m30").decode()
    stream.receive_data(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{token}</auth>".encode())
    assert isinstance(stream.next_event(), NeedCredentials)
    event = stream.give_credentials(Credentials(make_verifiers("r0m30", 10_000)))
    assert isinstance(event, NeedWork)
    assert isinstance(stream.give_result(event.work.work()), Authenticated)
    assert [element.name for element in heard()] == ["success"]
    assert open_stream().child(ns.BIND, "bind") is not None
    bind = f"<bind xmlns='{ns.BIND}'><resource>tab</resource></bind>"
    stream.receive_data(f"<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>".encode())
    assert stream.next_event() == Bind("tab")
    stream.bound(JID.parse("romeo@im.example/tab"))
    (answer,) = heard()
    assert (answer.ns, answer.name, answer.get("type")) == (ns.CLIENT, "iq", "result")
    stream.receive_data(CLOSE)
    assert isinstance(stream.next_event(), Ended)
    assert [(element.ns, element.name) for element in heard()] == [(ns.FRAMING, "close")]


def test_an_error_is_told_between_open_and_close() -> None:
    """§3.5"""
    stream = C2SStream(
        Settings(b"s" * 32, LIMITS, LIMITS, domain="im.example"), {}, WebSocketFramer(LIMITS), WebSocketWords()
    )
    stream.receive_data(b"<nonsense")
    assert isinstance(stream.next_event(), Ended)
    header, error, end = [parse(alone(part), "") for part in stream.parts_to_send()]
    assert (header.name, error.name, end.name) == ("open", "error", "close")
    assert error.child(ns.STREAM_ERRORS, "not-well-formed") is not None
