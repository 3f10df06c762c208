"""Framing over BOSH (XEP-0124 §6, XEP-0206): from the `<body/>` of a request to events; sans-IO.

What reads elements is the same hardened scanner that reads a TCP stream's, with the same limits.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..protocol import ns
from ..protocol.element import Element
from ..protocol.errors import StreamError
from .bosh import Request, Terminated
from .frames import Event, Limits, StreamClosed, StreamOpened
from .header import WHITE, Start, check_start, read_start
from .rewrite import canonical
from .scanner import Scanner
from .websocket import element

_STANZAS: Final = ("message", "presence", "iq")
_PREFIXES: Final = {ns.XBOSH: "xmpp:", ns.XML: "xml:"}


def read_body(data: bytes, limits: Limits) -> Request:
    """The request that an HTTP request's body holds; what is in it is looked at by `BoshFramer` only. Raises Terminated
    where it is none, or where anything comes after it (XEP-0124 §6)."""
    data = data.strip(WHITE)
    start, attrs = _read_start(data, limits)
    content = data[start.end :]
    if not start.empty:
        content, tag, name = content.rpartition(b"</")
        if not tag or not name.endswith(b">") or name[:-1].rstrip(WHITE) != start.name.encode():
            raise Terminated("bad-request")
        content = content.rstrip(WHITE)
    elif content:
        raise Terminated("bad-request")
    request = Request(attrs, not content, content, start.context(ns.CLIENT))
    # What is in these counts for nothing, but they may not hold another body.
    if content and (not request.sid or request.restarts) and _elements(request, limits, "")[1] is not None:
        raise Terminated("bad-request")
    return request


def read_sid(data: bytes, limits: Limits) -> str:
    """Of which session a request is that begins so; empty: of none, or none can be told yet."""
    try:
        return _read_start(data.lstrip(WHITE), limits)[1].get("sid", "")
    except Terminated:
        return ""


def _read_start(data: bytes, limits: Limits) -> tuple[Start, dict[str, str]]:
    """The start tag of a request's `<body/>`, and its attributes. Raises Terminated."""
    try:
        if not data:
            raise Terminated("bad-request")
        check_start(data)
        start = read_start(data, limits)
    except StreamError:
        raise Terminated("bad-request") from None
    if start is None or (start.uri, start.local) != (ns.BOSH, "body"):
        raise Terminated("bad-request")
    attrs = {}
    for key, value in start.attrs.items():
        uri, _, name = key.rpartition("\n")
        attrs[_PREFIXES.get(uri, f"{{{uri}}}") + name if uri else name] = value
    return start, attrs


def _elements(request: Request, limits: Limits, lang: str) -> tuple[list[Event], StreamError | None]:
    """What is in a request, and what is wrong after it. Its own end tag was cut off, so there is no other."""
    assert request.context is not None
    scanner = Scanner(request.context)
    scanner.scan(request.content, limits, lang)
    scanner.close()
    if scanner.error is None and (scanner.closed or scanner.busy):
        scanner.error = StreamError("not-well-formed")
    return [event for event in scanner.events if not isinstance(event, StreamClosed)], scanner.error


class BoshFramer:
    """Turns the requests of one session, in their order, into events; has the methods of `Framer` otherwise."""

    __slots__ = ("_closed", "_error", "_events", "_lang", "_opened", "_requests", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._requests: deque[Request] = deque()
        self._events: deque[Event] = deque()
        self._error: StreamError | None = None
        self._opened = False
        self._closed = False
        self._lang = ""

    @property
    def pending(self) -> bool:
        """Whether something beyond the last event returned was received."""
        return bool(self._events or self._requests or self._error is not None)

    def take(self, request: Request) -> None:
        """Take the next request; after the end of the stream it is ignored."""
        if not self._closed:
            self._requests.append(request)

    def feed(self, data: bytes) -> None:
        """There are no bytes outside of requests."""
        raise NotImplementedError

    def next_event(self) -> Event | None:
        """The next event, or None if there is no request. Raises StreamError where one is in error, after the events
        before it; then the framer is at its end."""
        while not self._events and self._error is None and self._requests:
            try:
                self._read(self._requests.popleft())
            except StreamError as error:
                self._error = error
        if self._events:
            event = self._events.popleft()
            if isinstance(event, StreamClosed):
                self._stop()
            return event
        if self._error is not None:
            raised, self._error = self._error, None
            self._stop()
            raise raised
        return None

    def restart(self) -> None:
        """The next request restarts the stream (XEP-0206 §5)."""
        self._opened = self._closed = False
        self._lang = ""

    def _stop(self) -> None:
        self._closed = True
        self._requests.clear()
        self._events.clear()

    def _read(self, request: Request) -> None:
        creates = "sid" not in request.attrs
        if creates or request.restarts:
            if self._opened:
                raise StreamError("policy-violation", "there is nothing to restart")
            self._open(request)  # §5: what else is in it is ignored
        elif not self._opened and not request.empty:
            raise StreamError("not-authorized", "the stream is to be restarted first")
        elif not request.empty:
            self._scan(request)
        if request.terminates:
            self._events.append(StreamClosed())

    def _open(self, request: Request) -> None:
        get = request.attrs.get
        self._opened = True
        self._lang = get("xml:lang", "")
        # The version of XMPP is told once at most, and there has been one only.
        version = get("xmpp:version", "1.0")
        self._events.append(StreamOpened(get("to", ""), get("from", ""), version, self._lang, "", ns.CLIENT, {}))

    def _scan(self, request: Request) -> None:
        events, error = _elements(request, self.limits, self._lang)
        self._events += [self._stanza(event) for event in events]
        if error is not None:
            raise error

    def _stanza(self, event: Event) -> Event:
        """XEP-0206 §2: many leave out the namespace of stanzas, and mean `jabber:client`."""
        if not isinstance(event, Element) or event.ns != ns.BOSH or event.name not in _STANZAS:
            return event
        event.ns = ns.CLIENT
        canonical(event, frozenset((ns.CLIENT, ns.BOSH)))
        return element(event.to_bytes(""), self.limits, self._lang)
