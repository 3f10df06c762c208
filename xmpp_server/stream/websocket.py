"""Framing over WebSocket (RFC 7395): each message is one element, which stands for itself; sans-IO.

What reads an element is the same hardened scanner that reads a TCP stream's, with the same limits. `Framer` of
`framing.py` has the same methods, but takes bytes as they come.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from ..protocol import ns
from ..protocol.element import Element
from ..protocol.errors import StreamError
from .frames import Event, Limits, StreamClosed, StreamOpened
from .header import WHITE, Context
from .scanner import borrow, give_back

_CONTEXT: Final = Context("w", "", ns.CLIENT, ())  # nothing is declared outside of a message
_NAME_END: Final = re.compile(rb"[ />]")
_STANZAS: Final = (b"<message", b"<presence", b"<iq")
_CLIENT: Final = f" xmlns='{ns.CLIENT}'".encode()
_STREAM: Final = f" xmlns:stream='{ns.STREAMS}'".encode()


def alone(data: bytes) -> bytes:
    """An element that we wrote for a stream of RFC 6120, as it stands where nothing is declared (RFC 7395 §3.3.3)."""
    if data.startswith(_STANZAS):
        name = _name_end(data)
        return data if data.startswith(b" xmlns=", name) else data[:name] + _CLIENT + data[name:]
    if data.startswith(b"<stream:"):
        name = _name_end(data)
        return data[:name] + _STREAM + data[name:]
    return data


def _name_end(data: bytes) -> int:
    end = _NAME_END.search(data)
    assert end is not None
    return end.start()


class WebSocketFramer:
    """Turns one peer's messages into events."""

    __slots__ = ("_closed", "_lang", "_messages", "_opened", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._messages: deque[bytes] = deque()
        self._opened = False
        self._closed = False
        self._lang = ""

    @property
    def pending(self) -> bool:
        """Whether messages beyond the last event returned were received."""
        return bool(self._messages)

    def feed(self, message: bytes) -> None:
        """Take a message that was received, whole; after the end of the stream it is ignored."""
        if not self._closed:
            self._messages.append(message)

    def next_event(self) -> Event | None:
        """The next event, or None if there is no message. Raises StreamError where one is in error; then the framer is
        at its end."""
        if not self._messages:
            return None
        try:
            event = self._read(self._messages.popleft())
        except StreamError:
            self._stop()
            raise
        if isinstance(event, StreamClosed):
            self._stop()
        return event

    def restart(self) -> None:
        """The next message is `<open/>` again (RFC 7395 §3.7)."""
        self._opened = self._closed = False
        self._lang = ""

    def _stop(self) -> None:
        self._closed = True
        self._messages.clear()

    def _read(self, message: bytes) -> Event:
        if len(message) > self.limits.max_bytes:
            raise StreamError("policy-violation", "message too big")
        if not message.startswith(b"<"):  # §3.3.3, and no white space to keep the connection alive
            raise StreamError("bad-format", "a message begins with <")
        if message.startswith(b"<?"):  # neither does an XML declaration stand for anything here
            raise StreamError("restricted-xml")
        event = element(message.rstrip(WHITE), self.limits, self._lang)
        if isinstance(event, Element) and event.ns == ns.FRAMING:
            if event.name == "close":
                return StreamClosed()
            if event.name == "open" and not self._opened:
                return self._open(event)
        if not self._opened:
            wrong = not isinstance(event, Element) or event.ns != ns.FRAMING
            raise StreamError("invalid-namespace" if wrong else "bad-format", "the first message is <open/>")
        return event

    def _open(self, header: Element) -> StreamOpened:
        self._opened = True
        self._lang = header.get("xml:lang")
        get = header.get
        return StreamOpened(get("to"), get("from"), get("version"), self._lang, get("id"), ns.CLIENT, {})


def element(data: bytes, limits: Limits, lang: str) -> Event:
    """The one element that `data` holds. Raises StreamError."""
    if not data.endswith(b">"):
        raise StreamError("not-well-formed")
    scanner = borrow(_CONTEXT)
    scanner.scan(data, limits, lang)
    events, error = scanner.events, scanner.error
    if error is None and not scanner.closed and not scanner.busy and len(events) == 1:
        give_back(scanner)
        return events[0]
    scanner.close()
    if error is not None:
        raise error
    if scanner.closed or scanner.busy:  # an end tag without a start tag, or the other way round
        raise StreamError("not-well-formed")
    raise StreamError("bad-format", "a message holds one element")


class WebSocketWords:
    """What stands for the tags of a stream (RFC 7395 §3.4, §3.6); `stream/c2s.py` has those of RFC 6120."""

    @staticmethod
    def header(domain: str, id: str) -> bytes:
        """Our `<open/>`."""
        return f"<open xmlns='{ns.FRAMING}' id='{id}' from='{domain}' version='1.0' xml:lang='en'/>".encode()

    end: Final = f"<close xmlns='{ns.FRAMING}'/>".encode()
