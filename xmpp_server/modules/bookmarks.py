"""Bookmarks of rooms, the same for clients of every age.

The items of `urn:xmpp:bookmarks:1` are what counts. Private XML storage is answered from them, and the item in the node
`storage:bookmarks` follows them; who stores a list of old in either of the two changes the items that differ, and no
others. What such a list has beside rooms stays in private XML storage. What an item says and a list cannot, such as
pinning (XEP-0469) and notification settings (XEP-0492) in its extensions, stays with the item. All is for the user
alone: where a client has opened the node to others, nothing is converted.

XEP: 0402 (1.2.0) complete
XEP: 0411 (1.1.0) complete
XEP: 0469 (0.1.0) complete
XEP: 0492 (0.2.0) complete
"""

from __future__ import annotations

from typing import Final

from xmpp_server.module import Module, on
from xmpp_server.protocol import bookmarks
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import qname
from xmpp_server.routing.host import DiscoInfo, Host, PrivateXMLRequest
from xmpp_server.routing.pep import PRIVATE, Pep, Published, Retracted
from xmpp_server.storage.private_xml import PrivateXML

_FEATURES: Final = (f"{bookmarks.NS}#compat", f"{bookmarks.NS}#compat-pep", "urn:xmpp:bookmarks-conversion:0")
_STORAGE: Final = qname(bookmarks.LEGACY, "storage")
_CURRENT: Final = "current"


class Bookmarks(Module):
    """Converts."""

    name = "bookmarks"

    def __init__(self, host: Host, private: PrivateXML) -> None:
        self._host = host
        self._private = private

    @on("disco_info")
    def told(self, info: DiscoInfo) -> None:
        """On the account (XEP-0402 §6, XEP-0411 §2)."""
        if self._host.pep is not None and not info.node and info.to.localpart:
            info.features.update(_FEATURES)

    # -- private XML storage

    @on("private_xml_wanted")
    async def wanted(self, request: PrivateXMLRequest) -> None:
        """The list of old, made from the items."""
        pep = self._host.pep
        if pep is None or not _is_list(request.element) or not await self._is_private(pep, request.account):
            return
        data = await self._private.load(request.account, _STORAGE)
        items = dict(await pep.items(request.account, bookmarks.NS))
        request.element = bookmarks.collated(items, parse(data) if data is not None else None)
        request.handled = True

    @on("private_xml_given")
    async def given(self, request: PrivateXMLRequest) -> None:
        """Rooms become items; what is left is stored as it is."""
        pep = self._host.pep
        if pep is None or not _is_list(request.element) or not await self._is_private(pep, request.account):
            return
        await self._replace(pep, request.account, request.element)
        await self._collate(pep, request.account)
        request.element = bookmarks.without_rooms(request.element)

    # -- nodes

    @on("pep_published")
    async def published(self, item: Published) -> None:
        """By a client, at either of the nodes."""
        pep = self._host.pep
        if pep is None or item.by is None or item.node not in (bookmarks.NS, bookmarks.LEGACY):
            return
        if not await self._is_private(pep, item.account):
            return
        if item.node == bookmarks.NS:
            await self._collate(pep, item.account)
        elif _is_list(item.payload):
            await self._replace(pep, item.account, item.payload)

    @on("pep_retracted")
    async def retracted(self, items: Retracted) -> None:
        """By a client."""
        pep = self._host.pep
        if pep is not None and items.by is not None and items.node == bookmarks.NS:
            await self._collate(pep, items.account)

    async def _is_private(self, pep: Pep, account: JID) -> bool:
        models = {await pep.access_model(account, node) for node in (bookmarks.NS, bookmarks.LEGACY)}
        return models <= {"", "whitelist"}

    async def _replace(self, pep: Pep, account: JID, storage: Element) -> None:
        """Make the items those of the list, touching what differs (XEP-0402 §5.3.2). Raises StanzaError."""
        before = dict(await pep.items(account, bookmarks.NS))
        after = bookmarks.rooms(storage)
        for jid, room in after.items():
            item = bookmarks.merged(before.get(jid), room)
            if not bookmarks.same(before.get(jid), item):
                await pep.publish(account, bookmarks.NS, jid, item, PRIVATE)
        for jid in before.keys() - after.keys():
            await pep.retract(account, bookmarks.NS, jid)

    async def _collate(self, pep: Pep, account: JID) -> None:
        """Let the list follow the items (XEP-0402 §5.3.1)."""
        data = await self._private.load(account, _STORAGE)
        items = dict(await pep.items(account, bookmarks.NS))
        storage = bookmarks.collated(items, parse(data) if data is not None else None)
        try:
            await pep.publish(account, bookmarks.LEGACY, _CURRENT, storage, {"pubsub#access_model": "whitelist"})
        except StanzaError:  # too large for one item: newer clients have it all
            return


def _is_list(element: Element) -> bool:
    return (element.ns, element.name) == (bookmarks.LEGACY, "storage")
