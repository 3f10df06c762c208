"""Messages that clients send again, because they did not learn that the server has them (XEP-0198 §5, XEP-0359 §2).

A message is recognised by its origin-id together with its sender's account, its receiver's account and its content,
less a `<delay/>`: never by an id alone, for simple clients count from 1. What is remembered is a number of messages of
clients with stream management, no matter whose, in memory; `docs/ledger.md` says what that means.
"""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.stanza import Stanza, qname

from .effects import Origin
from .host import Passage

ORIGIN_ID: Final = qname(ns.STANZA_ID, "origin-id")
_DELAY: Final = qname(ns.DELAY, "delay")
_REMEMBERED: Final = 16_384
_LONGEST: Final = 128  # characters of an id


class Resends:
    """The messages that were sent last, by origin-id."""

    def __init__(self) -> None:
        self._known: dict[str, Origin] = {}

    def note(self, passage: Passage, id: str) -> Origin | None:
        """Note a message that leaves a session of ours; the former one, if it is one that was sent before."""
        session = passage.session
        if session is None or not 0 < len(id) <= _LONGEST:
            return None
        digest = _digest(passage.stanza)
        known = self._known.get(id)
        if known is not None and known.digest == digest and (known.is_new or known.taken):
            return known
        if session.is_managed:  # the others do not know what is to be sent again
            self._known.pop(id, None)
            self._known[id] = passage.origin = Origin(digest)
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return None


def _digest(message: Stanza) -> int:
    sender, to = message.sender, message.to
    assert sender is not None
    assert to is not None
    if _DELAY in message.keys:
        message = message.without(lambda child: child.key == _DELAY)
    return hash((sender.bare, to.bare, message.type, message.payload))
