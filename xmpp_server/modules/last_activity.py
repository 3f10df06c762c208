"""How long the host has been up, and since when a user is away.

Who is available was active just now. Somebody who is connected without being available counts as away, for this is
what those who ask may know of him; nothing is noted of a session that never was available. Whoever may not see a
user's presence is told `forbidden`, the same if there is no such account (§8).

XEP: 0012 (2.0) complete
"""

from __future__ import annotations

import time
from collections.abc import Awaitable

from xmpp_server.module import Module, iq_get, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.routing.account import Accounts, Session
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Passage
from xmpp_server.routing.iq import Request, Target
from xmpp_server.routing.router import Router
from xmpp_server.storage.last_activity import LastActivities

_NS = "jabber:iq:last"
_QUERY = qname(_NS, "query")


class LastActivity(Module):
    """Notes when a user's resource goes away, and answers for hosts and accounts."""

    name = "last_activity"
    features = (_NS,)
    account_features = (_NS,)

    def __init__(self, router: Router, accounts: Accounts, repository: LastActivities) -> None:
        self._router = router
        self._accounts = accounts
        self._repository = repository
        self._started = time.monotonic()

    @iq_get(_NS, "query", Target.HOST)
    def uptime(self, request: Request) -> Element:
        """§5."""
        return _answer(int(time.monotonic() - self._started))

    @iq_get(_NS, "query", Target.OWN, Target.ACCOUNT)
    async def away(self, request: Request) -> Element:
        """§3; `item-not-found` if the user never was there."""
        if not await self._accounts.may_see(request.sender, request.to):
            raise StanzaError("forbidden")
        account = self._accounts.get(request.to)
        if account is not None and account.available():
            return _answer(0)
        last = await self._repository.get(request.to)
        if last is None:
            raise StanzaError("item-not-found")
        return _answer(max(0, time.time_ns() // 1000 - last.at) // 1_000_000, last.status)

    @on("iq_out", Stage.GUARD)
    def ask_a_resource(self, passage: Passage) -> Awaitable[None] | None:
        """§4: what may not be answered does not get to a resource of ours."""
        stanza = passage.stanza
        if stanza.type == "get" and _QUERY in stanza.keys:
            return self._guard(stanza)
        return None

    async def _guard(self, stanza: Stanza) -> None:
        to, sender = stanza.to, stanza.sender
        assert to is not None
        assert sender is not None
        if to.is_bare or not to.localpart or to.domain not in self._router.hosts:
            return
        if not await self._accounts.may_see(sender, to.bare):
            raise StanzaError("forbidden")

    @on("session_unavailable")
    def note(self, gone: tuple[Session, Stanza]) -> None:
        """The last resource decides; that of one that leaves before it counts if the server dies before that."""
        session, presence = gone
        status = presence.child(ns.CLIENT, "status")
        self._repository.put(session.account.jid, time.time_ns() // 1000, status.text if status is not None else "")


def _answer(seconds: int, status: str = "") -> Element:
    return Element(_NS, "query", {"seconds": str(seconds)}, [status] if status else [])
