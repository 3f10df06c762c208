"""Rosters in use: changed in memory and in the database in one order, and pushed to whoever asked for the roster."""

from __future__ import annotations

import secrets
from dataclasses import replace

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.roster import item_push, removal_push
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account
from xmpp_server.storage.roster import RosterItem, Rosters


def sees(item: RosterItem) -> bool:
    """Whether the user gets the contact's presence."""
    return item.subscription in ("to", "both")


def seen_by(item: RosterItem) -> bool:
    """Whether the contact gets the user's presence."""
    return item.subscription in ("from", "both")


class LiveRosters:
    """Changes to rosters. The caller holds `account.lock` from reading the item to the end of the change."""

    def __init__(self, rosters: Rosters) -> None:
        self._rosters = rosters

    async def put(self, account: Account, item: RosterItem) -> RosterItem:
        """Keep the item; it comes back with its version. Clients hear of it by `push`."""
        version = await self._rosters.put(account.jid, item)
        item = replace(item, version=version)
        account.roster.items[item.jid] = item
        account.roster = replace(account.roster, version=version)
        return item

    async def remove(self, account: Account, jid: JID) -> None:
        """Forget the contact, and push this if clients saw it."""
        removed = account.roster.items.pop(jid, None)
        if removed is None:
            return
        version = await self._rosters.remove(account.jid, jid)
        account.roster = replace(account.roster, version=version)
        if removed.listed:
            self._push(account, removal_push(jid, version))

    def push(self, account: Account, item: RosterItem) -> None:
        """Tell the account's interested resources of the item (RFC 6121 §2.1.6)."""
        self._push(account, item_push(item))

    def _push(self, account: Account, query: Element) -> None:
        for session in account.sessions.values():
            if session.interested:
                session.deliver(
                    Stanza.build("iq", query, to=session.jid, sender=account.jid, type="set", id=secrets.token_hex(6))
                )
