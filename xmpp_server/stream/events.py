"""What a client's stream tells its driver."""

from __future__ import annotations

from dataclasses import dataclass

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from . import sasl
from .framing import Malformed


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream header came: `accept` or `refuse`. `to` as it stood there, empty if absent."""

    to: str


class StartTLS:
    """`<proceed/>` is written; start TLS once it is sent, and call `tls_started`."""


@dataclass(frozen=True, slots=True)
class NeedCredentials:
    """Look the account up, and call `give_credentials`."""

    domain: str
    localpart: str


@dataclass(frozen=True, slots=True)
class NeedWork:
    """Run `work` off the loop, and call `give_result` with what it returns."""

    work: sasl.NeedWork


@dataclass(frozen=True, slots=True)
class AuthenticationFailed:
    """Call `send_failure` after a while that grows with the failures. `localpart` is empty if none was named."""

    localpart: str
    guessed: bool


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The client proved to be this account; its stream starts anew by itself."""

    account: JID


@dataclass(frozen=True, slots=True)
class Bind:
    """The client asks for a resource (empty: any): `bound` or `bind_failed`."""

    resource: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The client asks for its former session (XEP-0198 §5): `resumed` or `resume_failed`. `h` as it stood there."""

    id: str
    h: int


@dataclass(frozen=True, slots=True)
class Enable:
    """The client asks for stream management (XEP-0198 §3): `enabled` or `enable_failed`. `resume`: it wants to be able
    to resume, for at most so many seconds (None: as long as we like). `ns` is the version that it speaks."""

    ns: str
    resume: bool
    most: int | None


class Request:
    """The client asks how much was handled (XEP-0198 §4): it is to be answered at once."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The client has handled all up to `h` (XEP-0198 §4)."""

    h: int


@dataclass(frozen=True, slots=True)
class Early:
    """An iq before authentication (XEP-0077); it may be answered by `reply`."""

    stanza: Stanza


@dataclass(frozen=True, slots=True)
class Nonza:
    """An element on a bound stream that is no stanza."""

    element: Element


class Ended:
    """The client closed its side of the stream (RFC 6120 §4.4)."""


Event = (
    Stanza
    | Malformed
    | Opened
    | StartTLS
    | NeedCredentials
    | NeedWork
    | AuthenticationFailed
    | Authenticated
    | Bind
    | Resume
    | Enable
    | Request
    | Acknowledgement
    | Early
    | Nonza
    | Ended
)
