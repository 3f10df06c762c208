"""Personal eventing (XEP-0163) as other features use it: a node of an account, from inside the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID

PRIVATE: Final[Mapping[str, str]] = {
    "pubsub#persist_items": "true",
    "pubsub#max_items": "max",
    "pubsub#send_last_published_item": "never",
    "pubsub#access_model": "whitelist",
}
"""The configuration of a node that is for the user's own clients (XEP-0223 §3)."""


class Pep(Protocol):
    """The nodes of a host's accounts. What is done here is done in the owner's name, and who wants it is notified."""

    async def publish(
        self, account: JID, node: str, item_id: str, payload: Element, options: Mapping[str, str]
    ) -> None:
        """Publish an item with the options as preconditions; the node is made with them if there is none. Raises
        StanzaError as a client would get it."""
        ...

    async def retract(self, account: JID, node: str, item_id: str) -> None:
        """Take an item away, if it is there."""
        ...

    async def items(self, account: JID, node: str) -> Sequence[tuple[str, Element]]:
        """Ids and payloads of all items, oldest first; none if there is no such node."""
        ...

    async def access_model(self, account: JID, node: str) -> str:
        """The node's access model; empty if there is no such node."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """An item was published at an account; `by` is who did it, None if it was done from inside."""

    account: JID
    node: str
    item_id: str
    payload: Element
    by: JID | None


@dataclass(frozen=True, slots=True)
class Retracted:
    """Items of a node are gone: retracted, or all of them, which leaves `item_ids` empty."""

    account: JID
    node: str
    item_ids: Sequence[str]
    by: JID | None
