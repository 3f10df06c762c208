"""Private XML storage: what clients keep at the server for the user's own clients alone.

One element for each name and namespace. Nothing is reserved but what another module takes care of, such as bookmarks.

XEP: 0049 (1.2) complete
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from xmpp_server.module import Module, iq_get, iq_set
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import qname
from xmpp_server.routing.host import Host, PrivateXMLRequest
from xmpp_server.routing.iq import Request, Target
from xmpp_server.storage.errors import QuotaExceeded
from xmpp_server.storage.private_xml import PrivateXML as Repository

NS: Final = "jabber:iq:private"
_LONGEST: Final = 1000
"""Octets of the longest name, its namespace included: PostgreSQL finds elements by it."""


class PrivateXMLOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much an account may store."""

    elements: Annotated[int, msgspec.Meta(ge=0)] = 100
    """Elements of one account."""
    octets: Annotated[int, msgspec.Meta(ge=0)] = 524_288
    """Octets of all of them together."""


class PrivateXML(Module):
    """Stores and gives back."""

    name = "private_xml"
    features = (NS,)
    account_features = (NS,)
    Options = PrivateXMLOptions

    def __init__(self, host: Host, private: Repository, options: PrivateXMLOptions) -> None:
        self._host = host
        self._private = private
        self.options = options

    @iq_get(NS, "query", Target.OWN)
    async def load(self, request: Request) -> Element:
        """What is stored under the name of the only child, or that child as it came (§2.3)."""
        wanted = _elements(request.payload, "bad-request")
        if len(wanted) > 1:
            raise StanzaError("bad-request", "One element is asked for at a time.")
        element = wanted[0]
        asked = await self._host.hooks.private_xml_wanted.run(PrivateXMLRequest(request.to, element))
        if asked.handled:
            found = asked.element
        else:
            data = await self._private.load(request.to, qname(element.ns, element.name))
            found = element if data is None else parse(data)
        return Element(NS, "query", {}, [found])

    @iq_set(NS, "query", Target.OWN)
    async def store(self, request: Request) -> None:
        """Put each of the children in the place of what was stored under its name."""
        kept: dict[str, bytes] = {}
        for element in _elements(request.payload, "not-acceptable"):
            given = await self._host.hooks.private_xml_given.run(PrivateXMLRequest(request.to, element))
            if not given.handled:
                kept[qname(element.ns, element.name)] = given.element.to_bytes()
        options = self.options
        if kept:
            try:
                await self._private.save(request.to, kept, most=options.elements, octets=options.octets)
            except QuotaExceeded as error:
                raise StanzaError("resource-constraint", "Your private storage is full.", type="cancel") from error

    @iq_get(NS, "query", Target.ACCOUNT)
    @iq_set(NS, "query", Target.ACCOUNT)
    def others(self, request: Request) -> None:
        """What is private is nobody else's (§2.3)."""
        raise StanzaError("forbidden")


def _elements(query: Element, nothing: str) -> list[Element]:
    """The children; raises StanzaError `nothing` if there are none (§2.3: for a get `bad-request`, the `bad-format` of
    old, for a set `not-acceptable`), and not-acceptable for one that is not in a namespace of its own, or
    whose name is too long."""
    elements = list(query)
    if not elements:
        raise StanzaError(nothing, "There is nothing in it.")
    if any(element.ns in ("", NS) for element in elements):
        raise StanzaError("not-acceptable", "An element has a namespace of its own.")
    if any(len(qname(element.ns, element.name).encode()) > _LONGEST for element in elements):
        raise StanzaError("not-acceptable", "The name of an element is too long.")
    return elements
