"""Stream headers: RFC 6120 §4.7 to §4.9, §11."""

from __future__ import annotations

import pytest
from frames import HEADER, LIMITS, PLAIN_HEADER, condition, header, opened, read, read_in_pieces

from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import BODY, Stanza
from xmpp_server.stream.framing import Framer, StreamClosed, StreamOpened


def test_a_header_tells_its_attributes_as_given():
    (event,) = read(Framer(LIMITS), PLAIN_HEADER.replace(b"version=", b"xml:lang='de' id='i&lt;' version="))
    assert event == StreamOpened(
        to="a.example",
        sender="romeo@a.example",
        version="1.0",
        lang="de",
        id="i<",
        xmlns="jabber:client",
        prefixes={"stream": "http://etherx.jabber.org/streams"},
    )


def test_a_header_without_attributes_has_empty_ones():
    (event,) = read(Framer(LIMITS), header("xmlns='jabber:server'"))
    assert isinstance(event, StreamOpened)
    assert (event.to, event.sender, event.version, event.lang, event.id) == ("", "", "", "", "")
    assert event.xmlns == "jabber:server"


def test_a_header_may_leave_the_content_namespace_to_each_stanza():
    # RFC 6120 §4.8.2
    framer = opened(b"<stream xmlns='http://etherx.jabber.org/streams'>")
    message, closed = read(framer, b"<message xmlns='jabber:client'><body>x</body></message></stream>")
    assert isinstance(message, Stanza)
    assert message.payload == b"<body>x</body>"
    assert message.keys == [BODY]
    assert isinstance(closed, StreamClosed)


def test_any_prefix_serves_for_the_streams_namespace():
    framer = opened(b"<a:stream xmlns='jabber:client' xmlns:a='http://etherx.jabber.org/streams'>")
    assert [type(event) for event in read(framer, b"<presence/></a:stream>")] == [Stanza, StreamClosed]


def test_white_space_before_a_header_is_ignored():
    assert len(read(Framer(LIMITS), b"\r\n " + HEADER)) == 1


def test_an_empty_header_opens_and_closes():
    events = read(Framer(LIMITS), HEADER[:-1] + b"/>")
    assert [type(event) for event in events] == [StreamOpened, StreamClosed]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 6120 §4.9.3.10
        (b"<stream:stream xmlns='jabber:client' xmlns:stream='http://wrong.example/'>", "invalid-namespace"),
        (b"<stream xmlns='jabber:client'>", "invalid-namespace"),
        (b"<message>", "invalid-namespace"),
        # §4.9.3.1
        (b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'>", "bad-format"),
        # §4.9.3.13, with [XML-NAMES]: the prefix is not declared
        (b"<stream:stream xmlns='jabber:client'>", "not-well-formed"),
        (b"hello", "not-well-formed"),
        (b"<>", "not-well-formed"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"<?xml version='1.1'?>" + PLAIN_HEADER, "not-well-formed"),
        # §11.6: no byte order mark; U+FEFF is a character like others
        (b"\xef\xbb\xbf" + HEADER, "not-well-formed"),
        # §4.9.3.22, §11.6
        (HEADER.decode().encode("utf-16"), "unsupported-encoding"),
        (HEADER.decode().encode("utf-16-le"), "unsupported-encoding"),
        (HEADER.decode().encode("utf-16-be"), "unsupported-encoding"),
        (b" " + HEADER.decode().encode("utf-16-le"), "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + PLAIN_HEADER, "unsupported-encoding"),
        # §11.1
        (b"<!DOCTYPE stream>" + PLAIN_HEADER, "restricted-xml"),
        (b"<!DOCTYPE s [<!ENTITY a 'b'>]>" + PLAIN_HEADER, "restricted-xml"),
        (b"<!-- c -->" + PLAIN_HEADER, "restricted-xml"),
        (b"<?pi x?>" + PLAIN_HEADER, "restricted-xml"),
        (HEADER.replace(b"to='a.example'", b"to='&a;'"), "restricted-xml"),
    ],
)
def test_what_is_no_header_gets_the_error_that_the_rfc_names(data, expected):
    assert condition(data, b"") == expected


@pytest.mark.parametrize("encoding", [b"UTF-8", b"utf-8"])
def test_the_declared_encoding_may_be_utf_8(encoding):
    assert len(read(Framer(LIMITS), b"<?xml version='1.0' encoding='%s'?>" % encoding + PLAIN_HEADER)) == 1


def test_a_header_beyond_the_limits_is_a_policy_violation():
    assert condition(header(f"to='{'x' * 10_000}'"), b"") == "policy-violation"
    assert condition(header(f"to='{'x' * 10_000}")[:-1], b"") == "policy-violation"
    assert condition(header(" ".join(f"a{n}=''" for n in range(10))), b"") == "policy-violation"
    assert condition(header(" ".join(f"xmlns:a{n}='b'" for n in range(10))), b"") == "policy-violation"
    assert condition(header(f"xmlns:a='{'x' * 300}'"), b"") == "policy-violation"


def test_a_header_in_many_pieces_each_with_a_closing_angle_is_refused():
    data = header(f"to='{'>' * 9_000}")[:-1]
    with pytest.raises(StreamError, match="policy-violation"):
        read_in_pieces(Framer(LIMITS), data, 1)


def test_a_restart_reads_what_follows_the_last_event_as_a_new_document():
    framer = opened()
    framer.feed(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n" + HEADER + b"<presence/>")
    framer.next_event()
    assert framer.pending
    framer.restart()
    assert isinstance(framer.next_event(), StreamOpened)
    assert isinstance(framer.next_event(), Stanza)
    assert not framer.pending


def test_a_restart_discards_events_that_were_read_ahead():
    framer = opened()
    framer.feed(b"<a xmlns='u'/><presence/><presence/><mess")
    framer.next_event()
    assert framer.pending
    framer.restart()
    with pytest.raises(StreamError, match="invalid-namespace"):
        framer.next_event()


def test_a_restart_discards_an_error_that_was_read_ahead():
    framer = opened()
    framer.feed(b"<a xmlns='u'/>" + HEADER)  # within the stream the declaration would be misplaced
    framer.next_event()
    framer.restart()
    assert isinstance(framer.next_event(), StreamOpened)


def test_a_restart_amid_an_element_reads_it_from_its_start():
    framer = opened()
    assert read(framer, PLAIN_HEADER) == []
    assert framer.pending
    framer.restart()
    assert isinstance(framer.next_event(), StreamOpened)
    assert not framer.pending


def test_nothing_is_pending_after_an_event_that_was_the_last():
    framer = opened()
    framer.feed(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert framer.pending
    framer.next_event()
    assert not framer.pending


@pytest.mark.parametrize("early", [b" ", b"<", b"<presence/>", b"\x16\x03\x01"])
def test_bytes_behind_a_starttls_are_pending(early):
    framer = opened()
    framer.feed(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + early)
    framer.next_event()
    assert framer.pending
