"""Long answers, given as fast as a client takes them.

They are not given in the turn of the request: what the client sends next waits for that, and, where it is much, is not
even read, while with stream management it is the client's acknowledgements that say how fast it is. The answers of one
session follow one another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.errors import StorageError
from xmpp_server.util.tasks import keep

from .account import Session
from .iq import ANSWERED, Answer, Request

_MOST: Final = 20
"""Answers that one session may wait for."""

Parts = AsyncIterator[Sequence[bytes]]
"""What goes before the answer itself: stanzas as bytes, so many at a time as may be written at once."""


class PacedAnswers:
    """The answers that are being given, by session."""

    def __init__(self) -> None:
        self._waiting: dict[Session, deque[tuple[Stanza, Parts, Element]]] = {}

    def give(self, session: Session, request: Request, parts: Parts, answer: Element) -> Answer:
        """Answer the request of this session in a while. Raises StanzaError resource-constraint if too many wait."""
        waiting = self._waiting.get(session)
        if waiting is not None and len(waiting) >= _MOST:
            raise StanzaError("resource-constraint", "Too many of your requests wait for their answers.")
        one = (request.stanza, parts, answer)
        if waiting is not None:
            waiting.append(one)
        else:
            self._waiting[session] = waiting = deque((one,))
            keep(self._give(session, waiting), "long answers")
        return ANSWERED

    async def _give(self, session: Session, waiting: deque[tuple[Stanza, Parts, Element]]) -> None:
        try:
            while waiting:
                request, parts, answer = waiting[0]
                try:
                    whole = await _sent(session, parts)
                except StorageError:
                    whole = False
                session.deliver(request.result(answer) if whole else request.error(StanzaError("resource-constraint")))
                waiting.popleft()
        finally:
            del self._waiting[session]


async def _sent(session: Session, parts: Parts) -> bool:
    """False: the client went away in the middle of it; if it comes back it is to ask again."""
    if session.hibernates:
        return False
    async for stanzas in parts:
        for data in stanzas:
            if not session.deliver_bytes(data):
                return False
        if not await session.drained():
            return False
    return True
