"""A session's stream under stream management: acknowledgements asked for and given, and what outlives a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.effects import Receipt
from xmpp_server.stream.management import EVERY, Management

from .counts import Counts

if TYPE_CHECKING:
    from .session import Session, Sink

_TAIL: Final = 0.15
"""Seconds after which the client is asked for the last few stanzas: before the ledger writes them down."""
_LATE: Final = 2.0
"""The same for what nobody keeps until then, such as what a room reflects to all that are in it."""
_LITTLE: Final = 2048
"""Octets in the queue that are not worth a question of their own."""
_BURST: Final = 65_536
"""Octets that may wait for an acknowledgement while more of what is kept is sent, and before it is asked for."""
_CONNECTED: Final = 3
"""How many times its limit the queue of a client may take that is connected, and so will acknowledge it soon."""


class Streams:
    """What the streams of all sessions share. `end` ends a session for good."""

    def __init__(self, counts: Counts, end: Callable[[Session], None]) -> None:
        self.counts = counts
        self.end = end
        self.by_key: dict[bytes, Managed] = {}
        """Those that can be resumed."""
        self._tail: list[Managed] = []
        self._late: list[Managed] = []

    def ask_soon(self, stream: Managed) -> None:
        """Ask this client for what it has, in a while."""
        if not self._tail:
            asyncio.get_running_loop().call_later(_TAIL, self._ask)
        self._tail.append(stream)

    def ask_late(self, stream: Managed) -> None:
        """Ask this client for what it has, in a long while."""
        if not self._late:
            asyncio.get_running_loop().call_later(_LATE, self._ask_late)
        self._late.append(stream)

    def _ask(self) -> None:
        streams, self._tail = self._tail, []
        for stream in streams:
            stream.soon = False
            stream.ask_for_tail()

    def _ask_late(self) -> None:
        streams, self._late = self._late, []
        for stream in streams:
            stream.late = False
            stream.ask_for_tail()


class Managed(Management):
    """Stream management of one session.

    `limit` bounds the queue of a client that is away, in octets; beyond it the session ends. With -1 it has ended.
    `key` is the digest of the id, empty for a stream that cannot be resumed. `timer` runs while there is no connection,
    `claim` tells who is resuming. `soon` and `late`: the client will be asked for what it has.
    """

    __slots__ = (
        *("_again", "_hurried", "_streams", "_waiting", "claim", "key", "late", "limit", "session", "soon", "timer"),
        "unsaved",
    )

    def __init__(
        self, session: Session, streams: Streams, ns: str, limit: int, id: str = "", key: bytes = b"", seconds: int = 0
    ) -> None:
        super().__init__(ns, id, seconds)
        self.session = session
        self.limit = limit
        self.key = key
        self.unsaved = False
        self.timer: asyncio.TimerHandle | None = None
        self.claim: object = None
        self._streams = streams
        self.soon = False
        self.late = False
        self._again = False
        """Whether the client is to be asked once more as soon as it answers."""
        self._hurried = False
        """Whether something was sent, since the client was asked last, that is kept until it is acknowledged."""
        self._waiting: asyncio.Future[None] | None = None
        if key:
            streams.by_key[key] = self

    @property
    def owner(self) -> JID:
        """The account."""
        return self.session.account.jid

    # -- to the client

    def send(self, data: bytes, claim: Receipt | Stanza | None, sink: Sink | None) -> bool:
        """Write the stanza, or keep it until the stream is resumed. `claim` is told of its end: a receipt, or a request
        that is to be answered. False: the session has ended, or ends now, for its queue is full."""
        if self.size + len(data) > (self.limit if sink is None else self.limit * _CONNECTED):
            if self.limit >= 0:
                self._overflow()
            return False
        written = sink is not None and sink.write(data)
        if not written and not self.id:
            return False
        self.push(data, claim)
        if claim is not None and (type(claim) is Stanza or claim.kept):  # type: ignore[union-attr]
            self._hurried = True
        if sink is not None and written and not self.asked:
            if self.awaited >= EVERY or self.size > _BURST:
                sink.write(self.ask())
            elif claim is not None:
                self._ask_in_time()
        return True

    def ask(self) -> bytes:
        self._again = self._hurried = False
        return super().ask()

    def _ask_in_time(self) -> None:
        if self._hurried:
            if not self.soon:
                self.soon = True
                self._streams.ask_soon(self)
        elif not self.late:
            self.late = True
            self._streams.ask_late(self)

    def ask_for_tail(self) -> None:
        """Ask for what was sent since the last time, if somebody waits for it."""
        sink = self.session.sink
        if self.awaited and not self.asked and sink is not None:
            sink.write(self.ask())

    def hurry(self) -> None:
        """Ask for what was sent since the last time now, for somebody waits for it; or when the last question is
        answered."""
        self.ask_for_tail()
        self._again = self.awaited > 0

    async def hurried(self, seconds: float) -> None:
        """Ask, and wait until the client has what was sent until now, or has no connection; no longer than this."""
        sent = self.sent
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self.hurry()
        while self.session.sink is not None and self.asked and self.acknowledged < sent and loop.time() < deadline:
            await self._change(deadline - loop.time())

    def accept(self, h: int) -> None:
        """The client says that it has all up to h; raises StreamError if that was not sent."""
        session = self.session
        for claim in self.acknowledge(h):
            if type(claim) is not Stanza:
                claim.acknowledged(session)  # type: ignore[attr-defined]
        if self._again:
            self.ask_for_tail()
        if self.awaited:
            self._ask_in_time()
        if self._waiting is not None:
            self._wake()

    async def drained(self) -> bool:
        """Wait until the client has nearly all that was sent; False: it has no connection any more."""
        while (sink := self.session.sink) is not None:
            if not await sink.drained():
                return False
            if self.size < _BURST:
                return True
            if not self.asked:
                sink.write(self.ask())
            await self._change()
        return False

    def resend(self, sink: Sink) -> None:
        """The stream goes on here: send again what was not acknowledged (§5)."""
        self.asked = False
        sent = False
        for data, _ in list(self.queue):
            sent = True
            if not sink.write(data):
                return
        if sent:
            sink.write(self.ask())

    # -- from the client

    async def receive(self, stanza: Stanza) -> None:
        """Handle a stanza that the client sent, and count it; raises what `Session.receive` raises."""
        while self.busy:  # the last one that came over a connection which is no more
            await self._change()
        if not self.begin():
            return
        effect = await self.session.receive(stanza)
        self.end(effect)
        if effect is not None and not effect.done:
            effect.when_standing(self._stands)
        else:
            self._moved()

    def count(self) -> None:
        """A stanza came that could not be handled, and was answered."""
        if self.begin():
            self.end(None)
            self._moved()

    def requested(self) -> None:
        """Answer the client's request; and as it is awake, ask in return."""
        sink = self.session.sink
        if sink is None:
            return
        sink.write(self.answer())
        if self.short and self.handled > self.saved and self.id:
            self._streams.counts.save(self)
        if not self.asked and (self.awaited or self.size > _LITTLE):
            sink.write(self.ask())

    def _stands(self) -> None:
        self.settle()
        self._moved()

    def _moved(self) -> None:
        if self._waiting is not None:
            self._wake()
        if not self.id:
            self._tell()
        elif self.handled > self.saved:
            if self.short:
                self._streams.counts.save(self)
            elif not self.unsaved:
                self._streams.counts.note(self)

    def was_saved(self, handled: int) -> None:
        """So much will be found after a restart: the client may be told."""
        if handled > self.saved:
            self.saved = handled
        self._tell()
        if self._waiting is not None:
            self._wake()
        if self.id and self.handled > self.saved:
            self._moved()

    def _tell(self) -> None:
        """`<a/>` unasked to a client whose last request was answered with less than it is now."""
        sink = self.session.sink
        if self.short and sink is not None and self.h > self.told:
            sink.write(self.answer())

    async def rest(self, seconds: float) -> None:
        """Wait until all that was received is handled and saved, and no longer than this."""
        received = self.received
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.settled or self.saved < received:
            if self.handled > self.saved:
                self._streams.counts.save(self)
            await self._change(deadline - loop.time())
            if loop.time() >= deadline:
                return

    async def _change(self, seconds: float | None = None) -> None:
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._waiting,), timeout=seconds)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set_result(None)

    # -- the end

    def forgo(self) -> None:
        """The stream cannot be resumed from here on."""
        if self.key:
            self._streams.by_key.pop(self.key, None)
        self.id = ""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def lose(self) -> list[Stanza]:
        """The session has ended: who waits for acknowledgements is told. Returns requests that get no answer."""
        self.forgo()
        self.limit = -1
        requests: list[Stanza] = []
        for _, claim in self.drain():
            if isinstance(claim, Stanza):
                requests.append(claim)
            elif claim is not None:
                claim.lost(self.session)  # type: ignore[attr-defined]
        self._wake()
        return requests

    def end_session(self) -> None:
        """End the session that has no connection."""
        self._streams.end(self.session)

    def left(self) -> None:
        """The client closed its stream: nobody will ask how much was handled."""
        if self.key:
            self._streams.counts.forget(self.owner, self.key)

    def _overflow(self) -> None:
        session = self.session
        session.lose()
        session.close(StreamError("resource-constraint", "too much waits for your acknowledgement"))
        self._streams.end(session)
