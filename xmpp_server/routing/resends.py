"""Messages that clients send again, because they did not learn that the server has them (XEP-0198 §5, XEP-0359 §2).

A message is recognised by its origin-id together with its sender's account, its receiver's account and its content,
less a `<delay/>`: never by an id alone, for simple clients count from 1. What is remembered is a number of messages of
clients with stream management, no matter whose, in memory; `docs/ledger.md` says what that means.
"""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname

from .effects import Origin
from .host import Passage

ORIGIN_ID: Final = qname(ns.STANZA_ID, "origin-id")
_DELAY: Final = qname(ns.DELAY, "delay")
_ADDED: Final = ((ns.DELAY, "delay"), (ns.STANZA_ID, "stanza-id"))
_MOST_ADDED: Final = 5000
"""Octets of what is added on the way, and of an address that is written in another form."""
_REMEMBERED: Final = 16_384
"""At least; at most twice as many."""
_LONGEST: Final = 128  # characters of an id
_CONVERSATIONS: Final = 200
"""Accounts that a session has said something new to."""


class Resends:
    """The messages that were sent last, by origin-id: in two halves, of which the older one goes as a whole, for taking
    the oldest one out of a dict costs the more the more were taken before."""

    def __init__(self) -> None:
        self._known: dict[str, Origin] = {}
        self._older: dict[str, Origin] = {}

    def note(self, passage: Passage, id: str) -> Origin | None:
        """Note a message that leaves a session of ours; the former one, if it is one that was sent before."""
        session = passage.session
        if session is None or not 0 < len(id) <= _LONGEST:
            return None
        digest = _digest(passage.stanza)
        known = self._known.get(id) or self._older.get(id)
        if known is not None and known.digest == digest and (known.is_new or known.taken):
            return known
        if session.is_managed:  # the others do not know what is to be sent again
            self._known[id] = passage.origin = Origin(digest)
            if len(self._known) > _REMEMBERED:
                self._older, self._known = self._known, {}
        return None


class Beginnings:
    """What a session says first to each account: it may be what its client said in a session that is gone, and does not
    know to be kept, until something is new. The others cost nobody a look into an archive.
    """

    __slots__ = ("_over",)

    def __init__(self) -> None:
        self._over: frozenset[JID] | None = frozenset()

    def is_open(self, to: JID) -> bool:
        """Whether what is said to the bare address now may have been said before."""
        return self._over is not None and to not in self._over

    def close(self, to: JID) -> None:
        """It was new, and so is what follows; after many conversations, all is."""
        if self._over is not None:
            self._over = self._over | {to} if len(self._over) < _CONVERSATIONS else None


def content(message: Stanza) -> bytes:
    """What a message has in common with itself when it is sent again: all in it but a `<delay/>`."""
    if _DELAY in message.keys:
        message = message.without(lambda child: child.key == _DELAY)
    return message.payload


def sent_again(message: Stanza) -> bool:
    """Whether it says of itself that it was sent before: with the `<delay/>` that XEP-0198 §5 asks for."""
    return _DELAY in message.keys and ORIGIN_ID in message.keys and bool(message.id)


def is_same(kept: bytes, message: Stanza) -> bool:
    """Whether a message that was kept is this one, less what is added on the way."""
    data = message.to_bytes(ns.CLIENT)
    if abs(len(kept) - len(data)) > _MOST_ADDED:  # what is small must not cost the reading of what is large
        return False
    original = parse(kept)
    return original.get("type") == message.type and _children(original) == _children(parse(data))


def _children(message: Element) -> list[bytes]:
    return [child.to_bytes() for child in message if (child.ns, child.name) not in _ADDED]


def _digest(message: Stanza) -> int:
    sender, to = message.sender, message.to
    assert sender is not None
    assert to is not None
    return hash((sender.bare, to.bare, message.type, content(message)))
