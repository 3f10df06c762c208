"""Files from client to client, for those who cannot reach each other: both connect here, and bytes are passed on.

Only users of the host may ask for a stream; the other one may be from anywhere. Each host listens on a port of its own.

XEP: 0065 (1.8.2) partial: the proxy, without UDP (§8)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import structlog

from xmpp_server.port import Component, ComponentOptions, Port
from xmpp_server.protocol import ns
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.util.http import Site
from xmpp_server.util.limits import Places

from .relay import Limits, Relay

_log = structlog.get_logger()

NS: Final = "http://jabber.org/protocol/bytestreams"

Count = Annotated[int, msgspec.Meta(ge=1)]


class Proxy65Options(ComponentOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where it listens, and how much passes through it."""

    subdomain: str = "proxy"
    """What stands before the host's domain in that of the component."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 7777
    """The TCP port; 0 takes any that is free. Each host needs one of its own."""
    addresses: tuple[str, ...] = ()
    """The addresses to listen on; empty: those of `[listen]`."""
    host: str = ""
    """The name or address that clients connect to; empty: the host's domain."""
    connections: Count = 1000
    """Connections in all; a stream has two."""
    connections_per_address: Count = 50
    """Connections from one IPv4 address or one IPv6 network of 64 bits."""
    idle_seconds: Count = 300
    """After so long without a byte a stream ends."""


class Proxy65(Component):
    """The service that names its address, and activates streams."""

    name = "proxy65"
    title = "SOCKS5 Bytestreams Proxy"
    Options = Proxy65Options

    def __init__(self, port: Port, site: Site, options: Proxy65Options) -> None:
        self._port = port
        self._site = site
        self._host = port.jid.domain.removeprefix(f"{options.subdomain}.")
        self._places = Places(options.connections_per_address, options.connections)
        self._relay = Relay(Limits(self._places, options.idle_seconds))
        self.options = options

    def reconfigure(self, options: Proxy65Options) -> None:
        """Take new limits; port and addresses stay."""
        self.options = options
        self._places.each, self._places.total = options.connections_per_address, options.connections
        self._relay.limits.idle = options.idle_seconds

    async def start(self) -> None:
        options = self.options
        try:
            await self._relay.listen(options.addresses or self._site.addresses, options.port)
        except OSError as error:  # all else goes on without it
            _log.warning("proxy_cannot_listen", port=options.port, reason=error.strerror)
        self._port.receive(self.handle)

    async def stop(self) -> None:
        self._relay.close()

    async def handle(self, stanza: Stanza) -> None:
        """Answers disco#info, disco#items, and what is said of streams.

        Raises StanzaError: forbidden (somebody from elsewhere), not-allowed (there is no port, or one of the two is
        missing), item-not-found (nobody is connected for such a stream), bad-request, jid-malformed.
        """
        if stanza.name != "iq" or stanza.type not in ("get", "set"):
            return
        if stanza.to != self._port.jid:
            raise StanzaError("service-unavailable")
        query = stanza.child(NS, "query")
        if query is not None:
            self._check(stanza)
            if stanza.type == "get":
                await self._port.send(stanza.result(self._streamhost()))
            else:
                self._activate(stanza, query)
                await self._port.send(stanza.result())
        elif (
            stanza.type == "get"
            and (asked := stanza.child(ns.DISCO_INFO, "query")) is not None
            and not asked.get("node")
            and self._relay.port  # else clients would take it for a proxy
        ):
            known = Info.of([Identity("proxy", "bytestreams", name=self.title)], (NS, ns.DISCO_INFO, ns.DISCO_ITEMS))
            await self._port.send(stanza.result(known.element()))
        elif stanza.type == "get" and stanza.child(ns.DISCO_ITEMS, "query") is not None:
            await self._port.send(stanza.result(Element(ns.DISCO_ITEMS, "query")))
        else:
            raise StanzaError("service-unavailable")

    def _check(self, stanza: Stanza) -> None:
        """§4: whether the sender may use the proxy, and there is one."""
        assert stanza.sender is not None
        if stanza.sender.domain != self._host or not stanza.sender.localpart:
            raise StanzaError("forbidden", "Only users of this server may open streams.")
        if not self._relay.port:
            raise StanzaError("not-allowed", "The proxy has no port.")

    def _streamhost(self) -> Element:
        where = {
            "jid": self._port.jid.domain,
            "host": self.options.host or self._host,
            "port": str(self._relay.port),
        }
        return Element(NS, "query", children=[Element(NS, "streamhost", where)])

    def _activate(self, stanza: Stanza, query: Element) -> None:
        """§6.3.5: the hash that both had named shows that the sender knows of the stream."""
        sid, target = query.get("sid"), query.child_text(NS, "activate")
        if not sid or not target:
            raise StanzaError("bad-request")
        try:
            addresses = self._addresses(sid, stanza.sender, JID.parse(target))
        except InvalidJID:
            raise StanzaError("jid-malformed") from None
        most = max(addresses, key=self._relay.waiting)
        match self._relay.waiting(most):
            case 0:
                raise StanzaError("item-not-found", "Nobody is connected for such a stream.")
            case 1:
                raise StanzaError("not-allowed", "Only one of the two is connected.")
        self._relay.activate(most)

    @staticmethod
    def _addresses(sid: str, requester: JID | None, target: JID) -> Sequence[str]:
        """The requester may have used its bare address towards the target (§5.3.2)."""
        assert requester is not None
        return [
            hashlib.sha1(f"{sid}{jid}{target}".encode(), usedforsecurity=False).hexdigest()
            for jid in (requester, requester.bare)
        ]
