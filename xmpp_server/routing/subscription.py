"""Presence subscriptions: the state tables of RFC 6121 appendix A as data, with pre-approval (§3.4).

The state is that of one contact in one user's roster: *outbound* is what this user sends, *inbound* what the contact
sends. What a state leaves open is told by `Transition`, whose fields are acted on in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

Subscription = Literal["none", "to", "from", "both"]
Kind = Literal["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
KINDS: Final[tuple[Kind, ...]] = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")


class State(Enum):
    """The nine states of RFC 6121 §A.1, each a subscription, whether we wait for the contact's answer (`ask`), and
    whether the contact waits for ours (`pending_in`).

    A contact who is not in the roster is in state NONE. One who is there for the pending request alone must not be
    shown to clients as a roster item (§A.1).
    """

    NONE = ("none", False, False)
    NONE_PENDING_OUT = ("none", True, False)
    NONE_PENDING_IN = ("none", False, True)
    NONE_PENDING_OUT_IN = ("none", True, True)
    TO = ("to", False, False)
    TO_PENDING_IN = ("to", False, True)
    FROM = ("from", False, False)
    FROM_PENDING_OUT = ("from", True, False)
    BOTH = ("both", False, False)

    def __init__(self, subscription: Subscription, ask: bool, pending_in: bool) -> None:
        self.subscription = subscription
        self.ask = ask
        self.pending_in = pending_in

    @property
    def sees_contact(self) -> bool:
        """Whether the user gets the contact's presence (to, both)."""
        return self.subscription in ("to", "both")

    @property
    def seen_by_contact(self) -> bool:
        """Whether the contact gets the user's presence (from, both)."""
        return self.subscription in ("from", "both")

    @staticmethod
    def of(subscription: Subscription, *, ask: bool = False, pending_in: bool = False) -> State:
        """The state of these parts; raises ValueError for a combination that the RFC does not know."""
        state = _STATES.get((subscription, ask, pending_in))
        if state is None:
            raise ValueError(f"no state of RFC 6121 §A.1: {subscription}, ask {ask}, pending in {pending_in}")
        return state


@dataclass(frozen=True, slots=True)
class Transition:
    """What a subscription stanza does, to the user and to the contact each in the order of the fields.

    `state` and `approved`: what the roster keeps from now on. `unavailable`: send unavailable presence of each
    available resource of the user to the contact, before anything else as §3.2.2 asks. `passed_on`: an outbound stanza
    is routed to the contact; an inbound one is delivered to the user's resources (`subscribe`: to the available ones,
    and kept until it is answered; the others: to the interested ones); stamped with the bare address. `push`: a roster
    push to the user's resources. `reply`: the server sends presence of this type to the contact from the user's bare
    address; empty: none. `available`: then send the presence of each available resource of the user to the contact
    (§3.1.5). `probe`: last, ask for the contact's presence anew: both see each other from now on, and since the contact
    let the user see it, its presence may have been lost between two servers (§4.3 leaves it to the server when to
    probe).
    """

    state: State
    approved: bool = False
    unavailable: bool = False
    passed_on: bool = False
    push: bool = False
    reply: Literal["", "subscribed", "unsubscribed", "unavailable"] = ""
    available: bool = False
    probe: bool = False


_STATES: Final = {(state.subscription, state.ask, state.pending_in): state for state in State}

_N: Final = State.NONE
_NO: Final = State.NONE_PENDING_OUT
_NI: Final = State.NONE_PENDING_IN
_NOI: Final = State.NONE_PENDING_OUT_IN
_T: Final = State.TO
_TI: Final = State.TO_PENDING_IN
_F: Final = State.FROM
_FO: Final = State.FROM_PENDING_OUT
_B: Final = State.BOTH

_Table = dict[Kind, dict[State, tuple[bool, State]]]

# §A.2: (routed to the contact, new state)
_OUTBOUND: Final[_Table] = {
    "subscribe": {
        _N: (True, _NO),
        _NO: (True, _NO),
        _NI: (True, _NOI),
        _NOI: (True, _NOI),
        _T: (True, _T),
        _TI: (True, _TI),
        _F: (True, _FO),
        _FO: (True, _FO),
        _B: (True, _B),
    },
    "unsubscribe": {
        _N: (True, _N),
        _NO: (True, _N),
        _NI: (True, _NI),
        _NOI: (True, _NI),
        _T: (True, _N),
        _TI: (True, _NI),
        _F: (True, _F),
        _FO: (True, _F),
        _B: (True, _F),
    },
    "subscribed": {
        _N: (False, _N),
        _NO: (False, _NO),
        _NI: (True, _F),
        _NOI: (True, _FO),
        _T: (False, _T),
        _TI: (True, _B),
        _F: (False, _F),
        _FO: (False, _FO),
        _B: (False, _B),
    },
    "unsubscribed": {
        _N: (False, _N),
        _NO: (False, _NO),
        _NI: (True, _N),
        _NOI: (True, _NO),
        _T: (False, _T),
        _TI: (True, _T),
        _F: (True, _N),
        _FO: (True, _NO),
        _B: (True, _T),
    },
}

# §A.3: (delivered to the user, new state)
_INBOUND: Final[_Table] = {
    "subscribe": {
        _N: (True, _NI),
        _NO: (True, _NOI),
        _NI: (False, _NI),
        _NOI: (False, _NOI),
        _T: (True, _TI),
        _TI: (False, _TI),
        _F: (False, _F),
        _FO: (False, _FO),
        _B: (False, _B),
    },
    "unsubscribe": {
        _N: (False, _N),
        _NO: (False, _NO),
        _NI: (True, _N),
        _NOI: (True, _NO),
        _T: (False, _T),
        _TI: (True, _T),
        _F: (True, _N),
        _FO: (True, _NO),
        _B: (True, _T),
    },
    "subscribed": {
        _N: (False, _N),
        _NO: (True, _T),
        _NI: (False, _NI),
        _NOI: (True, _TI),
        _T: (False, _T),
        _TI: (False, _TI),
        _F: (False, _F),
        _FO: (True, _B),
        _B: (False, _B),
    },
    "unsubscribed": {
        _N: (False, _N),
        _NO: (True, _N),
        _NI: (False, _NI),
        _NOI: (True, _NI),
        _T: (True, _N),
        _TI: (True, _NI),
        _F: (False, _F),
        _FO: (True, _F),
        _B: (True, _F),
    },
}


def outbound(kind: Kind, state: State, *, approved: bool = False) -> Transition:
    """What the user's own stanza does (§A.2). `approved`: the contact is pre-approved."""
    passed_on, new = _OUTBOUND[kind][state]
    kept = approved
    if kind == "subscribed":
        kept = not new.seen_by_contact  # §3.4.2: an approval that nobody has asked for is noted, not routed
    elif kind == "unsubscribed":
        kept = False
    return Transition(
        new,
        approved=kept,
        unavailable=state.seen_by_contact and not new.seen_by_contact,
        passed_on=passed_on,
        push=_shown(state, approved) != _shown(new, kept),
        available=new.seen_by_contact and not state.seen_by_contact,
        probe=new is _B and state is not _B,
    )


def inbound(kind: Kind, state: State, *, approved: bool = False) -> Transition:
    """What the contact's stanza does (§A.3). `approved`: the contact is pre-approved, which the request uses up."""
    passed_on, new = _INBOUND[kind][state]
    if kind == "subscribe":
        if state.seen_by_contact:  # §A.3.1 note 1; the presence heals a contact whose server lost the subscription
            return Transition(new, approved, reply="subscribed", available=True)
        if approved:  # §3.4.2
            return Transition(_OUTBOUND["subscribed"][new][1], push=True, reply="subscribed", available=True)
        # §3.1.3, 3: the receipt of a request is acknowledged; whether the contact is online or not, or it would tell
        return Transition(new, approved, passed_on=passed_on, reply="unavailable")
    return Transition(
        new,
        approved,
        unavailable=state.seen_by_contact and not new.seen_by_contact,
        passed_on=passed_on,
        push=_shown(state, approved) != _shown(new, approved),
        reply="unsubscribed" if kind == "unsubscribe" and passed_on else "",  # §A.3.2 note 1
    )


def removal(state: State) -> tuple[Kind, ...]:
    """The stanzas that the server sends to a contact whom the user removes from the roster, in their order (§2.5.2).

    Each is treated as `outbound` of its kind, less the roster push: that of the removal is the only one. Requests that
    are still open in either direction are withdrawn or denied as well.
    """
    kinds: list[Kind] = []
    if state.sees_contact or state.ask:
        kinds.append("unsubscribe")
    if state.seen_by_contact or state.pending_in:
        kinds.append("unsubscribed")
    return tuple(kinds)


def _shown(state: State, approved: bool) -> tuple[Subscription, bool, bool]:
    """What a roster item shows to clients: a pending request of the contact is not a part of it."""
    return state.subscription, state.ask, approved
