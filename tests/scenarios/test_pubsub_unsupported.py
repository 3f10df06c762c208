"""What is not done is not advertised, and who asks for it gets the error that the specification names."""

from __future__ import annotations

import pytest
import pytest_asyncio

from .conftest import MakeWorld
from .pubsub import ADMINS, INFO, SERVICE, ask, create, form, listed, refused, subscribe, subscription, values
from .test_pep import NS, OWNER, condition, options, publish
from .world import World


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS)


@pytest.mark.parametrize("to", [SERVICE, "admin@localhost"])
async def test_what_is_not_done_is_not_advertised(world: World, to: str) -> None:
    admin = await world.login("admin@localhost/desk")
    query = next(iter(await admin.request("get", f"<query xmlns='{INFO}'/>", to)))
    found = {child.get("var").removeprefix(f"{NS}#") for child in query}
    assert not found & {"collections", "multi-collections", "multi-subscribe", "publish-node-full", "subtree"}


@pytest.mark.parametrize("to", [SERVICE, "admin@localhost"])
@pytest.mark.parametrize("field", ["node_type", "collection", "children"])
async def test_there_are_no_collections_by_default(world: World, field: str, to: str) -> None:
    """XEP-0248 §7.1.3.1"""
    admin = await world.login("admin@localhost/desk")
    asked = form("node_config", **{field: "collection"})
    error = await admin.request(
        "set", f"<pubsub xmlns='{NS}'><create node='n'/><configure>{asked}</configure></pubsub>", to
    )
    assert condition(error) == ("feature-not-implemented", "unsupported")
    assert b"feature='collections'" in error.to_bytes().replace(b'"', b"'")
    await create(admin, to=to, node_type="leaf")
    for request_ in (
        f"<configure node='news'>{asked}</configure>",
        "<collection node='n'><associate node='m'/></collection>",
    ):
        assert await refused(admin, "set", request_, to, OWNER) == ("feature-not-implemented", "unsupported")


@pytest.mark.parametrize(
    ("field", "wanted", "unwanted"),
    [("tempsub", "1", "0"), ("purge_offline", "true", "false"), ("publish_node_full", "reject", "retract-oldest")],
)
async def test_a_configuration_that_is_not_done_is_not_acceptable(
    world: World, field: str, wanted: str, unwanted: str
) -> None:
    """XEP-0060 §8.2.5.2"""
    admin = await world.login("admin@localhost/desk")
    await create(admin, **{field: unwanted})
    asked = form("node_config", **{field: wanted}, title="T")
    assert await refused(admin, "set", f"<configure node='news'>{asked}</configure>", ns=OWNER) == ("not-acceptable",)
    x = next(iter(next(iter(await ask(admin, "get", "<configure node='news'/>", ns=OWNER)))))
    assert values(x)["title"] == ()
    assert condition(await publish(admin, "fresh", "1", more=options(**{field: wanted}))) == (
        "conflict",
        "precondition-not-met",
    )


@pytest.mark.parametrize(
    "wanted", [{"expire": "presence"}, {"digest": "1"}, {"include_body": "1"}], ids=lambda wanted: next(iter(wanted))
)
async def test_an_option_that_is_not_done_is_invalid(world: World, wanted: dict[str, str]) -> None:
    """XEP-0060 §6.3.6"""
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    assert await refused(admin, "set", subscription(admin, **wanted)) == ("bad-request", "invalid-options")
    assert await listed(admin, "<subscriptions/>") == []


async def test_an_address_has_one_subscription_and_its_subid_is_ignored(world: World) -> None:
    """XEP-0060 §6.1.6, §6.2.3.5"""
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    for _ in range(2):
        answer = next(iter(await ask(admin, "set", subscription(admin))))
        assert (answer.get("subscription"), answer.get("subid")) == ("subscribed", "")
    await ask(admin, "set", f"<unsubscribe node='news' jid='{admin.jid}' subid='any'/>")
    assert await listed(admin, "<subscriptions/>") == []
    assert await subscribe(admin) == "subscribed"


@pytest.mark.parametrize(
    "request_",
    [
        "<create node='n'/><configure node='n'>{}</configure>",
        "<configure>{}</configure><create node='n'/>",
    ],
)
async def test_a_configuration_follows_its_node_and_names_none(world: World, request_: str) -> None:
    """XEP-0060 §8.1.3"""
    admin = await world.login("admin@localhost/desk")
    assert await refused(admin, "set", request_.format(form("node_config", title="T"))) == ("bad-request",)
    assert await refused(admin, "get", "<items node='n'/>") == ("item-not-found",)
