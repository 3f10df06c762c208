"""Rosters in use: changed in memory and in the database in one order, and pushed to whoever asked for the roster."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.roster import item_push, removal_push
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.host import RosterChange
from xmpp_server.routing.router import Router
from xmpp_server.storage.roster import RosterItem, Rosters


def sees(item: RosterItem) -> bool:
    """Whether the user gets the contact's presence."""
    return item.subscription in ("to", "both")


def seen_by(item: RosterItem) -> bool:
    """Whether the contact gets the user's presence."""
    return item.subscription in ("from", "both")


class LiveRosters:
    """Changes to rosters. The caller holds `account.lock` from reading the item to the end of the change."""

    def __init__(self, rosters: Rosters, router: Router) -> None:
        self._rosters = rosters
        self._router = router

    async def put(self, account: Account, item: RosterItem) -> RosterItem:
        """Keep the item; it comes back with its version. Clients hear of it by `push`."""
        version = await self._rosters.put(account.jid, item)
        item = replace(item, version=version)
        before = account.roster.items.get(item.jid)
        account.roster.items[item.jid] = item
        account.roster = replace(account.roster, version=version)
        await self._told(account, before, item)
        return item

    async def remove(self, account: Account, jid: JID) -> RosterItem:
        """Forget the contact; what is left of it, for `push` if clients saw it."""
        version = await self._rosters.remove(account.jid, jid)
        before = account.roster.items.pop(jid, None)
        account.roster = replace(account.roster, version=version)
        await self._told(account, before, None)
        return RosterItem(jid, version=version, listed=False)

    async def _told(self, account: Account, before: RosterItem | None, after: RosterItem | None) -> None:
        host = self._router.hosts.get(account.jid.domain)
        if host is not None and before is not None:
            await host.hooks.roster_changed.run(RosterChange(account.jid, before, after))

    def push(self, account: Account, item: RosterItem) -> None:
        """Tell the account's interested resources of the item (RFC 6121 §2.1.6)."""
        for session in account.sessions.values():
            if session.interested:
                self.push_to(session, item)

    def push_to(self, session: Session, item: RosterItem) -> None:
        """Tell one resource of the item, or of its removal if it is not listed."""
        query = item_push(item) if item.listed else removal_push(item.jid, item.version)
        session.deliver(
            Stanza.build("iq", query, to=session.jid, sender=session.account.jid, type="set", id=secrets.token_hex(6))
        )
