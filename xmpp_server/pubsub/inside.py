"""The nodes of accounts as other modules use them (`routing.pep.Pep` in the layer above)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.pubsub_tables import Item

from .config import PUBLISH_OPTIONS
from .engine import Engine


class Inside:
    """Does in the owner's name what modules ask for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def publish(
        self, account: JID, node: str, item_id: str, payload: Element, options: Mapping[str, str]
    ) -> None:
        """An item, with the options as preconditions."""
        fields = (Field(var, (value,)) for var, value in options.items())
        form = Form.of("submit", PUBLISH_OPTIONS, *fields) if options else None
        await self._engine.publish(account, node, [Item(item_id, payload.to_bytes(""), account)], form)

    async def retract(self, account: JID, node: str, item_id: str) -> None:
        """An item, if it is there."""
        try:
            await self._engine.retract(account, node, [item_id], notify=True)
        except StanzaError as error:
            if error.condition != "item-not-found":
                raise

    async def items(self, account: JID, node: str) -> Sequence[tuple[str, Element]]:
        """Ids and payloads, oldest first."""
        try:
            found = await self._engine.items(account, node)
        except StanzaError:  # there is no such node, or it keeps nothing
            return ()
        return [(item.id, payload_of(item)) for item in found if item.payload]

    async def access_model(self, account: JID, node: str) -> str:
        """As it is applied; empty without such a node."""
        try:
            return (await self._engine.node(account, node)).config.access_model
        except StanzaError:
            return ""


def payload_of(item: Item) -> Element:
    """What an item that has a payload holds."""
    return parse(item.payload, "")
