"""Stream management (XEP-0198): what was received and handled, what was sent and not acknowledged, without a stream.

Stanzas are counted from 1 without end; what goes over the wire is taken modulo 2^32 (§4). A stanza that came is handled
once it took its effect, and h is the last one before the first that has not. What a restart would not find is not told
either: `saved` bounds h where the count is kept for a later `<failed h/>`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, attribute
from xmpp_server.protocol.errors import StreamError

NAMESPACES: Final = ("urn:xmpp:sm:3", "urn:xmpp:sm:2")
"""The versions that are spoken; what a client says is answered in its own."""
EVERY: Final = 10
"""Stanzas that somebody wants to know the acknowledgement of, after which it is asked for."""
ENTRY: Final = 150
"""Octets of memory that a stanza in the queue takes beside its bytes."""

_MASK: Final = 2**32 - 1
_HALF: Final = 2**31
_ASKS: Final = {uri: f"<r xmlns='{uri}'/>".encode() for uri in NAMESPACES}


class Effect(Protocol):
    """What a stanza brings about; `done` once it stands."""

    @property
    def done(self) -> bool: ...


Sent = tuple[bytes, object]
"""A stanza as it was sent, and what wants to know of its acknowledgement (None: nobody)."""


class Management:
    """The state of one session. `id` and `seconds` are those of a stream that can be resumed, empty and 0 if not.

    `sent` and `acknowledged` count the stanzas to the client, `received` those from it. `size` is what the queue takes
    of memory, in octets. `asked` says that a `<r/>` has no answer yet, `short` that the client's last `<r/>` was
    answered with less than was received.
    """

    __slots__ = (
        "_queue",
        "_unsettled",
        "acknowledged",
        "asked",
        "awaited",
        "busy",
        "id",
        "ns",
        "received",
        "repeated",
        "saved",
        "seconds",
        "sent",
        "short",
        "size",
        "told",
    )

    def __init__(self, ns: str, id: str = "", seconds: int = 0) -> None:
        self.ns = ns
        self.id = id
        self.seconds = seconds
        self.received = 0
        self.saved = 0
        self.told = 0
        """The h that was told last, as a count without end."""
        self.repeated = 0
        """Stanzas that were received before the stream was resumed, and will come once more."""
        self.busy = False
        """Whether the stanza that was received last is being handled."""
        self.short = False
        self.sent = 0
        self.acknowledged = 0
        self.size = 0
        self.asked = False
        self.awaited = 0
        """Stanzas with somebody who waits for their acknowledgement since it was asked for last."""
        self._unsettled: deque[tuple[int, Effect]] | None = None
        self._queue: deque[Sent] | None = None  # for an idle session there is none: it would take 700 octets

    # -- from the client

    def begin(self) -> bool:
        """A stanza came, and is to be handled; False: it was received before the stream was resumed, and is not."""
        if self.repeated:
            self.repeated -= 1
            return False
        self.received += 1
        self.busy = True
        return True

    def end(self, effect: Effect | None) -> None:
        """The stanza that came last is handled, but for this effect."""
        self.busy = False
        if effect is not None and not effect.done:
            if self._unsettled is None:
                self._unsettled = deque()
            self._unsettled.append((self.received, effect))

    def settle(self) -> None:
        """Look which effects stand by now."""
        unsettled = self._unsettled
        while unsettled and unsettled[0][1].done:
            unsettled.popleft()
        if not unsettled:
            self._unsettled = None

    @property
    def settled(self) -> bool:
        """Whether everything that was received took its effect."""
        return not self.busy and not self._unsettled

    @property
    def handled(self) -> int:
        """The last stanza before the first that did not take its effect, without end."""
        if self._unsettled:
            return self._unsettled[0][0] - 1
        return self.received - self.busy

    @property
    def h(self) -> int:
        """What the client may be told, without end: of what it has sent on this stream and is handled, and would be
        found by a restart, if the stream can be resumed."""
        h = min(self.handled, self.received - self.repeated)
        return min(h, self.saved) if self.id else h

    def answer(self) -> bytes:
        """`<a/>`, to be sent at once (§4)."""
        h = self.told = self.h
        self.short = h < self.received - self.repeated
        return f"<a xmlns='{self.ns}' h='{h & _MASK}'/>".encode()

    def repeat(self) -> int:
        """The stream is resumed: h for the client, which will send again what comes after it."""
        h = self.told = self.h
        self.repeated = self.received - h
        self.short = False
        return h & _MASK

    # -- to the client

    def push(self, data: bytes, claim: object = None) -> None:
        """The stanza is sent, or kept for when the stream is resumed."""
        if self._queue is None:
            self._queue = deque()
        self._queue.append((data, claim))
        self.sent += 1
        self.size += len(data) + ENTRY
        if claim is not None:
            self.awaited += 1

    def ask(self) -> bytes:
        """`<r/>`, to be sent now."""
        self.asked = True
        self.awaited = 0
        return _ASKS[self.ns]

    def acknowledge(self, h: int) -> Sequence[object]:
        """The client has all up to h: who wants to know it, in order. An h that goes back is ignored. Raises
        StreamError for one beyond what was sent (§6)."""
        queue = self._queue
        count = (h - self.acknowledged) & _MASK
        if count > (len(queue) if queue else 0):
            if self.goes_back(h):
                return ()
            raise too_high(h, self.sent & _MASK, self.ns)
        self.asked = False
        if not count or queue is None:
            return ()
        claims = []
        for _ in range(count):
            data, claim = queue.popleft()
            self.size -= len(data) + ENTRY
            if claim is not None:
                claims.append(claim)
        self.acknowledged += count
        if not queue:
            self._queue = None
        return claims

    def goes_back(self, h: int) -> bool:
        """Whether h is less than what was acknowledged before."""
        back = (self.acknowledged - h) & _MASK
        return 0 < back < _HALF and back <= self.acknowledged

    @property
    def queue(self) -> Iterable[Sent]:
        """What is not acknowledged, oldest first."""
        return self._queue or ()

    def drain(self) -> Iterable[Sent]:
        """What is not acknowledged, and will not be any more."""
        queue, self._queue = self._queue, None
        self.size = self.awaited = 0
        self.acknowledged = self.sent
        return queue or ()


# -- nonzas


def enabled(uri: str, id: str, seconds: int) -> bytes:
    """`<enabled/>` (§3)."""
    if not id:
        return f"<enabled xmlns='{uri}'/>".encode()
    return f"<enabled xmlns='{uri}' id='{attribute(id)}' resume='true' max='{seconds}'/>".encode()


def resumed(uri: str, id: str, h: int) -> bytes:
    """`<resumed/>` (§5)."""
    return f"<resumed xmlns='{uri}' h='{h}' previd='{attribute(id)}'/>".encode()


def failed(uri: str, condition: str, h: int | None = None) -> bytes:
    """`<failed/>` with this condition of a stanza error (§6), and how much of a former session was handled (§5)."""
    attributes = {} if h is None else {"h": str(h & _MASK)}
    return Element(uri, "failed", attributes, [Element(ns.STANZA_ERRORS, condition)]).to_bytes()


def too_high(h: int, sent: int, uri: str) -> StreamError:
    """The error of a client that acknowledges what it was not sent (§6)."""
    return StreamError(
        "undefined-condition",
        f"You acknowledged {h} stanzas, but I only sent you {sent} so far.",
        application=Element(uri, "handled-count-too-high", {"h": str(h), "send-count": str(sent)}),
    )


def count(text: str) -> int | None:
    """An xs:unsignedInt, or None if the text is none."""
    text = text.strip(" \t\r\n")
    if not text.isascii() or not text.isdecimal() or len(text.lstrip("0")) > 10:
        return None
    value = int(text)
    return value if value <= _MASK else None


def boolean(text: str) -> bool | None:
    """An xs:boolean, or None if the text is none."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip(" \t\r\n"))
