"""Invitations: who has one makes an account, also where nobody else may.

The operator makes them (`xmpp-server account invite`); what a page shows of them is in `start_page.py`. A name that
somebody is invited by is kept free; the inviter, if one is named, and the newcomer are contacts from the start.

XEP: 0379 (0.3.3) partial: links and landing page; requests are approved by clients
XEP: 0401 (0.6.0) partial: invitations by the command line, not by ad-hoc commands
XEP: 0445 (0.2.0) complete
"""

from __future__ import annotations

import time
from typing import Final

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.routing.host import Host, StreamFeatures
from xmpp_server.routing.iq import Answer, Request, Target
from xmpp_server.session.newcomers import NOTE
from xmpp_server.storage.invitations import Invitations as Repository
from xmpp_server.util.limits import Allowance

_PARS: Final = "urn:xmpp:pars:0"
_FEATURE: Final = "urn:xmpp:ibr-token:0"
_REGISTER: Final = "http://jabber.org/features/iq-register"
_TRIES: Final = 20
_HOUR: Final = 3600


class Invitations(Module):
    """Takes a client's token before it registers."""

    name = "invitations"

    def __init__(self, host: Host, repository: Repository) -> None:
        self._host = host
        self._repository = repository
        self._wrong = Allowance(time.monotonic, count=_TRIES, period=_HOUR)

    @on("stream_features", after="register")
    def offer(self, features: StreamFeatures) -> None:
        """XEP-0445 §3: beside the feature of registration itself."""
        if features.authenticated:
            return
        if all(element.ns != _REGISTER for element in features.elements):
            features.elements.append(Element(_REGISTER, "register"))
        features.elements.append(Element(_FEATURE, "register"))

    @iq_set(_PARS, "preauth", Target.STREAM)
    async def preauth(self, request: Request) -> Answer:
        """XEP-0445 §4. Raises StanzaError: bad-request, item-not-found, resource-constraint (wrong tokens)."""
        token = request.payload.get("token")
        if not token:
            raise StanzaError("bad-request")
        invitation = await self._repository.find(token, self._host.domain)
        if invitation is None:
            if not self._wrong.take(request.address):
                raise StanzaError("resource-constraint", "Too many attempts from this address.")
            raise StanzaError("item-not-found", "The provided token is invalid or expired")
        request.notes[NOTE] = invitation
        return None
