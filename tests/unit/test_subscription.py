"""RFC 6121 appendix A: eight tables of nine states, each written down as the RFC has it."""

from __future__ import annotations

import pytest

from xmpp_server.routing.subscription import KINDS, Kind, State, Transition, inbound, outbound, removal

STATES = {
    "None": State.NONE,
    "None + Pending Out": State.NONE_PENDING_OUT,
    "None + Pending In": State.NONE_PENDING_IN,
    "None + Pending Out+In": State.NONE_PENDING_OUT_IN,
    "To": State.TO,
    "To + Pending In": State.TO_PENDING_IN,
    "From": State.FROM,
    "From + Pending Out": State.FROM_PENDING_OUT,
    "Both": State.BOTH,
}

# A.2: existing state | route? | new state
OUTBOUND = {
    "subscribe": """
        None                  | MUST     | None + Pending Out
        None + Pending Out    | MUST     | no state change
        None + Pending In     | MUST     | None + Pending Out+In
        None + Pending Out+In | MUST     | no state change
        To                    | MUST     | no state change
        To + Pending In       | MUST     | no state change
        From                  | MUST     | From + Pending Out
        From + Pending Out    | MUST     | no state change
        Both                  | MUST     | no state change
    """,
    "unsubscribe": """
        None                  | MUST     | no state change
        None + Pending Out    | MUST     | None
        None + Pending In     | MUST     | no state change
        None + Pending Out+In | MUST     | None + Pending In
        To                    | MUST     | None
        To + Pending In       | MUST     | None + Pending In
        From                  | MUST     | no state change
        From + Pending Out    | MUST     | From
        Both                  | MUST     | From
    """,
    "subscribed": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST NOT | no state change
        None + Pending In     | MUST     | From
        None + Pending Out+In | MUST     | From + Pending Out
        To                    | MUST NOT | no state change
        To + Pending In       | MUST     | Both
        From                  | MUST NOT | no state change
        From + Pending Out    | MUST NOT | no state change
        Both                  | MUST NOT | no state change
    """,
    "unsubscribed": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST NOT | no state change
        None + Pending In     | MUST     | None
        None + Pending Out+In | MUST     | None + Pending Out
        To                    | MUST NOT | no state change
        To + Pending In       | MUST     | To
        From                  | MUST     | None
        From + Pending Out    | MUST     | None + Pending Out
        Both                  | MUST     | To
    """,
}

# A.3: existing state | deliver? | new state; a reply of the server's own is marked as in the RFC's notes
INBOUND = {
    "subscribe": """
        None                  | MUST             | None + Pending In
        None + Pending Out    | MUST             | None + Pending Out+In
        None + Pending In     | MUST NOT         | no state change
        None + Pending Out+In | MUST NOT         | no state change
        To                    | MUST             | To + Pending In
        To + Pending In       | MUST NOT         | no state change
        From                  | MUST NOT, reply  | no state change
        From + Pending Out    | MUST NOT, reply  | no state change
        Both                  | MUST NOT, reply  | no state change
    """,
    "unsubscribe": """
        None                  | MUST NOT         | no state change
        None + Pending Out    | MUST NOT         | no state change
        None + Pending In     | MUST, reply      | None
        None + Pending Out+In | MUST, reply      | None + Pending Out
        To                    | MUST NOT         | no state change
        To + Pending In       | MUST, reply      | To
        From                  | MUST, reply      | None
        From + Pending Out    | MUST, reply      | None + Pending Out
        Both                  | MUST, reply      | To
    """,
    "subscribed": """
        None                  | MUST NOT         | no state change
        None + Pending Out    | MUST             | To
        None + Pending In     | MUST NOT         | no state change
        None + Pending Out+In | MUST             | To + Pending In
        To                    | MUST NOT         | no state change
        To + Pending In       | MUST NOT         | no state change
        From                  | MUST NOT         | no state change
        From + Pending Out    | MUST             | Both
        Both                  | MUST NOT         | no state change
    """,
    "unsubscribed": """
        None                  | MUST NOT         | no state change
        None + Pending Out    | MUST             | None
        None + Pending In     | MUST NOT         | no state change
        None + Pending Out+In | MUST             | None + Pending In
        To                    | MUST             | None
        To + Pending In       | MUST             | None + Pending In
        From                  | MUST NOT         | no state change
        From + Pending Out    | MUST             | From
        Both                  | MUST             | From
    """,
}


def rows(tables: dict[str, str]) -> list[tuple[str, State, str, State]]:
    result = []
    for kind, table in tables.items():
        lines = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
        assert [line[0] for line in lines] == list(STATES), "each table names the nine states in their order"
        for old, passed_on, new in lines:
            result.append((kind, STATES[old], passed_on, STATES[old if new == "no state change" else new]))
    return result


@pytest.mark.parametrize(("kind", "old", "routed", "new"), rows(OUTBOUND))
def test_outbound_stanzas_move_the_state_as_appendix_a2_says(kind: Kind, old: State, routed: str, new: State) -> None:
    transition = outbound(kind, old)
    assert transition.state is new
    assert transition.passed_on is (routed == "MUST")
    assert transition.reply == ""


@pytest.mark.parametrize(("kind", "old", "delivered", "new"), rows(INBOUND))
def test_inbound_stanzas_move_the_state_as_appendix_a3_says(kind: Kind, old: State, delivered: str, new: State) -> None:
    transition = inbound(kind, old)
    assert transition.state is new
    assert transition.passed_on is ("NOT" not in delivered)
    receipt = "unavailable" if kind == "subscribe" else ""  # §3.1.3
    expected = {"subscribe": "subscribed", "unsubscribe": "unsubscribed"}[kind] if "reply" in delivered else receipt
    assert transition.reply == expected


@pytest.mark.parametrize("move", [outbound, inbound])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("approved", [False, True])
def test_clients_are_told_of_a_change_exactly_when_they_can_see_one(
    move: type[Transition], kind: Kind, state: State, approved: bool
) -> None:
    transition = move(kind, state, approved=approved)
    before = (state.subscription, state.ask, approved)
    after = (transition.state.subscription, transition.state.ask, transition.approved)
    assert transition.push is (before != after)


def test_a_request_of_the_contact_is_no_roster_push() -> None:
    assert not inbound("subscribe", State.NONE).push  # §3.1.3: not shown as an item before it is approved
    assert not inbound("unsubscribe", State.NONE_PENDING_IN).push


@pytest.mark.parametrize("move", [outbound, inbound])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", State)
def test_a_contact_who_loses_sight_of_the_user_is_told_that_the_user_went_away(
    move: type[Transition], kind: Kind, state: State
) -> None:
    transition = move(kind, state)  # §3.2.2, §3.3.3
    assert transition.unavailable is (state.seen_by_contact and not transition.state.seen_by_contact)


@pytest.mark.parametrize("state", [State.NONE_PENDING_IN, State.NONE_PENDING_OUT_IN, State.TO_PENDING_IN])
def test_a_contact_who_is_approved_gets_the_presence_of_the_user(state: State) -> None:
    assert outbound("subscribed", state).available  # §3.1.5
    assert not outbound("unsubscribed", state).available


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", State)
def test_the_contact_is_probed_when_the_approval_makes_the_subscription_mutual(kind: Kind, state: State) -> None:
    assert outbound(kind, state).probe is (kind == "subscribed" and state is State.TO_PENDING_IN)
    assert not inbound(kind, state).probe


@pytest.mark.parametrize("state", [State.FROM, State.FROM_PENDING_OUT, State.BOTH])
def test_a_contact_who_asks_again_is_told_again(state: State) -> None:
    assert inbound("subscribe", state) == Transition(state, reply="subscribed", available=True)


# -- pre-approval, §3.4


@pytest.mark.parametrize("state", [State.NONE, State.NONE_PENDING_OUT, State.TO])
def test_an_approval_that_nobody_asked_for_is_noted_and_not_routed(state: State) -> None:
    assert outbound("subscribed", state) == Transition(state, approved=True, push=True)
    assert outbound("subscribed", state, approved=True) == Transition(state, approved=True)


@pytest.mark.parametrize("state", [State.FROM, State.FROM_PENDING_OUT, State.BOTH])
def test_an_approval_of_a_contact_who_is_subscribed_is_ignored(state: State) -> None:
    assert outbound("subscribed", state) == Transition(state)


@pytest.mark.parametrize(
    ("state", "new"),
    [
        (State.NONE, State.FROM),
        (State.NONE_PENDING_OUT, State.FROM_PENDING_OUT),
        (State.TO, State.BOTH),
        (State.NONE_PENDING_IN, State.FROM),
        (State.NONE_PENDING_OUT_IN, State.FROM_PENDING_OUT),
        (State.TO_PENDING_IN, State.BOTH),
    ],
)
def test_the_request_of_an_approved_contact_is_granted_without_asking_and_uses_the_approval_up(
    state: State, new: State
) -> None:
    assert inbound("subscribe", state, approved=True) == Transition(
        new, approved=False, push=True, reply="subscribed", available=True
    )


@pytest.mark.parametrize("state", [State.NONE, State.NONE_PENDING_OUT, State.TO])
def test_an_approval_can_be_withdrawn_without_the_contact_hearing_of_it(state: State) -> None:
    assert outbound("unsubscribed", state, approved=True) == Transition(state, push=True)


@pytest.mark.parametrize("kind", ["unsubscribe", "subscribed", "unsubscribed"])
def test_an_approval_outlives_other_stanzas_of_the_contact(kind: Kind) -> None:
    assert inbound(kind, State.NONE_PENDING_OUT, approved=True).approved


def test_an_approval_outlives_the_users_own_requests() -> None:
    assert outbound("subscribe", State.NONE, approved=True).approved
    assert outbound("unsubscribe", State.TO, approved=True).approved


# -- removal, §2.5.2


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        (State.NONE, ()),
        (State.NONE_PENDING_OUT, ("unsubscribe",)),
        (State.NONE_PENDING_IN, ("unsubscribed",)),
        (State.NONE_PENDING_OUT_IN, ("unsubscribe", "unsubscribed")),
        (State.TO, ("unsubscribe",)),
        (State.TO_PENDING_IN, ("unsubscribe", "unsubscribed")),
        (State.FROM, ("unsubscribed",)),
        (State.FROM_PENDING_OUT, ("unsubscribe", "unsubscribed")),
        (State.BOTH, ("unsubscribe", "unsubscribed")),
    ],
)
def test_removing_a_contact_ends_what_there_was_in_each_direction(state: State, sent: tuple[Kind, ...]) -> None:
    assert removal(state) == sent
    for kind in sent:
        transition = outbound(kind, state)
        assert transition.passed_on
        state = transition.state
    assert state is State.NONE


# -- the two sides together


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", State)
def test_both_sides_agree_after_each_stanza_that_is_routed(kind: Kind, state: State) -> None:
    mirror = {"none": "none", "to": "from", "from": "to", "both": "both"}

    def reflected(of: State) -> State:
        return State.of(mirror[of.subscription], ask=of.pending_in, pending_in=of.ask)

    sent = outbound(kind, state)
    theirs = reflected(state)
    if sent.passed_on:
        theirs = inbound(kind, theirs).state
    assert theirs is reflected(sent.state)


def test_a_state_is_found_by_its_parts() -> None:
    assert State.of("none", ask=True, pending_in=True) is State.NONE_PENDING_OUT_IN
    assert State.of("both") is State.BOTH
    with pytest.raises(ValueError):
        State.of("both", ask=True)
