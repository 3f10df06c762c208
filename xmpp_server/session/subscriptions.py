"""Presence subscriptions (RFC 6121 §3): what the state tables say, done to rosters, sessions and contacts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec.structs import replace

from xmpp_server.protocol import ns
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.host import Passage
from xmpp_server.routing.router import Router
from xmpp_server.routing.subscription import KINDS, Kind, State, Transition, inbound, outbound, removal
from xmpp_server.storage.roster import RosterItem

from .rosters import LiveRosters, seen_by

_MOST_REQUESTS: Final = 1000
"""Requests of people who are not in the roster that wait for one account's answer; they are held in memory."""
_MAX_REQUEST: Final = 16_384
"""Octets of a request: it is kept whole (§3.1.3)."""


class _Turn:
    """A lock, and how many hold it or wait for it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Subscriptions:
    """Both directions of a subscription; `limit` is the number of contacts that a roster may hold."""

    def __init__(self, router: Router, rosters: LiveRosters, limit: int) -> None:
        self._router = router
        self._rosters = rosters
        self._turns: dict[frozenset[JID], _Turn] = {}
        self.limit = limit

    def waiting(self, account: Account) -> Iterator[bytes]:
        """The requests that the account has not answered yet: each resource gets them when it comes (§3.1.3)."""
        return (item.pending_in for item in account.roster.items.values() if item.pending_in is not None)

    async def outbound(self, session: Session, stanza: Stanza) -> None:
        """A session's own subscription stanza (§3.1.2, §3.1.5, §3.2.2, §3.3.2, §A.2)."""
        account = session.account
        assert stanza.to is not None
        stanza = stanza.stamped(sender=account.jid, to=stanza.to.bare)
        passage = Passage(stanza, session)
        contact = stanza.to
        assert contact is not None
        try:
            if contact == account.jid:
                raise StanzaError("not-allowed", "nobody subscribes to his own presence")
            if await session.host.hooks.presence_out.run(passage) is not None:
                return
            async with self._turn(account.jid, contact):
                await self._apply_outbound(account, _kind(stanza), passage)
        except StanzaError as error:
            await self._router.bounce(passage, error)

    async def request(self, account: Account, contact: JID) -> None:
        """Ask for the contact's presence in the name of an account. The caller does not hold `account.lock`."""
        passage = Passage(Stanza.build("presence", sender=account.jid, to=contact, type="subscribe"))
        with suppress(StanzaError):  # there is no place in the roster, and nobody to be told so
            async with self._turn(account.jid, contact):
                await self._apply_outbound(account, "subscribe", passage)

    @asynccontextmanager
    async def _turn(self, one: JID, other: JID) -> AsyncIterator[None]:
        """Between two people one stanza after the other has all its effects, on both sides: would a refusal and a new
        request cross each other inside of the server, their rosters would not agree any more."""
        pair = frozenset((one, other))
        turn = self._turns.setdefault(pair, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[pair]

    async def _apply_outbound(self, account: Account, kind: Kind, passage: Passage) -> None:
        contact = passage.stanza.to
        assert contact is not None
        async with account.lock:
            before = account.roster.items.get(contact)
            item = before or RosterItem(jid=contact, listed=False)
            change = outbound(kind, state_of(item), approved=item.approved)
            kept = None
            if before is not None or change.state is not State.NONE or change.approved:
                if before is None and len(account.roster.items) >= self.limit:
                    raise StanzaError("resource-constraint", "the roster is full")
                kept = await self._keep(account, before, item, change, None)
            if change.push and kept is not None:  # before the contact answers: pushes in the order of their versions
                self._rosters.push(account, kept)
        if change.unavailable:
            await self._show(account, contact, available=False)
        if change.passed_on:
            await self._router.route(passage)
        if change.available:
            await self._show(account, contact, available=True)
        if change.probe:
            await self._router.send(Stanza.build("presence", sender=account.jid, to=contact, type="probe"))

    async def inbound(self, account: Account, stanza: Stanza) -> None:
        """A contact's subscription stanza to an account of ours (§3.1.3, §3.1.6, §3.2.3, §3.3.3, §A.3)."""
        assert stanza.sender is not None
        contact = stanza.sender.bare
        stanza = stanza.stamped(sender=contact, to=account.jid)
        if contact == account.jid:
            return
        kind = _kind(stanza)
        async with account.lock:
            before = account.roster.items.get(contact)
            item = before or RosterItem(jid=contact, listed=False)
            change = inbound(kind, state_of(item), approved=item.approved)
            kept = None
            if before is not None or change.state is not State.NONE:
                request = stanza.to_bytes(ns.CLIENT) if kind == "subscribe" and change.passed_on else None
                if before is None:
                    self._has_place(account)
                if request is not None and len(request) > _MAX_REQUEST:
                    raise StanzaError("policy-violation", "the request is too long to be kept")
                kept = await self._keep(account, before, item, change, request)
            if change.passed_on:
                for session in account.sessions.values():
                    if session.presence is not None if kind == "subscribe" else session.interested:
                        session.deliver(stanza)
            if change.push and kept is not None:
                self._rosters.push(account, kept)
        if change.unavailable:
            await self._show(account, contact, available=False)
        if change.reply:
            answer = Stanza.build("presence", sender=account.jid, to=contact, type=change.reply)
            await self._router.send(answer)
        if change.available:
            await self._show(account, contact, available=True)

    async def cancel(self, account: Account, item: RosterItem) -> None:
        """Withdraw and deny all that stood between the account and a contact who was removed (§2.5.2).

        The caller does not hold `account.lock`: the contact's server answers.
        """
        async with self._turn(account.jid, item.jid):
            for kind in removal(state_of(item)):
                if kind == "unsubscribed" and seen_by(item):
                    await self._show(account, item.jid, available=False)
                await self._router.send(Stanza.build("presence", sender=account.jid, to=item.jid, type=kind))

    def _has_place(self, account: Account) -> None:
        """Raises StanzaError if no further contact of ours may come into the roster by a request of his own."""
        items = account.roster.items
        if len(items) >= self.limit or sum(not item.listed for item in items.values()) >= _MOST_REQUESTS:
            raise StanzaError("resource-constraint", "there is no place for a further request")

    async def _keep(
        self, account: Account, before: RosterItem | None, item: RosterItem, change: Transition, request: bytes | None
    ) -> RosterItem:
        state = change.state
        listed = item.listed or state.subscription != "none" or state.ask or change.approved
        if not listed and not state.pending_in:
            await self._rosters.remove(account, item.jid)
            return item
        pending = (request or item.pending_in) if state.pending_in else None
        after = replace(
            item,
            subscription=state.subscription,
            ask=state.ask,
            approved=change.approved,
            pending_in=pending,
            listed=listed,
        )
        return item if after == before else await self._rosters.put(account, after)

    async def _show(self, account: Account, contact: JID, *, available: bool) -> None:
        """Send the presence of each available resource to the contact, or take it away."""
        for session in account.available():
            if session.presence is not None:
                presence = session.presence
                if not available:
                    presence = Stanza.build("presence", sender=session.jid, type="unavailable")
                await self._router.route(
                    Passage(presence.stamped(to=contact), session), session.host.hooks.presence_out
                )


def state_of(item: RosterItem) -> State:
    """The state of RFC 6121 §A.1 that the item is in; a combination that the RFC does not know loses its requests."""
    try:
        return State.of(item.subscription, ask=item.ask, pending_in=item.pending_in is not None)
    except ValueError:
        return State.of(item.subscription)


def _kind(stanza: Stanza) -> Kind:
    return next(kind for kind in KINDS if kind == stanza.type)
