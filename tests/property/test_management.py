"""Stream management against two lists: of what was sent and of what was handled."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from xmpp_server.protocol.errors import StreamError
from xmpp_server.stream.management import Management

WIRE = 2**32


class Effect:
    def __init__(self) -> None:
        self.done = False


class Model(RuleBasedStateMachine):
    """A client and a server that never lie, but for the acknowledgements that go too far or back."""

    effects = Bundle("effects")

    @initialize(before=st.sampled_from([0, 5, WIRE - 3, WIRE, 3 * WIRE - 1]), resumable=st.booleans())
    def start(self, before: int, resumable: bool) -> None:
        self.state = Management("urn:xmpp:sm:3", "id" if resumable else "", 600 if resumable else 0)
        self.state.sent = self.state.acknowledged = before
        self.state.received = self.state.saved = before
        self.before = before
        self.sent: list[int] = []
        self.acknowledged = 0
        self.handled: list[Effect | None] = []
        self.resending = 0
        self.told = before

    @rule(target=effects, later=st.booleans())
    def receive(self, later: bool) -> object:
        if self.resending:
            self.resending -= 1
            assert not self.state.begin()
            return multiple()
        effect = Effect() if later else None
        assert self.state.begin()
        self.state.end(effect)
        self.handled.append(effect)
        return effect if effect is not None else multiple()

    @rule(effect=consumes(effects))
    def stands(self, effect: Effect) -> None:
        effect.done = True
        self.state.settle()

    @rule()
    def save(self) -> None:
        self.state.saved = max(self.state.saved, self.state.handled)

    @rule()
    def answer(self) -> None:
        h = int(self.state.answer().split(b"'")[3])
        assert h == self.expected() % WIRE
        assert self.told <= self.expected(), "h goes back"
        self.told = self.expected()
        assert self.state.short == (self.told < self.before + len(self.handled) - self.resending)

    @rule()
    def resume(self) -> None:
        h = self.state.repeat()
        assert h == self.expected() % WIRE
        self.told = self.expected()
        self.resending = self.before + len(self.handled) - self.told

    @rule(claims=st.booleans())
    def send(self, claims: bool) -> None:
        number = len(self.sent)
        self.state.push(b"%d" % number, number if claims else None)
        self.sent.append(number if claims else -1)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(self.acknowledged, len(self.sent)))
        claims = self.state.acknowledge((self.before + to) % WIRE)
        assert list(claims) == [claim for claim in self.sent[self.acknowledged : to] if claim >= 0]
        self.acknowledged = to

    @precondition(lambda self: self.acknowledged)
    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(0, self.acknowledged))
        assert list(self.state.acknowledge((self.before + to) % WIRE)) == []

    @rule(beyond=st.integers(1, 2**30))
    def go_too_far(self, beyond: int) -> None:
        with pytest.raises(StreamError):
            self.state.acknowledge((self.before + len(self.sent) + beyond) % WIRE)

    def expected(self) -> int:
        unsettled = next((n for n, e in enumerate(self.handled) if e is not None and not e.done), len(self.handled))
        h = min(self.before + unsettled, self.before + len(self.handled) - self.resending)
        return min(h, self.state.saved) if self.state.id else h

    @invariant()
    def the_queue_is_what_is_not_acknowledged(self) -> None:
        if hasattr(self, "state"):
            numbers = [int(data) for data, _ in self.state.queue]
            assert numbers == list(range(self.acknowledged, len(self.sent)))
            assert self.state.sent == self.before + len(self.sent)


TestModel = Model.TestCase
