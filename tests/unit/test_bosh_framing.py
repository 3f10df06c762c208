"""Framing over BOSH, by XEP-0124 §6 and XEP-0206."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.bosh import Terminated
from xmpp_server.stream.bosh_framing import BoshFramer, read_body, read_sid
from xmpp_server.stream.framing import Event, Limits, StreamClosed, StreamOpened

LIMITS = Limits(max_bytes=10_000, max_depth=10, max_attributes=16)
BODY = "<body rid='1' {more} xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'>{content}</body>"
CREATE = BODY.format(more="to='im.example' xml:lang='it' xmpp:version='1.0'", content="")
PLAIN = "<message xmlns='jabber:client' to='juliet@im.example'><body>a &amp; b</body></message>"


def events(framer: BoshFramer, content: str = "", more: str = "sid='x'") -> list[Event]:
    framer.take(read_body(BODY.format(more=more, content=content).encode(), LIMITS))
    found = []
    while (event := framer.next_event()) is not None:
        found.append(event)
    return found


@pytest.fixture
def framer() -> BoshFramer:
    framer = BoshFramer(LIMITS)
    framer.take(read_body(CREATE.encode(), LIMITS))
    assert framer.next_event() == StreamOpened("im.example", "", "1.0", "it", "", ns.CLIENT, {})
    return framer


def condition(framer: BoshFramer, content: str, more: str = "sid='x'") -> str:
    with pytest.raises(StreamError) as raised:
        events(framer, content, more)
    assert not framer.pending
    return raised.value.condition


def test_attributes_are_known_by_namespace_whatever_the_prefix() -> None:
    request = read_body(b"<body rid='7' b:restart='1' xmlns='%s' xmlns:b='urn:xmpp:xbosh'/>" % ns.BOSH.encode(), LIMITS)
    assert request.attrs == {"rid": "7", "xmpp:restart": "1"}
    assert (request.rid, request.restarts, request.empty) == (7, True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<body rid='1'/>",
        b"<html xmlns='http://jabber.org/protocol/httpbind'/>",
        b"<body rid='1' xmlns='http://jabber.org/protocol/httpbind'",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><body rid='1' xmlns='http://jabber.org/protocol/httpbind'/>",
        b"<?xml version='1.0' encoding='UTF-16'?><body rid='1' xmlns='http://jabber.org/protocol/httpbind'/>",
        b"<!-- --><body rid='1' xmlns='http://jabber.org/protocol/httpbind'/>",
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='" + b"1" * 10_000 + b"'/>",
    ],
)
def test_what_is_no_body_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(Terminated) as raised:
        read_body(data, LIMITS)
    assert raised.value.condition == "bad-request"


EMPTY = b"<body rid='1' sid='x' xmlns='http://jabber.org/protocol/httpbind'/>"
FULL = BODY.format(more="sid='x'", content="").encode()


@pytest.mark.parametrize("request_", [EMPTY, FULL, FULL[: -len("</body>")] + PLAIN.encode() + b"</body>"])
@pytest.mark.parametrize(
    "more", [EMPTY, PLAIN.encode(), b"text", b"<!-- -->", b"<?pi?>", b"<!DOCTYPE x>", b"</body", b"<a", b">"]
)
def test_what_follows_the_body_is_not_dropped_but_refused(request_: bytes, more: bytes) -> None:
    """§6: the request is one `<body/>`."""
    with pytest.raises(Terminated) as raised:
        read_body(request_ + more, LIMITS)
    assert raised.value.condition == "bad-request"


@pytest.mark.parametrize("end", [b"</bodyy>", b"</x:body>", b"</message>"])
def test_the_end_tag_is_that_of_the_start_tag(end: bytes) -> None:
    with pytest.raises(Terminated):
        read_body(FULL.replace(b"</body>", end), LIMITS)
    assert read_body(FULL.replace(b"</body>", b"</body \n>"), LIMITS).empty


@pytest.mark.parametrize("more", ["to='im.example'", "sid='x' to='im.example' xmpp:restart='true'"])
@pytest.mark.parametrize("content", ["</body><body>", PLAIN + "</body>" + PLAIN, "</body><!DOCTYPE x><body>", "<a>"])
def test_what_begins_a_stream_is_one_body_too(more: str, content: str) -> None:
    with pytest.raises(Terminated) as raised:
        read_body(BODY.format(more=more, content=content).encode(), LIMITS)
    assert raised.value.condition == "bad-request"


@pytest.mark.parametrize("content", ["</body><body>", "</body><body/>" + PLAIN, "</body>" + PLAIN, "</body>text"])
def test_a_second_body_ends_the_stream_after_what_the_first_holds(framer: BoshFramer, content: str) -> None:
    framer.take(read_body(BODY.format(more="sid='x'", content=PLAIN + content).encode(), LIMITS))
    assert isinstance(framer.next_event(), Stanza)
    with pytest.raises(StreamError) as raised:
        framer.next_event()
    assert raised.value.condition == "not-well-formed"


@pytest.mark.parametrize(
    ("data", "sid"),
    [(FULL, "x"), (FULL[:-4], "x"), (b" \n" + FULL, "x"), (CREATE.encode(), ""), (FULL[:30], ""), (b"", "")],
)
def test_the_session_is_known_by_the_start_tag(data: bytes, sid: str) -> None:
    assert read_sid(data, LIMITS) == sid


def test_stanzas_that_name_their_namespace_are_taken_as_they_are(framer: BoshFramer) -> None:
    first, second = events(framer, PLAIN + "\n" + PLAIN)
    for stanza in (first, second):
        assert isinstance(stanza, Stanza)
        assert (str(stanza.to), stanza.lang, stanza.payload) == ("juliet@im.example", "it", b"<body>a &amp; b</body>")


def test_stanzas_without_a_namespace_are_meant_for_jabber_client(framer: BoshFramer) -> None:
    """XEP-0206 §2"""
    (stanza,) = events(framer, "<message to='juliet@im.example'><body>a &amp; b</body><x xmlns='y'/></message>")
    assert isinstance(stanza, Stanza)
    assert stanza.payload == b"<body>a &amp; b</body><x xmlns='y'/>"
    assert stanza.keys == [f"{ns.CLIENT}\nbody", "y\nx"]


def test_other_elements_keep_their_namespaces(framer: BoshFramer) -> None:
    (element,) = events(framer, f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>abc</auth>")
    assert isinstance(element, Element)
    assert (element.ns, element.name, element.text) == (ns.SASL, "auth", "abc")


def test_prefixes_of_the_body_hold_in_it(framer: BoshFramer) -> None:
    (stanza,) = events(framer, "<c:iq type='get' id='1'><q xmlns='y'/></c:iq>", "sid='x' xmlns:c='jabber:client'")
    assert isinstance(stanza, Stanza)
    assert stanza.payload == b"<q xmlns='y'/>"


def test_an_empty_request_is_no_event(framer: BoshFramer) -> None:
    assert events(framer) == []


def test_after_a_restart_the_client_restarts_too_and_other_content_is_ignored(framer: BoshFramer) -> None:
    """XEP-0206 §5"""
    framer.restart()
    assert events(framer) == []
    (opened,) = events(framer, PLAIN, "sid='x' to='im.example' xmpp:restart='true'")
    assert isinstance(opened, StreamOpened)
    assert opened.version == "1.0"


def test_nothing_goes_before_the_restart(framer: BoshFramer) -> None:
    framer.restart()
    assert condition(framer, PLAIN) == "not-authorized"


def test_a_restart_out_of_place_is_refused(framer: BoshFramer) -> None:
    assert condition(framer, "", "sid='x' xmpp:restart='true'") == "policy-violation"


def test_a_last_request_is_heard_before_the_end(framer: BoshFramer) -> None:
    """XEP-0124 §13"""
    stanza, closed = events(framer, PLAIN, "sid='x' type='terminate'")
    assert isinstance(stanza, Stanza)
    assert isinstance(closed, StreamClosed)
    assert events(framer, PLAIN) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<iq", "not-well-formed"),
        ("<iq xmlns='jabber:client'>", "not-well-formed"),
        ("text", "bad-format"),
        ("<!-- -->", "restricted-xml"),
        ("<iq xmlns='jabber:client'>&b;</iq>", "restricted-xml"),
        ("<a>" * 20 + "</a>" * 20, "policy-violation"),
        ("<iq xmlns='jabber:client'>" + "x" * 10_000 + "</iq>", "policy-violation"),
    ],
)
def test_what_a_stream_may_not_hold_ends_it_here_too(framer: BoshFramer, content: str, expected: str) -> None:
    """RFC 6120 §11.1"""
    assert condition(framer, content) == expected


def test_what_came_before_an_error_counts(framer: BoshFramer) -> None:
    framer.take(read_body(BODY.format(more="sid='x'", content=PLAIN + "<!-- -->").encode(), LIMITS))
    assert isinstance(framer.next_event(), Stanza)
    with pytest.raises(StreamError):
        framer.next_event()
