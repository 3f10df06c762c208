"""The publish-subscribe service: administrators make nodes, others subscribe."""

from __future__ import annotations

import pytest_asyncio

from .conftest import MakeWorld
from .test_pep import NS, OWNER, condition, items, publish
from .world import World

SERVICE = "pubsub.localhost"
CREATE = f"<pubsub xmlns='{NS}'><create node='news'/></pubsub>"


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world("[hosts.localhost]\nadmins = ['admin']")


async def test_administrators_make_nodes_once_and_others_do_not(world: World) -> None:
    admin, romeo = await world.login("admin@localhost/desk"), await world.login("romeo@localhost/orchard")
    assert condition(await romeo.request("set", CREATE, SERVICE)) == ("forbidden",)
    assert (await admin.request("set", CREATE, SERVICE)).get("type") == "result"
    assert condition(await admin.request("set", CREATE, SERVICE)) == ("conflict",)
    delete = f"<pubsub xmlns='{OWNER}'><delete node='news'/></pubsub>"
    assert condition(await romeo.request("set", delete, SERVICE)) == ("forbidden",)
    assert (await admin.request("set", delete, SERVICE)).get("type") == "result"
    assert condition(await admin.request("set", delete, SERVICE)) == ("item-not-found",)


async def test_subscribers_are_notified_until_they_unsubscribe(world: World) -> None:
    admin, juliet = await world.login("admin@localhost/desk"), await world.login("juliet@localhost/balcony")
    await admin.request("set", CREATE, SERVICE)
    other = f"<pubsub xmlns='{NS}'><subscribe node='news' jid='romeo@localhost'/></pubsub>"
    assert condition(await juliet.request("set", other, SERVICE)) == ("bad-request", "invalid-jid")
    for verb, expected in (("subscribe", 1), ("unsubscribe", 0)):
        change = f"<pubsub xmlns='{NS}'><{verb} node='news' jid='{juliet.jid}'/></pubsub>"
        assert (await juliet.request("set", change, SERVICE)).get("type") == "result"
        await publish(admin, "news", verb, to=SERVICE)
        for _ in range(expected):
            await juliet.receives(
                f"<message type='headline' from='{SERVICE}'><event xmlns='{NS}#event'><items node='news'>"
                f"<item id='{verb}' publisher='admin@localhost'/></items></event></message>"
            )
        await juliet.receives_nothing()
    assert await items(juliet, "news", SERVICE) == ["subscribe", "unsubscribe"]
    assert condition(await juliet.request("set", change, SERVICE)) == ("unexpected-request", "not-subscribed")


async def test_the_service_is_found_and_tells_what_it_is(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    await admin.request("set", CREATE, SERVICE)
    info = next(iter(await admin.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", SERVICE)))
    assert ("pubsub", "service") in {(child.get("category"), child.get("type")) for child in info}
    listed = next(iter(await admin.request("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", SERVICE)))
    assert [item.get("node") for item in listed] == ["news"]
