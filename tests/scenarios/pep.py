"""What clients say to nodes of accounts (XEP-0060, XEP-0163), for the scenarios."""

from __future__ import annotations

from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element

from .world import Client, World

PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = "http://jabber.org/protocol/pubsub#event"
_CLIENT = "https://client.example"
_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options"


def publish(node: str, item_id: str, payload: str, **options: str) -> str:
    """The payload of a request that publishes an item; `access_model="open"` and so on are preconditions."""
    fields = "".join(f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in options.items())
    form = (
        f"<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        f"<value>{_OPTIONS}</value></field>{fields}</x></publish-options>"
    )
    item = f"<item id='{item_id}'>{payload}</item>"
    return f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'>{item}</publish>{form if options else ''}</pubsub>"


def retract(node: str, item_id: str) -> str:
    """The payload of a request that retracts an item, and tells so."""
    return f"<pubsub xmlns='{PUBSUB}'><retract node='{node}' notify='true'><item id='{item_id}'/></retract></pubsub>"


async def items(client: Client, node: str, to: str = "") -> dict[str, Element]:
    """The payloads of all items of a node by their ids; none if there is no such node."""
    answer = await client.request("get", f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>", to)
    if answer.get("type") == "error":
        assert b"<item-not-found" in answer.to_bytes(), answer
        return {}
    pubsub = answer.child(PUBSUB, "pubsub")
    assert pubsub is not None
    listed = pubsub.child(PUBSUB, "items")
    assert listed is not None
    return {item.get("id"): next(iter(item)) for item in listed}


def presence_with(*nodes: str) -> str:
    """The presence of a client that wants to be told of these nodes."""
    return f"<presence>{Caps.of(_CLIENT, _wanting(*nodes)).element().to_bytes().decode()}</presence>"


def _wanting(*nodes: str) -> Info:
    return Info((Identity("client", "pc", name="test"),), tuple(f"{node}+notify" for node in nodes))


async def login_with(world: World, address: str, *nodes: str) -> Client:
    """A client that wants to be told of these nodes, and has read what it was told."""
    info = _wanting(*nodes)
    caps = Caps.of(_CLIENT, info)
    client = await world.connect(address)
    client.send(presence_with(*nodes))
    await world.settle()
    if client.session.interests is None:
        query = Info(info.identities, info.features, (), caps.disco_node).element().to_bytes().decode()
        client.send(f"<iq type='result' id='disco' to='{client.session.account.jid}'>{query}</iq>")
        await world.settle()
    client.inbox.clear()
    return client
