"""The ledger against a simple model: whatever the order of messages, acknowledgements, ends of sessions, commits and
failures, nothing that stands is lost, and every session sees a conversation in its order.

What is real: the route, the ledger, the offline module, the sessions. What is not: the inbox, whose every call waits
until the machine says how it ends, and the sockets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from xmpp_server.modules.offline import Offline, OfflineOptions
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing import ledger as ledger_module
from xmpp_server.routing.account import Account, Accounts
from xmpp_server.routing.effects import Effect
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.ledger import Ledger
from xmpp_server.routing.router import Router
from xmpp_server.session import session as session_module
from xmpp_server.session.local import LocalRoute
from xmpp_server.session.session import Session
from xmpp_server.storage.errors import Unavailable
from xmpp_server.storage.offline import Message, OfflineMessage
from xmpp_server.storage.roster import Roster
from xmpp_server.util import tasks

JULIET = JID.parse("juliet@localhost")
ROMEO = JID.parse("romeo@localhost/orchard")
_NUMBER = re.compile(rb" id='(\d+)'")
OUTCOMES = st.sampled_from(["commits", "commits", "commits", "fails", "commits and fails"])


class Inbox:
    """What a crash leaves. Calls that write wait for their outcome."""

    def __init__(self) -> None:
        self.rows: dict[int, Message] = {}
        self.calls: list[tuple[asyncio.Future[None], Callable[[], None]]] = []

    async def _write(self, change: Callable[[], None]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls.append((future, change))
        await future

    def end(self, outcome: str) -> None:
        """The oldest call ends so."""
        future, change = self.calls.pop(0)
        if outcome != "fails":
            change()
        if future.cancelled():
            return
        if outcome == "commits":
            future.set_result(None)
        else:
            future.set_exception(Unavailable("away"))

    async def keep(self, messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
        def change() -> None:
            for message in messages:
                self.rows.setdefault(message.id, message)

        await self._write(change)
        return ()

    async def delete(self, messages: Iterable[tuple[JID, int]]) -> None:
        ids = [id for _, id in messages]

        def change() -> None:
            for id in ids:
                self.rows.pop(id, None)

        await self._write(change)

    async def load(self, account: JID, *, now: int, after: int, limit: int) -> list[OfflineMessage]:
        rows = [self.rows[id] for id in sorted(self.rows) if id > after][: min(limit, 3)]
        await asyncio.sleep(0)
        return [OfflineMessage(row.id, row.sender, row.stanza, row.received, row.expires) for row in rows]


class Sink:
    """A client's connection: what is written counts as acknowledged when the machine flushes it."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.flushed = 0
        self.open = True
        self.when: Callable[[], None] | None = None
        self.waiting: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> bool:
        match = _NUMBER.search(data)
        assert match is not None
        if self.open:
            self.came.append(int(match[1]))
        return self.open

    def when_written(self, callback: Callable[[], None]) -> None:
        self.when = callback

    async def drained(self) -> bool:
        while self.open and self.flushed < len(self.came):
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return self.open

    def close(self, error: StreamError | None = None) -> None:
        self.open = False

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class LedgerMachine(RuleBasedStateMachine):
    """Messages from Romeo to Juliet, who has up to three devices."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.patched = ledger_module.DEADLINE, ledger_module._FORGET, session_module._MOST_HELD
        ledger_module.DEADLINE = ledger_module._FORGET = 1e6  # type: ignore[misc]
        session_module._MOST_HELD = 2 * 600  # type: ignore[misc]
        self.inbox = Inbox()
        self.count = 0
        self.effects: dict[int, Effect] = {}
        self.seen: set[int] = set()
        self.bounced: list[str] = []
        self._start()

    def _start(self) -> None:
        """A server on what the inbox holds."""
        self.router = Router()
        self.host = Host("localhost")
        self.router.hosts["localhost"] = self.host
        self.accounts = Accounts(self._load)
        self.ledger = Ledger(self.router, self.accounts, self.inbox)
        self.ledger._pause = self._pause  # type: ignore[method-assign]
        self.again = asyncio.Event()
        self.route = LocalRoute(self.router, self.accounts, self.ledger, cast(Any, None), cast(Any, None))
        self.router.routes.append(self.route)
        offline = Offline(self.host, self.accounts, self.ledger, cast(Any, self.inbox), OfflineOptions())
        offline.attach(self.host)
        self.sessions: list[tuple[Session, Sink]] = []
        self.romeo = Session(
            ROMEO, Account(ROMEO.bare, Roster(0, {}), frozenset()), self.host, self.router, cast(Any, None), Sink()
        )
        self.router.bounce = self._bounce  # type: ignore[method-assign]

    async def _load(self, jid: JID) -> Account | None:
        self.ledger.found(max(self.inbox.rows, default=0))
        return Account(jid, Roster(0, {}), frozenset(), waiting=bool(self.inbox.rows))

    async def _pause(self, seconds: float) -> None:
        self.again.clear()
        await self.again.wait()

    async def _bounce(self, passage: Passage, error: StanzaError) -> None:
        self.bounced.append(f"{passage.stanza.id} {error.condition}")

    def spin(self, turns: int = 12) -> None:
        """Let the loop turn."""
        for _ in range(turns):
            self.loop.run_until_complete(asyncio.sleep(0))

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def call(self, function: Callable[[], object]) -> None:
        """Call it in the loop."""

        async def calling() -> None:
            function()

        self.run(calling())

    # -- what may happen

    @rule(turns=st.integers(0, 12))
    def send(self, turns: int) -> None:
        self.count += 1
        body = Element(ns.CLIENT, "body", {}, ["Hi"])
        stanza = Stanza.build("message", body, sender=ROMEO, to=JULIET, type="chat", id=str(self.count))
        passage = Passage(stanza, self.romeo)
        self.run(self.route.take(passage))
        assert passage.effect is not None
        self.effects[self.count] = passage.effect
        self.spin(turns)

    @precondition(lambda self: len(self.sessions) < 3)
    @rule(turns=st.integers(0, 12))
    def come(self, turns: int) -> None:
        account = self.run(self.accounts.acquire(JULIET))
        sink = Sink()
        session = Session(
            JULIET.with_resource(f"d{self.count}-{len(self.sessions)}-{id(sink)}"),
            account, self.host, self.router, cast(Any, None), sink,
        )  # fmt: skip
        account.sessions[session.resource] = session
        session.hold()
        session.presence, session.priority = Stanza.build("presence"), 0
        self.run(self.host.hooks.session_available.run(session))
        self.call(session.release)
        self.sessions.append((session, sink))
        self.spin(turns)

    @precondition(lambda self: self.sessions)
    @rule(which=st.integers(0, 2), turns=st.integers(0, 12))
    def flush(self, which: int, turns: int) -> None:
        _, sink = self.sessions[which % len(self.sessions)]
        self.seen.update(sink.came)
        sink.flushed = len(sink.came)
        callback, sink.when = sink.when, None
        if callback is not None:
            self.call(callback)
        sink.wake()
        self.spin(turns)

    @precondition(lambda self: self.sessions)
    @rule(which=st.integers(0, 2), turns=st.integers(0, 12))
    def leave(self, which: int, turns: int) -> None:
        session, sink = self.sessions.pop(which % len(self.sessions))
        sink.open = False
        sink.wake()
        session.presence = session.priority = None
        self.call(session.detach)
        self.run(self.host.hooks.session_closed.run(session))
        del session.account.sessions[session.resource]
        self.accounts.release(session.account)
        self.spin(turns)

    @rule(turns=st.integers(0, 12))
    def deadline(self, turns: int) -> None:
        for _ in range(2):  # half of it at a time
            self.call(self.ledger._tick)
        self.spin(turns)

    @rule()
    def forget(self) -> None:
        if self.ledger._forgotten:
            self.call(self.ledger._start_forgetting)
        self.spin()

    @precondition(lambda self: self.inbox.calls)
    @rule(outcome=OUTCOMES, turns=st.integers(0, 12))
    def database(self, outcome: str, turns: int) -> None:
        self.inbox.end(outcome)
        self.spin(turns)

    @rule(turns=st.integers(0, 12))
    def try_again(self, turns: int) -> None:
        self.call(self.again.set)
        self.spin(turns)

    @rule(outcome=st.sampled_from(["commits", "fails", *["no crash"] * 10]))
    def crash(self, outcome: str) -> None:
        """kill -9, now and then: what was on its way may be committed or not."""
        if outcome == "no crash":
            return
        while self.inbox.calls:
            self.inbox.end(outcome)
        for session, sink in self.sessions:
            assert session.sink is sink
            sink.open = False
        self._cancel()
        self.effects = {number: effect for number, effect in self.effects.items() if effect.done}
        self._start()

    def _cancel(self) -> None:
        while tasks._kept:
            for task in list(tasks._kept):
                task.cancel()
            self.spin(1)
        self.inbox.calls.clear()

    # -- what must hold

    @invariant()
    def what_stands_is_in_the_inbox_or_somebody_has_it(self) -> None:
        kept = {int(cast(Any, _NUMBER.search(row.stanza))[1]) for row in self.inbox.rows.values()}
        lost = {number for number, effect in self.effects.items() if effect.done} - kept - self.seen
        assert not lost, f"lost: {lost}"

    @invariant()
    def nobody_gets_an_error(self) -> None:
        assert not self.bounced

    @invariant()
    def every_session_sees_the_order_in_which_it_was_sent_and_nothing_twice(self) -> None:
        for _, sink in self.sessions:
            assert sink.came == sorted(set(sink.came)), sink.came

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self._end()
        finally:
            ledger_module.DEADLINE, ledger_module._FORGET, session_module._MOST_HELD = self.patched  # type: ignore[misc]
            self._cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def _end(self) -> None:
        """Everything works from here on: somebody sees each message, and nothing is left anywhere."""
        if not self.sessions:
            self.come(3)
        for _ in range(self.count + 20):
            for which in range(len(self.sessions)):
                self.flush(which, 12)
            self.deadline(12)
            self.forget()
            self.try_again(12)
            while self.inbox.calls:
                self.inbox.end("commits")
                self.spin()
        self.every_session_sees_the_order_in_which_it_was_sent_and_nothing_twice()
        assert self.seen >= set(self.effects), "not delivered"
        assert all(effect.done for effect in self.effects.values())
        assert not self.inbox.rows, "not deleted"
        assert self.ledger.size == 0
        assert self.romeo.budget.used == 0
        assert not self.ledger._forgotten
        account = self.accounts.get(JULIET)
        assert account is not None
        assert account.line is None or not (account.line.rows or account.line.unwritten)
        assert account.users == len(self.sessions)
        assert not tasks._kept


LedgerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


# -- what the machine seldom comes upon, step by step; each ends with all that must hold at the end


@pytest.fixture
def machine() -> Iterator[LedgerMachine]:
    machine = LedgerMachine()
    machine.begin()
    yield machine
    machine.nobody_gets_an_error()
    machine.what_stands_is_in_the_inbox_or_somebody_has_it()
    machine.teardown()


def done(machine: LedgerMachine) -> list[bool]:
    return [effect.done for effect in machine.effects.values()]


def test_what_is_acknowledged_in_time_writes_nothing(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.send(12)
    assert done(machine) == [False]
    machine.flush(0, 12)
    assert done(machine) == [True]
    machine.deadline(12)
    assert not machine.inbox.calls


def test_what_is_not_acknowledged_in_time_stands_when_it_is_committed(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.send(12)
    machine.send(12)
    machine.deadline(12)
    assert done(machine) == [False, False]
    assert len(machine.inbox.calls) == 1, "not together"
    machine.database("commits", 12)
    assert done(machine) == [True, True]
    assert len(machine.inbox.rows) == 2
    machine.flush(0, 12)
    machine.forget()
    machine.database("commits", 12)
    assert not machine.inbox.rows


def test_an_acknowledgement_between_deadline_and_commit_leaves_no_row(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.send(12)
    machine.deadline(12)
    machine.flush(0, 12)
    assert done(machine) == [True]
    machine.database("commits", 12)
    machine.forget()
    machine.database("commits", 12)
    assert not machine.inbox.rows


def test_what_one_device_acknowledged_is_deleted_before_a_new_one_gets_younger_messages(
    machine: LedgerMachine,
) -> None:
    """or a crash in between would let it come to the new one behind them"""
    machine.come(12)
    machine.send(12)
    machine.deadline(12)
    machine.database("commits", 12)
    machine.flush(0, 12)
    machine.come(12)
    machine.send(12)
    _, new = machine.sessions[1]
    assert not new.came
    machine.database("commits", 12)
    assert not machine.inbox.rows
    machine.spin()
    assert new.came == [2]


@pytest.mark.parametrize("outcome", ["fails", "commits and fails"])
@pytest.mark.parametrize("early", [True, False])
def test_nobody_knows_whether_it_was_committed(machine: LedgerMachine, outcome: str, early: bool) -> None:
    """and then it is acknowledged, before the failure is known or before the next attempt"""
    machine.come(12)
    machine.send(12)
    machine.deadline(12)
    if early:
        machine.flush(0, 12)
    machine.database(outcome, 12)
    if not early:
        assert done(machine) == [False]
        machine.flush(0, 12)
    assert done(machine) == [True]
    machine.try_again(12)
    machine.forget()
    while machine.inbox.calls:
        machine.database("commits", 12)
    assert not machine.inbox.rows


def test_the_next_attempt_stands_once(machine: LedgerMachine) -> None:
    machine.send(12)
    machine.database("commits and fails", 12)
    assert done(machine) == [False]
    machine.send(12)
    machine.try_again(12)
    machine.database("commits", 12)
    assert done(machine) == [True, True]
    assert len(machine.inbox.rows) == 2


def test_a_session_ends_while_its_message_is_written(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.send(12)
    machine.deadline(12)
    machine.leave(0, 12)
    machine.come(12)
    machine.send(12)
    assert machine.sessions[0][1].came == []
    machine.database("commits", 12)
    machine.flush(0, 12)
    assert machine.sessions[0][1].came == [1, 2]


def test_of_two_sessions_one_acknowledges_and_the_other_ends(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.come(12)
    machine.send(12)
    machine.flush(1, 12)
    assert done(machine) == [False]
    machine.leave(0, 12)
    assert done(machine) == [True]
    machine.deadline(12)
    assert not machine.inbox.calls


def test_all_sessions_end_one_after_the_other(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.come(12)
    machine.send(12)
    machine.leave(0, 12)
    assert not machine.inbox.calls
    machine.leave(0, 12)
    assert done(machine) == [False]
    machine.database("commits", 12)
    assert done(machine) == [True]
    assert len(machine.inbox.rows) == 1


def test_a_newcomer_gets_first_what_another_session_has_not_acknowledged(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.send(12)
    machine.come(12)
    machine.send(12)
    assert machine.sessions[1][1].came == []
    machine.database("commits", 12)
    machine.flush(1, 12)
    assert machine.sessions[1][1].came == [1, 2]
    machine.flush(1, 12)
    machine.leave(0, 12)
    assert done(machine) == [True, True]


def test_a_newcomer_gets_nothing_that_somebody_acknowledged(machine: LedgerMachine) -> None:
    machine.come(12)
    machine.come(12)
    machine.send(12)
    machine.flush(0, 12)
    machine.deadline(12)
    machine.database("commits", 12)
    machine.come(12)
    machine.flush(2, 12)
    assert machine.sessions[2][1].came == []


def test_younger_messages_are_written_with_older_ones(machine: LedgerMachine) -> None:
    """so that no crash leaves the younger one alone"""
    machine.come(12)
    machine.send(12)
    machine.leave(0, 0)
    machine.send(12)
    machine.database("commits", 12)
    if machine.inbox.calls:
        machine.database("commits", 12)
    assert [row.id for row in machine.inbox.rows.values()] == sorted(machine.inbox.rows)
    assert len(machine.inbox.rows) == 2
