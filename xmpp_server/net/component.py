"""The connection of a component outside: whoever knows the secret of a domain is its component, as long as the stream
lasts. It is read no faster than what it sends is routed; more of it than the outbox holds ends its stream.

XEP: 0114 (1.6) complete
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.components import OutsidePort
from xmpp_server.routing.host import Passage
from xmpp_server.routing.router import Router
from xmpp_server.stream.c2s import Settings
from xmpp_server.stream.component import ComponentStream, Event, NotProven, Proven, State
from xmpp_server.stream.events import Opened
from xmpp_server.stream.framing import Malformed
from xmpp_server.util.limits import SlowDown
from xmpp_server.util.tasks import run_eagerly

from .c2s import Limits
from .connection import Shared
from .stream import StreamConnection

_log = structlog.get_logger()

_IQ_TYPES: Final = frozenset(("get", "set", "result", "error"))


@dataclass(slots=True)
class Outsiders:
    """What all connections of components outside share. Of the limits the rate holds until the handshake: after it the
    component is trusted, and slowed by what it sends alone."""

    shared: Shared
    router: Router
    settings: Settings
    limits: Limits
    guesses: SlowDown


class ComponentConnection(StreamConnection):
    """One component's socket. It is the link of its port."""

    __slots__ = ("_outsiders", "_port")

    _stream: ComponentStream

    def __init__(self, outsiders: Outsiders) -> None:
        super().__init__(outsiders.shared)
        self._outsiders = outsiders
        self._port: OutsidePort | None = None
        settings = outsiders.settings
        self._stream = ComponentStream(settings.before, settings.after, settings.domain)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.closing:
            limits = self._outsiders.limits
            self._shared.wheel.schedule(self, limits.negotiation)
            self.allow(limits.rate, self._outsiders.settings.before.max_bytes)

    def secured(self, bindings: Mapping[str, bytes]) -> None:
        raise NotImplementedError  # XEP-0114 has no TLS

    # -- events

    def take(self, event: Event) -> asyncio.Future[Any] | None:
        if isinstance(event, Stanza):
            return run_eagerly(self._route(event))
        if isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Proven):
            self._proven()
        elif isinstance(event, NotProven):
            return run_eagerly(self._not_proven())
        elif isinstance(event, Malformed):
            self._malformed(event)
        else:
            self.close()
        return None

    def _opened(self, event: Opened) -> None:
        try:
            domain = JID.parse(event.to).domain
        except InvalidJID:
            domain = ""
        port = self._outsiders.router.components.get(domain)
        if not isinstance(port, OutsidePort):
            self._stream.refuse(StreamError("host-unknown"))
            self.close()
        elif self._outsiders.guesses.is_full(self.key):
            self._stream.refuse(StreamError("policy-violation", "too many wrong handshakes"))
            self.close()
        else:
            self._port = port
            self._stream.accept(domain, port.secret)

    def _proven(self) -> None:
        port, router = self._port, self._outsiders.router
        assert port is not None
        if router.components.get(port.jid.domain) is not port:
            raise StreamError("host-gone")
        if port.link is not None:
            raise StreamError("conflict", "the component is connected already")
        port.link = self
        self._stream.established()
        self.allow(0, 0)
        self._shared.wheel.schedule(self, self._outsiders.limits.keepalive)
        _log.info("component_connected", domain=port.jid.domain, address=self.address)

    async def _not_proven(self) -> None:
        assert self._port is not None
        _log.warning("component_refused", domain=self._port.jid.domain, address=self.address)
        guesses = self._outsiders.guesses
        delay = guesses.delay(self.key)
        guesses.failed(self.key)
        await asyncio.sleep(delay)
        raise StreamError("not-authorized")

    async def _route(self, stanza: Stanza) -> None:
        """What the component sends bears its own domain (§3)."""
        sender, router = stanza.sender, self._outsiders.router
        assert self._port is not None
        if sender is None or stanza.to is None:
            raise StreamError("improper-addressing", "a component's stanzas are from and to somebody")
        if sender.domain != self._port.jid.domain:
            raise StreamError("invalid-from")
        passage = Passage(stanza)
        if stanza.name == "iq" and (stanza.type not in _IQ_TYPES or not stanza.id):
            await router.bounce(passage, StanzaError("bad-request", "an iq has an id and a known type"))
        else:
            await router.route(passage)

    def _malformed(self, event: Malformed) -> None:
        """The stanza is answered, and goes nowhere (RFC 6120 §8.3.3.8)."""
        stanza = event.stanza
        assert self._port is not None
        if event.attribute == "from" or (stanza.sender is not None and stanza.sender.domain != self._port.jid.domain):
            raise StreamError("invalid-from")
        if stanza.type not in ("error", "result"):
            self.write(stanza.error(event.error).to_bytes())

    # -- the end

    def last_words(self, error: StreamError | None) -> list[bytes]:
        self._stream.close(error)
        return self._stream.parts_to_send()

    def ended(self) -> None:
        port, self._port = self._port, None
        if port is not None and port.link is self:
            _log.info("component_gone", domain=port.jid.domain)
            port.lost()

    @property
    def silence(self) -> int | None:
        return self._outsiders.limits.keepalive if self._stream.state is State.OPEN else None
