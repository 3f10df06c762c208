"""Counters and queue of stream management, by the sections of XEP-0198."""

from __future__ import annotations

import sys

import pytest

from xmpp_server.protocol.errors import StreamError
from xmpp_server.stream import management
from xmpp_server.stream.management import NAMESPACES, Management

SM3, SM2 = NAMESPACES


class Effect:
    """Something that a stanza brings about."""

    def __init__(self) -> None:
        self.done = False


def receive(state: Management, effect: Effect | None = None) -> None:
    assert state.begin()
    state.end(effect)


def sent(state: Management, count: int) -> list[str]:
    claims = [f"claim {n}" for n in range(1, count + 1)]
    for claim in claims:
        state.push(b"<message/>", claim)
    return claims


# -- §4: what came


def test_h_starts_at_zero_and_counts_what_was_handled() -> None:
    state = Management(SM3)
    assert state.answer() == b"<a xmlns='urn:xmpp:sm:3' h='0'/>"
    receive(state)
    receive(state)
    assert state.answer() == b"<a xmlns='urn:xmpp:sm:3' h='2'/>"


def test_each_version_is_answered_in_its_own() -> None:
    state = Management(SM2)
    assert state.answer() == b"<a xmlns='urn:xmpp:sm:2' h='0'/>"
    assert state.ask() == b"<r xmlns='urn:xmpp:sm:2'/>"


def test_h_goes_back_to_zero_after_2_to_the_32() -> None:
    state = Management(SM3)
    state.received = 2**32 - 2
    receive(state)
    assert state.answer() == b"<a xmlns='urn:xmpp:sm:3' h='4294967295'/>"
    receive(state)
    assert state.answer() == b"<a xmlns='urn:xmpp:sm:3' h='0'/>"


def test_h_stays_before_the_first_stanza_without_its_effect() -> None:
    state = Management(SM3)
    first, second = Effect(), Effect()
    receive(state)
    receive(state, first)
    receive(state, second)
    receive(state)
    assert state.h == 1
    assert not state.settled
    second.done = True
    state.settle()
    assert state.h == 1
    first.done = True
    state.settle()
    assert state.h == 4
    assert state.settled


def test_a_stanza_that_is_being_handled_is_not_counted_yet() -> None:
    state = Management(SM3)
    receive(state)
    state.begin()
    assert state.h == 1
    assert not state.settled
    state.end(None)
    assert state.h == 2


def test_an_effect_that_stands_already_holds_nothing_up() -> None:
    state = Management(SM3)
    effect = Effect()
    effect.done = True
    receive(state, effect)
    assert state.h == 1


def test_an_answer_that_is_short_is_remembered() -> None:
    state = Management(SM3)
    effect = Effect()
    receive(state, effect)
    state.answer()
    assert state.short
    effect.done = True
    state.settle()
    state.answer()
    assert not state.short


def test_of_a_stream_that_can_be_resumed_only_what_is_saved_is_told() -> None:
    state = Management(SM3, "id", 600)
    receive(state)
    receive(state)
    assert state.h == 0
    state.saved = 1
    assert state.h == 1
    assert state.handled == 2


# -- §5: what comes again after resumption


def test_what_was_received_without_being_told_is_not_handled_twice() -> None:
    state = Management(SM3, "id", 600)
    effect = Effect()
    receive(state)
    receive(state, effect)
    receive(state)
    state.saved = 1
    assert state.repeat() == 1
    assert not state.begin()  # the second and the third once more
    state.saved = 3
    effect.done = True
    state.settle()
    assert state.h == 2, "the client has sent two of them on this stream"
    assert not state.begin()
    assert state.h == 3
    receive(state)
    assert state.received == 4


# -- §4: what was sent


def test_acknowledged_stanzas_leave_the_queue_in_order() -> None:
    state = Management(SM3)
    claims = sent(state, 3)
    assert list(state.acknowledge(2)) == claims[:2]
    assert [claim for _, claim in state.queue] == claims[2:]
    assert list(state.acknowledge(3)) == claims[2:]
    assert list(state.queue) == []
    assert state.size == 0


def test_only_those_who_want_to_know_are_told() -> None:
    state = Management(SM3)
    state.push(b"<presence/>")
    state.push(b"<message/>", "claim")
    state.push(b"<presence/>")
    assert list(state.acknowledge(3)) == ["claim"]


def test_an_acknowledgement_that_says_the_same_again_changes_nothing() -> None:
    state = Management(SM3)
    sent(state, 2)
    state.acknowledge(1)
    assert list(state.acknowledge(1)) == []
    assert state.acknowledged == 1


def test_an_acknowledgement_that_goes_back_is_ignored() -> None:
    state = Management(SM3)
    sent(state, 5)
    state.acknowledge(4)
    assert list(state.acknowledge(2)) == []
    assert state.acknowledged == 4
    assert len(list(state.queue)) == 1


@pytest.mark.parametrize("h", [4, 2**31, 2**32 - 1])
def test_an_acknowledgement_of_what_was_not_sent_is_an_error(h: int) -> None:
    state = Management(SM3)
    sent(state, 3)
    state.acknowledge(1)
    with pytest.raises(StreamError) as raised:
        state.acknowledge(h)
    assert raised.value.condition == "undefined-condition"
    assert raised.value.text == f"You acknowledged {h} stanzas, but I only sent you 3 so far."
    assert raised.value.application is not None
    assert raised.value.application.to_bytes() == (
        f"<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{h}' send-count='3'/>".encode()
    )
    assert state.acknowledged == 1


def test_acknowledgements_wrap_around() -> None:
    state = Management(SM3)
    state.sent = state.acknowledged = 2**32 - 2
    claims = sent(state, 4)
    assert list(state.acknowledge(2**32 - 1)) == claims[:1]
    assert list(state.acknowledge(1)) == claims[1:3]
    assert list(state.acknowledge(2**32 - 1)) == [], "it goes back"
    with pytest.raises(StreamError):
        state.acknowledge(3)
    assert list(state.acknowledge(2)) == claims[3:]


def test_the_size_of_the_queue_is_known() -> None:
    state = Management(SM3)
    state.push(b"x" * 1000)
    state.push(b"x" * 100)
    assert state.size == 1100 + 2 * management.ENTRY
    state.acknowledge(1)
    assert state.size == 100 + management.ENTRY
    assert [data for data, _ in state.drain()] == [b"x" * 100]
    assert state.size == 0


def test_whom_an_answer_is_waited_for_is_counted_since_the_last_request() -> None:
    state = Management(SM3)
    state.push(b"<presence/>")
    assert state.awaited == 0
    sent(state, 2)
    assert state.awaited == 2
    state.ask()
    assert (state.asked, state.awaited) == (True, 0)
    sent(state, 1)
    state.acknowledge(2)
    assert (state.asked, state.awaited) == (False, 1)


def test_an_idle_session_costs_little_memory() -> None:
    state = Management(SM3, "i" * 24, 600)
    sent(state, 100)
    receive(state, Effect())
    state.acknowledge(100)
    assert state._queue is None
    assert sys.getsizeof(state) < 256


# -- nonzas


def test_enabled_tells_how_to_resume() -> None:
    assert management.enabled(SM3, "", 0) == b"<enabled xmlns='urn:xmpp:sm:3'/>"
    assert management.enabled(SM3, "abc", 600) == (b"<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='600'/>")


def test_failed_has_a_condition_and_may_have_h() -> None:
    condition = b"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    assert management.failed(SM3, "item-not-found") == b"<failed xmlns='urn:xmpp:sm:3'>" + condition + b"</failed>"
    assert management.failed(SM3, "item-not-found", 2**32 + 5) == (
        b"<failed xmlns='urn:xmpp:sm:3' h='5'>" + condition + b"</failed>"
    )


def test_resumed_has_h_and_the_id_of_the_former_stream() -> None:
    assert management.resumed(SM3, "a'b", 7) == b"<resumed xmlns='urn:xmpp:sm:3' h='7' previd='a&apos;b'/>"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), (" 12 ", 12), ("007", 7), ("4294967295", 2**32 - 1)],
)
def test_an_unsigned_int_is_read(text: str, value: int) -> None:
    assert management.count(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.0", "4294967296", "1" * 10_000, "٣", "²", "0x10", "1_000", "one"])
def test_anything_else_is_no_unsigned_int(text: str) -> None:
    assert management.count(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False), ("TRUE", None), ("", None)]
)
def test_a_boolean_has_four_forms(text: str, value: bool | None) -> None:
    assert management.boolean(text) is value
