"""Every feature that is advertised has its test here, at both faces; a feature without one fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from xmpp_server.modules.pep import PersonalEventing
from xmpp_server.pubsub.requests import COLLECTIONS, FEATURES, MULTI_SUBSCRIBE

from .conftest import MakeWorld
from .pep import login_with, presence_with
from .pubsub import COLLECTIONS as WITH_COLLECTIONS
from .pubsub import (
    COMMANDS,
    EVENT,
    INFO,
    PENDING,
    SERVICE,
    affiliate,
    ask,
    configure,
    create,
    listed,
    refused,
    subscribe,
    subscription,
    told,
    values,
)
from .test_pep import NS, OWNER, condition, items, options, publish
from .world import Client, World

JULIET = "juliet@localhost"


@dataclass
class Stage:
    """A service, its owner, and another who has a presence subscription with the account."""

    world: World
    to: str
    owner: Client
    other: Client


FACES = {"service": (SERVICE, "admin@localhost/desk"), "account": ("romeo@localhost", "romeo@localhost/orchard")}
TESTS: dict[str, Callable[[Stage], Awaitable[None]]] = {}


def shows(*features: str) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    def mark(test: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        TESTS.update(dict.fromkeys(features, test))
        return test

    return mark


async def advertised(stage: Stage) -> set[str]:
    query = next(iter(await stage.owner.request("get", f"<query xmlns='{INFO}'/>", stage.to)))
    found = {child.get("var") for child in query if child.name == "feature"}
    return {var.removeprefix(NS).removeprefix("#") for var in found if var == NS or var.startswith(f"{NS}#")}


async def raised(make_world: MakeWorld, face: str, *, multi_subscribe: bool = False) -> Stage:
    world = await make_world(f"{WITH_COLLECTIONS}multi_subscribe = {str(multi_subscribe).lower()}\n")
    to, owner = FACES[face]
    await world.subscribe("romeo@localhost", JULIET)
    return Stage(world, to, await world.login(owner), await world.login("juliet@localhost/balcony"))


def _names() -> list[tuple[str, str]]:
    by_face = {"service": FEATURES | COLLECTIONS | MULTI_SUBSCRIBE, "account": PersonalEventing.account_features}
    return [(face, var.removeprefix(NS).removeprefix("#")) for face, found in by_face.items() for var in sorted(found)]


@pytest.mark.parametrize(("face", "feature"), _names())
async def test_the_feature_is_held(make_world: MakeWorld, face: str, feature: str) -> None:
    stage = await raised(make_world, face, multi_subscribe=feature == "multi-subscribe")
    assert feature in TESTS, "no test shows it"
    await TESTS[feature](stage)


@pytest.mark.parametrize("face", FACES)
async def test_nothing_else_is_advertised(make_world: MakeWorld, face: str) -> None:
    stage = await raised(make_world, face, multi_subscribe=True)
    assert await advertised(stage) == {feature for at, feature in _names() if at == face}


# -- the tests


@shows("", "publish", "retrieve-items", "persistent-items", "item-ids", "meta-data")
async def _items(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open", title="T", max_items="5")
    await publish(stage.owner, "n", "mine", to=stage.to)
    unnamed = await ask(stage.owner, "set", "<publish node='n'><item><x xmlns='x:y'/></item></publish>", stage.to)
    id = next(iter(next(iter(unnamed)))).get("id")
    assert await items(stage.other, "n", stage.to) == ["mine", id]
    query = next(iter(await stage.other.request("get", f"<query xmlns='{INFO}' node='n'/>", stage.to)))
    x = query.child("jabber:x:data", "x")
    assert x is not None
    assert values(x)["title"] == ("T",)


@shows("collections", "multi-collections")
async def _collections(stage: Stage) -> None:
    for name in ("c", "d"):
        await create(stage.owner, name, stage.to, node_type="collection")
        await subscribe(stage.other, name, stage.to, subscription_type="items")
    await create(stage.owner, "n", stage.to, collection=("c", "d"))
    await publish(stage.owner, "n", "1", to=stage.to)
    shim = "<headers xmlns='http://jabber.org/protocol/shim'><header name='Collection'>{}</header></headers></message>"
    await stage.other.receives_all(*(told("1", "n").replace("</message>", shim.format(name)) for name in ("c", "d")))


@shows("access-open", "access-authorize", "access-whitelist", "access-presence", "access-roster")
async def _access_models(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open")
    for model, expected in (
        ("authorize", "not-subscribed"),
        ("whitelist", "closed-node"),
        ("roster", "not-in-roster-group"),
    ):
        assert await items(stage.other, "n", stage.to) == []
        await configure(stage.owner, "n", stage.to, access_model=model)
        assert (await refused(stage.other, "get", "<items node='n'/>", stage.to))[1] == expected
        await configure(stage.owner, "n", stage.to, access_model="open")
    await configure(stage.owner, "n", stage.to, access_model="presence")
    stranger = await stage.world.login("paris@localhost/street")
    expected = ("not-authorized", "presence-subscription-required")
    assert await refused(stranger, "get", "<items node='n'/>", stage.to) == expected
    if stage.to != SERVICE:
        assert await items(stage.other, "n", stage.to) == []


@shows("config-node", "create-nodes", "delete-nodes", "create-and-configure", "retrieve-default")
async def _nodes(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, title="T")
    for wanted in ("T", "U"):
        x = next(iter(next(iter(await ask(stage.owner, "get", "<configure node='n'/>", stage.to, OWNER)))))
        assert values(x)["title"] == (wanted,)
        await configure(stage.owner, "n", stage.to, title="U")
    default = next(iter(next(iter(await ask(stage.owner, "get", "<default/>", stage.to, OWNER)))))
    assert values(default)["title"] == ()
    await ask(stage.owner, "set", "<delete node='n'/>", stage.to, OWNER)
    assert await refused(stage.owner, "get", "<items node='n'/>", stage.to) == ("item-not-found",)


@shows("config-node-max", "multi-items")
async def _as_many_as_there_may_be(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, max_items="max")
    for number in range(30):
        await publish(stage.owner, "n", str(number), to=stage.to)
    assert len(await items(stage.owner, "n", stage.to)) == 30
    await configure(stage.owner, "n", stage.to, max_items="2")
    assert await items(stage.owner, "n", stage.to) == ["28", "29"]


@shows("instant-nodes")
async def _instant(stage: Stage) -> None:
    made = next(iter(await ask(stage.owner, "set", "<create/>", stage.to))).get("node")
    assert await items(stage.owner, made, stage.to) == []


@shows("auto-create", "publish-options")
async def _publish_options(stage: Stage) -> None:
    if stage.to == SERVICE:
        await create(stage.owner, "n", stage.to, access_model="open")
    await publish(stage.owner, "n", "1", more=options(access_model="open"), to=stage.to)
    refusal = await publish(stage.owner, "n", "2", more=options(access_model="whitelist"), to=stage.to)
    assert condition(refusal) == ("conflict", "precondition-not-met")
    assert await items(stage.other, "n", stage.to) == ["1"]


@shows("delete-items", "retract-items", "purge-nodes")
async def _items_go(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open", max_items="9")
    await publish(stage.owner, "n", "1", "2", "3", to=stage.to)
    await subscribe(stage.other, "n", stage.to)
    stage.other.inbox.clear()
    await ask(stage.owner, "set", "<retract node='n' notify='1'><item id='1'/></retract>", stage.to)
    await stage.other.receives(
        f"<message><event xmlns='{EVENT}'><items node='n'><retract id='1'/></items></event></message>"
    )
    await ask(stage.owner, "set", "<purge node='n'/>", stage.to, OWNER)
    await stage.other.receives(f"<message><event xmlns='{EVENT}'><purge node='n'/></event></message>")
    assert await items(stage.owner, "n", stage.to) == []


@shows("member-affiliation", "publisher-affiliation", "publish-only-affiliation", "outcast-affiliation")
@shows("modify-affiliations", "retrieve-affiliations")
async def _affiliations(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="whitelist")
    for affiliation, publishes, reads in (
        ("member", False, True),
        ("publisher", True, True),
        ("publish-only", True, False),
        ("outcast", False, False),
    ):
        await affiliate(stage.owner, JULIET, affiliation, "n", stage.to)
        assert await listed(stage.other, "<affiliations/>", stage.to) == [{"node": "n", "affiliation": affiliation}]
        assert ((await publish(stage.other, "n", "1", to=stage.to)).get("type") == "result") == publishes
        request = f"<pubsub xmlns='{NS}'><items node='n'/></pubsub>"
        assert ((await stage.other.request("get", request, stage.to)).get("type") == "result") == reads
    there = await listed(stage.owner, "<affiliations node='n'/>", stage.to, OWNER)
    assert {"jid": JULIET, "affiliation": "outcast"} in there


@shows("subscribe", "retrieve-subscriptions", "manage-subscriptions", "subscription-notifications")
async def _subscriptions(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open", send_last_published_item="never")
    await subscribe(stage.other, "n", stage.to)
    expected = {"jid": stage.other.jid, "subscription": "subscribed"}
    assert await listed(stage.other, "<subscriptions/>", stage.to) == [{"node": "n"} | expected]
    assert await listed(stage.owner, "<subscriptions node='n'/>", stage.to, OWNER) == [expected]
    await publish(stage.owner, "n", "1", to=stage.to)
    await stage.other.receives(told("1", "n"))
    entry = f"<subscription jid='{stage.other.jid}' subscription='none'/>"
    await ask(stage.owner, "set", f"<subscriptions node='n'>{entry}</subscriptions>", stage.to, OWNER)
    await stage.other.receives(f"<message><event xmlns='{EVENT}'><subscription subscription='none'/></event></message>")
    await publish(stage.owner, "n", "2", to=stage.to)
    await stage.other.receives_nothing()


@shows("multi-subscribe")
async def _several_subscriptions(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open", send_last_published_item="never")
    for _ in range(2):
        await subscribe(stage.other, "n", stage.to)
    first, second = (entry["subid"] for entry in await listed(stage.other, "<subscriptions/>", stage.to))
    assert first != second
    await publish(stage.owner, "n", "1", to=stage.to)
    shim = "".join(f"<header name='SubID'>{subid}</header>" for subid in (first, second))
    headers = f"<headers xmlns='http://jabber.org/protocol/shim'>{shim}</headers></message>"
    await stage.other.receives(told("1", "n").replace("</message>", headers))
    await stage.other.receives_nothing()


@shows("subscription-options", "retrieve-default-sub", "leased-subscription")
async def _subscription_options(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="open")
    default = next(iter(next(iter(await ask(stage.other, "get", "<default/>", stage.to)))))
    assert values(default)["deliver"] == ("1",)
    await subscribe(stage.other, "n", stage.to, deliver="0", expire="2100-01-01T00:00:00Z")
    request = f"<options node='n' jid='{stage.other.jid}'/>"
    chosen = values(next(iter(next(iter(await ask(stage.other, "get", request, stage.to))))))
    assert (chosen["deliver"], chosen["expire"]) == (("0",), ("2100-01-01T00:00:00Z",))
    assert ("show-values" in chosen) == (stage.to != SERVICE)


@shows("get-pending")
async def _pending(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, access_model="authorize")
    await subscribe(stage.other, "n", stage.to)
    command = f"<command xmlns='{COMMANDS}' node='{PENDING}'/>"
    answer = next(iter(await stage.owner.request("set", command, stage.to)))
    assert b"<option><value>n</value></option>" in answer.to_bytes()


@shows("rsm")
async def _pages(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, max_items="9")
    await publish(stage.owner, "n", "1", "2", "3", to=stage.to)
    page = "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>1</after></set>"
    answer = await ask(stage.owner, "get", f"<items node='n'/>{page}", stage.to)
    assert [each.get("id") for each in next(iter(answer))] == ["2"]


@shows("pubsub-on-a-jid", "auto-subscribe", "filtered-notifications", "presence-subscribe", "last-published")
async def _presence(stage: Stage) -> None:
    listener = await login_with(stage.world, "juliet@localhost/phone", "tune")
    await publish(stage.owner, "tune", "1")
    await publish(stage.owner, "mood", "1")
    await listener.receives(told("1", "tune"))
    await listener.receives_nothing()
    await stage.other.receives("<presence from='juliet@localhost/phone'/>")
    await stage.other.receives_nothing()
    late = await stage.world.connect("juliet@localhost/tablet")
    late.send(presence_with("tune"))
    await stage.world.settle()
    late.forget("presence")
    message = await late.receives(told("1", "tune"))
    assert message.child("urn:xmpp:delay", "delay") is not None


@shows("presence-notifications")
async def _by_presence(stage: Stage) -> None:
    await create(stage.owner, "n", stage.to, notification_type="normal", presence_based_delivery="1")
    await ask(stage.other, "set", subscription(stage.other, "n", jid=JULIET), stage.to)
    await publish(stage.owner, "n", "1")
    await stage.other.receives(told("1", "n"))
    stage.other.send("<presence type='unavailable'/>")
    await publish(stage.owner, "n", "2")
    stage.other.send("<presence/>")
    await stage.world.settle()
    stage.other.forget("presence")
    await stage.other.receives_nothing()
