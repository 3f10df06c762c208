"""The features that a client's stream is offered (RFC 6120 §4.3.2), with its limits.

XEP: 0478 (0.2.0) complete
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

from . import sasl

_LIMITS: Final = "urn:xmpp:stream-limits:0"


@lru_cache(64)
def features(
    more: tuple[Element, ...],
    *,
    bind: bool,
    starttls: bool,
    tls_required: bool,
    mechanisms: tuple[str, ...],
    bindings: tuple[str, ...],
    max_bytes: int,
) -> bytes:
    """`<stream:features/>` with these, and `more` after them; `max_bytes` is what the client may send in one piece
    (XEP-0478 §3).

    Written once and remembered: nearly all streams of a host are offered the same, up to three times while logging in.
    """
    offered = Element(ns.STREAMS, "features")
    if bind:
        offered.add(Element(ns.BIND, "bind"))
    if starttls:
        required = [Element(ns.TLS, "required")] if tls_required else []
        offered.add(Element(ns.TLS, "starttls", {}, required))
    if mechanisms:
        names = [Element(ns.SASL, "mechanism", {}, [name]) for name in mechanisms]
        offered.add(Element(ns.SASL, "mechanisms", {}, names))
    if bindings:
        offered.add(sasl.channel_binding_feature(bindings))
    maximum = Element(_LIMITS, "max-bytes", {}, [str(max_bytes)])
    return offered.add(*more, Element(_LIMITS, "limits", {}, [maximum])).to_bytes()
