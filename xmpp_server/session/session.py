"""A bound resource: what it sends goes to the hooks and the router, what it gets goes to its outbox."""

from __future__ import annotations

from typing import Protocol

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

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with this error, if there is one."""
        ...


class Session:
    """One bound resource (`routing.account.Session` says what the attributes mean)."""

    __slots__ = (
        "__weakref__",
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
        return self._sink is not None and self._sink.write(stanza.to_bytes())

    def deliver_bytes(self, data: bytes) -> bool:
        """The same for a stanza that was kept as bytes which name their namespace."""
        return self._sink is not None and self._sink.write(data)

    def close(self, error: StreamError | None = None) -> None:
        """End the stream, with this error if there is one."""
        if self._sink is not None:
            self._sink.close(error)

    # -- from the client

    async def receive(self, stanza: Stanza) -> None:
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
            await self._router.leave(passage, hooks.message_out)
        elif name == "iq":
            passage = Passage(stanza.stamped(sender=self.jid, to=to or self.account.jid), self)
            if stanza.type not in _IQ_TYPES or not stanza.id:
                await self._router.bounce(passage, StanzaError("bad-request", "an iq has an id and a known type"))
            else:
                await self._router.leave(passage, hooks.iq_out)
        else:
            await self._presence.receive(self, stanza.stamped(sender=self.jid))

    def detach(self) -> bool:
        """Nothing is delivered from here on; False if that was so before."""
        was_attached = self._sink is not None
        self._sink = None
        return was_attached


_IQ_TYPES = frozenset(("get", "set", "result", "error"))
