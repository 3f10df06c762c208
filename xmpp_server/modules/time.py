"""The server's time, and its zone's distance from UTC.

XEP: 0202 (2.0) complete
"""

from __future__ import annotations

import time
from datetime import datetime

from xmpp_server.module import Module, iq_get
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element
from xmpp_server.routing.iq import Request, Target

_NS = "urn:xmpp:time"


class Time(Module):
    """Answers for the host."""

    name = "time"
    features = (_NS,)

    @iq_get(_NS, "time", Target.HOST)
    def time(self, request: Request) -> Element:
        """Both in the profiles of XEP-0082: the offset as ±hh:mm, the time in UTC."""
        now = int(time.time())
        offset = datetime.fromtimestamp(now).astimezone().isoformat()[-6:]
        return Element(_NS, "time").add(
            Element(_NS, "tzo", children=[offset]),
            Element(_NS, "utc", children=[format_time(now * 1_000_000)]),
        )
