"""Which addresses a blocklist covers: XEP-0191 §5 as one pure function."""

from __future__ import annotations

from collections.abc import Set

from xmpp_server.protocol.jid import JID


def blocks(blocked: Set[JID], jid: JID) -> bool:
    """Whether an entry covers the address: the address itself, its account (any resource matches), or its domain (the
    domain itself, any account and any resource of it match)."""
    if not blocked:
        return False
    return jid in blocked or jid.bare in blocked or JID.parse(jid.domain) in blocked
