"""Rosters: getting, changing and pushing them, with versions.

A set is pushed first and answered then (the RFC leaves it open), so that a client that goes on with the answer has the
roster that it made. What has changed since the version that a client has goes out as one push for
each contact, in the order of the changes, unless the whole roster is less work.

XEP: 0237 (1.3) complete
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from xmpp_server.module import Module, iq_get, iq_set, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.roster import RosterSet, roster_result
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.host import StreamFeatures
from xmpp_server.routing.iq import ANSWERED, Answer, Request, Target
from xmpp_server.session.rosters import LiveRosters
from xmpp_server.session.subscriptions import Subscriptions
from xmpp_server.storage.roster import RosterItem, Rosters

_MOST_PUSHES: Final = 256
"""With more changes than this a client gets the whole roster instead."""
_MAX_ITEM: Final = 4096
"""Octets of a contact's name and groups together: they stay in memory while somebody is logged in."""
_MAX_DIGITS: Final = 18
_FIRST: Final = 1
"""The version as which a roster that was never changed is told, COMPAT(Prosody's plays, 13.0). After the first change
it is the same, so who has it is told of that change once more (RFC 6121 §2.6.3 allows it)."""


class Roster(Module):
    """The roster of the sender's own account (RFC 6121 §2)."""

    name = "roster"
    features = (ns.ROSTER,)
    optional = False

    def __init__(self, rosters: Rosters, live: LiveRosters, subscriptions: Subscriptions) -> None:
        self._rosters = rosters
        self._live = live
        self._subscriptions = subscriptions

    @on("stream_features")
    def offer(self, features: StreamFeatures) -> None:
        """Versioning (§2.6.1) and pre-approval (§3.4.1)."""
        if features.authenticated:
            features.elements += (
                Element("urn:xmpp:features:rosterver", "ver"),
                Element("urn:xmpp:features:pre-approval", "sub"),
            )

    @iq_get(ns.ROSTER, "query", Target.ACCOUNT)
    @iq_set(ns.ROSTER, "query", Target.ACCOUNT)
    def refuse(self, request: Request) -> Answer:
        """Nobody reads or changes the roster of somebody else (§2.1.5, §2.3.3)."""
        raise StanzaError("forbidden")

    @iq_get(ns.ROSTER, "query", Target.OWN)
    async def get(self, request: Request) -> Answer:
        """The roster, or with a known `ver` what has changed since (§2.2, §2.6.3); pushes follow from now on."""
        session = _session(request)
        account = session.account
        known = _version(request.child.get("ver"))
        async with account.lock:  # so that no push of a later change comes in between
            session.interested = True
            if known is None:
                return _whole(account)
            if known == _FIRST:
                known = 0
            if known == account.roster.version:
                return None
            changes = await self._rosters.changes_since(account.jid, known)
            if changes is None or len(changes) > _MOST_PUSHES:
                return _whole(account)
            session.deliver(request.stanza.result())
            for change in changes:
                self._live.push_to(session, change)
            return ANSWERED

    @iq_set(ns.ROSTER, "query", Target.OWN)
    async def set(self, request: Request) -> Answer:
        """Add, update or remove a contact (§2.3 to §2.5).

        Raises what `RosterSet.parse` does, resource-constraint if the roster is full, item-not-found for the removal of
        somebody who is not there (§2.5.3).
        """
        session = _session(request)
        account = session.account
        wanted = RosterSet.parse(request.payload, account.jid)
        if wanted.remove:
            await self._remove(request, session, wanted.jid)
            return ANSWERED
        if len(wanted.name.encode()) + sum(len(group.encode()) for group in wanted.groups) > _MAX_ITEM:
            raise StanzaError("not-acceptable", "The handle and the groups are too long together.")
        async with account.lock:
            before = account.roster.items.get(wanted.jid)
            if before is None and len(account.roster.items) >= self._subscriptions.limit:
                raise StanzaError("resource-constraint", "The roster is full.")
            after = replace(before or RosterItem(wanted.jid), name=wanted.name, groups=wanted.groups, listed=True)
            after = await self._live.put(account, after)
            self._live.push(account, after)
            session.deliver(request.stanza.result())
        return ANSWERED

    async def _remove(self, request: Request, session: Session, jid: JID) -> None:
        account = session.account
        async with account.lock:
            contact = account.roster.items.get(jid)
            if contact is None or not contact.listed:
                raise StanzaError("item-not-found")
            removed = await self._live.remove(account, jid)
            self._live.push(account, removed)
            session.deliver(request.stanza.result())
        # without the lock, for the contact's server answers, and may be we ourselves
        await self._subscriptions.cancel(account, contact)


def _session(request: Request) -> Session:
    assert request.session is not None  # what is addressed to the sender's own account comes from a session of it
    return request.session


def _whole(account: Account) -> Element:
    roster = account.roster
    listed = (contact for contact in roster.items.values() if contact.listed)
    return roster_result(listed, max(roster.version, _FIRST))


def _version(text: str) -> int | None:
    """The version that the client has; None if it has none, or one that was never ours."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None
