"""What a session's client sends, in its order.

A stanza that has to wait, for a commit, the database or somebody else, does not keep the client from being read: what
comes behind it waits in memory, and counts against the session's budget. Messages that wait for their commits go on in
their order by themselves. What only asks us something goes past them, and a ping and the answer to one past everything:
RFC 6120 §10.1 wants order between two entities only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.routing.effects import Effect, Later
from xmpp_server.routing.host import Passage
from xmpp_server.routing.router import Router
from xmpp_server.util.tasks import Lane, hold, run_eagerly, run_to_gate

from .presence import Presence

if TYPE_CHECKING:
    from .session import Session

_log = structlog.get_logger()

_ENVELOPE: Final = 500  # octets that a stanza takes beside its payload, about
_AT_ONCE: Final = 50
"""Stanzas that waited and are handled in one turn of the loop."""
_IQ_TYPES: Final = frozenset(("get", "set", "result", "error"))
_PING: Final = [qname("urn:xmpp:ping", "ping")]


class Inbound:
    """The stanzas of one session that wait."""

    __slots__ = ("_blocker", "_change", "_gated", "_lane", "_presence", "_queue", "_router", "_session")

    def __init__(self, session: Session, router: Router, presence: Presence) -> None:
        self._session = session
        self._router = router
        self._presence = presence
        self._gated = 0
        """Messages that wait for their commits, and go on in their order."""
        self._lane = Lane()
        self._blocker: asyncio.Future[None] | None = None
        """What waits for something else, and those in the queue for it."""
        self._queue: deque[tuple[Stanza, Later]] | None = None
        self._change: asyncio.Future[None] | None = None

    def take(self, stanza: Stanza) -> Effect | None:
        """Handle it now or in its turn; what it brings about and does not stand yet."""
        if stanza.name == "iq" and stanza.type != "set" and self._is_free(stanza):
            task = run_eagerly(self._iq(stanza))
            return None if task is None else self._aside(task, stanza)
        if self._blocker is None:
            self._wait_for_lane()
        if self._blocker is not None:
            later = self._later(stanza)
            if self._queue is None:
                self._queue = deque()
            self._queue.append((stanza, later))
            return later
        return self._begin(stanza)

    async def rest(self, seconds: float) -> None:
        """Return when all that was taken is handled, and no later than this."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (self._blocker is not None or self._gated) and loop.time() < deadline:
            await self._changed(deadline - loop.time())

    def drop(self) -> None:
        """Forget what is not begun: with stream management the client sends it again."""
        for _, later in self._queue or ():
            self._session.budget.give(later.size)
        self._queue = None

    # -- handling

    def _begin(self, stanza: Stanza) -> Effect | None:
        session = self._session
        if stanza.name == "message":
            # RFC 6120 §10.3.1: without `to` it is for the account itself
            passage = Passage(stanza.stamped(sender=session.jid, to=stanza.to or session.account.jid), session)
            waits_for = run_to_gate(self._message(passage), self._lane)
            if waits_for is None:
                return passage.effect
            later = passage.later = self._later(stanza)
            later.gated = True
            self._gated += 1
            if isinstance(waits_for, asyncio.Task):
                self._block(waits_for)  # until it has its place behind a gate
            return later
        handled = self._iq(stanza) if stanza.name == "iq" else self._presence.receive(session, self._stamped(stanza))
        if self._gated and not (stanza.name == "iq" and stanza.type == "get" and self._is_for_us(stanza)):
            task = asyncio.get_running_loop().create_task(self._behind(handled))
        elif (started := run_eagerly(handled)) is None:
            return None
        else:
            task = started
        later = self._later(stanza)
        self._block(task, later)
        return later

    async def _message(self, passage: Passage) -> None:
        await self._router.route(passage, self._session.host.hooks.message_out)
        later = passage.later
        if later is not None:
            self._session.budget.give(later.size)
            later.follow(passage.effect)
            if later.gated:
                self._gated -= 1
                if not self._gated and self._change is not None:
                    self._wake()

    async def _iq(self, stanza: Stanza) -> None:
        session = self._session
        passage = Passage(stanza.stamped(sender=session.jid, to=stanza.to or session.account.jid), session)
        if stanza.type not in _IQ_TYPES or not stanza.id:
            await self._router.bounce(passage, StanzaError("bad-request", "an iq has an id and a known type"))
        else:
            await self._router.route(passage, session.host.hooks.iq_out)

    async def _behind(self, handled: Coroutine[Any, Any, None]) -> None:
        while self._gated:
            await self._changed()
        await handled

    def _stamped(self, stanza: Stanza) -> Stanza:
        return stanza.stamped(sender=self._session.jid)

    def _is_for_us(self, stanza: Stanza) -> bool:
        """Whether it is for the account itself or a host."""
        to = stanza.to
        if to is None or to == self._session.account.jid:
            return True
        return not to.localpart and not to.resource and to.domain in self._router.hosts

    def _is_free(self, stanza: Stanza) -> bool:
        return (stanza.type != "get" or stanza.keys == _PING) and self._is_for_us(stanza)

    # -- waiting

    def _later(self, stanza: Stanza) -> Later:
        later = Later(len(stanza.payload) + _ENVELOPE)
        self._session.budget.take(later.size)
        return later

    def _aside(self, task: asyncio.Task[None], stanza: Stanza) -> Later:
        later = self._later(stanza)

        def done(task: asyncio.Task[None]) -> None:
            self._session.budget.give(later.size)
            later.stands()

        hold(task).add_done_callback(done)
        return later

    def _block(self, task: asyncio.Task[None], later: Later | None = None) -> None:
        """What comes next waits for this; `later` is what stands then, where that is not known from the passage."""

        def done(task: asyncio.Task[None]) -> None:
            if later is not None:
                self._session.budget.give(later.size)
                later.stands()
            if not task.cancelled() and task.exception() is not None:
                self._session.close(StreamError("internal-server-error"))
            self._go_on()

        self._blocker = hold(task)
        task.add_done_callback(done)

    def _wait_for_lane(self) -> None:
        """What comes next waits for a message that was committed, and has to wait for something else since."""
        if self._lane.is_blocked:
            last = self._blocker = self._lane.last
            assert last is not None
            last.add_done_callback(lambda _: self._go_on())

    def _go_on(self) -> None:
        self._blocker = None
        self._wait_for_lane()
        queue = self._queue
        for _ in range(_AT_ONCE):
            if not queue or self._blocker is not None:
                break
            stanza, later = queue.popleft()
            self._session.budget.give(later.size)
            later.follow(self._begin(stanza))
        if not queue:
            self._queue = None
        elif self._blocker is None:
            loop = asyncio.get_running_loop()
            self._blocker = loop.create_future()
            loop.call_soon(self._go_on)
        if self._change is not None:
            self._wake()

    async def _changed(self, seconds: float | None = None) -> None:
        if self._change is None:
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._change,), timeout=seconds)

    def _wake(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.set_result(None)
