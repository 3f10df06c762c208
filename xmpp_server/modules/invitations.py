"""Invitations: who has one makes an account, also where nobody else may.

The operator makes them (`xmpp-server account invite`); what a page shows of them is in `start_page.py`. A name that
somebody is invited by is kept free; the inviter, if one is named, and the newcomer are contacts from the start. Who has
an account already takes the token to the inviter by a request, which is approved at once (XEP-0379 §3.5).

XEP: 0379 (0.3.3) complete
XEP: 0401 (0.6.0) partial: invitations by the command line, not by ad-hoc commands
XEP: 0445 (0.2.0) complete
"""

from __future__ import annotations

import time
from typing import Final

from msgspec.structs import replace

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.hooks import Verdict
from xmpp_server.routing.host import Host, Passage, StreamFeatures
from xmpp_server.routing.iq import Answer, Request, Target
from xmpp_server.session.newcomers import NOTE
from xmpp_server.session.rosters import LiveRosters, seen_by
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.invitations import Invitations as Repository
from xmpp_server.storage.roster import RosterItem
from xmpp_server.util.limits import Allowance
from xmpp_server.util.tasks import keep

_PARS: Final = "urn:xmpp:pars:0"
_FEATURE: Final = "urn:xmpp:ibr-token:0"
_REGISTER: Final = "http://jabber.org/features/iq-register"
_TRIES: Final = 20
_HOUR: Final = 3600


class Invitations(Module):
    """Takes a client's token before it registers."""

    name = "invitations"

    def __init__(
        self,
        host: Host,
        accounts: Accounts,
        rosters: LiveRosters,
        subscriptions: Subscriptions,
        repository: Repository,
    ) -> None:
        self._host = host
        self._accounts = accounts
        self._rosters = rosters
        self._subscriptions = subscriptions
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

    @on("presence_in")
    async def approve(self, passage: Passage) -> Verdict:
        """XEP-0379 §3.5: pre-approve a request with a valid token, and ask for the same in return. With any other it is
        one like all others (§4.1)."""
        stanza, account = passage.stanza, passage.account
        if stanza.type != "subscribe" or account is None or (element := stanza.child(_PARS, "preauth")) is None:
            return None
        assert stanza.sender is not None
        contact = stanza.sender.bare
        invitation = await self._repository.find(element.get("token"), self._host.domain)
        if invitation is None or invitation.contact != str(account.jid) or not await self._repository.use(invitation):
            return None
        async with account.lock:
            item = account.roster.items.get(contact) or RosterItem(contact)
            if not seen_by(item) and item.pending_in is None:
                await self._rosters.put(account, replace(item, approved=True, listed=True))
        # Later: the contact's request, on whose way we are, comes first.
        keep(self._return(account.jid, contact), "request in return")
        return None

    async def _return(self, jid: JID, contact: JID) -> None:
        async with self._accounts.use(jid) as account:
            if account is not None:
                await self._subscriptions.request(account, contact)
