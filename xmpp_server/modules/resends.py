"""Recognises messages that a client sends again: they are handled, and neither kept nor delivered twice.

XEP-0198 §5 has clients send again what was not acknowledged, and an acknowledgement may be lost with its connection.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from xmpp_server.module import Module, on
from xmpp_server.routing.effects import Origin
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import Passage
from xmpp_server.routing.resends import ORIGIN_ID, Resends


class SentAgain(Module):
    """Stops what was sent before."""

    name = "resends"
    optional = False

    def __init__(self, resends: Resends) -> None:
        self._resends = resends

    @on("message_out", Stage.GUARD, after="sid")
    def leaving(self, passage: Passage) -> Coroutine[Any, Any, Verdict] | None:
        """Before anything is kept of it."""
        if ORIGIN_ID not in passage.stanza.keys:
            return None
        known = self._resends.note(passage, passage.stanza.attribute(ORIGIN_ID, "id"))
        return None if known is None else self._again(passage, known)

    async def _again(self, passage: Passage, known: Origin) -> Verdict:
        await known.handled()
        if not known.taken:
            return await self._once_more(passage)
        passage.effect = known
        return DROPPED

    async def _once_more(self, passage: Passage) -> Verdict:
        again = self._resends.note(passage, passage.stanza.attribute(ORIGIN_ID, "id"))
        return None if again is None else await self._again(passage, again)
