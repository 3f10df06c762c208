"""People who make an account: by themselves, or because they are invited."""

from __future__ import annotations

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.host import Host
from xmpp_server.storage.accounts import LONGEST_NAME
from xmpp_server.storage.accounts import Accounts as Repository
from xmpp_server.storage.errors import AccountExists, NoSuchInvitation
from xmpp_server.storage.invitations import Invitation, Invitations
from xmpp_server.storage.roster import RosterItem
from xmpp_server.stream.sasl import InvalidPassword

from .passwords import Passwords
from .rosters import LiveRosters

NOTE = "invitation"
"""Where a client's invitation stands in the notes of its stream (XEP-0445 §4)."""


class Newcomers:
    """Makes accounts."""

    def __init__(
        self,
        accounts: Accounts,
        rosters: LiveRosters,
        repository: Repository,
        invitations: Invitations,
        passwords: Passwords,
    ) -> None:
        self._accounts = accounts
        self._rosters = rosters
        self._repository = repository
        self._invitations = invitations
        self._passwords = passwords

    async def is_taken(self, host: Host, account: JID, invitation: Invitation | None = None) -> bool:
        """Whether the account exists, or its name is reserved, or somebody else is invited by it (XEP-0445 §5)."""
        if await self._repository.exists(account):
            return True
        if invitation is not None and invitation.localpart == account.localpart:
            return False
        return account.localpart in host.reserved or await self._invitations.is_reserved(account)

    async def make(self, host: Host, username: str, password: str, invitation: Invitation | None = None) -> JID:
        """The new account. Who is invited by somebody is a contact of theirs from the start, and they of the newcomer.

        Raises StanzaError: not-allowed (the invitation is for none), not-acceptable (a name or password that cannot be
        one, or not the name of the invitation), conflict (taken), item-not-found (the invitation was used meanwhile).
        """
        account = address(host, username)
        if invitation is not None and invitation.contact_only:
            raise StanzaError("not-allowed", "The invitation is for people who have an account.")
        if invitation is not None and invitation.localpart not in ("", account.localpart):
            raise StanzaError("not-acceptable", f"The invitation is for {invitation.localpart}@{host.domain}.")
        if await self.is_taken(host, account, invitation):
            raise StanzaError("conflict", "The username is taken.")
        try:
            verifiers = await self._passwords.verifiers(password)
            if invitation is None:
                await self._repository.create(account, verifiers)
            else:
                await self._invitations.redeem(invitation, account, verifiers)
        except InvalidPassword as error:
            raise StanzaError("not-acceptable", f"The password cannot be used: {error}.") from error
        except AccountExists as error:
            raise StanzaError("conflict", "The username is taken.") from error
        except NoSuchInvitation as error:
            raise StanzaError("item-not-found", "The invitation was used already.") from error
        await host.hooks.account_created.run(account)
        if invitation is not None and invitation.contact:
            contact = JID.parse(invitation.contact)
            await self._introduce(account, contact)
            await self._introduce(contact, account)
        return account

    async def _introduce(self, jid: JID, contact: JID) -> None:
        """XEP-0401 §4.2: each is in the roster of the other, and sees the other's presence."""
        account = await self._accounts.acquire(jid)
        if account is None:
            return
        try:
            async with account.lock:
                if contact not in account.roster.items:
                    self._rosters.push(account, await self._rosters.put(account, RosterItem(contact, "", "both")))
        finally:
            self._accounts.release(account)


def address(host: Host, username: str) -> JID:
    """The address of a name at the host. Raises StanzaError: not-acceptable."""
    try:
        account = JID.of(username, host.domain)
    except InvalidJID as error:
        raise StanzaError("not-acceptable", "The username contains what it may not.") from error
    if len(account.localpart.encode()) > LONGEST_NAME:
        raise StanzaError("not-acceptable", f"A username has at most {LONGEST_NAME} octets.")
    return account
