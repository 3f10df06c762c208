"""What is kept of a password: salted verifiers (RFC 5802 §3), one for each hash that a SCRAM mechanism names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Hash = Literal["sha1", "sha256", "sha512"]
HASHES: Final[tuple[Hash, ...]] = ("sha1", "sha256", "sha512")  # weakest first


@dataclass(frozen=True, slots=True)
class Verifier:
    """StoredKey and ServerKey of RFC 5802 §3 with what they were salted by.

    The keys stay out of `repr`, and so of logs: who has a ServerKey can play the server (RFC 5802 §9).
    """

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that is needed to authenticate an account."""

    verifiers: dict[Hash, Verifier]
    disabled: bool = False
