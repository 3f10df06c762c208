"""Reading a framer's events in tests."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.framing import Event, Framer, Limits, StreamOpened

LIMITS = Limits(max_bytes=10_000, max_depth=10, max_attributes=10)
DECLARATION = b"<?xml version='1.0'?>"
PLAIN_HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" to='a.example' from='romeo@a.example' version='1.0'>"
)
HEADER = DECLARATION + PLAIN_HEADER


def header(declarations: str) -> bytes:
    """A header with these attributes and declarations besides that of the prefix `stream`."""
    return f"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' {declarations}>".encode()


def read(framer: Framer, data: bytes) -> list[Event]:
    """The events that the bytes complete."""
    framer.feed(data)
    events = []
    while (event := framer.next_event()) is not None:
        events.append(event)
    return events


def read_in_pieces(framer: Framer, data: bytes, size: int) -> list[Event]:
    """The events that the bytes complete, fed in pieces of `size` bytes."""
    return [event for i in range(0, len(data), size) for event in read(framer, data[i : i + size])]


def opened(header: bytes = HEADER, limits: Limits = LIMITS, xmlns: str = ns.CLIENT) -> Framer:
    """A framer behind this header."""
    framer = Framer(limits, xmlns)
    (event,) = read(framer, header)
    assert isinstance(event, StreamOpened)
    return framer


def stanza(data: bytes, header: bytes = HEADER) -> Stanza:
    """The one stanza that the bytes hold."""
    (event,) = read(opened(header), data)
    assert isinstance(event, Stanza)
    return event


def condition(data: bytes, header: bytes = HEADER, limits: Limits = LIMITS) -> str:
    """The condition of the error in which these bytes end a stream."""
    framer = opened(header, limits) if header else Framer(limits)
    with pytest.raises(StreamError) as raised:
        read(framer, data)
    return raised.value.condition
