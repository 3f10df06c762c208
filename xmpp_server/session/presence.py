"""Presence (RFC 6121 §4): broadcasts, probes, directed presence, and the end of a session."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

import structlog

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import delay
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.routing.account import Account, Accounts, Session
from xmpp_server.routing.blocklist import blocks
from xmpp_server.routing.delays import without_forged_delays
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.router import Router
from xmpp_server.routing.subscription import KINDS
from xmpp_server.storage.roster import Rosters

from .rosters import seen_by, sees
from .subscriptions import Subscriptions

_log = structlog.get_logger()

_MAX_DIRECTED: Final = 10_000
_DIRECTED: Final = ("", "unavailable", "probe", "error")
_BYTE: Final = re.compile("[+-]?[0-9]{1,20}")
_DELAY: Final = qname(ns.DELAY, "delay")


class Presence:
    """What presence does, for the sessions of all hosts."""

    def __init__(self, router: Router, accounts: Accounts, rosters: Rosters, subscriptions: Subscriptions) -> None:
        self._router = router
        self._accounts = accounts
        self._rosters = rosters
        self._subscriptions = subscriptions
        self._at_work: dict[Session, asyncio.Future[None] | None] = {}
        """Sessions whose presence is being handled, with what `gone` waits for."""

    # -- from a session of ours

    async def receive(self, session: Session, stanza: Stanza) -> None:
        """Handle presence that the session sent; the sender is stamped already."""
        self._at_work[session] = None
        try:
            await self._receive(session, stanza)
        except Exception:
            _log.exception("presence_failed", type=stanza.type)
            error = StanzaError("internal-server-error")
            await self._router.bounce(Passage(stanza.stamped(to=stanza.to or session.account.jid), session), error)
        finally:
            if (waiting := self._at_work.pop(session)) is not None:
                waiting.set_result(None)

    async def _receive(self, session: Session, stanza: Stanza) -> None:
        stanza = without_forged_delays(stanza, self._router)
        if stanza.to is None:
            if stanza.type == "":
                await self._available(session, stanza)
            elif stanza.type == "unavailable":
                await self._unavailable(session, stanza)
            else:
                error = StanzaError("bad-request", "presence of this type is for somebody")
                await self._router.bounce(Passage(stanza.stamped(to=session.account.jid), session), error)
        elif stanza.type in KINDS:
            await self._subscriptions.outbound(session, stanza)
        elif stanza.type in _DIRECTED:
            await self._directed(session, stanza)
        else:
            error = StanzaError("bad-request", "there is no presence of this type")  # §4.7.1
            await self._router.bounce(Passage(stanza, session), error)

    async def _available(self, session: Session, stanza: Stanza) -> None:
        try:
            priority = _priority(stanza)
        except StanzaError as error:
            await self._router.bounce(Passage(stanza.stamped(to=session.account.jid), session), error)
            return
        stanza = await self._stamped(session, stanza)
        initial = session.presence is None
        session.hold()  # no live message goes before the ones that waited, which a listener to the hooks delivers
        try:
            session.presence = _dated(stanza, session.host.jid)
            session.priority = priority
            hooks = session.host.hooks
            await self._broadcast(session, stanza)
            if initial:
                await self._look_around(session)
                for request in self._subscriptions.waiting(session.account):
                    session.deliver_bytes(request)
                await hooks.session_available.run(session)
            else:
                await hooks.session_updated.run(session)
        finally:
            session.release()

    async def _unavailable(self, session: Session, stanza: Stanza) -> None:
        was_available = session.presence is not None
        session.presence = None
        session.priority = None
        if was_available:
            await self._broadcast(session, stanza)
        directed, session.directed = session.directed, None
        for target in directed or ():
            contact = session.account.roster.items.get(target.bare)
            if not was_available or contact is None or not seen_by(contact):  # the broadcast told the others
                await self._leave(session, stanza.stamped(to=target))
        if was_available:
            await session.host.hooks.session_unavailable.run((session, stanza))

    async def gone(self, session: Session) -> None:
        """The session's stream has ended: everybody who saw it is told (RFC 6121 §4.5.2), and last."""
        if session in self._at_work:
            waiting = self._at_work[session] = asyncio.get_running_loop().create_future()
            await waiting
        await self._unavailable(session, Stanza.build("presence", sender=session.jid, type="unavailable"))

    async def _directed(self, session: Session, stanza: Stanza) -> None:
        to = stanza.to
        assert to is not None
        if stanza.type == "":
            directed = session.directed
            if directed is None:
                directed = session.directed = set()
            if len(directed) >= _MAX_DIRECTED and to not in directed:
                error = StanzaError("resource-constraint", "directed presence to too many addresses")
                await self._router.bounce(Passage(stanza, session), error)
                return
            directed.add(to)
            stanza = await self._stamped(session, stanza)
        elif stanza.type == "unavailable" and session.directed is not None:
            session.directed.discard(to)
        await self._leave(session, stanza)

    async def _stamped(self, session: Session, stanza: Stanza) -> Stanza:
        """Available presence with what modules say in it on the client's behalf."""
        hook = session.host.hooks.available_out
        return (await hook.run(Passage(stanza, session))).stanza if hook else stanza

    async def refresh(self, session: Session, change: Callable[[Stanza], Stanza]) -> None:
        """Broadcast the session's presence again, for what a module says in it has changed."""
        if session.presence is None or session in self._at_work:  # it does so just now
            return
        host = session.host.jid
        stanza = session.presence.without(lambda child: child.key == _DELAY and child.get("from") == str(host))
        self._at_work[session] = None
        try:
            stanza = change(stanza)
            session.presence = _dated(stanza, host)
            await self._broadcast(session, stanza)
        finally:
            if (waiting := self._at_work.pop(session)) is not None:
                waiting.set_result(None)

    async def _broadcast(self, session: Session, stanza: Stanza) -> None:
        """To every contact who may see it, and to the account's own resources, itself included (RFC 6121 §4.2.2)."""
        account = session.account
        hosts = self._router.hosts
        items = account.roster.items
        for jid in list(items):
            item = items.get(jid)  # as it is now: a subscription may have ended while another contact was told
            # nobody is at home at a local address that is not in use: the hot case of a big roster costs nothing
            if (
                item is not None
                and seen_by(item)
                and (jid.domain not in hosts or self._accounts.get(jid) is not None)
                and not blocks(account.blocked, account.jid, jid)
            ):
                await self._leave(session, stanza.stamped(to=jid))
        own = stanza.stamped(to=account.jid)
        for other in account.sessions.values():
            if other is session or other.presence is not None:
                other.deliver(own)

    async def _leave(self, session: Session, stanza: Stanza) -> None:
        await self._router.route(Passage(stanza, session), session.host.hooks.presence_out)

    async def _look_around(self, session: Session) -> None:
        """Probe the contacts (RFC 6121 §4.3.1): those here are answered from memory, with one query for the others."""
        account = session.account
        for other in account.available():
            if other is not session and other.presence is not None:
                session.deliver(other.presence.stamped(to=session.jid))
        hosts = self._router.hosts
        absent: set[JID] = set()
        for item in list(account.roster.items.values()):
            if not sees(item) or blocks(account.blocked, account.jid, item.jid):
                continue
            if item.jid.domain not in hosts:
                probe = Stanza.build("presence", sender=account.jid, to=item.jid, type="probe")
                await self._leave(session, probe)
                continue
            contact = self._accounts.get(item.jid)
            if contact is None:
                absent.add(item.jid)
            elif (there := contact.roster.items.get(account.jid)) is not None and seen_by(there):
                self._show(contact, session)
        if absent:
            subscriptions = await self._rosters.subscriptions_to(account.jid)
            for owner in absent:
                if self._is_available(owner):  # since the query: its first presence has come already
                    continue
                if subscriptions.get(owner) in ("from", "both"):
                    session.deliver(_nobody(owner, session.jid))

    def _is_available(self, jid: JID) -> bool:
        account = self._accounts.get(jid)
        return account is not None and bool(account.available())

    def _show(self, contact: Account, session: Session) -> None:
        if blocks(contact.blocked, contact.jid, session.jid):
            session.deliver(_nobody(contact.jid, session.jid))
            return
        shown = contact.available()
        for other in shown:
            if other.presence is not None:
                session.deliver(other.presence.stamped(to=session.jid))
        if not shown:
            session.deliver(_nobody(contact.jid, session.jid))

    # -- to an account of ours

    async def probe(self, host: Host, account: Account | None, stanza: Stanza) -> None:
        """Answer a probe to the account (RFC 6121 §4.3.2)."""
        sender, to = stanza.sender, stanza.to
        assert sender is not None
        assert to is not None
        item = account.roster.items.get(sender.bare) if account is not None else None
        if account is None or (sender.bare != account.jid and (item is None or not seen_by(item))):
            session = account.sessions.get(to.resource) if account is not None else None
            if session is not None and session.directed is not None and sender in session.directed:
                # §4.6: a room asks whether an occupant has gone; that he has not is all that it may know
                await self._router.send(Stanza.build("presence", sender=session.jid, to=sender))
                return
            # whether the account exists is not told
            refusal = Stanza.build("presence", sender=to.bare, to=sender.bare, type="unsubscribed")
            await self._router.send(refusal)
            return
        shown = [other for other in account.available() if to.is_bare or other.resource == to.resource]
        for other in shown:
            if other.presence is not None:
                await self._router.send(other.presence.stamped(to=sender))
        if not shown:
            await self._router.send(_nobody(to, sender))


def _nobody(contact: JID, viewer: JID) -> Stanza:
    """RFC 6121 §4.3.2: the contact has no available resource."""
    return Stanza.build("presence", sender=contact, to=viewer, type="unavailable")


def _dated(stanza: Stanza, host: JID) -> Stanza:
    """The presence as those get it who ask for it later (XEP-0203 §2): with the time of its broadcast."""
    if _DELAY in stanza.keys:
        return stanza
    return stanza.with_child(delay(host, time.time_ns() // 1_000_000 * 1000))


def _priority(stanza: Stanza) -> int:
    """-128 to 127, 0 if it is left out (RFC 6121 §4.7.2.3); raises StanzaError for anything else."""
    element = stanza.child(ns.CLIENT, "priority")
    if element is None or not (text := element.text.strip()):
        return 0
    if _BYTE.fullmatch(text) and -128 <= int(text) <= 127:
        return int(text)
    raise StanzaError("bad-request", "priority is an integer from -128 to 127")
