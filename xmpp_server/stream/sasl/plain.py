"""The server's side of PLAIN (RFC 4616)."""

from __future__ import annotations

import hmac

from xmpp_server.protocol.credentials import HASHES, Credentials, Hash, Verifier

from .identity import localpart_of, refuse_authzid
from .steps import WRONG, Failed, NeedCredentials, NeedWork, Step, Succeeded
from .verifiers import MAX_PASSWORD, InvalidPassword, decoy, make_verifier, prepare_password

_MAX_NAME = 1023  # octets, RFC 7622 §3.3


class Plain:
    """One attempt. The password is checked against the strongest verifier that is stored."""

    def __init__(self, host: str, secret: bytes, iterations: int) -> None:
        self._host = host
        self._secret = secret
        self._iterations = iterations
        self._username = ""
        self._password = ""
        self._localpart = ""

    def respond(self, data: bytes) -> Step:
        """`[authzid] NUL authcid NUL passwd` (RFC 4616 §2)."""
        try:
            authzid, self._username, self._password = data.decode().split("\0")
        except ValueError:
            return Failed("malformed-request", "The message is not one of PLAIN.")
        if not self._username or not self._password:
            return Failed("malformed-request", "The user name or the password is empty.")
        if len(self._username.encode()) > _MAX_NAME or len(self._password.encode()) > MAX_PASSWORD:
            return Failed("malformed-request", "The user name or the password is too long.")
        self._localpart = localpart_of(self._username, self._host)
        if refusal := refuse_authzid(authzid, self._localpart, self._host):
            return refusal
        return NeedCredentials(self._localpart) if self._localpart else self.give_credentials(None)

    def give_credentials(self, credentials: Credentials | None) -> Step:
        """An unknown account costs the same work as a known one."""
        stored = credentials.verifiers if credentials is not None else {}
        hash_: Hash = next((hash_ for hash_ in reversed(HASHES) if hash_ in stored), HASHES[-1])
        fake = decoy(hash_, f"{self._localpart or self._username}@{self._host}", self._secret, self._iterations)
        verifier = stored.get(hash_, fake)
        return NeedWork(lambda: self._verify(hash_, verifier, credentials))

    def _verify(self, hash_: Hash, verifier: Verifier, credentials: Credentials | None) -> Succeeded | Failed:
        try:
            prepared, valid = prepare_password(self._password), True
        except InvalidPassword:
            prepared, valid = b"-", False
        derived = make_verifier(hash_, prepared, verifier.salt, verifier.iterations)
        same = hmac.compare_digest(derived.stored_key, verifier.stored_key)
        if not (same and valid) or credentials is None:
            return WRONG
        if credentials.disabled:
            return Failed("account-disabled", "This account is disabled.")
        return Succeeded(self._localpart)
