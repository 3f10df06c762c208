"""Passwords and the verifiers that are kept of them (RFC 5802 §3)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from typing import Final

from xmpp_server.protocol.credentials import HASHES, Hash, Verifier

ITERATIONS: Final = 10_000
MIN_ITERATIONS: Final = 4096  # RFC 5802 §5.1, RFC 7677 §4
MAX_PASSWORD: Final = 1023  # octets of UTF-8
_SALT: Final = 16  # octets

_PROHIBITED: Final = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class InvalidPassword(ValueError):  # noqa: N818
    """No password by RFC 4013, or empty, or longer than MAX_PASSWORD octets."""


def prepare_password(password: str) -> bytes:
    """The password as UTF-8, prepared by SASLprep (RFC 4013), unassigned code points allowed, as RFC 5802 §2.2 has it.

    Not by OpaqueString of RFC 8265: the client of a SCRAM mechanism prepares for itself, and clients follow RFC 5802.
    Raises InvalidPassword.
    """
    if not 0 < len(password.encode("utf-8", "surrogatepass")) <= MAX_PASSWORD:
        raise InvalidPassword("empty or too long")
    if password.isascii() and password.isprintable():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(char) for char in prepared for prohibited in _PROHIBITED):
        raise InvalidPassword("a character that passwords may not contain")
    if any(map(stringprep.in_table_d1, prepared)) and (  # RFC 3454 §6
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise InvalidPassword("text of both directions is mixed")
    if not 0 < len(prepared.encode()) <= MAX_PASSWORD:
        raise InvalidPassword("empty or too long")
    return prepared.encode()


def make_verifiers(password: str, iterations: int = ITERATIONS) -> dict[Hash, Verifier]:
    """What is to be kept of a password, for each hash under a fresh salt. Takes tens of milliseconds of CPU.

    Raises InvalidPassword, and ValueError for fewer iterations than RFC 5802 §5.1 allows.
    """
    if iterations < MIN_ITERATIONS:
        raise ValueError(f"fewer than {MIN_ITERATIONS} iterations")
    prepared = prepare_password(password)
    return {hash_: make_verifier(hash_, prepared, secrets.token_bytes(_SALT), iterations) for hash_ in HASHES}


def make_verifier(hash_: Hash, prepared: bytes, salt: bytes, iterations: int) -> Verifier:
    """StoredKey and ServerKey of RFC 5802 §3 from a password that is prepared."""
    salted = hashlib.pbkdf2_hmac(hash_, prepared, salt, iterations)
    stored_key = hashlib.new(hash_, hmac.digest(salted, b"Client Key", hash_)).digest()
    return Verifier(salt, iterations, stored_key, hmac.digest(salted, b"Server Key", hash_))


def decoy(hash_: Hash, account: str, secret: bytes, iterations: int) -> Verifier:
    """What an account that does not exist shows instead of a verifier.

    Its salt is the same at each attempt, and nobody without `secret` can tell it from a real one. No password fits.
    """
    seed = hmac.digest(secret, f"{hash_}\0{account}".encode("utf-8", "surrogatepass"), "sha512")
    size = hashlib.new(hash_).digest_size
    keys = hmac.digest(secret, seed, "sha512")[:size]
    return Verifier(seed[:_SALT], iterations, keys, keys)
