"""A SCRAM client for the tests, written from RFC 5802 §3 and §5 alone, that can also misbehave."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from functools import lru_cache


class ScramClient:
    def __init__(
        self,
        hash_name: str,
        username: str,
        password: str,
        *,
        gs2: str = "n,,",
        binding: bytes = b"",
        nonce: str = "fyko+d2lbbFgONRv9qkxdawL",
    ) -> None:
        self.hash_name = hash_name
        self.password = password
        self.gs2 = gs2
        self.binding = binding
        self.nonce = nonce
        self.first_bare = f"n={username.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.server_signature = b""

    def first(self) -> bytes:
        return (self.gs2 + self.first_bare).encode()

    def final(self, server_first: bytes, *, nonce: str = "", extensions: str = "") -> bytes:
        attributes = dict(part.split("=", 1) for part in server_first.decode().split(","))
        assert list(attributes) == ["r", "s", "i"]
        assert attributes["r"].startswith(self.nonce)
        assert len(attributes["r"]) >= len(self.nonce) + 16
        bound = b64encode(self.gs2.encode() + self.binding).decode()
        unproven = f"c={bound},r={nonce or attributes['r']}{extensions}"
        salted = _salted(self.hash_name, self.password, attributes["s"], int(attributes["i"]))
        message = f"{self.first_bare},{server_first.decode()},{unproven}".encode()
        client_key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self.hash_name, client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.server_signature = self._hmac(self._hmac(salted, b"Server Key"), message)
        return f"{unproven},p={b64encode(proof).decode()}".encode()

    def accepts(self, server_final: bytes | None) -> bool:
        return server_final == b"v=" + b64encode(self.server_signature)

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.new(key, message, self.hash_name).digest()


@lru_cache
def _salted(hash_name: str, password: str, salt: str, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), b64decode(salt), iterations)
