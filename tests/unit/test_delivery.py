"""RFC 6121 §8.5. The message table is that of §8.5.4, the rest follows the text of §8.5.1 to §8.5.3, by section.

Letters of the table: D deliver to the one, A to all of a non-negative priority, O keep offline, E error, S silently
ignore, M to the most available. Where the RFC gives more than one, all are in the table; the choice is tested apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from xmpp_server.routing.delivery import Action, decide


@dataclass(frozen=True)
class View:
    name: str
    priority: int | None


def account(**priorities: int | None) -> dict[str, View]:
    return {name: View(name, priority) for name, priority in priorities.items()}


def outcome(name: str, type: str, resource: str, sessions: dict[str, View] | None) -> tuple[Action, list[str]]:
    action, chosen = decide(name, type, resource, sessions)
    return action, [session.name for session in chosen]


TYPES = ("normal", "chat", "groupchat", "headline", "error")

NEGATIVE = account(a=-1, b=-128)
ONE = account(a=0)
ONE_AND_NEGATIVE = account(a=5, b=-1)
SEVERAL = account(a=0, b=3, c=127, d=-1, e=None)

# situation, kind of address, resource, sessions, then normal, chat, groupchat, headline, error
TABLE_1 = [
    ("no such account", "bare", "", None, "SE", "SE", "E", "S", "S"),
    ("no such account", "full", "x", None, "SE", "SE", "SE", "SE", "S"),
    ("no active resources", "bare", "", {}, "OE", "OE", "E", "S", "S"),
    ("no active resources", "full, no match", "x", {}, "SE", "OE", "SE", "SE", "S"),
    ("connected only", "bare", "", account(a=None), "OE", "OE", "E", "S", "S"),
    ("connected only", "full, match", "a", account(a=None), "D", "D", "D", "D", "D"),
    ("connected only", "full, no match", "x", account(a=None), "SE", "OE", "SE", "SE", "S"),
    ("only negative", "bare", "", NEGATIVE, "OE", "OE", "E", "S", "S"),
    ("only negative", "full, match", "a", NEGATIVE, "D", "D", "D", "D", "D"),
    ("only negative", "full, no match", "x", NEGATIVE, "SE", "OE", "SE", "SE", "S"),
    ("one non-negative", "bare", "", ONE, "A", "A", "E", "A", "S"),
    ("one non-negative", "full, match", "a", ONE, "D", "D", "D", "D", "D"),
    ("one non-negative", "full, no match", "x", ONE, "SE", "A", "SE", "SE", "S"),
    ("one and a negative", "bare", "", ONE_AND_NEGATIVE, "A", "A", "E", "A", "S"),
    ("one and a negative", "full, match", "b", ONE_AND_NEGATIVE, "D", "D", "D", "D", "D"),
    ("one and a negative", "full, no match", "x", ONE_AND_NEGATIVE, "SE", "A", "SE", "SE", "S"),
    ("several non-negative", "bare", "", SEVERAL, "MA", "MA", "E", "A", "S"),
    ("several non-negative", "full, match", "d", SEVERAL, "D", "D", "D", "D", "D"),
    ("several non-negative", "full, no match", "x", SEVERAL, "SE", "MA", "SE", "SE", "S"),
]


def letter(resource: str, sessions: dict[str, View] | None, got: tuple[Action, list[str]]) -> str:
    action, names = got
    if action is Action.DELIVER:
        non_negative = [s.name for s in (sessions or {}).values() if s.priority is not None and s.priority >= 0]
        if names == [resource]:
            return "D"
        assert names == non_negative
        return "A"
    assert names == []
    return {Action.OFFLINE: "O", Action.ERROR: "E", Action.IGNORE: "S"}[action]


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: f"{row[0]}, {row[1]}")
def test_messages_go_where_table_1_allows(row: tuple[str, ...]) -> None:
    _situation, _kind, resource, sessions, *cells = row
    for type, allowed in zip(TYPES, cells, strict=True):
        assert letter(resource, sessions, outcome("message", type, resource, sessions)) in allowed, type


@pytest.mark.parametrize("type", ["chat", "normal", "", "no-such-type"])
def test_a_message_to_the_account_goes_to_every_resource_of_a_non_negative_priority(type: str) -> None:
    assert outcome("message", type, "", SEVERAL) == (Action.DELIVER, ["a", "b", "c"])


@pytest.mark.parametrize("type", ["chat", "normal", "", "no-such-type"])
def test_a_message_that_nobody_takes_is_kept(type: str) -> None:
    assert outcome("message", type, "", {}) == (Action.OFFLINE, [])
    assert outcome("message", type, "", NEGATIVE) == (Action.OFFLINE, [])
    assert outcome("message", type, "", account(a=None)) == (Action.OFFLINE, [])


def test_a_chat_message_to_a_resource_that_is_gone_is_treated_as_if_to_the_account() -> None:
    assert outcome("message", "chat", "x", SEVERAL) == (Action.DELIVER, ["a", "b", "c"])
    assert outcome("message", "chat", "x", NEGATIVE) == (Action.OFFLINE, [])
    assert outcome("message", "chat", "x", {}) == (Action.OFFLINE, [])


@pytest.mark.parametrize("type", ["normal", "", "groupchat", "no-such-type"])
@pytest.mark.parametrize("sessions", [{}, NEGATIVE, ONE, SEVERAL, None])
def test_other_messages_to_a_resource_that_is_gone_are_answered(type: str, sessions: dict[str, View] | None) -> None:
    assert outcome("message", type, "x", sessions) == (Action.ERROR, [])


def test_a_headline_to_a_resource_that_is_gone_is_ignored() -> None:
    assert outcome("message", "headline", "x", SEVERAL) == (Action.IGNORE, [])


def test_a_message_to_an_account_that_does_not_exist_is_answered_so_that_its_sender_knows() -> None:
    for type in ("", "normal", "chat", "groupchat"):
        for resource in ("", "x"):
            assert outcome("message", type, resource, None) == (Action.ERROR, [])


BROADCAST = ("", "unavailable")
SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
SITUATIONS = [{}, account(a=None), NEGATIVE, ONE, SEVERAL]


@pytest.mark.parametrize("type", [*BROADCAST, *SUBSCRIPTIONS, "probe", "error"])
@pytest.mark.parametrize("resource", ["", "x"])
def test_presence_to_an_account_that_does_not_exist_is_ignored(type: str, resource: str) -> None:
    assert outcome("presence", type, resource, None) == (Action.IGNORE, [])  # §8.5.1


@pytest.mark.parametrize("type", [*BROADCAST, "error"])
def test_presence_to_the_account_goes_to_all_available_resources_whatever_their_priority(type: str) -> None:
    assert outcome("presence", type, "", SEVERAL) == (Action.DELIVER, ["a", "b", "c", "d"])  # §8.5.2.1.2
    assert outcome("presence", type, "", NEGATIVE) == (Action.DELIVER, ["a", "b"])


@pytest.mark.parametrize("type", [*BROADCAST, "error"])
def test_presence_to_the_account_is_ignored_if_nobody_is_available(type: str) -> None:
    assert outcome("presence", type, "", {}) == (Action.IGNORE, [])  # §8.5.2.2.2
    assert outcome("presence", type, "", account(a=None)) == (Action.IGNORE, [])


@pytest.mark.parametrize("type", [*BROADCAST, "error"])
def test_presence_to_a_connected_resource_is_delivered_to_it(type: str) -> None:
    assert outcome("presence", type, "d", SEVERAL) == (Action.DELIVER, ["d"])  # §8.5.3.1
    assert outcome("presence", type, "e", SEVERAL) == (Action.DELIVER, ["e"])  # connected, not available


@pytest.mark.parametrize("type", [*BROADCAST, "error", "subscribed", "unsubscribe", "unsubscribed"])
@pytest.mark.parametrize("sessions", SITUATIONS)
def test_presence_to_a_resource_that_is_gone_is_ignored(type: str, sessions: dict[str, View]) -> None:
    assert outcome("presence", type, "x", sessions) == (Action.IGNORE, [])  # §8.5.3.2.2


@pytest.mark.parametrize("type", [*SUBSCRIPTIONS, "probe"])
@pytest.mark.parametrize("sessions", SITUATIONS)
def test_subscriptions_and_probes_to_the_account_are_the_servers(type: str, sessions: dict[str, View]) -> None:
    assert outcome("presence", type, "", sessions) == (Action.HANDLE, [])  # §8.5.2.1.2, §8.5.2.2.2


@pytest.mark.parametrize("type", ["subscribe", "probe"])
@pytest.mark.parametrize("resource", ["a", "x"])
def test_requests_and_probes_to_any_resource_are_the_servers(type: str, resource: str) -> None:
    assert outcome("presence", type, resource, ONE) == (Action.HANDLE, [])  # §8.5.3.1, §8.5.3.2.2


@pytest.mark.parametrize("type", SUBSCRIPTIONS)
def test_subscriptions_to_a_connected_resource_are_the_servers(type: str) -> None:
    assert outcome("presence", type, "a", ONE) == (Action.HANDLE, [])  # §8.5.3.1


def test_an_unknown_type_of_presence_is_ignored() -> None:
    assert outcome("presence", "wink", "", ONE) == (Action.IGNORE, [])
    assert outcome("presence", "wink", "a", ONE) == (Action.IGNORE, [])


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize("resource", ["", "x"])
def test_a_request_to_an_account_that_does_not_exist_is_answered(type: str, resource: str) -> None:
    assert outcome("iq", type, resource, None) == (Action.ERROR, [])  # §8.5.1


@pytest.mark.parametrize("type", ["get", "set", "result", "error"])
@pytest.mark.parametrize("sessions", SITUATIONS)
def test_an_iq_to_the_account_is_the_servers(type: str, sessions: dict[str, View]) -> None:
    assert outcome("iq", type, "", sessions) == (Action.HANDLE, [])  # §8.5.2.1.3, §8.5.2.2.3


@pytest.mark.parametrize("resource", ["a", "d", "e"])
def test_answers_to_a_connected_resource_are_delivered(resource: str) -> None:
    assert outcome("iq", "result", resource, SEVERAL) == (Action.DELIVER, [resource])  # §8.5.3.1
    assert outcome("iq", "error", resource, SEVERAL) == (Action.DELIVER, [resource])


def test_requests_to_a_connected_resource_are_for_those_who_may_know_of_it() -> None:
    assert outcome("iq", "get", "a", SEVERAL) == (Action.REQUEST, ["a"])  # §8.5.3.1
    assert outcome("iq", "set", "e", SEVERAL) == (Action.REQUEST, ["e"])


@pytest.mark.parametrize("sessions", SITUATIONS)
def test_requests_to_a_resource_that_is_gone_are_answered(sessions: dict[str, View]) -> None:
    assert outcome("iq", "get", "x", sessions) == (Action.ERROR, [])  # §8.5.3.2.3
    assert outcome("iq", "set", "x", sessions) == (Action.ERROR, [])


@pytest.mark.parametrize("sessions", [*SITUATIONS, None])
@pytest.mark.parametrize("type", ["result", "error"])
def test_an_answer_is_never_answered(type: str, sessions: dict[str, View] | None) -> None:
    assert outcome("iq", type, "x", sessions) == (Action.IGNORE, [])  # RFC 6120 §8.3.1


def test_an_unknown_type_of_iq_is_ignored() -> None:
    assert outcome("iq", "wink", "a", ONE) == (Action.IGNORE, [])
    assert outcome("iq", "", "", ONE) == (Action.IGNORE, [])
