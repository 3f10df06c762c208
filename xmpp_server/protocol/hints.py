"""Hints on how to handle a message.

Advice of the sender, which nobody may rely on (§5). What an error carries belongs to the stanza that it answers, and
does not count. The specification defines no feature for disco.

XEP: 0334 (1.0.0) complete
"""

from __future__ import annotations

from typing import Final

from . import ns
from .stanza import Stanza, qname

NO_STORE: Final = qname(ns.HINTS, "no-store")
"""§4.2: keep it neither in an archive nor for later delivery."""
NO_PERMANENT_STORE: Final = qname(ns.HINTS, "no-permanent-store")
"""§4.1: keep it for later delivery, but not in an archive."""
NO_COPY: Final = qname(ns.HINTS, "no-copy")
"""§4.3: copy it to nobody but whom it is addressed to."""
STORE: Final = qname(ns.HINTS, "store")
"""§4.4: keep it even if it is of a kind that is not kept."""


def hinted(message: Stanza, *hints: str) -> bool:
    """Whether the message carries one of these hints (the constants above)."""
    if message.type == "error":
        return False
    return any(key in hints for key in message.keys)
