"""Framing: the bytes of an XML stream (RFC 6120 §4) to events, sans-IO and hardened.

What a stanza holds is forwarded as it came only if a strict parser has accepted it whole and it is in plain form
(`protocol/stanza.py`); all else is written anew. Nothing that RFC 6120 §11.1 restricts passes, limits hold from the
first byte, and no order or size of chunks costs more than in proportion to the bytes.
"""

from __future__ import annotations

import re
from typing import Final

from ..protocol import ns
from ..protocol.element import Element
from ..protocol.errors import StreamError
from .frames import Event, Limits, Malformed, StreamClosed, StreamOpened
from .header import WHITE, Context, check_start, read_header
from .scanner import Scanner, borrow, give_back

__all__ = ["Event", "Framer", "Limits", "Malformed", "StreamClosed", "StreamOpened"]

_TRIES: Final = 64  # how often a header may be read again, as a whole, because of a `>` in its values


# Acknowledgements (XEP-0198 §4) mostly come alone, and expat would need as long as for a message.
_ACK: Final = re.compile(
    rb"""<(?P<name>[ra]) xmlns=(?P<q>['"])(?P<uri>urn:xmpp:sm:[23])(?P=q)(?: h=(?P<p>['"])(?P<h>\d{1,10})(?P=p))? ?/>"""
)

_LONGEST_ACK: Final = 64


class Framer:
    """Cuts one peer's bytes into events.

    `xmlns` is the content namespace of this kind of stream, for headers that name none. An idle framer holds no parser
    and, between two stanzas, no bytes.
    """

    __slots__ = (
        "_closed", "_context", "_data", "_ends", "_error", "_events", "_lang", "_limits", "_position", "_ready",
        "_scanner", "_tries", "_unfed", "_xmlns",
    )  # fmt: skip

    def __init__(self, limits: Limits, xmlns: str = ns.CLIENT) -> None:
        self._limits = limits
        self._xmlns = xmlns
        self._context: Context | None = None
        self._lang = ""
        self._closed = False
        self._unfed: bytes | bytearray = b""  # not read yet, because no tag ends there
        self._ready = False  # a tag may end in what was not read
        self._tries = 0  # bytes of a header that were read more than once
        self._scanner: Scanner | None = None  # while an element is not complete
        self._error: StreamError | None = None
        # What was read ahead of the last event returned: events in reverse, where they end in the bytes
        self._events: list[Event] = []
        self._ends: list[int] = []
        self._data = b""
        self._position = 0

    @property
    def limits(self) -> Limits:
        """The limits; new ones hold for all that follows the last event returned."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        if not self._closed and (self._events or self._error is not None):
            self._rewind()

    @property
    def pending(self) -> bool:
        """Whether bytes beyond the last event returned were received; white space counts until `next_event` has
        found that nothing follows."""
        return bool(self._unfed or self._events or self._error is not None or self._scanner is not None)

    def feed(self, data: bytes) -> None:
        """Take bytes that were received; after the end of the stream they are ignored."""
        if self._closed:
            return
        if not self._unfed:
            self._unfed = data
        elif isinstance(self._unfed, bytearray):
            self._unfed += data
        else:
            self._unfed = bytearray(self._unfed)
            self._unfed += data
        if 62 in data:
            self._ready = True

    def next_event(self) -> Event | None:
        """The next event, or None if it is not complete.

        Raises StreamError where the stream is in error, after the events before it; then the framer is at its end.
        """
        if self._events:
            return self._take()
        if self._unfed and self._error is None:
            context = self._context
            event = self._read(context) if context is not None else self._read_header()
            if event is not None:
                return event
        if self._error is not None:
            self._stop()
            raise self._error
        return None

    def restart(self) -> None:
        """Begin a new XML document with what follows the last event returned (RFC 6120 §5.4.3.3, §6.4.6)."""
        self._rewind()
        self._context = None
        self._lang = ""
        self._closed = False
        self._tries = 0

    def _take(self) -> Event:
        event = self._events.pop()
        self._position = self._ends.pop()
        if isinstance(event, StreamClosed):
            self._stop()
        elif not self._events and self._error is None:
            self._data = b""
        return event

    def _stop(self) -> None:
        self._closed = True
        self._unfed = self._data = b""
        self._drop_scanner()

    def _rewind(self) -> None:
        if self._events or self._error is not None:
            self._unfed = self._data[self._position :] + self._unfed
        elif self._scanner is not None:
            self._unfed = self._scanner.rest + self._unfed
        self._drop_scanner()
        self._events = []
        self._ends = []
        self._data = b""
        self._error = None
        self._ready = bool(self._unfed)

    def _drop_scanner(self) -> None:
        if self._scanner is not None:
            self._scanner.close()
            self._scanner = None

    def _read_header(self) -> Event | None:
        # White space before a header belongs to what was before the restart: COMPAT: to a <response/> with a line feed.
        data = self._unfed = bytes(self._unfed).lstrip(WHITE)
        if not data:
            return None
        try:
            check_start(data)
            found = read_header(data, self._limits, self._xmlns) if self._ready else None
            if found is None:
                self._tries += len(data) if self._ready else 0
                self._ready = False
                if len(data) > self._limits.max_bytes or self._tries > _TRIES * self._limits.max_bytes:
                    raise StreamError("policy-violation", "stream header too big")
                return None
        except StreamError as error:
            self._error = error
            return None
        opened, self._context, end, empty = found
        self._lang = opened.lang
        self._unfed = data[end:]
        self._ready = bool(self._unfed)
        if empty:
            self._events, self._ends, self._position = [StreamClosed()], [0], 0
        return opened

    def _read(self, context: Context) -> Event | None:
        data = self._unfed
        scanner = self._scanner
        if scanner is None and data[0] != 60:
            data = self._unfed = data.lstrip(WHITE)  # keepalives, RFC 6120 §4.6.1
            if not data:
                return None
            if data[0] != 60:
                self._error = StreamError("bad-format", "text between stanzas")
                return None
        if scanner is None and len(data) < _LONGEST_ACK:
            ack = _ACK.fullmatch(data)
            if ack is not None:
                return self._ack(ack)
        # Nothing is complete without a `>`, so expat does not have to look at it.
        event = None
        if data[-1] == 62:
            self._unfed = b""
            event = self._scan(scanner or borrow(context), data)
        elif self._ready:
            end = data.rfind(b">") + 1
            self._unfed = bytes(data[end:])
            if end:
                event = self._scan(scanner or borrow(context), data[:end])
        self._ready = False
        if self._unfed and self._error is None:
            size = len(self._unfed) + (self._scanner.size if self._scanner is not None else 0)
            if size > self._limits.max_bytes and self._unfed.strip(WHITE):
                self._error = StreamError("policy-violation", "stanza too big")
        return event

    def _ack(self, ack: re.Match[bytes]) -> Element:
        self._unfed = b""
        self._ready = False
        name, uri, h = ack.group("name", "uri", "h")
        return Element(uri.decode(), name.decode(), {} if h is None else {"h": h.decode()})

    def _scan(self, scanner: Scanner, piece: bytes | bytearray) -> Event | None:
        data = scanner.scan(bytes(piece), self._limits, self._lang)
        if scanner.busy:
            self._scanner = scanner
        else:
            self._scanner = None
            give_back(scanner)
        events = scanner.events
        error = self._error = scanner.error
        if len(events) == 1 and error is None:
            if scanner.closed:
                self._stop()
            return events[0]
        if not events:
            return None
        events.reverse()
        scanner.ends.reverse()
        self._events, self._ends, self._data = events, scanner.ends, data
        return self._take()
