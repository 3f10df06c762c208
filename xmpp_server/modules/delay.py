"""Delays: whoever reads one that bears an address of ours can trust that we delayed the stanza.

Cut out where a stanza comes from a client and where it comes in for an account, with `from` compared as an address.
That of the sender itself stays: XEP-0198 §5 asks clients to date what they send again, and rooms date their history.

XEP: 0203 (2.0) complete
"""

from __future__ import annotations

from typing import Final

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Child, qname
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Passage
from xmpp_server.routing.router import Router

_DELAY: Final = qname(ns.DELAY, "delay")


class Delays(Module):
    """Cuts out forged `<delay/>` (§6)."""

    name = "delay"
    features = (ns.DELAY,)
    optional = False

    def __init__(self, router: Router) -> None:
        self._router = router

    @on("message_out", Stage.GUARD)
    @on("message_in", Stage.GUARD)
    @on("presence_out", Stage.GUARD)
    @on("presence_in", Stage.GUARD)
    def strip(self, passage: Passage) -> None:
        """Take away every delay whose `from` is an address of ours, other than the sender's."""
        if _DELAY not in passage.stanza.keys:
            return
        sender = passage.stanza.sender
        assert sender is not None

        def forged(child: Child) -> bool:
            if child.key != _DELAY:
                return False
            try:
                by = JID.parse(child.get("from"))
            except InvalidJID:
                return False
            return by.bare != sender.bare and self._router.is_ours(by)

        passage.stanza = passage.stanza.without(forged)
