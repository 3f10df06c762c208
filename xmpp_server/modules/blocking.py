"""Blocking: whom an account wants to hear nothing from, and who is to see it as offline.

Where the XEP leaves a choice:

- Presence subscriptions stay ("polite blocking", §4); a subscription request that waits is forgotten without an answer,
  for the user could neither accept nor refuse it any more.
- The user's own resources, and the host itself, are never blocked whatever the list says (§5, note): nobody can lock
  himself out.
- Of messages from a blocked address chat and normal ones are answered with an error. Others are dropped: a room would
  throw out an occupant whose server answers it with errors because he has blocked another occupant.
- Directed presence is taken back like any other when its receiver is blocked.

XEP: 0191 (1.3) complete
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Set
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from xmpp_server.module import Module, iq_get, iq_set, on
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.blocklist import blocks
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import Block, Host, Passage
from xmpp_server.routing.iq import ANSWERED, Answer, Request, Target
from xmpp_server.routing.router import Router
from xmpp_server.session.rosters import LiveRosters
from xmpp_server.storage.blocking import Blocking as Blocklists

NS: Final = "urn:xmpp:blocking"
_ERRORS: Final = "urn:xmpp:blocking:errors"


class BlockingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be blocked."""

    limit: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """Addresses that one account may block."""


class Blocking(Module):
    """The blocklist of the sender's own account, and what it does to stanzas."""

    name = "blocking"
    features = (NS,)
    Options = BlockingOptions

    def __init__(
        self, host: Host, router: Router, blocklists: Blocklists, rosters: LiveRosters, options: BlockingOptions
    ) -> None:
        self._host = host
        self._router = router
        self._blocklists = blocklists
        self._rosters = rosters
        self.options = options

    # -- the list (§3.2 to §3.5)

    @iq_get(NS, "blocklist", Target.OWN)
    def blocklist(self, request: Request) -> Answer:
        """All entries; changes are pushed to the resource from now on (§3.2)."""
        session = _session(request)
        session.blocklist_pushes = True
        return _payload("blocklist", sorted(session.account.blocked, key=str))

    @iq_set(NS, "block", Target.OWN)
    async def block(self, request: Request) -> Answer:
        """Block at least one address (§3.3); raises StanzaError: bad-request, jid-malformed, resource-constraint."""
        session = _session(request)
        account = session.account
        items = _items(request.payload)
        if not items:
            raise StanzaError("bad-request", "There is nobody to block.")
        async with account.lock:
            before = account.blocked
            added = items.keys() - before
            if len(before) + len(added) > self.options.limit:
                raise StanzaError("resource-constraint", "The blocklist is full.")
            if added:
                await self._blocklists.add(account.jid, added)
            account.blocked = before | added
            hidden = _change(account, account.blocked, before)
            session.deliver(request.stanza.result())
            _push(account, "block", items)
            await self._forget_requests(account, hidden)
        for other in account.available():
            for viewer in _viewers(account, items, hidden, other):
                await self._router.send(Stanza.build("presence", sender=other.jid, to=viewer, type="unavailable"))
        for jid, item in items.items():
            await self._host.hooks.blocked.run(Block(account.jid, jid, item))
        return ANSWERED

    @iq_set(NS, "unblock", Target.OWN)
    async def unblock(self, request: Request) -> Answer:
        """Unblock these addresses, or without any all of them (§3.4, §3.5)."""
        session = _session(request)
        account = session.account
        items = _items(request.payload)
        async with account.lock:
            before = account.blocked
            if not items:
                await self._blocklists.clear(account.jid)
            elif removed := items.keys() & before:
                await self._blocklists.remove(account.jid, removed)
            account.blocked = before - items.keys() if items else frozenset()
            shown = _change(account, before, account.blocked)
            session.deliver(request.stanza.result())
            _push(account, "unblock", items)
        for other in account.available():
            presence = other.presence
            for viewer in _viewers(account, items or before, shown):
                if presence is not None:
                    await self._router.send(presence.stamped(to=viewer))
        for contact in list(account.roster.items.values()):  # what they sent in the meantime was dropped
            if contact.subscription in ("to", "both") and shown(contact.jid):
                await self._router.send(Stanza.build("presence", sender=account.jid, to=contact.jid, type="probe"))
        return ANSWERED

    async def _forget_requests(self, account: Account, hidden: Callable[[JID], bool]) -> None:
        for contact in list(account.roster.items.values()):
            if contact.pending_in is not None and hidden(contact.jid):
                if contact.listed:
                    await self._rosters.put(account, replace(contact, pending_in=None))
                else:
                    await self._rosters.remove(account, contact.jid)

    # -- stanzas from a blocked address (§3.3)

    @on("presence_in", Stage.GUARD)
    def presence_in(self, passage: Passage) -> Verdict:
        """No answer and no error."""
        return DROPPED if _is_from_blocked(passage) else None

    @on("message_in", Stage.GUARD)
    def message_in(self, passage: Passage) -> Verdict:
        """An error for what was meant for a person."""
        account = passage.account
        if account is None or not account.blocked:  # nearly always, and on the way of every message
            return None
        if not _is_from_blocked(passage):
            return None
        if passage.stanza.type in ("error", "groupchat", "headline"):
            return DROPPED
        raise StanzaError("service-unavailable")

    @on("iq_in", Stage.GUARD)
    def iq_in(self, passage: Passage) -> Verdict:
        """An error for requests; answers are dropped."""
        if not _is_from_blocked(passage):
            return None
        if passage.stanza.type in ("result", "error"):
            return DROPPED
        raise StanzaError("service-unavailable")

    # -- stanzas to a blocked address (§3.3)

    @on("presence_out", Stage.GUARD)
    @on("message_out", Stage.GUARD)
    @on("iq_out", Stage.GUARD)
    def out(self, passage: Passage) -> None:
        """Nothing leaves; the sender is told why."""
        session = passage.session
        if session is None or not session.account.blocked:
            return
        to = passage.stanza.to
        if to is not None and blocks(session.account.blocked, session.account.jid, to):
            reason = Element(_ERRORS, "blocked")
            raise StanzaError("not-acceptable", "You have blocked this JID", type="cancel", application=reason)


def _session(request: Request) -> Session:
    assert request.session is not None  # what is addressed to the sender's own account comes from a session of it
    return request.session


def _is_from_blocked(passage: Passage) -> bool:
    account = passage.account
    if account is None or not account.blocked:
        return False
    sender = passage.stanza.sender
    return sender is not None and blocks(account.blocked, account.jid, sender)


def _items(payload: Element) -> dict[JID, Element]:
    """The items by address; raises StanzaError."""
    items: dict[JID, Element] = {}
    for item in payload:
        if item.ns == NS and item.name == "item":
            if "jid" not in item.attrs:
                raise StanzaError("bad-request", "An item has an address.")
            try:
                items[JID.parse(item.get("jid"))] = item
            except InvalidJID as error:
                raise StanzaError("jid-malformed") from error
    return items


def _payload(name: str, jids: Iterable[JID]) -> Element:
    return Element(NS, name, {}, [Element(NS, "item", {"jid": str(jid)}) for jid in jids])


def _push(account: Account, name: str, jids: Iterable[JID]) -> None:
    payload = _payload(name, jids)
    for session in account.sessions.values():
        if session.blocklist_pushes:
            session.deliver(Stanza.build("iq", payload, to=session.jid, type="set", id=secrets.token_hex(6)))


def _change(account: Account, with_: Set[JID], without: Set[JID]) -> Callable[[JID], bool]:
    """Whether an address is blocked by the one list and not by the other."""
    return lambda jid: blocks(with_, account.jid, jid) and not blocks(without, account.jid, jid)


def _viewers(
    account: Account, entries: Iterable[JID], changed: Callable[[JID], bool], leaving: Session | None = None
) -> set[JID]:
    """Who may see the account's presence and is concerned by the change: contacts, resources of contacts that are
    entries themselves, and whom `leaving` sent directed presence to, which is forgotten."""
    viewers = {item.jid for item in account.roster.items.values() if item.subscription in ("from", "both")}
    viewers = {jid for jid in viewers if changed(jid)}
    viewers |= {
        jid
        for jid in entries
        if not jid.is_bare and jid.bare not in viewers and changed(jid) and account.shows_presence_to(jid)
    }
    if leaving is not None and leaving.directed:
        directed = {jid for jid in leaving.directed if changed(jid)}
        leaving.directed -= directed
        viewers |= {jid for jid in directed if jid.bare not in viewers}
    return viewers
