"""A bound resource: what it sends goes to the hooks and the router, what it gets goes to its outbox."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.router import Router

from .presence import Presence


class Sink(Protocol):
    """Where a session's bytes go: a connection of any kind."""

    def write(self, data: bytes) -> bool:
        """Append to what is sent at the end of this turn of the loop; False: it is closed, or its bound is reached."""
        ...

    async def drained(self) -> bool:
        """Wait until what was written has left; False: it is closed."""
        ...

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with this error, if there is one."""
        ...


_MOST_HELD: Final = 1_000_000  # octets
_ENVELOPE: Final = 500


class Session:
    """One bound resource (`routing.account.Session` says what the attributes mean)."""

    __slots__ = (
        "__weakref__",
        "_held",
        "_held_size",
        "_holds",
        "_presence",
        "_router",
        "_sink",
        "account",
        "blocklist_pushes",
        "carbons",
        "directed",
        "host",
        "interested",
        "jid",
        "presence",
        "priority",
    )

    def __init__(self, jid: JID, account: Account, host: Host, router: Router, presence: Presence, sink: Sink) -> None:
        self.jid = jid
        self.account = account
        self.host = host
        self._router = router
        self._presence = presence
        self._sink: Sink | None = sink
        self._holds = 0
        self._held: list[Stanza] | None = None
        self._held_size = 0
        self.presence: Stanza | None = None
        self.priority: int | None = None
        self.interested = False
        self.carbons = False
        self.blocklist_pushes = False
        self.directed: set[JID] | None = None
        """Whom it sent directed presence to and who is not told by its broadcasts (RFC 6121 §4.6)."""

    @property
    def resource(self) -> str:
        return self.jid.resource

    # -- to the client

    def deliver(self, stanza: Stanza) -> bool:
        """Put the stanza into the outbox. Never waits. False: the session is gone, or its outbox is full."""
        if self._holds and stanza.name == "message":
            return self._sink is not None and self._hold_back(stanza)
        return self._sink is not None and self._sink.write(stanza.to_bytes())

    def deliver_bytes(self, data: bytes) -> bool:
        """The same for a stanza that was kept as bytes which name their namespace, and past what is held back."""
        return self._sink is not None and self._sink.write(data)

    async def drained(self) -> bool:
        """Wait until the client's connection took what was delivered; False: the session is gone."""
        return self._sink is not None and await self._sink.drained()

    def hold(self) -> None:
        """Hold live messages back until `release` is called as often, for what is older goes first."""
        self._holds += 1

    def release(self) -> list[Stanza]:
        """Deliver what was held back, if nobody else holds; returns what could not be delivered any more."""
        self._holds -= 1
        if self._holds or self._held is None:
            return []
        held, self._held, self._held_size = self._held, None, 0
        for i, stanza in enumerate(held):
            if not self.deliver(stanza):
                return held[i:]
        return []

    def _hold_back(self, stanza: Stanza) -> bool:
        size = len(stanza.payload) + _ENVELOPE
        if self._held_size + size > _MOST_HELD:
            return False
        self._held_size += size
        if self._held is None:
            self._held = []
        self._held.append(stanza)
        return True

    def close(self, error: StreamError | None = None) -> None:
        """End the stream, with this error if there is one."""
        if self._sink is not None:
            self._sink.close(error)

    # -- from the client

    def receive(self, stanza: Stanza) -> Coroutine[Any, Any, None]:
        """Handle a stanza that the client sent; raises StreamError for a forged `from` (RFC 6120 §8.1.2.1)."""
        sender = stanza.sender
        if sender is not None and sender != self.jid and sender != self.account.jid:
            raise StreamError("invalid-from")
        to = stanza.to
        hooks = self.host.hooks
        name = stanza.name
        if name == "message":
            # RFC 6120 §10.3.1: without `to` it is for the account itself
            passage = Passage(stanza.stamped(sender=self.jid, to=to or self.account.jid), self)
            return self._router.route(passage, hooks.message_out)
        if name == "iq":
            passage = Passage(stanza.stamped(sender=self.jid, to=to or self.account.jid), self)
            if stanza.type not in _IQ_TYPES or not stanza.id:
                return self._router.bounce(passage, StanzaError("bad-request", "an iq has an id and a known type"))
            return self._router.route(passage, hooks.iq_out)
        return self._presence.receive(self, stanza.stamped(sender=self.jid))

    def detach(self) -> bool:
        """Nothing is delivered from here on; False if that was so before."""
        was_attached = self._sink is not None
        self._sink = None
        return was_attached


_IQ_TYPES = frozenset(("get", "set", "result", "error"))
