"""A bound resource: what it sends goes to the hooks and the router, what it gets goes to its outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account
from xmpp_server.routing.effects import Budget, Effect, Receipt
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.resends import Beginnings
from xmpp_server.routing.router import Router
from xmpp_server.util.tasks import keep

from .inbound import Inbound
from .managed import Managed
from .presence import Presence


class Sink(Protocol):
    """Where a session's bytes go: a connection of any kind."""

    def write(self, data: bytes) -> bool:
        """Append to what is sent at the end of this turn of the loop; False: it is closed, or its bound is reached."""
        ...

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call this once, when what was appended so far has been given to the socket; never, if it is closed before."""
        ...

    async def drained(self) -> bool:
        """Wait until what was written has left; False: it is closed."""
        ...

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with this error, if there is one."""
        ...


_MOST_HELD: Final = 1_000_000  # octets
_MOST_UNDER_WAY: Final = 1_000_000  # octets
_ENVELOPE: Final = 500


class Session:
    """One bound resource (`routing.account.Session` says what the attributes mean)."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_held",
        "_held_size",
        "_holds",
        "_presence",
        "_router",
        "_unwritten",
        "account",
        "beginnings",
        "blocklist_pushes",
        "budget",
        "carbons",
        "commit",
        "directed",
        "host",
        "inbound",
        "interested",
        "interests",
        "jid",
        "managed",
        "presence",
        "priority",
        "sink",
    )

    def __init__(
        self, jid: JID, account: Account, host: Host, router: Router, presence: Presence, sink: Sink | None
    ) -> None:
        self.jid = jid
        self.account = account
        self.host = host
        self._router = router
        self._presence = presence
        self._ended = False
        self.sink: Sink | None = sink
        """Where what it gets goes to; None while its client is away, and at its end."""
        self.managed: Managed | None = None
        """Its stream management, once the client has enabled it."""
        self._holds = 0
        self._held: list[tuple[Stanza, Receipt | None]] | None = None
        self._held_size = 0
        self._unwritten: list[Receipt] = []
        """Receipts for what is in the outbox: written counts as acknowledged."""
        self.presence: Stanza | None = None
        self.priority: int | None = None
        self.interested = False
        self.interests: frozenset[str] | None = None
        self.carbons = False
        self.blocklist_pushes = False
        self.budget = Budget(_MOST_UNDER_WAY)
        self.commit: asyncio.Future[Any] | None = None
        self.beginnings: Beginnings | None = None
        self.inbound = Inbound(self, router, presence)
        """What its client sent and waits."""
        self.directed: set[JID] | None = None
        """Whom it sent directed presence to and who is not told by its broadcasts (RFC 6121 §4.6)."""

    @property
    def resource(self) -> str:
        return self.jid.resource

    @property
    def is_managed(self) -> bool:
        """Whether its client has enabled stream management."""
        return self.managed is not None

    @property
    def can_resume(self) -> bool:
        """Whether its client may come back to it when its connection is lost."""
        return self.managed is not None and bool(self.managed.key)

    @property
    def hibernates(self) -> bool:
        """Whether it waits for its client to come back."""
        return self.sink is None and not self._ended

    # -- to the client

    def deliver(self, stanza: Stanza, receipt: Receipt | None = None) -> bool:
        """Put the stanza into the outbox. Never waits. False: the session is gone, or its outbox is full."""
        if self._holds and stanza.name == "message":
            return not self._ended and self._hold_back(stanza, receipt)
        managed = self.managed
        if managed is None:
            return self.deliver_bytes(stanza.to_bytes(), receipt)
        claim = stanza if receipt is None and stanza.name == "iq" and stanza.type in _REQUEST_TYPES else receipt
        return managed.send(stanza.to_bytes(), claim, self.sink)

    def deliver_bytes(self, data: bytes, receipt: Receipt | None = None) -> bool:
        """The same for a stanza that was kept as bytes which name their namespace, and past what is held back."""
        if self.managed is not None:
            return self.managed.send(data, receipt, self.sink)
        sink = self.sink
        if sink is None or not sink.write(data):
            return False
        if receipt is not None:
            unwritten = self._unwritten
            unwritten.append(receipt)
            if len(unwritten) == 1:
                sink.when_written(self._written)
        return True

    def _written(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for receipt in unwritten:
            receipt.acknowledged(self)

    async def drained(self) -> bool:
        """Wait until the client has nearly all of what was delivered, or without stream management its connection;
        False: the session is gone, or waits for its client."""
        if self.managed is not None:
            return await self.managed.drained()
        return self.sink is not None and await self.sink.drained()

    def hurry(self) -> None:
        """Ask the client now for what it has got, if it counts stanzas (XEP-0198 §4)."""
        if self.managed is not None:
            self.managed.hurry()

    async def hurried(self, seconds: float) -> None:
        """Ask, and wait for the answer to what was sent until now, no longer than this."""
        if self.managed is not None:
            await self.managed.hurried(seconds)

    def hold(self) -> None:
        """Hold live messages back until `release` is called as often, for what is older goes first."""
        self._holds += 1

    def release(self) -> None:
        """Deliver what was held back, if nobody else holds."""
        self._holds -= 1
        if self._holds or self._held is None:
            return
        held, self._held, self._held_size = self._held, None, 0
        delivered = True
        for stanza, receipt in held:
            delivered = delivered and self.deliver(stanza, receipt)
            if not delivered and receipt is not None:
                receipt.lost(self)

    @property
    def held(self) -> Sequence[tuple[Stanza, Receipt | None]]:
        """What is held back, oldest first."""
        return self._held or ()

    def oldest_held(self) -> Receipt | None:
        """The first receipt of what is held back."""
        return next((receipt for _, receipt in self.held if receipt is not None), None)

    def _hold_back(self, stanza: Stanza, receipt: Receipt | None) -> bool:
        size = len(stanza.payload) + _ENVELOPE
        if self._held_size + size > _MOST_HELD:
            return False
        self._held_size += size
        if self._held is None:
            self._held = []
        self._held.append((stanza, receipt))
        return True

    def close(self, error: StreamError | None = None) -> None:
        """End the session and its stream, with this error if there is one."""
        managed = self.managed
        if managed is not None:
            managed.forgo()
        if self.sink is not None:
            self.sink.close(error)
        elif managed is not None and not self._ended:
            managed.end_session()

    # -- from the client

    async def receive(self, stanza: Stanza) -> Effect | None:
        """Take a stanza that the client sent, and return what it brings about and does not stand yet; while too much of
        that waits, not before it is less. Raises StreamError for a forged `from` (RFC 6120 §8.1.2.1)."""
        sender = stanza.sender
        if sender is not None and sender != self.jid and sender != self.account.jid:
            raise StreamError("invalid-from")
        effect = self.inbound.take(stanza)
        if self.budget.used > self.budget.most:
            await self.budget.room()
        return effect

    async def rest(self, seconds: float) -> None:
        """Return when all that its client sent is handled, and no later than this."""
        await self.inbound.rest(seconds)

    # -- without a connection

    def release_sink(self, error: StreamError | None = None) -> None:
        """The connection is gone, or ends now with this error; the session waits for another one."""
        sink, self.sink = self.sink, None
        self._lose_unwritten()
        if sink is not None:
            sink.close(error)

    def attach(self, sink: Sink) -> None:
        """The client is back: it gets what it has not acknowledged."""
        self.sink = sink
        if self.managed is not None:
            self.managed.resend(sink)

    def lose(self) -> None:
        """What was not acknowledged is lost, and nothing is delivered any more."""
        self._lose_unwritten()
        if self.managed is not None:
            for request in self.managed.lose():
                keep(self._router.bounce(Passage(request), StanzaError("service-unavailable")), "bounce")

    def _lose_unwritten(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for receipt in unwritten:
            receipt.lost(self)

    def detach(self) -> bool:
        """Nothing is delivered from here on, and what was not acknowledged is lost; False if that was so before."""
        if self._ended:
            return False
        self._ended = True
        self.sink = None
        self.inbound.drop()
        self.lose()
        return True


_REQUEST_TYPES = frozenset(("get", "set"))
