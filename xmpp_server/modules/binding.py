"""What is left of binding once a resource is bound (RFC 6120 §7, RFC 3921 §3)."""

from __future__ import annotations

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.routing.host import StreamFeatures
from xmpp_server.routing.iq import Request, Target


class Binding(Module):
    """Refuses a second bind, and answers clients that still establish a session."""

    name = "binding"
    optional = False

    @on("stream_features")
    def offer_session(self, features: StreamFeatures) -> None:
        """Optional, so that clients save the round trip (draft-cridland-xmpp-session)."""
        if features.authenticated:
            features.elements.append(Element(ns.SESSION, "session", children=[Element(ns.SESSION, "optional")]))

    @iq_set(ns.SESSION, "session", Target.HOST, Target.OWN)
    def session(self, _request: Request) -> None:
        """There is nothing to do."""

    @iq_set(ns.BIND, "bind", Target.HOST, Target.OWN)
    def bind_again(self, _request: Request) -> None:
        """One resource on one stream (RFC 6120 §7.1)."""
        raise StanzaError("not-allowed", "a resource is bound already")
