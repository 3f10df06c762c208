"""Answers to pings.

A ping to another user's bare address is answered like any request that nobody handles, and so tells nothing of whether
the account exists or is online (§6).

XEP: 0199 (2.0.1) complete
"""

from __future__ import annotations

from xmpp_server.module import Module, iq_get
from xmpp_server.routing.iq import Request, Target

_NS = "urn:xmpp:ping"


class Ping(Module):
    """Pongs for the host and for the user's own account (§4.2)."""

    name = "ping"
    features = (_NS,)
    account_features = (_NS,)

    @iq_get(_NS, "ping", Target.HOST, Target.OWN)
    def ping(self, request: Request) -> None:
        """An empty result."""
