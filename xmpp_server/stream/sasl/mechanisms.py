"""Which SASL mechanisms are offered, and one attempt to authenticate by one of them (RFC 6120 §6)."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from xmpp_server.protocol.credentials import HASHES, Credentials, Hash

from .plain import Plain
from .scram import Scram
from .steps import Challenge, Failed, NeedCredentials, Step
from .verifiers import ITERATIONS

_SCRAM: Final[dict[str, Hash]] = {"SCRAM-SHA-512": "sha512", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}


def offered(
    *,
    encrypted: bool,
    bindings: Collection[str] = (),
    hashes: Collection[Hash] = HASHES,
    plain_without_tls: bool = False,
) -> list[str]:
    """The names of the mechanisms, strongest first: -PLUS where there is a channel binding to use, PLAIN under TLS only
    (`plain_without_tls` is for tests on the loopback)."""
    scram = [name for name, hash_ in _SCRAM.items() if hash_ in hashes]
    plus = [f"{name}-PLUS" for name in scram] if bindings else []
    return plus + scram + (["PLAIN"] if encrypted or plain_without_tls else [])


class _Mechanism(Protocol):
    def respond(self, data: bytes) -> Step: ...

    def give_credentials(self, credentials: Credentials | None) -> Step: ...


class Exchange:
    """One attempt to authenticate on one stream.

    `offered` is the list that this stream's client was sent, `bindings` the data of each channel binding by its type
    (RFC 5929, RFC 9266), `secret` what gives unknown names a stable salt (32 octets, kept for ever, the same in all
    processes), `iterations` the count by which new verifiers are made. Every call returns what to do next; after
    Succeeded or Failed there is no further call.
    """

    def __init__(
        self,
        mechanism: str,
        host: str,
        *,
        offered: Sequence[str],
        secret: bytes,
        bindings: Mapping[str, bytes],
        iterations: int = ITERATIONS,
        server_nonce: str = "",
    ) -> None:
        self._name = mechanism
        self._mechanism: _Mechanism | None = None
        self._last: Step | None = None
        name = mechanism.removesuffix("-PLUS")
        if mechanism not in offered:
            return
        if mechanism == "PLAIN":
            self._mechanism = Plain(host, secret, iterations)
        else:
            self._mechanism = Scram(
                _SCRAM[name],
                host,
                secret,
                iterations,
                bindings=bindings if name != mechanism else None,
                plus_offered=any(other.endswith("-PLUS") for other in offered),
                server_nonce=server_nonce or secrets.token_urlsafe(24),
            )

    def start(self, initial: bytes | None) -> Step:
        """The `<auth/>`. `initial` is None where it has no content, and empty for a lone `=` (RFC 6120 §6.4.2)."""
        if self._mechanism is None:
            if self._name == "PLAIN":
                return Failed("encryption-required", "PLAIN is for encrypted streams only.")
            return Failed("invalid-mechanism", "This mechanism is not offered.")
        mechanism = self._expect(type(None))
        return self._next(Challenge(b"") if initial is None else mechanism.respond(initial))

    def respond(self, data: bytes) -> Step:
        """The `<response/>` to a Challenge."""
        return self._next(self._expect(Challenge).respond(data))

    def give_credentials(self, credentials: Credentials | None) -> Step:
        """The answer to NeedCredentials; None: there is no such account."""
        return self._next(self._expect(NeedCredentials).give_credentials(credentials))

    def abort(self) -> Step:
        """The `<abort/>` (RFC 6120 §6.4.4)."""
        return self._next(Failed("aborted"))

    def _next(self, step: Step) -> Step:
        self._last = step
        return step

    def _expect(self, step: type[Step] | type[None]) -> _Mechanism:
        """A call out of order is the caller's mistake, never the client's."""
        if self._mechanism is None or not isinstance(self._last, step):
            raise RuntimeError(f"not after {type(self._last).__name__}")
        return self._mechanism
