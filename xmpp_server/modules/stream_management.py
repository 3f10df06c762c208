"""Acknowledgements on a client's stream, and sessions that outlive a connection.

Both sides count; the server says that it has handled a stanza once that took its effect and a restart would know of it.
A session whose connection breaks stays: others see it as available, and what comes for it is kept until its client is
back or the time is over. Then what it did not acknowledge is delivered as to one who is away. No `location` is given:
there is one place to come back to.

The module says how far this goes; what it does is part of stream and session.

XEP: 0198 (1.6.3) complete
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol.element import Element
from xmpp_server.routing.host import Host, StreamFeatures, StreamManagement

_NAMESPACES = ("urn:xmpp:sm:3", "urn:xmpp:sm:2")


class StreamManagementOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long, and how much."""

    resume_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 600
    """For how long a session waits for its client after a connection broke; 0: it ends with it. A client may ask for
    less."""
    queue_bytes: Annotated[int, msgspec.Meta(ge=524_288)] = 1_048_576
    """Memory for what comes for a client while it is away; with more, its session ends. A client that is connected may
    leave three times as much unacknowledged. At most a quarter of `limits.outbox_bytes`."""


class Management(Module):
    """Offers it to those who are logged in."""

    name = "stream_management"
    Options = StreamManagementOptions

    def __init__(self, host: Host, options: StreamManagementOptions) -> None:
        self._host = host
        self.options = options

    def attach(self, host: Host) -> None:
        super().attach(host)
        self.reconfigure(self.options)

    def reconfigure(self, options: Any) -> None:
        super().reconfigure(options)
        self._host.stream_management = StreamManagement(options.resume_seconds, options.queue_bytes)

    @on("stream_features")
    def offer(self, features: StreamFeatures) -> None:
        """§2. COMPAT: clients of before 2011 look for the older version."""
        if features.authenticated:
            features.elements += [Element(uri, "sm") for uri in _NAMESPACES]
