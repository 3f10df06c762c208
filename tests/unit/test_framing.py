"""Framing within a stream: RFC 6120 §4, §11, and limits."""

from __future__ import annotations

import pytest
from frames import HEADER, LIMITS, condition, opened, read, read_in_pieces, stanza

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream import scanner
from xmpp_server.stream.framing import Framer, Limits, StreamClosed

LARGE = Limits(max_bytes=262_144, max_depth=10, max_attributes=10)


def test_elements_that_are_no_stanzas_become_trees():
    auth, r, features, unknown = read(
        opened(),
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth><r xmlns='urn:xmpp:sm:3'/>"
        b"<stream:features><a xmlns='x' xmlns:p='q' p:b='1'/></stream:features><foo/>",
    )
    assert isinstance(auth, Element)
    assert (auth.ns, auth.name, auth.get("mechanism"), auth.text) == (ns.SASL, "auth", "PLAIN", "AGE=")
    assert isinstance(r, Element)
    assert (r.ns, r.name, r.attrs, r.children) == ("urn:xmpp:sm:3", "r", {}, [])
    assert isinstance(features, Element)
    assert (features.ns, features.name) == (ns.STREAMS, "features")
    assert next(iter(features)).attrs == {"{q}b": "1"}
    assert isinstance(unknown, Element)
    assert (unknown.ns, unknown.name) == ("jabber:client", "foo")


def test_an_empty_element_has_its_attributes():
    (a,) = read(opened(), b"<p:a xmlns:p='urn:p' h='5' p:b='1' xml:lang='de' xml:x='y'/>")
    assert isinstance(a, Element)
    assert a.attrs == {"h": "5", "{urn:p}b": "1", "xml:lang": "de", "xml:x": "y"}
    assert (a.ns, a.name) == ("urn:p", "a")


def test_white_space_between_stanzas_is_swallowed():
    framer = opened()
    assert read(framer, b" \r\n\t") == []
    assert not framer.pending
    assert len(read(framer, b"<presence/>\n \n<presence/>\n")) == 2
    assert not framer.pending


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b">",
        b"x<presence/>",
        b"<presence/>x<presence/>",
        b"<presence/>x",
        b"<presence/>x</stream:stream>",
        b"&#32;<presence/>",
        b"<![CDATA[ ]]><presence/>",
    ],
)
def test_text_between_stanzas_is_an_error(text):
    assert condition(text) == "bad-format"  # RFC 6120 §4.9.3.1


def test_the_end_of_a_stream_is_told_and_what_follows_is_ignored():
    framer = opened()
    presence, closed = read(framer, b"<presence/></stream:stream>\n<garbage")
    assert isinstance(presence, Stanza)
    assert isinstance(closed, StreamClosed)
    assert not framer.pending
    assert read(framer, b"<more>") == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 6120 §11.1
        (b"<message><!-- c --></message>", "restricted-xml"),
        (b"<message><?pi x?></message>", "restricted-xml"),
        (b"<!-- c -->", "restricted-xml"),
        (b"<?pi x?>", "restricted-xml"),
        (b"<message>&a;</message>", "restricted-xml"),
        (b"<message a='&a;'/>", "restricted-xml"),
        # §4.9.3.13
        (b"<!DOCTYPE a>", "not-well-formed"),  # of no meaning after the first tag
        (b"<message></iq>", "not-well-formed"),
        (b"<message a='1' a='2'/>", "not-well-formed"),
        (b"<message a=1/>", "not-well-formed"),
        (b"<message a='<'/>", "not-well-formed"),
        (b"<p:message/>", "not-well-formed"),
        (b"<message p:a='1'/>", "not-well-formed"),
        (b"<message>\xff</message>", "not-well-formed"),
        (b"<message>\xc0\x80</message>", "not-well-formed"),
        (b"<message>\xed\xa0\x80</message>", "not-well-formed"),
        (b"<message>\xef\xbf\xbf</message>", "not-well-formed"),
        (b"<message>\x00</message>", "not-well-formed"),
        (b"<message>\x0b</message>", "not-well-formed"),
        (b"<message>&#0;</message>", "not-well-formed"),
        (b"<message>]]></message>", "not-well-formed"),
        (b"<message><x xmlns:p=''/></message>", "not-well-formed"),
        (b"<message><x xmlns='a&#10;b'/></message>", "not-well-formed"),
        (b"</message>", "not-well-formed"),
        (b"<?xml version='1.0'?>", "not-well-formed"),
    ],
)
def test_what_no_stream_may_have_ends_it(data, expected):
    assert condition(data) == expected


def test_an_error_comes_after_the_events_before_it():
    framer = opened()
    framer.feed(b"<presence/><message/><iq><!-- --></iq>")
    assert isinstance(framer.next_event(), Stanza)
    assert isinstance(framer.next_event(), Stanza)
    for _ in range(2):
        with pytest.raises(StreamError, match="restricted-xml"):
            framer.next_event()
    framer.feed(b"<presence/>")
    with pytest.raises(StreamError, match="restricted-xml"):
        framer.next_event()


def test_a_stanza_of_just_the_largest_size_passes_and_one_byte_more_does_not():
    data = b"<message>" + b"x" * (10_000 - 19) + b"</message>"
    assert len(data) == LIMITS.max_bytes
    stanza(data)
    assert condition(data.replace(b"xx", b"xxx", 1)) == "policy-violation"
    assert condition(data.replace(b"xx", b"xxx", 1) + b"</message>") == "policy-violation"
    assert condition(data.replace(b"xx", b"xxx", 1)[:-1] + b"x") == "policy-violation"
    assert condition(data.replace(b"xxxxx", b"<y/>xx", 1)[:-1] + b"x") == "policy-violation"


def test_elements_too_deep_are_refused_when_they_open():
    deep = b"<message>" + b"<a>" * 9
    assert len(read(opened(), deep + b"</a>" * 9 + b"</message>")) == 1
    assert condition(deep + b"<a>") == "policy-violation"


@pytest.mark.parametrize("element", ["message", "message><x", "message><x><y", "r"])
def test_elements_with_too_many_attributes_are_refused(element):
    few = " ".join(f"a{n}=''" for n in range(10))
    assert read(opened(), f"<{element} {few}>".encode()) == []
    assert condition(f"<{element} {few} b=''>".encode()) == "policy-violation"


def test_the_deepest_stanza_that_can_be_allowed_is_written_anew():
    limits = Limits(1_000_000, 250, 10)
    deep = b"<c:message xmlns:c='jabber:client'>" + b"<c:a>" * 249 + b"</c:a>" * 249 + b"</c:message>"
    assert len(read(opened(limits=limits), deep)) == 1


def test_a_stanza_of_very_many_children_is_refused_before_it_is_complete():
    limits = Limits(1_000_000, 10, 10)
    assert len(read(opened(limits=limits), b"<message><x>" + b"<a/>" * 10_000 + b"</x></message>")) == 1
    assert len(read(opened(limits=limits), b"<message>" + b"<a/>" * 4000 + b"</message>")) == 1
    assert condition(b"<message>" + b"<a/>" * 5000, limits=limits) == "policy-violation"


def test_a_long_namespace_for_many_attributes_is_refused_before_it_is_copied():
    limits = Limits(1_000_000, 10, 10_000)
    attrs = " ".join(f"p:a{n}=''" for n in range(3000))
    assert condition(f"<message xmlns:p='{'u' * 300}' {attrs}/>".encode(), limits=limits) == "policy-violation"
    framer = opened(limits=limits)
    assert read(framer, b"<message xmlns:p='" + b"u" * 200 + b">") == []
    with pytest.raises(StreamError, match="policy-violation"):
        read(framer, b"u" * 200 + b"' " + attrs.encode() + b"/>")


def test_new_limits_hold_for_all_that_follows_the_last_event():
    framer = opened()
    framer.limits = Limits(100, 10, 10)
    framer.feed(b"<presence/><message>" + b"x" * 200 + b"</message>")
    assert isinstance(framer.next_event(), Stanza)
    framer.limits = LIMITS
    message = framer.next_event()
    assert isinstance(message, Stanza)
    assert len(message.payload) == 200
    assert read(framer, b"<message>" + b"y>" * 50) == []
    framer.limits = Limits(100, 10, 10)
    with pytest.raises(StreamError, match="policy-violation"):
        read(framer, b"</message>")


def test_a_value_full_of_closing_angles_in_many_pieces_is_refused_early():
    framer = opened(limits=LARGE)
    data = b"<message a='" + b">" * 2_000
    with pytest.raises(StreamError, match="policy-violation"):
        read_in_pieces(framer, data, 1)


def test_a_text_full_of_closing_angles_in_many_pieces_passes():
    (message,) = read_in_pieces(opened(limits=LARGE), b"<message>" + b">" * 10_000 + b"</message>", 1)
    assert isinstance(message, Stanza)
    assert message.payload == b">" * 10_000


def test_streams_with_other_declarations_do_not_share_a_parser():
    one = opened(HEADER.replace(b" to=", b" xmlns:p='urn:1' to="))
    two = opened(HEADER.replace(b" to=", b" xmlns:p='urn:2' to="))
    for _ in range(2):
        for framer, uri in ((one, b"urn:1"), (two, b"urn:2")):
            (message,) = read(framer, b"<message><p:x/></message>")
            assert isinstance(message, Stanza)
            assert message.payload == b"<x xmlns='" + uri + b"'/>"


def test_a_stream_in_the_midst_of_an_element_does_not_disturb_another():
    one, two = opened(), opened()
    assert read(one, b"<message><body>1") == []
    assert len(read(two, b"<message><body>2</body></message>")) == 1
    (message,) = read(one, b"</body></message>")
    assert isinstance(message, Stanza)
    assert message.payload == b"<body>1</body>"


def test_names_that_one_stream_may_not_use_do_not_disturb_another():
    one, two = opened(), opened()
    read(one, b"<r xmlns='a b'/><stream:x/>")
    (message,) = read(two, b"<message><body>2</body></message>")
    assert isinstance(message, Stanza)


def test_a_framer_between_two_stanzas_holds_no_parser():
    framer = opened()
    read(framer, b"<presence/><message><body>x</body></message>\n")
    held = [getattr(framer, name) for name in Framer.__slots__]
    assert not any(type(value).__name__ == "Scanner" for value in held)


def test_parsers_that_have_read_much_are_not_kept():
    # each name that a parser has seen stays in its memory
    framer = opened(limits=LARGE)
    for n in range(3000):
        read(framer, f"<message><name{n:050}/></message>".encode())
    for idle in scanner._idle.values():
        assert all(each.read < 100_000 for each in idle)


@pytest.mark.parametrize("uri", ["urn:xmpp:sm:3", "urn:xmpp:sm:2"])
@pytest.mark.parametrize(
    "attributes", ["", " h='12'", ' h="4294967295"', " h='-1'", " h='1' x='2'", " H='1'", " h = '1'"]
)
@pytest.mark.parametrize("tail", ["/>", " />", "></a>"])
def test_an_acknowledgement_is_the_same_alone_and_among_others(uri: str, attributes: str, tail: str) -> None:
    ack = f"<a xmlns='{uri}'{attributes}{tail}".encode()
    (alone,) = read(opened(), ack)
    first, second, _ = read(opened(), ack + ack + b"<presence/>")
    assert isinstance(alone, Element)
    for other in (first, second):
        assert isinstance(other, Element)
        assert (alone.ns, alone.name, alone.attrs) == (other.ns, other.name, other.attrs)


def test_after_an_acknowledgement_the_stream_is_read_on() -> None:
    framer = opened()
    assert [
        type(event) for event in read_in_pieces(framer, b"<r xmlns='urn:xmpp:sm:3'/>" * 3 + b"<presence/>", 26)
    ] == [
        *[Element] * 3,
        Stanza,
    ]
    assert not framer.pending


@pytest.mark.parametrize("child", [b"<body/>", b"<c:x xmlns:c='urn:c'/>"])
def test_an_empty_language_takes_the_stream_s_back(child: bytes) -> None:
    framer = Framer(Limits(10_000, 20, 20))
    framer.feed(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' "
        b"xml:lang='de'><message xml:lang=''>" + child + b"</message>"
    )
    assert framer.next_event() is not None
    stanza = framer.next_event()
    assert isinstance(stanza, Stanza)
    assert stanza.lang == ""
    assert stanza.to_bytes().startswith(b"<message xml:lang=''>")
