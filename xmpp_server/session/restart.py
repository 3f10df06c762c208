"""Sessions over a restart: saved when the server stops, there again when it starts (XEP-0198 §5).

What a session's client did not acknowledge is saved as it was sent; a message that is worth keeping stands in the
inbox as well, and goes from there when the client acknowledges it, as if nothing had happened in between. After a
crash there is nothing of this but the count, and a client that comes back starts anew.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
import structlog

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.effects import Receipt
from xmpp_server.routing.entry import WRITTEN, Entry
from xmpp_server.routing.ledger import Ledger
from xmpp_server.routing.router import Router
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.sessions import SavedSession, Sessions
from xmpp_server.stream.framing import Framer, Limits

from .binding import Binder
from .managed import Managed
from .session import Session

_log = structlog.get_logger()

_TOGETHER: Final = 100  # sessions written in one transaction, or loaded at the same time
_HEADER: Final = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"


class _State(msgspec.Struct, array_like=True):
    """All of a session that its client relies on. `queue` holds each stanza and its id in the inbox, or 0; `held` the
    same of the messages that were held back."""

    resource: str
    ns: str
    seconds: int
    limit: int
    acknowledged: int
    queue: list[tuple[bytes, int]]
    presence: bytes
    priority: int
    interested: bool
    carbons: bool
    blocklist_pushes: bool
    directed: list[str]
    interests: list[str] | None = None
    held: list[tuple[bytes, int]] = []


class Restart:
    """Takes sessions over a restart."""

    def __init__(self, router: Router, accounts: Accounts, ledger: Ledger, sessions: Sessions, binder: Binder) -> None:
        self._router = router
        self._accounts = accounts
        self._ledger = ledger
        self._sessions = sessions
        self._binder = binder

    async def save(self) -> None:
        """Save all sessions that wait for their clients, once the ledger is closed and nobody is connected."""
        await self._binder.counts.flush()  # before, for a count takes the place of all that was saved of its session
        now = time.time_ns() // 1000
        waiting = [stream for stream in self._binder.resumption.streams.by_key.values() if stream.session.hibernates]
        try:
            for start in range(0, len(waiting), _TOGETHER):
                await self._sessions.write(_saved(stream, now) for stream in waiting[start : start + _TOGETHER])
        except StorageError as error:
            _log.error("sessions_not_saved", sessions=len(waiting), error=str(error))

    async def restore(self) -> int:
        """Bring back the sessions that were saved; how many there are. Raises StorageError."""
        saved = await self._sessions.take()
        restored: list[Session] = []
        for start in range(0, len(saved), _TOGETHER):
            made = await asyncio.gather(*(self._restore(one) for one in saved[start : start + _TOGETHER]))
            restored += [session for session in made if session is not None]
        for session in restored:
            queue = session.managed.queue if session.managed is not None else ()
            for _, claim in (*queue, *session.held):
                if isinstance(claim, Entry) and not claim.sent:
                    claim.complete()
            await session.host.hooks.session_restored.run(session)
            session.release()
        return len(restored)

    async def _restore(self, saved: SavedSession) -> Session | None:
        assert saved.state is not None
        state = msgspec.msgpack.decode(saved.state, type=_State)
        host = self._router.hosts.get(saved.account.domain)
        account = await self._accounts.acquire(saved.account) if host is not None else None
        if host is None or account is None:
            return None
        session = self._binder.revive(account, host, state.resource)
        session.presence = _stanza(state.presence) if state.presence else None
        session.priority = state.priority if state.presence else None
        session.interested = state.interested
        session.carbons = state.carbons
        session.blocklist_pushes = state.blocklist_pushes
        session.interests = frozenset(state.interests) if state.interests is not None else None
        session.directed = {JID.parse(jid) for jid in state.directed} or None
        managed = self._binder.resumption.revive(session, state.ns, state.limit, saved.key, state.seconds)
        managed.received = managed.saved = managed.told = saved.handled
        managed.sent = managed.acknowledged = state.acknowledged
        for data, id in state.queue:
            managed.push(data, self._claim(session, id) if id else None)
        session.hold()  # until it is known whether something older goes before
        for data, id in state.held:
            session.deliver(_stanza(data), self._claim(session, id) if id else None)
        return session

    def _claim(self, session: Session, id: int) -> Receipt:
        line = session.account.line
        entry = line.rows.get(id) if line is not None else None
        if entry is None:
            entry = self._ledger.take_up(session.account, id)
        entry.sessions.append(session)
        return entry


def _saved(stream: Managed, now: int) -> SavedSession:
    session = stream.session
    state = _State(
        resource=session.resource,
        ns=stream.ns,
        seconds=stream.seconds,
        limit=stream.limit,
        acknowledged=stream.acknowledged,
        queue=[(data, _row(claim)) for data, claim in stream.queue],
        presence=session.presence.to_bytes() if session.presence is not None else b"",
        priority=session.priority or 0,
        interested=session.interested,
        carbons=session.carbons,
        blocklist_pushes=session.blocklist_pushes,
        directed=[str(jid) for jid in session.directed or ()],
        interests=sorted(session.interests) if session.interests is not None else None,
        held=[(stanza.to_bytes(), _row(receipt)) for stanza, receipt in session.held],
    )
    return SavedSession(stream.owner, stream.key, stream.handled, now, msgspec.msgpack.encode(state))


def _row(claim: object) -> int:
    return claim.row if isinstance(claim, Entry) and claim.state is WRITTEN else 0


def _stanza(data: bytes) -> Stanza:
    framer = Framer(Limits(max_bytes=len(data) + 1000, max_depth=1000, max_attributes=1000))
    framer.feed(_HEADER + data)
    framer.next_event()
    stanza = framer.next_event()
    assert isinstance(stanza, Stanza)
    return stanza
