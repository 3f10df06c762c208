"""What the engine has to know of where it is: the accounts of a host, or a service."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.pubsub_tables import Item

from .config import NodeConfig


class Limits(Protocol):
    """How much one owner may have. Options of both faces bring these fields."""

    @property
    def nodes(self) -> int: ...

    @property
    def items(self) -> int: ...

    @property
    def item_bytes(self) -> int: ...

    @property
    def subscribers(self) -> int: ...

    @property
    def publishes_per_minute(self) -> int: ...


Count = Annotated[int, msgspec.Meta(ge=1)]


class Face(Protocol):
    """The surroundings of the engine."""

    auto_creates: bool
    """Whether a publication makes the node where there is none."""
    names_publishers: bool
    """Whether items say who published them, whatever a node's `itemreply` is."""
    knows_presence: bool
    """Whether it can tell who is available."""

    @property
    def limits(self) -> Limits: ...

    @property
    def octets(self) -> int:
        """What all items of an owner may hold; 0: what they like."""
        ...

    @property
    def has_collections(self) -> bool:
        """Whether nodes may hold other nodes."""
        ...

    @property
    def multi_subscribe(self) -> bool:
        """Whether an address may have several subscriptions at a node (XEP-0060 §6.1.6)."""
        ...

    def default(self, node: str) -> NodeConfig:
        """The configuration of a node of this name which nobody configures."""
        ...

    def effective(self, node: str, config: NodeConfig) -> NodeConfig:
        """The configuration as it is applied."""
        ...

    def may_create(self, owner: JID, jid: JID) -> bool:
        """Whether this bare address may make nodes."""
        ...

    async def groups(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str] | None]:
        """In which groups the owner has each of these bare addresses whom it shows its presence; None, or left out: it
        does not show it."""
        ...

    async def blocked(self, owner: JID, jids: Iterable[JID]) -> Collection[JID]:
        """Those of the addresses whom the owner tells nothing."""
        ...

    async def shows(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str]]:
        """The states of presence (`online`, `away` ...) in which each of these addresses is, as far as the owner may
        see it: of all resources of a bare address, of one for a full one, none for who is away."""
        ...

    async def followers(self, owner: JID, node: str) -> Collection[JID]:
        """The full addresses that are notified of this node without a subscription (XEP-0163 §4)."""
        ...

    async def send(self, stanza: Stanza) -> None:
        """Send a notification."""
        ...

    async def published(self, owner: JID, node: str, items: Sequence[Item], by: JID | None) -> None:
        """Items were published, and are committed; `by` is None if it was from inside the server."""
        ...

    async def retracted(self, owner: JID, node: str, ids: Sequence[str], by: JID | None) -> None:
        """Items are gone; without ids all of them."""
        ...
