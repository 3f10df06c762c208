"""What is said to publish-subscribe services (XEP-0060), for the scenarios."""

from __future__ import annotations

import pytest_asyncio

from xmpp_server.protocol.element import Element

from .test_pep import NS, OWNER, condition
from .world import Client, World

SERVICE = "pubsub.localhost"
ADMINS = "[hosts.localhost]\nadmins = ['admin']\n"
COLLECTIONS = f"{ADMINS}[components.pubsub]\ncollections = true\n"
EVENT = f"{NS}#event"
COMMANDS = "http://jabber.org/protocol/commands"
PENDING = f"{NS}#get-pending"
INFO = "http://jabber.org/protocol/disco#info"


@pytest_asyncio.fixture
async def admin(world: World) -> Client:
    return await world.login("admin@localhost/desk")


@pytest_asyncio.fixture
async def juliet(world: World) -> Client:
    return await world.login("juliet@localhost/balcony")


def form(form_type: str, kind: str = "submit", **values: str | tuple[str, ...]) -> str:
    """A form, whose fields are given without `pubsub#`."""
    fields = f"<field var='FORM_TYPE' type='hidden'><value>{NS}#{form_type}</value></field>"
    for name, value in values.items():
        each = (value,) if isinstance(value, str) else value
        fields += f"<field var='pubsub#{name}'>{''.join(f'<value>{one}</value>' for one in each)}</field>"
    return f"<x xmlns='jabber:x:data' type='{kind}'>{fields}</x>"


async def ask(client: Client, type: str, payload: str, to: str = SERVICE, ns: str = NS) -> Element:
    """The content of the answer's `<pubsub/>`, or an empty one."""
    answer = await client.request(type, f"<pubsub xmlns='{ns}'>{payload}</pubsub>", to)
    assert answer.get("type") == "result", answer
    return next(iter(answer), Element(ns, "pubsub"))


async def refused(client: Client, type: str, payload: str, to: str = SERVICE, ns: str = NS) -> tuple[str, ...]:
    """The conditions of the error."""
    return condition(await client.request(type, f"<pubsub xmlns='{ns}'>{payload}</pubsub>", to))


async def create(owner: Client, node: str = "news", to: str = SERVICE, **config: str | tuple[str, ...]) -> None:
    configure = f"<configure>{form('node_config', **config)}</configure>" if config else ""
    await ask(owner, "set", f"<create node='{node}'/>{configure}", to)


async def configure(owner: Client, node: str = "news", to: str = SERVICE, **config: str | tuple[str, ...]) -> None:
    await ask(owner, "set", f"<configure node='{node}'>{form('node_config', **config)}</configure>", to, OWNER)


def subscription(client: Client, node: str = "news", *, jid: str = "", **options: str | tuple[str, ...]) -> str:
    wanted = f"<options>{form('subscribe_options', **options)}</options>" if options else ""
    return f"<subscribe node='{node}' jid='{jid or client.jid}'/>{wanted}"


async def subscribe(client: Client, node: str = "news", to: str = SERVICE, **options: str | tuple[str, ...]) -> str:
    """The state of the subscription."""
    answer = await ask(client, "set", subscription(client, node, **options), to)
    return next(iter(answer)).get("subscription")


async def affiliate(owner: Client, jid: str, affiliation: str, node: str = "news", to: str = SERVICE) -> None:
    entry = f"<affiliation jid='{jid}' affiliation='{affiliation}'/>"
    await ask(owner, "set", f"<affiliations node='{node}'>{entry}</affiliations>", to, OWNER)


async def listed(client: Client, request: str, to: str = SERVICE, ns: str = NS) -> list[dict[str, str]]:
    """The attributes of the entries of a list."""
    return [entry.attrs for entry in next(iter(await ask(client, "get", request, to, ns)))]


def values(x: Element) -> dict[str, tuple[str, ...]]:
    """The values of a form's fields, without `pubsub#`."""
    fields = (field for field in x if field.name == "field")
    return {
        field.get("var").removeprefix("pubsub#"): tuple(value.text for value in field if value.name == "value")
        for field in fields
    }


def told(ids: str | tuple[str, ...], node: str = "news", **attrs: str) -> str:
    """The notification of these items."""
    each = (ids,) if isinstance(ids, str) else ids
    more = "".join(f" {name}='{value}'" for name, value in attrs.items())
    items = "".join(f"<item id='{id}'{more}/>" for id in each)
    return f"<message><event xmlns='{EVENT}'><items node='{node}'>{items}</items></event></message>"
