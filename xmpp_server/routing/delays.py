"""Delays that bear an address of ours, and are not from there (XEP-0203 §6)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Child, Stanza, qname

from .router import Router

_DELAY: Final = qname(ns.DELAY, "delay")


def without_forged_delays(stanza: Stanza, router: Router) -> Stanza:
    """The stanza, whose sender is set, less every `<delay/>` whose `from` is an address of ours other than the sender's
    own: XEP-0198 §5 asks clients to date what they send again, and rooms date their history. Compared as addresses."""
    if _DELAY not in stanza.keys:
        return stanza
    sender = stanza.sender
    assert sender is not None

    def forged(child: Child) -> bool:
        if child.key != _DELAY:
            return False
        try:
            by = JID.parse(child.get("from"))
        except InvalidJID:
            return False
        return by.bare != sender.bare and router.is_ours(by)

    return stanza.without(forged)
