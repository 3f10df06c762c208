"""Stanza ids: whoever reads one that bears an address of ours can trust that it is from there.

What others forged is cut out where a message comes from a client and where it comes in for an account (§3 rule 2), with
`by` compared as an address. Ids that bear foreign addresses, and that of a room on what the room sends, stay (rule 3).
None is added here: an id must be stable and refer to something (rule 1), so it is for the feature that keeps the
message to add it, at the stage STAMP of `message_in`, after this.

XEP: 0359 (0.7.0) complete
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

_STANZA_ID: Final = qname(ns.STANZA_ID, "stanza-id")


class StanzaIds(Module):
    """Cuts out forged `<stanza-id/>`."""

    name = "sid"
    features = (ns.STANZA_ID,)
    account_features = (ns.STANZA_ID,)
    optional = False

    def __init__(self, router: Router) -> None:
        self._router = router

    @on("message_out", Stage.GUARD)
    def leaving(self, passage: Passage) -> None:
        """A client is none of the entities of ours that give ids, its own account included."""
        if _STANZA_ID in passage.stanza.keys:
            self._strip(passage, passage.stanza.sender)

    @on("message_in", Stage.GUARD)
    def entering(self, passage: Passage) -> None:
        """A room gives ids in its own name; nobody gives them in that of the account that gets the message."""
        if _STANZA_ID in passage.stanza.keys:
            sender = passage.stanza.sender
            assert sender is not None
            self._strip(passage, sender.bare)

    def _strip(self, passage: Passage, giver: JID | None) -> None:
        def forged(child: Child) -> bool:
            if child.key != _STANZA_ID:
                return False
            try:
                by = JID.parse(child.get("by"))
            except InvalidJID:
                return False
            return by != giver and self._router.is_ours(by)

        passage.stanza = passage.stanza.without(forged)
