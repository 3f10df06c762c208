"""What an authentication answers to each thing that it is told, and how messages are encoded (RFC 6120 §6.4)."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

Condition = Literal[
    "aborted",
    "account-disabled",
    "credentials-expired",
    "encryption-required",
    "incorrect-encoding",
    "invalid-authzid",
    "invalid-mechanism",
    "malformed-request",
    "mechanism-too-weak",
    "not-authorized",
    "temporary-auth-failure",
]
"""The conditions of a `<failure/>` (RFC 6120 §6.5)."""

MAX_MESSAGE: Final = 8192
"""Octets of one decoded message: two addresses and a password of RFC 7622's lengths, escaped, fit in."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send `data` (empty: a challenge without content) and wait for the response."""

    data: bytes


@dataclass(frozen=True, slots=True)
class NeedCredentials:
    """Look up the account of this prepared localpart, and call `give_credentials`, with None if there is none."""

    localpart: str


@dataclass(frozen=True, slots=True)
class NeedWork:
    """Call `work` where some ten milliseconds of CPU disturb nobody (any thread); what it returns is the next step."""

    work: Callable[[], Succeeded | Failed]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Whoever is at the other end is the account `localpart`. `data` goes with the `<success/>`, if it is not None."""

    localpart: str
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt is over: `<failure/>` with `condition` and a sentence for people.

    `guessed` says that a password or proof was tried and was wrong, or that no such account exists: what slows further
    attempts down. Mistakes in the protocol try nothing and are left to the stream's limit of attempts.
    """

    condition: Condition
    text: str = ""
    guessed: bool = False


Step = Challenge | NeedCredentials | NeedWork | Succeeded | Failed

WRONG: Final = Failed("not-authorized", "Wrong user name or password.", guessed=True)
"""The one answer to an unknown account, a name that cannot be one, and a wrong password."""


def decode(text: str) -> bytes | Failed:
    """The octets of an `<auth/>`, `<response/>` or `<challenge/>`; a lone `=` stands for none (RFC 6120 §6.4.2).

    Only the canonical form of RFC 4648 §4 is taken: no white space, nothing after the padding, no bits left over.
    """
    if text == "=":
        return b""
    if len(text) > (MAX_MESSAGE + 2) // 3 * 4:
        return Failed("malformed-request", "The message is too long.")
    try:
        return from_base64(text)
    except ValueError:
        return Failed("incorrect-encoding", "The data is not base64.")


def from_base64(text: str) -> bytes:
    """The octets of base64 in its canonical form (RFC 4648 §3.5 and §4); raises ValueError."""
    data = binascii.a2b_base64(text, strict_mode=True)
    if b64encode(data).decode() != text:
        raise ValueError("not canonical")
    return data


def encode(data: bytes) -> str:
    """The content of a `<challenge/>` or `<success/>`; nothing at all for no octets."""
    return b64encode(data).decode()
