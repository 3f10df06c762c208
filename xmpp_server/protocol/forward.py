"""Forwarded stanzas, and the carbons that wrap them.

XEP: 0297 (1.0) complete
"""

from __future__ import annotations

from typing import Final, Literal

from . import ns
from .jid import JID
from .stanza import Child, Stanza, qname

_OPEN: Final = f"<forwarded xmlns='{ns.FORWARD}'>".encode()
_CLOSE: Final = b"</forwarded>"


def forwarded(stanza: Stanza, delay: bytes = b"") -> bytes:
    """The `<forwarded/>` around the stanza, which names its namespace (§4: it would inherit this one). `delay` is the
    `<delay/>` that tells when it was first received, as bytes."""
    return b"".join((_OPEN, delay, stanza.to_bytes(ns.CLIENT), _CLOSE))


def carbon(direction: Literal["sent", "received"], account: JID, message: Stanza) -> Stanza:
    """The copy of a message for a further resource of the account, which is to be its `to` (XEP-0280 §7 and §8)."""
    payload = b"".join((f"<{direction} xmlns='{ns.CARBONS}'>".encode(), forwarded(message), f"</{direction}>".encode()))
    child = Child(qname(ns.CARBONS, direction), [], 0, len(payload))
    return Stanza("message", account, None, message.type, "", "", None, (child,), payload)
