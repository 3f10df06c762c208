"""The stream of a component outside (XEP-0114), from the server's side: header and handshake, without a socket.

It is driven like that of a client (`c2s.py`); there are no features, and nothing is negotiated. An answer is due after
`Opened` and after `Proven` or `NotProven`, and no further event comes before it.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import Enum
from hmac import compare_digest

from xmpp_server.protocol import ns
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza

from .events import Ended, Opened
from .framing import Framer, Limits, Malformed, StreamClosed, StreamOpened


class State(Enum):
    """Where a stream stands."""

    OPENING = "a stream header is due"
    ACCEPTING = "waits for accept or refuse"
    PROVING = "a handshake is due"
    ANSWERING = "waits for established or close"
    OPEN = "stanzas go both ways"
    CLOSED = "nothing goes any more"


class Proven:
    """The component knows the secret: `established`, or `close` if there is no place for it."""


class NotProven:
    """It does not: `close` after a while that grows with the failures."""


Event = Opened | Proven | NotProven | Stanza | Malformed | Ended


class ComponentStream:
    """One stream. `domain` answers one that is in error before it has named another."""

    __slots__ = ("_after", "_domain", "_framer", "_header_sent", "_id", "_out", "_secret", "state")

    def __init__(self, before: Limits, after: Limits, domain: str) -> None:
        self._framer = Framer(before, ns.COMPONENT)
        self._after = after
        self._domain = domain
        self._id = secrets.token_urlsafe(18)
        self._secret = ""
        self._header_sent = False
        self._out: list[bytes] = []
        self.state = State.OPENING

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the component."""
        self._framer.feed(data)

    def parts_to_send(self) -> list[bytes]:
        """What the stream itself has to send, once."""
        parts, self._out = self._out, []
        return parts

    def next_event(self) -> Event | None:
        """The next event, or None: more data or an answer is due. What is wrong with the bytes closes the stream with
        the error that RFC 6120 names, and is an `Ended`."""
        if self.state in (State.ACCEPTING, State.ANSWERING, State.CLOSED):
            return None
        try:
            event = self._framer.next_event()
            if event is None:
                return None
            if isinstance(event, StreamClosed):
                self.close()
                return Ended()
            if self.state is State.OPEN:
                if isinstance(event, Stanza | Malformed):
                    return event
                raise StreamError("unsupported-stanza-type")
            if isinstance(event, StreamOpened):
                return self._header(event)
            if isinstance(event, Stanza | Malformed) or (event.ns, event.name) != (ns.COMPONENT, "handshake"):
                raise StreamError("not-authorized", "a handshake comes first")
            return self._handshake(event.text)
        except StreamError as error:
            self.close(error)
            return Ended()

    def _header(self, header: StreamOpened) -> Event:
        if header.xmlns != ns.COMPONENT:
            raise StreamError("invalid-namespace", f"the content namespace of this stream is {ns.COMPONENT}")
        self.state = State.ACCEPTING
        return Opened(header.to)

    def accept(self, domain: str, secret: str) -> None:
        """Answer the header; the component of this domain is to prove that it knows the secret."""
        self._expect(State.ACCEPTING)
        self._domain = domain
        self._secret = secret
        self._send_header()
        self.state = State.PROVING

    def refuse(self, error: StreamError) -> None:
        """Answer the header, and close the stream with the error."""
        self._expect(State.ACCEPTING)
        self.close(error)

    def _handshake(self, digest: str) -> Event:
        self.state = State.ANSWERING
        wanted = hashlib.sha1(f"{self._id}{self._secret}".encode(), usedforsecurity=False).hexdigest()  # §3
        return Proven() if compare_digest(digest.encode(), wanted.encode()) else NotProven()

    def established(self) -> None:
        """Stanzas go from here on."""
        self._expect(State.ANSWERING)
        self._out.append(b"<handshake/>")
        self._framer.limits = self._after
        self.state = State.OPEN

    def close(self, error: StreamError | None = None) -> None:
        """Close our side of the stream, with an error if there is one; nothing is read from here on."""
        if self.state is State.CLOSED:
            return
        if error is not None:
            if not self._header_sent:
                self._send_header()
            self._out.append(error.element().to_bytes())
        if self._header_sent:
            self._out.append(b"</stream:stream>")
        self.state = State.CLOSED

    def _send_header(self) -> None:
        self._header_sent = True
        self._out.append(
            f"<?xml version='1.0'?><stream:stream xmlns='{ns.COMPONENT}' xmlns:stream='{ns.STREAMS}' "
            f"id='{self._id}' from='{self._domain}'>".encode()
        )

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise RuntimeError(f"this stream {self.state.value}")
