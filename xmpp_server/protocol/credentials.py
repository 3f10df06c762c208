"""What is kept of a password: salted verifiers (RFC 5802 §3), one for each hash that a SCRAM mechanism names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Hash = Literal["sha1", "sha256", "sha512"]
HASHES: Final[tuple[Hash, ...]] = ("sha1", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Verifier:
    """StoredKey and ServerKey of RFC 5802 §3 with what they were salted by."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that is needed to authenticate an account."""

    verifiers: dict[Hash, Verifier]
    disabled: bool = False
