"""The list of channel bindings among the stream features, so that a client need not guess.

XEP: 0440 (1.0.0) complete
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from xmpp_server.protocol.element import Element

NS: Final = "urn:xmpp:sasl-cb:0"


def channel_binding_feature(bindings: Collection[str]) -> Element:
    """`<sasl-channel-binding/>` next to the mechanisms; for at least one binding (XEP-0440 §2)."""
    types = [Element(NS, "channel-binding", {"type": kind}) for kind in bindings]
    return Element(NS, "sasl-channel-binding", {}, types)
