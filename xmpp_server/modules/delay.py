"""Delays: whoever reads one that bears an address of ours can trust that we delayed the stanza.

What others forged is cut out where a message comes from a client and where a stanza comes in for an account; a session
does it to the presence that its client sends, before it is kept and shown to others.

XEP: 0203 (2.0) complete
"""

from __future__ import annotations

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.routing.delays import without_forged_delays
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Passage
from xmpp_server.routing.router import Router


class Delays(Module):
    """Cuts out forged `<delay/>` (§6)."""

    name = "delay"
    features = (ns.DELAY,)
    optional = False

    def __init__(self, router: Router) -> None:
        self._router = router

    @on("message_out", Stage.GUARD)
    @on("message_in", Stage.GUARD)
    def message(self, passage: Passage) -> None:
        """The sender may date its own message."""
        passage.stanza = without_forged_delays(passage.stanza, self._router)

    @on("presence_in", Stage.GUARD)
    def presence(self, passage: Passage) -> None:
        """The presence of our own users is dated by their host."""
        sender = passage.stanza.sender
        assert sender is not None
        if not self._router.is_ours(sender):
            passage.stanza = without_forged_delays(passage.stanza, self._router)
