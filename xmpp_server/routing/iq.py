"""Requests to the server itself: which handler answers which payload (RFC 6120 §8.2.3, §8.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from inspect import isawaitable
from typing import Any, Final

import structlog

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, Stanza

from .account import Session

_log = structlog.get_logger()


class Target(Enum):
    """What a request is addressed to."""

    HOST = "host"
    """A domain that we serve."""
    OWN = "own"
    """The sender's own account, by its bare address or by leaving `to` out."""
    ACCOUNT = "account"
    """Any account of ours: a handler for this judges itself who may ask."""
    STREAM = "stream"
    """The stream before authentication (XEP-0077 §3.1)."""


class Request:
    """A get or set that we answer. `session` is the sender's session if it is one of ours. Of a client that asks before
    authentication there is its IP `address` (else empty), and `notes`, what handlers keep of its stream."""

    __slots__ = ("address", "child", "notes", "session", "stanza")

    def __init__(
        self,
        stanza: Stanza,
        session: Session | None,
        child: Child,
        address: str = "",
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.stanza = stanza
        self.session = session
        self.child = child
        self.address = address
        self.notes = {} if notes is None else notes

    @property
    def sender(self) -> JID:
        """The full address that asks; nobody has one before authentication."""
        assert self.stanza.sender is not None
        return self.stanza.sender

    @property
    def to(self) -> JID:
        """The address that is asked: a domain or a bare address of ours."""
        assert self.stanza.to is not None
        return self.stanza.to

    @property
    def payload(self) -> Element:
        """The request's only child, parsed."""
        return self.stanza.parse(self.child)


class _Answered:
    def __repr__(self) -> str:
        return "ANSWERED"


ANSWERED: Final = _Answered()
"""What a handler returns that has sent its answer itself, because something else had to follow it."""

Answer = Element | None | _Answered
Handler = Callable[[Request], "Answer | Awaitable[Answer]"]


class Requests:
    """A host's handlers by type, target and payload."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, Target, str], tuple[str, Handler]] = {}

    def add(self, type: str, target: Target, key: str, handler: Handler, owner: str) -> None:
        """Let `handler` answer `type` (get or set) with a payload of this qname; ValueError if another does already."""
        place = (type, target, key)
        if place in self._handlers:
            raise ValueError(f"{self._handlers[place][0]} and {owner} both answer {type} {key!r} for {target.value}")
        self._handlers[place] = (owner, handler)

    def clear(self) -> None:
        """Forget all handlers."""
        self._handlers.clear()

    def explain(self) -> list[tuple[str, str, str, str]]:
        """Type, target, qname and feature of each handler."""
        return [(type, target.value, key, owner) for (type, target, key), (owner, _) in self._handlers.items()]

    async def answer(
        self,
        stanza: Stanza,
        session: Session | None,
        *targets: Target,
        address: str = "",
        notes: dict[str, Any] | None = None,
    ) -> Stanza | None:
        """The answer to an iq for the first of the targets that has a handler; None if it is not to be answered."""
        if stanza.type in ("result", "error"):
            return None
        try:
            child = request_payload(stanza)
            for target in targets:
                found = self._handlers.get((stanza.type, target, child.key))
                if found is not None:
                    answer = found[1](Request(stanza, session, child, address, notes))
                    if isawaitable(answer):
                        answer = await answer
                    if isinstance(answer, _Answered):
                        return None
                    return stanza.result() if answer is None else stanza.result(answer)
            raise StanzaError("service-unavailable")
        except StanzaError as error:
            return stanza.error(error)
        except Exception:
            payload = stanza.children[0].key if stanza.children else ""
            _log.exception("request_failed", type=stanza.type, payload=payload)
            return stanza.error(StanzaError("internal-server-error"))


def request_payload(stanza: Stanza) -> Child:
    """The only child of a get or set; raises StanzaError where the iq breaks RFC 6120 §8.2.3."""
    if not stanza.id:
        raise StanzaError("bad-request", "an iq has an id")
    if stanza.type not in ("get", "set"):
        raise StanzaError("bad-request", "an iq is of type get, set, result or error")
    if len(stanza.children) != 1:
        raise StanzaError("bad-request", "a request has exactly one child element")
    return stanza.children[0]
