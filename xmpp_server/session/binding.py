"""Binding of resources (RFC 6120 §7): makes sessions, and ends them."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, Literal

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.routing.account import Account, Accounts
from xmpp_server.routing.account import Session as AnySession
from xmpp_server.routing.host import Host
from xmpp_server.routing.router import Router
from xmpp_server.storage.sessions import Sessions
from xmpp_server.util.tasks import keep

from .counts import Counts
from .managed import Streams
from .presence import Presence
from .resumption import Resumption
from .session import Session, Sink

Conflict = Literal["replace", "refuse", "rename"]
"""What becomes of a resource that is bound already: the old session ends, the new one is refused, or the new one gets
another resource (RFC 6120 §7.7.2.2)."""


_REST: Final = 10.0
"""Seconds that what a client sent before it left may take; what waits for a database longer is lost."""


class Binder:
    """Gives clients their sessions. `limit` is the number of sessions that an account may have."""

    def __init__(
        self,
        router: Router,
        accounts: Accounts,
        presence: Presence,
        sessions: Sessions,
        conflict: Conflict,
        limit: int,
    ) -> None:
        self._router = router
        self._accounts = accounts
        self._presence = presence
        self._ending: dict[AnySession, asyncio.Future[None]] = {}
        self.conflict: Conflict = conflict
        self.limit = limit
        self.counts = Counts(sessions)
        self.resumption = Resumption(sessions, Streams(self.counts, self._end_soon))

    async def bind(self, host: Host, jid: JID, resource: str, sink: Sink) -> Session:
        """A session of the account at this resource (empty: one of our choice); raises StanzaError."""
        full = _full(jid, resource)
        account = await self._accounts.acquire(jid)
        if account is None:
            raise StanzaError("not-authorized", "the account is gone")
        try:
            while True:
                old = account.sessions.get(full.resource)
                if old is None:
                    if len(account.sessions) < self.limit:
                        break
                    # a client that came back without resuming shall not be kept out by what it left behind
                    old = next((session for session in account.sessions.values() if session.hibernates), None)
                    if old is None:
                        raise StanzaError("resource-constraint", "the account has too many sessions")
                elif not old.hibernates and self.conflict == "refuse":
                    raise StanzaError("conflict", "the resource is bound already")
                elif not old.hibernates and self.conflict == "rename":
                    full = _full(jid, "")
                    continue
                # whoever binds the resource while we wait is replaced as well
                old.close(StreamError("conflict", "another client uses this resource"))
                await self._end(old)
            session = Session(full, account, host, self._router, self._presence, sink)
            account.sessions[full.resource] = session
        except BaseException:
            self._accounts.release(account)
            raise
        await host.hooks.session_bound.run(session)
        return session

    def revive(self, account: Account, host: Host, resource: str) -> Session:
        """The session that was bound before a restart, without a connection; `account` is acquired for it."""
        session = Session(account.jid.with_resource(resource), account, host, self._router, self._presence, sink=None)
        account.sessions[resource] = session
        return session

    def disconnected(self, session: Session, sink: Sink) -> None:
        """This connection of the session is gone. The session waits for its client, if it can be resumed, or ends; if
        it goes on over another connection already, nothing becomes of it."""
        if session.sink is not sink:
            return
        managed = session.managed
        if managed is None or not managed.id:
            self._end_soon(session)
            return
        session.release_sink()
        self.resumption.sleep(managed)

    def _end_soon(self, session: Session) -> None:
        keep(self.unbind(session), "unbind")

    async def unbind(self, session: Session) -> None:
        """The session's stream is gone: what came over it is handled, and whoever saw it is told. A second call does
        nothing but wait for that."""
        await session.rest(_REST)
        await self._end(session)

    async def _end(self, session: AnySession) -> None:
        if not session.detach():
            if (ending := self._ending.get(session)) is not None:
                await asyncio.shield(ending)
            return
        account = session.account
        ended = self._ending[session] = asyncio.get_running_loop().create_future()
        try:
            await self._presence.gone(session)
            await session.host.hooks.session_closed.run(session)
        finally:
            if account.sessions.get(session.resource) is session:
                del account.sessions[session.resource]
            self._accounts.release(account)
            del self._ending[session]
            ended.set_result(None)


def _full(account: JID, resource: str) -> JID:
    try:
        return account.with_resource(resource or secrets.token_urlsafe(9))
    except InvalidJID as error:
        raise StanzaError("bad-request", "not a resource") from error
