"""Which addresses a blocklist covers: XEP-0191 §5 as one pure function."""

from __future__ import annotations

from collections.abc import Set

from xmpp_server.protocol.jid import JID


def blocks(blocked: Set[JID], owner: JID, jid: JID) -> bool:
    """Whether the list of the account `owner` covers the address.

    An entry covers the address itself, an account's any resource, and a domain's any account and resource. The owner's
    resources and his host are never covered, so that nobody locks himself out.
    """
    if not blocked or not (jid in blocked or jid.bare in blocked or JID.parse(jid.domain) in blocked):
        return False
    return jid.bare != owner and (jid.domain != owner.domain or bool(jid.localpart or jid.resource))
