"""Names in SASL messages, and which account they mean (RFC 6120 §6.3.7 and §6.3.8)."""

from __future__ import annotations

from xmpp_server.protocol.jid import JID, InvalidJID

from .steps import Failed


def localpart_of(username: str, host: str) -> str:
    """The user name as the localpart of an address at `host`; empty if it cannot be one."""
    try:
        return JID.of(username, host).localpart
    except InvalidJID:
        return ""


def refuse_authzid(authzid: str, localpart: str, host: str) -> Failed | None:
    """Nobody acts for somebody else: the authorization identity is absent or one's own bare JID (RFC 6120 §6.3.8)."""
    if not authzid:
        return None
    try:
        if localpart and JID.parse(authzid) == JID.of(localpart, host):
            return None
    except InvalidJID:
        pass
    return Failed("invalid-authzid", "You may only act for yourself.")
