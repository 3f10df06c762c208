"""The server's side of SCRAM and SCRAM-PLUS (RFC 5802, RFC 7677), with any channel binding that the transport has."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from xmpp_server.protocol.credentials import Credentials, Hash, Verifier

from .identity import localpart_of, refuse_authzid
from .steps import WRONG, Challenge, Failed, NeedCredentials, Step, Succeeded, from_base64
from .verifiers import decoy

_MAX_NONCE: Final = 1024  # characters

# RFC 5802 §7. Values are UTF-8 without NUL; the names of extensions are single letters.
_SASLNAME: Final = r"(?:[^\0=,]|=2C|=3D)+"
_EXTENSIONS: Final = r"(?P<extensions>(?:,[A-Za-z]=[^\0,]+)*)"
_FIRST: Final = re.compile(
    rf"(?P<gs2>(?P<flag>n|y|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>{_SASLNAME}))?,)"
    rf"(?P<bare>n=(?P<username>{_SASLNAME}),r=(?P<nonce>[\x21-\x2B\x2D-\x7E]+){_EXTENSIONS})"
)
_FINAL: Final = re.compile(
    rf"(?P<unproven>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[\x21-\x2B\x2D-\x7E]+){_EXTENSIONS})"
    r",p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_DEFINED: Final = re.compile(",[anmrcsipve]=")  # RFC 5802 §5.1: each of these has its own place
_MALFORMED: Final = Failed("malformed-request", "The message is not one of SCRAM, or demands an extension.")


class Scram:
    """One attempt.

    `bindings`: the data of each channel binding by its type, for a -PLUS mechanism; None for another. `plus_offered`:
    whether any -PLUS mechanism was in the list that this client was sent.
    """

    def __init__(
        self,
        hash_: Hash,
        host: str,
        secret: bytes,
        iterations: int,
        *,
        bindings: Mapping[str, bytes] | None,
        plus_offered: bool,
        server_nonce: str,
    ) -> None:
        self._hash = hash_
        self._host = host
        self._secret = secret
        self._iterations = iterations
        self._bindings = bindings
        self._plus_offered = plus_offered
        self._nonce = server_nonce  # with the client's in front of it, once that is known
        self._username = ""
        self._localpart = ""
        self._first_bare = ""
        self._server_first = ""
        self._bound = b""
        self._verifier: Verifier | None = None
        self._disabled = False

    def respond(self, data: bytes) -> Step:
        """The client's first message, and then its final one (RFC 5802 §5)."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return _MALFORMED
        return self._first(text) if self._verifier is None else self._final(text, self._verifier)

    def _first(self, text: str) -> Step:
        message = _FIRST.fullmatch(text)
        if message is None or _DEFINED.search(message["extensions"]) or len(message["nonce"]) > _MAX_NONCE:
            return _MALFORMED
        bound = self._bind(message["flag"][0], message["binding"])
        if isinstance(bound, Failed):
            return bound
        self._username = _unescape(message["username"])
        self._localpart = localpart_of(self._username, self._host)
        if refusal := refuse_authzid(_unescape(message["authzid"] or ""), self._localpart, self._host):
            return refusal
        self._bound = message["gs2"].encode() + bound
        self._first_bare = message["bare"]
        self._nonce = message["nonce"] + self._nonce
        return NeedCredentials(self._localpart) if self._localpart else self.give_credentials(None)

    def _bind(self, flag: str, kind: str | None) -> bytes | Failed:
        """What the client's channel-binding flag binds to (RFC 5802 §6)."""
        if (flag == "p") is not (self._bindings is not None):
            return Failed("malformed-request", "The channel-binding flag does not belong to this mechanism.")
        if flag == "y" and self._plus_offered:
            return Failed("not-authorized", "This server does support channel binding: somebody cut it from its offer.")
        if self._bindings is None:
            return b""
        if kind is None or kind not in self._bindings:
            return Failed("not-authorized", "This channel binding is not supported here.")
        return self._bindings[kind]

    def give_credentials(self, credentials: Credentials | None) -> Step:
        """The server's first message. For an account that does not exist it looks the same, and costs the same."""
        account = f"{self._localpart or self._username}@{self._host}"
        verifier = decoy(self._hash, account, self._secret, self._iterations)
        if credentials is not None:
            verifier = credentials.verifiers.get(self._hash, verifier)
            self._disabled = credentials.disabled
        self._verifier = verifier
        self._server_first = f"r={self._nonce},s={b64encode(verifier.salt).decode()},i={verifier.iterations}"
        return Challenge(self._server_first.encode())

    def _final(self, text: str, verifier: Verifier) -> Step:
        message = _FINAL.fullmatch(text)
        if message is None or _DEFINED.search(message["extensions"]):
            return _MALFORMED
        try:
            bound, proof = from_base64(message["binding"]), from_base64(message["proof"])
        except ValueError:
            return _MALFORMED
        if not hmac.compare_digest(message["nonce"], self._nonce):
            return Failed("not-authorized", "The nonce is not that of this exchange.")
        if not hmac.compare_digest(bound, self._bound):
            return Failed("not-authorized", "The channel bindings do not match.")
        return self._prove(proof, f"{self._first_bare},{self._server_first},{message['unproven']}".encode(), verifier)

    def _prove(self, proof: bytes, auth_message: bytes, verifier: Verifier) -> Succeeded | Failed:
        """RFC 5802 §3. Whether the account is disabled is told only to who knows its password."""
        signature = hmac.digest(verifier.stored_key, auth_message, self._hash)
        if len(proof) != len(signature):
            return WRONG
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), verifier.stored_key):
            return WRONG
        if self._disabled:
            return Failed("account-disabled", "This account is disabled.")
        return Succeeded(self._localpart, b"v=" + b64encode(hmac.digest(verifier.server_key, auth_message, self._hash)))


def _unescape(saslname: str) -> str:
    return saslname.replace("=2C", ",").replace("=3D", "=")
