"""vCards: what people tell of themselves to everybody.

Everybody may read one (§5); who asks for one that does not exist learns nothing about the account (§3.3).

XEP: 0054 (1.3.0) complete
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from xmpp_server.module import Module, iq_get, iq_set
from xmpp_server.protocol import vcard
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.host import Host, VCardChange
from xmpp_server.routing.iq import Request, Target
from xmpp_server.storage.vcards import VCards


class VCardOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a vCard may hold."""

    octets: Annotated[int, msgspec.Meta(ge=0)] = 131_072
    """Octets of one vCard, its photo in base64 included."""


class VCard(Module):
    """Keeps one vCard for each account."""

    name = "vcard"
    features = (vcard.NS,)
    account_features = (vcard.NS,)
    Options = VCardOptions

    def __init__(self, host: Host, accounts: Accounts, vcards: VCards, options: VCardOptions) -> None:
        self._host = host
        self._accounts = accounts
        self._vcards = vcards
        self.options = options

    @iq_get(vcard.NS, "vCard", Target.OWN)
    async def own(self, request: Request) -> Element:
        """§3.1; `item-not-found` if there is none."""
        return await self._load(request, "item-not-found")

    @iq_get(vcard.NS, "vCard", Target.ACCOUNT)
    async def of_others(self, request: Request) -> Element:
        """§3.3; `service-unavailable` if there is none, or no such account."""
        return await self._load(request, "service-unavailable")

    async def _load(self, request: Request, missing: str) -> Element:
        data = await self._vcards.load(request.to)
        if data is None:
            raise StanzaError(missing)
        return parse(data)

    @iq_set(vcard.NS, "vCard", Target.OWN)
    async def store(self, request: Request) -> None:
        """§3.2; raises StanzaError `policy-violation` for one that is too large."""
        card = request.payload
        data = card.to_bytes()
        if len(data) > self.options.octets:
            raise StanzaError("policy-violation", f"A vCard has at most {self.options.octets} octets.")
        photo = vcard.photo(card)
        async with self._accounts.use(request.to) as account:
            if account is None:  # it was removed just now
                raise StanzaError("service-unavailable")
            async with account.lock:
                hash = photo.hash if photo is not None else ""
                await self._vcards.save(account.jid, data, hash)
                before, account.photo = account.photo, hash
        await self._host.hooks.vcard_changed.run(VCardChange(request.to, photo, before != hash))

    @iq_set(vcard.NS, "vCard", Target.ACCOUNT)
    def store_for_others(self, request: Request) -> None:
        """§3.2."""
        raise StanzaError("forbidden")
