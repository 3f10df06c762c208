"""What a stream may be used for at most, told in its features, so that clients need not find out by losing it.

XEP: 0478 (0.2.0) complete
"""

from __future__ import annotations

from dataclasses import dataclass

from xmpp_server.module import Module, on
from xmpp_server.protocol.element import Element
from xmpp_server.routing.host import StreamFeatures

_NS = "urn:xmpp:stream-limits:0"


@dataclass(slots=True)
class Bounds:
    """`max_bytes` of one top-level element, and `idle_seconds` without traffic from the client after which we look
    whether it is still there, or end the stream."""

    max_bytes: int
    idle_seconds: int


@dataclass(slots=True)
class StreamBounds:
    """What holds before and after authentication; a change counts for the features that are sent from then on."""

    before: Bounds
    after: Bounds


class StreamLimits(Module):
    """Adds `<limits/>` (§3.1)."""

    name = "stream_limits"

    def __init__(self, bounds: StreamBounds) -> None:
        self._bounds = bounds

    @on("stream_features")
    def offer(self, features: StreamFeatures) -> None:
        """The limits of this stage of the stream (§4: they may change with authentication)."""
        bounds = self._bounds.after if features.authenticated else self._bounds.before
        features.elements.append(
            Element(_NS, "limits").add(
                Element(_NS, "max-bytes", children=[str(bounds.max_bytes)]),
                Element(_NS, "idle-seconds", children=[str(bounds.idle_seconds)]),
            )
        )
