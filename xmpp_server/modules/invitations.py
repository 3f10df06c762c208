"""Invitations: who has one makes an account, also where nobody else may.

The operator makes them (`xmpp-server account invite`), and so do users, by ad-hoc command: to be their contact, and
where the operator lets them, for an account too. What a page shows of them is in `start_page.py`. A name that
somebody is invited by is kept free; the inviter, if one is named, and the newcomer are contacts from the start. Who has
an account already takes the token to the inviter by a request, which is approved at once (XEP-0379 §3.5).

XEP: 0379 (0.3.3) complete
XEP: 0401 (0.6.0) complete
XEP: 0445 (0.2.0) complete
"""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol.commands import wrong
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.invitation import invitation_uri, landing_path, new_token
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.commands import Command
from xmpp_server.routing.hooks import Verdict
from xmpp_server.routing.host import Host, Passage, StreamFeatures
from xmpp_server.routing.iq import Answer, Request, Target
from xmpp_server.session.newcomers import NOTE, Newcomers, address
from xmpp_server.session.rosters import LiveRosters, seen_by
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.errors import AccountExists, NoSuchAccount, QuotaExceeded
from xmpp_server.storage.invitations import DAY
from xmpp_server.storage.invitations import Invitations as Repository
from xmpp_server.storage.roster import RosterItem
from xmpp_server.util.http import Site
from xmpp_server.util.limits import Allowance
from xmpp_server.util.tasks import keep

_PARS: Final = "urn:xmpp:pars:0"
_FEATURE: Final = "urn:xmpp:ibr-token:0"
_REGISTER: Final = "http://jabber.org/features/iq-register"
_TRIES: Final = 20
_HOUR: Final = 3600
_INVITE: Final = "urn:xmpp:invite#invite"
_CREATE: Final = "urn:xmpp:invite#create-account"
_RESULT: Final = "urn:xmpp:invite#invitation"
_FORM: Final = Form(
    "form",
    (
        Field("username", (), "text-single", "Username", desc="Empty: the newcomer chooses it."),
        boolean("roster-subscription", True, "Roster subscription"),
    ),
    "Create account",
    "Invite somebody who has no account yet.",
)


class InvitationsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What users may invite to; administrators may all of it, without a limit."""

    accounts: bool = False
    """Whether users invite people who have no account yet: their invitations are good for one then. Otherwise they
    invite to be their contact alone, but where everybody may make an account (`modules.register.open`)."""
    per_day: Annotated[int, msgspec.Meta(ge=0)] = 10
    """Invitations that an account may make in a day; 0: any number."""
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 7
    """For how many days one is good that was made by ad-hoc command."""


class Invitations(Module):
    """Makes invitations by ad-hoc command, and takes a client's token before it registers or with its request."""

    name = "invitations"
    Options = InvitationsOptions

    def __init__(
        self,
        host: Host,
        accounts: Accounts,
        rosters: LiveRosters,
        subscriptions: Subscriptions,
        newcomers: Newcomers,
        repository: Repository,
        site: Site,
        options: InvitationsOptions,
    ) -> None:
        self._host = host
        self._accounts = accounts
        self._rosters = rosters
        self._subscriptions = subscriptions
        self._newcomers = newcomers
        self._repository = repository
        self._site = site
        self.options = options
        self._names = Allowance(time.monotonic, count=_TRIES, period=_HOUR)
        self._wrong = Allowance(time.monotonic, count=_TRIES, period=_HOUR)

    def attach(self, host: Host) -> None:
        super().attach(host)
        for command in (
            Command(_INVITE, "Invite user", self._may_invite, self.invite),
            Command(_CREATE, "Create account", self._may_create, self.create, _FORM),
        ):
            host.commands[command.node] = command

    # -- making them (XEP-0401)

    def _may_invite(self, sender: JID) -> bool:
        return bool(sender.localpart) and sender.domain == self._host.domain

    def _may_create(self, sender: JID) -> bool:
        return sender.bare in self._host.admins or (self.options.accounts and self._may_invite(sender))

    async def invite(self, sender: JID, form: Form | None) -> Form:
        """§4.1: the sender will be a contact of who comes with it. Raises StanzaError resource-constraint."""
        alone = not self._may_create(sender) and not self._host.is_open
        token, expires = await self._make(sender, "", sender.bare, contact_only=alone)
        return self._result(token, invitation_uri(self._host.jid, token, sender.bare, contact_only=alone), expires)

    async def create(self, sender: JID, form: Form | None) -> Form:
        """§4.4. Raises StanzaError: bad-request (no submission, or a name that cannot be one), not-acceptable (no
        boolean), conflict (the name is taken, reserved, or kept for somebody), resource-constraint."""
        if form is None or form.kind != "submit":
            raise wrong("bad-payload", "Submit the form.")
        name, account = form.text("username").strip(), self._host.jid
        contact = sender.bare if form.boolean("roster-subscription", True) else None
        if name:
            try:
                account = address(self._host, name)
            except StanzaError as error:
                raise wrong("bad-payload", error.text) from error
            # who asks for names learns which are taken
            if sender.bare not in self._host.admins and not self._names.take(str(sender.bare)):
                raise StanzaError("resource-constraint", "Too many names; try again later.")
            if await self._newcomers.is_taken(self._host, account):
                raise StanzaError("conflict", "The username is taken.")
        token, expires = await self._make(sender, account.localpart, contact)
        return self._result(token, invitation_uri(account, token), expires)

    async def _make(
        self, sender: JID, localpart: str, contact: JID | None, *, contact_only: bool = False
    ) -> tuple[str, int]:
        token = new_token()
        expires = (time.time_ns() // 1_000_000_000) * 1_000_000 + self.options.days * DAY
        try:
            await self._repository.add(
                token,
                self._host.domain,
                expires=expires,
                localpart=localpart,
                contact=contact,
                contact_only=contact_only,
                inviter=sender.bare,
                per_day=0 if sender.bare in self._host.admins else self.options.per_day,
            )
        except AccountExists as error:
            raise StanzaError("conflict", "Somebody is invited by this name.") from error
        except QuotaExceeded as error:
            raise StanzaError("resource-constraint", "Too many invitations in a day; try again later.") from error
        except NoSuchAccount as error:  # an administrator from elsewhere
            raise StanzaError("forbidden") from error
        return token, expires

    def _result(self, token: str, uri: str, expires: int) -> Form:
        fields = [Field("uri", (uri,), "text-single")]
        path, url = landing_path(token), self._site.url(self._host.domain)
        is_served = self._host.web.find(self._host.domain, path) is not None and (self._site.base or self._site.port)
        if is_served and url.startswith("https:"):
            fields.append(Field("landing-url", (url + path,), "text-single"))
        fields.append(Field("expire", (format_time(expires),), "text-single"))
        return Form.of("result", _RESULT, *fields)

    # -- taking them

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
        if invitation is None or invitation.contact_only:
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
