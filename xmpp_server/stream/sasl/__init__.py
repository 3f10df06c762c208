"""Authentication by SASL (RFC 6120 §6), without a socket, a clock or a database: an Exchange is told what came, and
answers with what to do next."""

from .channel_binding import channel_binding_feature
from .mechanisms import Exchange, offered
from .steps import (
    Challenge,
    Condition,
    Failed,
    NeedCredentials,
    NeedWork,
    Step,
    Succeeded,
    decode,
    encode,
)
from .verifiers import ITERATIONS, MIN_ITERATIONS, InvalidPassword, make_verifiers

__all__ = [
    "ITERATIONS",
    "MIN_ITERATIONS",
    "Challenge",
    "Condition",
    "Exchange",
    "Failed",
    "InvalidPassword",
    "NeedCredentials",
    "NeedWork",
    "Step",
    "Succeeded",
    "channel_binding_feature",
    "decode",
    "encode",
    "make_verifiers",
    "offered",
]
