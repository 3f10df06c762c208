"""Accounts that people make themselves, change the password of, and remove.

Where the XEP leaves a choice:

- Making accounts is off until it is switched on (`open`): open servers are found by spammers within days.
- A reserved name is answered like one that is taken.
- A changed password ends the account's other sessions, for perhaps somebody else knew the old one.
- A removed account withdraws and denies all its subscriptions, and its sessions end with `not-authorized` (§3.2).

XEP: 0077 (2.4) complete
"""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec
import structlog

from xmpp_server.module import Module, iq_get, iq_set, on
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.routing.account import Accounts, Session
from xmpp_server.routing.host import Host, StreamFeatures
from xmpp_server.routing.iq import ANSWERED, Answer, Request, Target
from xmpp_server.session.newcomers import NOTE, Newcomers, address
from xmpp_server.session.passwords import Passwords
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.accounts import Accounts as Repository
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.invitations import Invitation
from xmpp_server.storage.roster import Roster
from xmpp_server.stream.sasl import InvalidPassword
from xmpp_server.util.limits import Allowance

_log = structlog.get_logger()

NS: Final = "jabber:iq:register"
_FEATURE: Final = "http://jabber.org/features/iq-register"
_HOUR: Final = 3600
_TRIES: Final = 10
"""Attempts for each account that may be made: who asks for names that are taken learns which there are."""
_CHANGES: Final = 10
"""Changes of its password that an account may make in an hour: each costs the server tens of milliseconds."""
_RESERVED: Final = "abuse admin administrator hostmaster noc postmaster root security support webmaster xmpp"


class RegisterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may make accounts."""

    open: bool = False
    """Whether everybody may make an account, before logging in."""
    per_address: Annotated[int, msgspec.Meta(ge=0)] = 5
    """Accounts that may be made from one address in an hour (of IPv6: from one /64); 0: any number."""
    per_hour: Annotated[int, msgspec.Meta(ge=0)] = 100
    """Accounts that may be made from all addresses together in an hour; 0: any number."""
    reserved: tuple[str, ...] = tuple(_RESERVED.split())
    """Names that nobody gets."""
    change_ends_sessions: bool = True
    """Whether a new password ends the account's other sessions."""


class Register(Module):
    """Registration (§3.1), removal (§3.2) and change of the password (§3.3)."""

    name = "register"
    features = (NS,)
    Options = RegisterOptions

    def __init__(
        self,
        host: Host,
        accounts: Accounts,
        repository: Repository,
        newcomers: Newcomers,
        passwords: Passwords,
        subscriptions: Subscriptions,
        options: RegisterOptions,
    ) -> None:
        self._host = host
        self._accounts = accounts
        self._repository = repository
        self._newcomers = newcomers
        self._passwords = passwords
        self._subscriptions = subscriptions
        self._changes = Allowance(time.monotonic, count=_CHANGES, period=_HOUR)
        self.reconfigure(options)

    def reconfigure(self, options: RegisterOptions) -> None:
        """Take new options without a restart; what was used up is forgotten."""
        self.options = options
        self._tries = _allowance(options.per_address * _TRIES)
        self._made = _allowance(options.per_address)
        self._all = _allowance(options.per_hour)

    def attach(self, host: Host) -> None:
        super().attach(host)
        host.is_open = self.options.open
        host.reserved = frozenset(name.casefold() for name in self.options.reserved)

    # -- before authentication (§3.1)

    @on("stream_features")
    def offer(self, features: StreamFeatures) -> None:
        """The stream feature (§8)."""
        if not features.authenticated and self.options.open:
            features.elements.append(Element(_FEATURE, "register"))

    @iq_get(NS, "query", Target.STREAM)
    def fields(self, request: Request) -> Answer:
        """What is needed for an account."""
        self._check_open(request)
        return Element(NS, "query").add(
            Element(NS, "instructions", {}, ["Choose a username and a password."]),
            Element(NS, "username"),
            Element(NS, "password"),
        )

    @iq_set(NS, "query", Target.STREAM)
    async def register(self, request: Request) -> Answer:
        """Make an account.

        Raises StanzaError: service-unavailable (not open), unexpected-request (a removal), not-acceptable (a field is
        missing, empty or not allowed), conflict (taken or reserved), resource-constraint (too many in this hour).
        """
        invitation = self._check_open(request)
        payload = request.payload
        if payload.child(NS, "remove") is not None:
            raise StanzaError("unexpected-request", "There is no account on this stream yet.")
        username, password = payload.child_text(NS, "username"), payload.child_text(NS, "password")
        if not username or not password:
            raise StanzaError("not-acceptable", "A username and a password are needed.")
        account = address(self._host, username)
        if self._tries is not None and not self._tries.take(request.address):
            raise StanzaError("resource-constraint", "Too many attempts from this address.")
        if await self._newcomers.is_taken(self._host, account, invitation):
            raise StanzaError("conflict", "The username is taken.")
        if invitation is None and (
            (self._made is not None and not self._made.take(request.address))
            or (self._all is not None and not self._all.take(""))
        ):
            raise StanzaError("resource-constraint", "Too many accounts were made; try again later.")
        await self._newcomers.make(self._host, username, password, invitation)
        _log.info("account_registered", account=str(account), address=request.address, invited=invitation is not None)
        return None

    def _check_open(self, request: Request) -> Invitation | None:
        """The invitation of the client, which it need not have if everybody may make an account."""
        invitation: Invitation | None = request.notes.get(NOTE)
        if invitation is None and not self.options.open:
            raise StanzaError("service-unavailable")
        return invitation

    # -- afterwards (§3.2, §3.3)

    @iq_get(NS, "query", Target.HOST, Target.OWN)
    def registered(self, request: Request) -> Answer:
        """Who is logged in has an account; nobody else can get one here."""
        session = self._session(request)
        if session is None:
            raise StanzaError("service-unavailable")
        return Element(NS, "query").add(
            Element(NS, "registered"),
            Element(NS, "instructions", {}, ["Choose another password, or remove the account."]),
            Element(NS, "username", {}, [session.jid.localpart]),
            Element(NS, "password"),
        )

    @iq_set(NS, "query", Target.HOST, Target.OWN)
    async def change(self, request: Request) -> Answer:
        """Change the password, or remove the account.

        Raises StanzaError: registration-required (of somebody from elsewhere), bad-request (an empty or missing field,
        more than `<remove/>`), not-acceptable (the account of somebody else, or a password that cannot be one),
        resource-constraint (too many changes).
        """
        session = self._session(request)
        if session is None:
            raise StanzaError("registration-required")
        payload = request.payload
        if payload.child(NS, "remove") is not None:
            if len(list(payload)) != 1:
                raise StanzaError("bad-request", "To remove the account nothing else is to be said.")
            await self._remove(request, session)
            return ANSWERED
        username, password = payload.child_text(NS, "username"), payload.child_text(NS, "password")
        if not username or not password:
            raise StanzaError("bad-request", "A username and a password are needed.")
        if not self._is_own(username, session):
            raise StanzaError("not-acceptable", "That is not the account that is logged in.")
        if not self._changes.take(str(session.account.jid)):
            raise StanzaError("resource-constraint", "Too many changes of the password; try again later.")
        try:
            await self._repository.set_verifiers(session.account.jid, await self._passwords.verifiers(password))
        except InvalidPassword as error:
            raise StanzaError("not-acceptable", f"The password cannot be used: {error}.") from error
        except NoSuchAccount as error:
            raise StanzaError("registration-required") from error
        _log.info("password_changed", account=str(session.account.jid))
        if self.options.change_ends_sessions:
            for other in list(session.account.sessions.values()):
                if other is not session:
                    other.close(StreamError("reset", "The password was changed."))
        return None

    def _session(self, request: Request) -> Session | None:
        session = request.session
        return session if session is not None and session.jid.domain == self._host.domain else None

    def _is_own(self, username: str, session: Session) -> bool:
        try:
            # the examples of §3.3 name the account by its whole address in forms
            named = JID.parse(username) if "@" in username else JID.of(username, self._host.domain)
        except InvalidJID:
            return False
        return named == session.account.jid

    async def _remove(self, request: Request, session: Session) -> None:
        account = session.account
        if not await self._repository.delete(account.jid):
            raise StanzaError("registration-required")
        self._accounts.forget(account)
        _log.info("account_removed", account=str(account.jid))
        session.deliver(request.stanza.result())
        for item in list(account.roster.items.values()):
            await self._subscriptions.cancel(account, item)
        account.roster = Roster(account.roster.version, {})  # nobody is left to be told that the sessions end
        for other in list(account.sessions.values()):
            other.close(StreamError("not-authorized", "The account was removed."))
        await self._host.hooks.account_removed.run(account.jid)


def _allowance(count: int) -> Allowance | None:
    return Allowance(time.monotonic, count=count, period=_HOUR) if count else None
