"""The states of a client's stream, and what is legal in each (RFC 6120 §4 to §7, XEP-0198)."""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Where a stream stands. In the states of ANSWERS an answer of the driver is due."""

    OPENING = "a stream header is due"
    ACCEPTING = "waits for accept or refuse"
    NEGOTIATING = "features are sent"
    SECURING = "waits for tls_started"
    AUTHENTICATING = "a response is due"
    VERIFYING = "waits for credentials, the result of work, or send_failure"
    BINDING = "waits for bound or bind_failed"
    RESUMING = "waits for resumed or resume_failed"
    BOUND = "stanzas go both ways"
    ENABLING = "waits for enabled or enable_failed"
    CLOSED = "nothing goes any more"


class TooLateError(RuntimeError):
    """An answer of the driver's comes when the stream was closed meanwhile."""


# state -> input -> (what handles it, the states it can lead to). What is not here ends the stream by `_unexpected`.
TRANSITIONS: Final[dict[State, dict[str, tuple[str, tuple[State, ...]]]]] = {
    State.OPENING: {"header": ("_header", (State.ACCEPTING,))},
    State.NEGOTIATING: {
        "starttls": ("_starttls", (State.SECURING,)),
        "auth": ("_auth", (State.AUTHENTICATING, State.VERIFYING, State.NEGOTIATING)),
        "bind": ("_bind", (State.BINDING,)),
        "iq": ("_early", (State.NEGOTIATING,)),
        "resume": ("_resume", (State.RESUMING, State.NEGOTIATING)),
        "enable": ("_too_early", (State.NEGOTIATING,)),
    },
    State.AUTHENTICATING: {
        "response": ("_response", (State.AUTHENTICATING, State.VERIFYING, State.OPENING)),
        "abort": ("_abort", (State.VERIFYING,)),
    },
    State.BOUND: {
        "enable": ("_enable", (State.ENABLING, State.BOUND)),
        "r": ("_request", (State.BOUND,)),
        "a": ("_acknowledgement", (State.BOUND,)),
        "resume": ("_too_late", (State.BOUND,)),
        "nonza": ("_nonza", (State.BOUND,)),
    },
}

# state -> answer of the driver -> the states it can lead to. Another answer is a mistake of the driver's.
ANSWERS: Final[dict[State, dict[str, tuple[State, ...]]]] = {
    State.ACCEPTING: {"accept": (State.NEGOTIATING,), "refuse": (State.CLOSED,)},
    State.SECURING: {"tls_started": (State.OPENING,)},
    State.VERIFYING: {
        "give_credentials": (State.AUTHENTICATING, State.VERIFYING),
        "cannot_verify": (State.VERIFYING,),
        "give_result": (State.VERIFYING, State.OPENING),
        "send_failure": (State.NEGOTIATING, State.CLOSED),
    },
    State.BINDING: {"bound": (State.BOUND,), "bind_failed": (State.NEGOTIATING,)},
    State.RESUMING: {"resumed": (State.BOUND,), "resume_failed": (State.NEGOTIATING,)},
    State.ENABLING: {"enabled": (State.BOUND,), "enable_failed": (State.BOUND,)},
}
