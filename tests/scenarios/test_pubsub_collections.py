"""Collections (XEP-0248), at the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.databases import Servers
from xmpp_server.protocol.jid import JID
from xmpp_server.pubsub import events
from xmpp_server.pubsub.engine import Engine
from xmpp_server.pubsub.graph import Graph
from xmpp_server.storage.batch import Unit
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.pubsub_links import Link, Links
from xmpp_server.storage.pubsub_tables import Item, NodeRow

from .conftest import MakeWorld
from .pubsub import (
    ADMINS,
    COLLECTIONS,
    EVENT,
    INFO,
    SERVICE,
    admin,
    affiliate,
    ask,
    configure,
    create,
    form,
    juliet,
    listed,
    refused,
    subscribe,
    subscription,
    values,
)
from .test_pep import NS, OWNER, publish
from .world import Client, World

__all__ = ["admin", "juliet"]

ITEMS = "http://jabber.org/protocol/disco#items"
SHIM = "http://jabber.org/protocol/shim"
NOT_ALLOWED = ("not-allowed", "invalid-options")
HOST = JID.parse(SERVICE)


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(COLLECTIONS)


def engine_of(world: World) -> Engine:
    return world.core.components.running[SERVICE].engine  # type: ignore[attr-defined, no-any-return]


async def tree(admin: Client) -> None:
    """`top` has `blogs` in it, in which `news` is, with an item."""
    await create(admin, "top", node_type="collection")
    await create(admin, "blogs", node_type="collection", collection="top")
    await create(admin, "news", collection="blogs")
    await publish(admin, "news", "1", to=SERVICE)


async def nodes(client: Client, node: str = "") -> list[str]:
    """The nodes that are found at the service, or in a collection."""
    of = f" node='{node}'" if node else ""
    query = next(iter(await client.request("get", f"<query xmlns='{ITEMS}'{of}/>", SERVICE)))
    assert all(item.get("jid") == SERVICE for item in query)
    return [item.get("node") for item in query]


async def place(admin: Client, node: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The collections that the node is in, and what is in it, as its configuration tells."""
    x = next(iter(next(iter(await ask(admin, "get", f"<configure node='{node}'/>", ns=OWNER)))))
    found = values(x)
    return found.get("collection", ()), found.get("children", ())


def link(collection: str, what: str, *others: str) -> str:
    return f"<collection node='{collection}'>{''.join(f'<{what} node={each!r}/>' for each in others)}</collection>"


def event(content: str, through: str = "") -> str:
    header = f"<headers xmlns='{SHIM}'><header name='Collection'>{through}</header></headers>" if through else ""
    return f"<message from='{SERVICE}'><event xmlns='{EVENT}'>{content}</event>{header}</message>"


def item(id: str, node: str = "news") -> str:
    return f"<items node='{node}'><item id='{id}'/></items>"


async def configuring(admin: Client, node: str, **config: str | tuple[str, ...]) -> tuple[str, ...]:
    """The conditions with which a configuration is refused."""
    asked = form("node_config", **config)
    return await refused(admin, "set", f"<configure node='{node}'>{asked}</configure>", ns=OWNER)


# -- §5.1, §5.2: discovery


async def test_a_hierarchy_is_discovered_step_by_step(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await create(admin, "alone")
    assert await nodes(juliet) == ["alone", "top"]
    assert await nodes(juliet, "top") == ["blogs"]
    assert await nodes(juliet, "blogs") == ["news"]
    query = next(iter(await juliet.request("get", f"<query xmlns='{ITEMS}' node='news'/>", SERVICE)))
    assert [(each.get("name"), each.get("node")) for each in query] == [("1", "")]


@pytest.mark.parametrize(("node", "kind"), [("blogs", "collection"), ("news", "leaf")])
async def test_the_identity_of_a_node_tells_its_kind(admin: Client, juliet: Client, node: str, kind: str) -> None:
    await tree(admin)
    query = next(iter(await juliet.request("get", f"<query xmlns='{INFO}' node='{node}'/>", SERVICE)))
    assert [(each.get("category"), each.get("type")) for each in query if each.name == "identity"] == [("pubsub", kind)]


async def test_nobody_finds_what_is_in_a_collection_that_he_may_not_read(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await create(admin, "secret", collection="blogs", access_model="whitelist")
    assert await nodes(juliet, "blogs") == ["news"]
    assert await nodes(admin, "blogs") == ["news", "secret"]
    await configure(admin, "blogs", access_model="whitelist")
    answer = await juliet.request("get", f"<query xmlns='{ITEMS}' node='blogs'/>", SERVICE)
    assert answer.get("type") == "error"


# -- §5.3, §6.1: notifications by subscriptions


async def test_items_of_all_nodes_below_come_with_the_collections_name(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await subscribe(juliet, "top", subscription_type="items", subscription_depth="all")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives(event(item("2"), "top"))
    await ask(admin, "set", "<retract node='news' notify='true'><item id='2'/></retract>")
    await juliet.receives(event("<items node='news'><retract id='2'/></items>", "top"))
    await ask(admin, "set", "<purge node='news'/>", ns=OWNER)
    await juliet.receives(event("<purge node='news'/>", "top"))
    await create(admin, "more", collection="blogs")
    await juliet.receives_nothing()


@pytest.mark.parametrize(("depth", "told"), [("0", False), ("1", False), ("2", True), ("all", True)])
async def test_a_depth_bounds_how_far_below_is_told_of(admin: Client, juliet: Client, depth: str, told: bool) -> None:
    await tree(admin)
    await subscribe(juliet, "top", subscription_type="all", subscription_depth=depth)
    await publish(admin, "news", "2", to=SERVICE)
    if told:
        await juliet.receives(event(item("2"), "top"))
    await juliet.receives_nothing()


async def test_by_default_a_subscriber_is_told_of_the_nodes_right_below(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await subscribe(juliet, "blogs")
    await create(admin, "more", collection="blogs")
    await juliet.receives(event("<create node='more'/>", "blogs"))
    await configure(admin, "more", notify_config="1", title="T")
    seen = next(iter(await juliet.receives(event("<configuration node='more'/>", "blogs"))))
    x = next(iter(next(iter(seen))))
    assert values(x)["collection"] == ("blogs",)
    await publish(admin, "more", "1", to=SERVICE)
    await ask(admin, "set", "<delete node='more'/>", ns=OWNER)
    await juliet.receives(event("<delete node='more'/>", "blogs"))
    await create(admin, "nested", node_type="collection", collection="blogs")
    await juliet.receives(event("<create node='nested'/>", "blogs"))
    await create(admin, "deep", collection="nested")
    await juliet.receives_nothing()


async def test_each_subscription_tells_for_itself(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await subscribe(juliet, "news")
    await subscribe(juliet, "blogs", subscription_type="items")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives_all(event(item("2"), "blogs"), event(item("2")))
    await juliet.receives_nothing()


async def test_a_node_that_is_reached_in_two_ways_is_told_of_once_a_collection(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await configure(admin, "news", collection=("blogs", "top"))
    await subscribe(juliet, "top", subscription_type="items", subscription_depth="1")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives(event(item("2"), "top"))
    await juliet.receives_nothing()


async def test_the_leaf_says_how_it_is_told_and_the_collection_who_is_told(admin: Client, juliet: Client) -> None:
    """§5.3.1, §10.1"""
    await tree(admin)
    await configure(admin, "news", deliver_payloads="0", notification_type="normal", access_model="whitelist")
    await configure(admin, "blogs", deliver_payloads="1", notification_type="headline")
    await subscribe(juliet, "blogs", subscription_type="items")
    await publish(admin, "news", "2", to=SERVICE)
    seen = await juliet.receives(event(item("2"), "blogs"))
    assert seen.get("type") == "normal"
    assert list(next(iter(next(iter(next(iter(seen))))))) == []
    await configure(admin, "blogs", access_model="whitelist")
    await publish(admin, "news", "3", to=SERVICE)
    await juliet.receives_nothing()
    await configure(admin, "blogs", access_model="open")
    await configure(admin, "news", deliver_notifications="0")
    await publish(admin, "news", "4", to=SERVICE)
    await juliet.receives_nothing()


async def test_subscribers_see_what_comes_into_a_collection_and_leaves_it(
    world: World, admin: Client, juliet: Client
) -> None:
    """§5.3.2"""
    await tree(admin)
    await create(admin, "alone")
    await subscribe(juliet, "blogs")
    nurse = await world.login("nurse@localhost/room")
    await subscribe(nurse, "top", subscription_depth="2")
    await ask(admin, "set", link("blogs", "associate", "alone"), ns=OWNER)
    came = "<collection node='blogs'><associate node='alone'/></collection>"
    await juliet.receives(event(came))
    await nurse.receives(event(came, "top"))
    await configure(admin, "alone", collection="")
    left = "<collection node='blogs'><dissociate node='alone'/></collection>"
    await juliet.receives(event(left))
    await nurse.receives(event(left, "top"))
    await configure(admin, "blogs", children=("news", "alone"))
    await juliet.receives(event(came))
    await configure(admin, "blogs", deliver_notifications="0")
    await ask(admin, "set", link("blogs", "dissociate", "alone"), ns=OWNER)
    await juliet.receives_nothing()


async def test_the_options_of_a_collection_are_shown_and_changed(admin: Client, juliet: Client) -> None:
    """§6.1"""
    await tree(admin)

    async def shown(node: str) -> dict[str, tuple[str, ...]]:
        return values(next(iter(next(iter(await ask(juliet, "get", f"<options node='{node}' jid='{juliet.jid}'/>"))))))

    answer = await ask(juliet, "set", subscription(juliet, "top", subscription_type="items"))
    made, options = list(answer)
    assert made.get("subscription") == "subscribed"
    assert values(next(iter(options)))["subscription_type"] == ("items",)
    assert (await shown("top"))["subscription_depth"] == ("1",)
    changed = form("subscribe_options", subscription_type="all", subscription_depth="all")
    await ask(juliet, "set", f"<options node='top' jid='{juliet.jid}'>{changed}</options>")
    after = await shown("top")
    assert (after["subscription_type"], after["subscription_depth"]) == (("all",), ("all",))
    default = values(next(iter(next(iter(await ask(juliet, "get", "<default node='top'/>"))))))
    assert (default["subscription_type"], default["subscription_depth"]) == (("nodes",), ("1",))
    await subscribe(juliet, "news")
    assert "subscription_type" not in await shown("news")


@pytest.mark.parametrize(
    "wanted", [{"subscription_type": "other"}, {"subscription_depth": "-1"}, {"subscription_depth": "deep"}]
)
async def test_an_option_that_there_is_not_is_invalid(admin: Client, juliet: Client, wanted: dict[str, str]) -> None:
    await tree(admin)
    assert await refused(juliet, "set", subscription(juliet, "top", **wanted)) == ("bad-request", "invalid-options")


# -- §6.2, §4.1: a collection has no items


@pytest.mark.parametrize(
    ("type", "request_", "ns", "feature"),
    [
        ("get", "<items node='blogs'/>", NS, "retrieve-items"),
        ("get", "<items node='blogs'><item id='1'/></items>", NS, "retrieve-items"),
        ("set", "<publish node='blogs'><item id='1'><x xmlns='x:y'/></item></publish>", NS, "publish"),
        ("set", "<retract node='blogs'><item id='1'/></retract>", NS, "persistent-items"),
        ("set", "<purge node='blogs'/>", OWNER, "persistent-items"),
    ],
)
async def test_a_collection_has_no_items(admin: Client, type: str, request_: str, ns: str, feature: str) -> None:
    """XEP-0060 §6.5.9.6, §7.1.3.3, §7.2.3.4, §8.5.3.2"""
    await tree(admin)
    answer = await admin.request(type, f"<pubsub xmlns='{ns}'>{request_}</pubsub>", SERVICE)
    error = answer.child("jabber:client", "error")
    assert error is not None
    conditions = [(each.name, each.get("feature")) for each in error]
    assert conditions == [("feature-not-implemented", ""), ("unsupported", feature)]


# -- §7.1 to §7.3: creation and configuration


async def test_the_configuration_is_always_what_the_graph_is(admin: Client) -> None:
    """§8.3"""
    await tree(admin)
    assert await place(admin, "top") == ((), ("blogs",))
    assert await place(admin, "blogs") == (("top",), ("news",))
    assert await place(admin, "news") == (("blogs",), ())
    await create(admin, "both", collection=("top", "blogs"))
    assert await place(admin, "both") == (("blogs", "top"), ())
    await configure(admin, "top", children="both")
    assert await place(admin, "blogs") == ((), ("both", "news"))
    await configure(admin, "both", title="T")
    assert await place(admin, "both") == (("blogs", "top"), ())
    await configure(admin, "both", collection="")
    assert await place(admin, "top") == ((), ())
    assert await nodes(admin) == ["blogs", "both", "top"]


async def test_a_collection_is_made_around_nodes_that_there_are(admin: Client) -> None:
    await create(admin, "news")
    await create(admin, "blogs", node_type="collection", children="news")
    assert await place(admin, "news") == (("blogs",), ())


async def test_a_leafs_form_is_the_one_without_collections_and_a_collections_has_its_fields(admin: Client) -> None:
    await create(admin, "alone")
    await create(admin, "blogs", node_type="collection")

    async def fields(request_: str) -> set[str]:
        return set(values(next(iter(next(iter(await ask(admin, "get", request_, ns=OWNER)))))))

    own = {"children", "children_association_policy", "children_association_whitelist", "children_max"}
    items = {"max_items", "persist_items", "publish_model", "itemreply"}
    alone = await fields("<configure node='alone'/>")
    assert items < alone
    assert not alone & (own | {"node_type", "collection"})
    for request_ in ("<configure node='blogs'/>", "<default type='collection'/>"):
        collection = await fields(request_)
        assert own | {"node_type", "collection"} < collection
        assert not collection & items
    default = await fields("<default/>")
    assert items | {"node_type", "collection"} < default
    assert not default & own


async def test_after_a_restart_all_is_as_it_was(servers: Servers, tmp_path: Path) -> None:
    url = await servers.sqlite(tmp_path / "world.db")
    world = await World.open(url, COLLECTIONS)
    try:
        await tree(await world.login("admin@localhost/desk"))
    finally:
        await world.close()
    world = await World.open(url, COLLECTIONS)
    try:
        admin, juliet = await world.login("admin@localhost/desk"), await world.login("juliet@localhost/balcony")
        await subscribe(juliet, "top", subscription_type="items", subscription_depth="all")
        await publish(admin, "news", "2", to=SERVICE)
        await juliet.receives(event(item("2"), "top"))
        assert await configuring(admin, "top", collection="blogs") == NOT_ALLOWED
    finally:
        await world.close()


async def test_without_the_option_there_is_no_hierarchy_and_it_comes_back_as_it_is_then(
    world: World, admin: Client
) -> None:
    await tree(admin)
    world.reconfigure(ADMINS)
    assert await nodes(admin) == ["blogs", "news", "top"]
    assert await place(admin, "blogs") == ((), ())
    await configure(admin, "blogs", title="T")
    x = next(iter(next(iter(await ask(admin, "get", "<configure node='blogs'/>", ns=OWNER)))))
    assert not values(x).keys() & {"children", "collection", "node_type", "children_max"}
    await ask(admin, "set", "<delete node='blogs'/>", ns=OWNER)
    world.reconfigure(COLLECTIONS)
    await create(admin, "blogs", node_type="collection")
    assert await nodes(admin) == ["blogs", "news", "top"]


async def test_a_deletion_counts_in_which_the_option_comes_back(
    world: World, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    engine, begun, deleting = engine_of(world), asyncio.Event(), asyncio.Event()
    delete_in_storage = engine.store.delete

    async def slow(owner: JID, node: str) -> bool:
        begun.set()
        await deleting.wait()
        return await delete_in_storage(owner, node)

    monkeypatch.setattr(engine.store, "delete", slow)
    world.reconfigure(ADMINS)
    task = asyncio.ensure_future(engine.delete(HOST, "blogs"))
    await begun.wait()
    world.reconfigure(COLLECTIONS)
    assert await nodes(admin) == ["top"]
    deleting.set()
    await task
    assert await nodes(admin) == ["news", "top"]


async def test_what_was_committed_counts_though_its_answer_was_lost(
    world: World, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    await create(admin, "alone")
    engine = engine_of(world)
    link_in_storage = engine.store.link

    async def lost(owner: JID, changes: Links) -> None:
        await link_in_storage(owner, changes)
        raise StorageError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(engine.store, "link", lost)
        assert await refused(admin, "set", link("blogs", "associate", "alone"), ns=OWNER) == ("resource-constraint",)
    assert await place(admin, "blogs") == (("top",), ("alone", "news"))


async def test_what_is_still_being_committed_counts_though_nobody_waits_for_it(
    world: World, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    await create(admin, "alone")
    collections, driver, committing = engine_of(world).collections, world.store.database._driver, asyncio.Event()
    commit, begun = driver.commit, asyncio.Event()

    async def slow(units: Sequence[Unit]) -> None:
        begun.set()
        await committing.wait()
        await commit(units)

    monkeypatch.setattr(driver, "commit", slow)
    linking = asyncio.ensure_future(collections.link(HOST, "blogs", ["alone"], [], JID.parse("admin@localhost")))
    await begun.wait()
    linking.cancel()
    reading = asyncio.ensure_future(collections.graph(HOST))
    await asyncio.sleep(0.05)
    committing.set()
    assert (await reading).children("blogs") == ["alone", "news"]


async def test_what_is_refused_costs_no_reading_of_the_whole_graph(
    world: World, admin: Client, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody may ask for what he is refused, as often as he likes."""
    await tree(admin)
    engine, read = engine_of(world), 0
    links_in_storage = engine.store.links

    async def counted(owner: JID) -> Sequence[Link]:
        nonlocal read
        read += 1
        return await links_in_storage(owner)

    monkeypatch.setattr(engine.store, "links", counted)
    assert await configuring(juliet, "news", title="T") == ("forbidden",)
    assert await refused(juliet, "set", "<delete node='news'/>", ns=OWNER) == ("forbidden",)
    assert await refused(juliet, "set", link("blogs", "dissociate", "news"), ns=OWNER) == ("forbidden",)
    assert await refused(admin, "set", "<create node='news'/>") == ("conflict",)
    await publish(admin, "news", "2", to=SERVICE)
    assert read == 0


async def test_what_was_published_first_is_told_first_while_the_graph_is_read(
    world: World, admin: Client, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    await configure(admin, "news", max_items="3")
    await subscribe(juliet, "blogs", subscription_type="items")
    engine, reading, changing = engine_of(world), asyncio.Event(), asyncio.Event()
    links_in_storage, link_in_storage, begun = engine.store.links, engine.store.link, asyncio.Event()

    async def slow_links(owner: JID) -> Sequence[Link]:
        begun.set()
        await reading.wait()
        return await links_in_storage(owner)

    async def slow_link(owner: JID, changes: Links) -> None:
        await changing.wait()
        await link_in_storage(owner, changes)

    monkeypatch.setattr(engine.store, "links", slow_links)
    monkeypatch.setattr(engine.store, "link", slow_link)
    engine.collections._graphs.clear()  # as it is after a start
    by = JID.parse("admin@localhost")
    tasks = [asyncio.ensure_future(engine.collections.link(HOST, "top", ["news"], [], by))]
    await begun.wait()
    for id in "23":
        tasks.append(asyncio.ensure_future(engine.publish(HOST, "news", [Item(id, b"<x xmlns='x:y'/>", by)])))
        await asyncio.sleep(0.05)
        reading.set()
        await asyncio.sleep(0.05)
    changing.set()
    await asyncio.gather(*tasks)
    await juliet.receives(event(item("2"), "blogs"))
    await juliet.receives(event(item("3"), "blogs"))


async def test_others_are_served_while_many_collections_are_told(world: World, admin: Client) -> None:
    await create(admin, "news")
    above = dict.fromkeys((f"c{number}" for number in range(500)), 1)
    collections, turns, ends = engine_of(world).collections, 0, False

    async def watch() -> None:
        nonlocal turns
        while not ends:
            await asyncio.sleep(0)
            turns += 1

    watching = asyncio.ensure_future(watch())
    node = await engine_of(world).node(HOST, "news")
    turns = 0
    await collections.tell(node, events.retracted("news", ["1"]), "items", above)
    seen, ends = turns, True
    await watching
    await world.settle()
    assert seen >= 9


async def test_above_a_collection_is_looked_once_however_many_nodes_come_into_it(
    world: World, admin: Client, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    names = [await made(admin, f"n{number}") for number in range(15)]
    await subscribe(juliet, "top", subscription_depth="2")
    looked: list[str] = []
    above = Graph.above

    def noted(graph: Graph, node: str) -> dict[str, int]:
        looked.append(node)
        return above(graph, node)

    with monkeypatch.context() as patch:
        patch.setattr(Graph, "above", noted)
        await ask(admin, "set", link("blogs", "associate", *names), ns=OWNER)
    for name in names:
        await juliet.receives(event(f"<collection node='blogs'><associate node='{name}'/></collection>", "top"))
    assert looked == ["blogs"] * 2  # for cycles, and for those who are told


async def test_a_leaf_becomes_a_collection_without_its_items_and_never_a_leaf_again(admin: Client) -> None:
    """§7.2.4, §7.2.3.4"""
    await tree(admin)
    await configure(admin, "news", node_type="collection")
    assert await nodes(admin, "news") == []
    await create(admin, "leaf", collection="news")
    assert await nodes(admin, "news") == ["leaf"]
    assert await configuring(admin, "news", node_type="leaf") == NOT_ALLOWED
    await configure(admin, "news", node_type="collection", title="T")


@pytest.mark.parametrize(("node", "config"), [("blogs", {"collection": "news"}), ("news", {"children": "blogs"})])
async def test_nothing_is_in_a_leaf(admin: Client, node: str, config: dict[str, str]) -> None:
    """§7.2.3.1"""
    await create(admin, "news")
    await create(admin, "blogs")
    assert await configuring(admin, node, **config) == NOT_ALLOWED
    asked = form("node_config", **config)
    if "collection" in config:
        assert await refused(admin, "set", f"<create node='n'/><configure>{asked}</configure>") == NOT_ALLOWED
        assert await refused(admin, "set", link("news", "associate", "blogs"), ns=OWNER) == NOT_ALLOWED


@pytest.mark.parametrize(
    ("node", "config"),
    [
        ("top", {"collection": "blogs"}),
        ("top", {"collection": "top"}),
        ("blogs", {"children": ("news", "top")}),
        ("blogs", {"children": ("news", "blogs")}),
    ],
)
async def test_a_cycle_is_not_allowed(admin: Client, node: str, config: dict[str, str | tuple[str, ...]]) -> None:
    """§7.2.3.5, §7.5.3.3"""
    await tree(admin)
    assert await configuring(admin, node, title="T", **config) == NOT_ALLOWED
    assert await refused(admin, "set", link("blogs", "associate", "top"), ns=OWNER) == NOT_ALLOWED
    assert await place(admin, "top") == ((), ("blogs",))
    assert await place(admin, "blogs") == (("top",), ("news",))


async def test_a_collection_has_no_more_than_it_may(admin: Client) -> None:
    """§7.2.3.3, §7.5.3.2"""
    await tree(admin)
    await create(admin, "alone")
    await configure(admin, "blogs", children_max="1")
    too_many = ("not-allowed", "max-nodes-exceeded")
    assert await configuring(admin, "blogs", children=("news", "alone")) == too_many
    assert await configuring(admin, "alone", collection="blogs") == too_many
    assert await refused(admin, "set", link("blogs", "associate", "alone"), ns=OWNER) == too_many
    await configure(admin, "blogs", children="alone")
    assert await place(admin, "blogs") == (("top",), ("alone",))
    await configure(admin, "blogs", children_max="2")
    await configure(admin, "blogs", children=("news", "alone"))
    assert await configuring(admin, "blogs", children_max="1") == too_many


async def test_what_is_over_a_limit_that_came_later_is_changed_and_taken_out(world: World, admin: Client) -> None:
    await tree(admin)
    await configure(admin, "blogs", children=("news", *[await made(admin, name) for name in ("a", "b", "c")]))
    world.reconfigure(f"{COLLECTIONS}nodes = 2\n")
    await configure(admin, "blogs", title="T")
    await ask(admin, "set", link("blogs", "dissociate", "a"), ns=OWNER)
    assert await place(admin, "blogs") == (("top",), ("b", "c", "news"))


async def made(admin: Client, node: str) -> str:
    await create(admin, node)
    return node


async def test_a_node_is_in_twenty_collections_at_most(admin: Client) -> None:
    names = tuple(f"c{n}" for n in range(21))
    for name in names:
        await create(admin, name, node_type="collection")
    await create(admin, "news", collection=names[:20])
    assert await configuring(admin, "news", collection=names) == ("not-allowed", "max-nodes-exceeded")


@pytest.mark.parametrize("config", [{"collection": "nowhere"}, {"children": "nowhere", "node_type": "collection"}])
async def test_what_is_not_there_is_in_nothing(admin: Client, config: dict[str, str]) -> None:
    await create(admin, "news")
    assert await configuring(admin, "news", **config) == ("item-not-found",)
    asked = form("node_config", **config)
    assert await refused(admin, "set", f"<create node='n'/><configure>{asked}</configure>") == ("item-not-found",)
    assert await nodes(admin) == ["news"]


@pytest.mark.parametrize(
    "config", [{"children_association_whitelist": "@"}, {"children_max": "-1"}, {"children_association_policy": "some"}]
)
async def test_a_value_that_is_not_allowed_is_refused(admin: Client, config: dict[str, str]) -> None:
    await create(admin, "blogs", node_type="collection")
    assert await configuring(admin, "blogs", **config) in (("jid-malformed",), ("not-acceptable",))


# -- §7.5, §7.6: who may associate


@pytest.mark.parametrize(
    ("policy", "allowed"), [("owners", False), ("whitelist", False), ("listed", True), ("all", True)]
)
async def test_the_policy_says_who_brings_nodes_into_a_collection(
    admin: Client, juliet: Client, policy: str, allowed: bool
) -> None:
    """§7.2.3.2, §7.5.3.1"""
    await create(
        admin, "blogs", node_type="collection", children_association_policy=policy.replace("listed", "whitelist")
    )
    if policy == "listed":
        await configure(admin, "blogs", children_association_whitelist=("juliet@localhost", "nurse@localhost"))
    await create(admin, "hers")
    await affiliate(admin, "juliet@localhost", "owner", "hers")
    if allowed:
        await ask(juliet, "set", link("blogs", "associate", "hers"), ns=OWNER)
        assert await place(admin, "blogs") == ((), ("hers",))
        await ask(juliet, "set", link("blogs", "dissociate", "hers"), ns=OWNER)
        await configure(juliet, "hers", collection="blogs")
    else:
        assert await refused(juliet, "set", link("blogs", "associate", "hers"), ns=OWNER) == ("forbidden",)
        assert await configuring(juliet, "hers", collection="blogs") == ("forbidden",)
    assert await place(admin, "hers") == (("blogs",) if allowed else (), ())


async def test_nobody_shows_the_nodes_of_others_in_a_collection_of_his_own(admin: Client, juliet: Client) -> None:
    """§10.1: it would show what is in them to all who may read the collection."""
    await create(admin, "secret", access_model="whitelist")
    await create(admin, "hers", node_type="collection", children_association_policy="all")
    await affiliate(admin, "juliet@localhost", "owner", "hers")
    assert await configuring(juliet, "hers", children="secret") == ("forbidden",)
    assert await refused(juliet, "set", link("hers", "associate", "secret"), ns=OWNER) == ("forbidden",)
    assert await place(admin, "secret") == ((), ())


async def test_a_node_is_taken_out_by_its_owner_or_the_collections(admin: Client, juliet: Client) -> None:
    """§7.6"""
    await tree(admin)
    assert await refused(juliet, "set", link("blogs", "dissociate", "news"), ns=OWNER) == ("forbidden",)
    await affiliate(admin, "juliet@localhost", "owner", "news")
    await ask(juliet, "set", link("blogs", "dissociate", "news"), ns=OWNER)
    assert await refused(juliet, "set", link("blogs", "dissociate", "news"), ns=OWNER) == ("bad-request",)
    assert await place(admin, "news") == ((), ())


async def test_an_outcast_brings_nothing_into_a_collection(admin: Client, juliet: Client) -> None:
    await create(admin, "blogs", node_type="collection", children_association_policy="all")
    await create(admin, "hers")
    await affiliate(admin, "juliet@localhost", "owner", "hers")
    await affiliate(admin, "juliet@localhost", "outcast", "blogs")
    assert await refused(juliet, "set", link("blogs", "associate", "hers"), ns=OWNER) == ("forbidden",)
    assert await configuring(juliet, "hers", collection="blogs") == ("forbidden",)


@pytest.mark.parametrize("node", ["news", "alone"])
async def test_who_may_not_associate_does_not_learn_what_is_in_a_collection(
    admin: Client, juliet: Client, node: str
) -> None:
    """§7.5.3.1"""
    await tree(admin)
    await create(admin, "alone")
    await configure(admin, "blogs", access_model="whitelist")
    assert await refused(juliet, "set", link("blogs", "associate", node), ns=OWNER) == ("forbidden",)


async def test_who_may_not_associate_has_us_read_no_more_than_one_node(
    world: World, admin: Client, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tree(admin)
    names = [await made(admin, f"n{number}") for number in range(20)]
    store, read = engine_of(world).store, 0
    node_in_storage = store.node

    async def counted(owner: JID, node: str, of: JID) -> NodeRow | None:
        nonlocal read
        read += 1
        return await node_in_storage(owner, node, of)

    monkeypatch.setattr(store, "node", counted)
    assert await refused(juliet, "set", link("blogs", "associate", *names), ns=OWNER) == ("forbidden",)
    assert read == 2


async def test_what_is_taken_out_twice_in_a_request_leaves_once(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await subscribe(juliet, "blogs")
    await ask(admin, "set", link("blogs", "dissociate", "news", "news"), ns=OWNER)
    await juliet.receives(event("<collection node='blogs'><dissociate node='news'/></collection>"))
    await juliet.receives_nothing()


async def test_to_associate_twice_changes_nothing(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await subscribe(juliet, "blogs")
    await ask(admin, "set", link("blogs", "associate", "news", "news"), ns=OWNER)
    await juliet.receives_nothing()
    assert await place(admin, "blogs") == (("top",), ("news",))


@pytest.mark.parametrize(
    ("request_", "condition"),
    [
        ("<collection node='blogs'/>", "bad-request"),
        ("<collection><associate node='news'/></collection>", "bad-request"),
        ("<collection node='blogs'><associate/></collection>", "bad-request"),
        (link("nowhere", "associate", "news"), "item-not-found"),
        (link("blogs", "associate", "nowhere"), "item-not-found"),
        (link("blogs", "dissociate", "nowhere"), "item-not-found"),
    ],
)
async def test_a_request_that_cannot_be_gets_its_error(admin: Client, request_: str, condition: str) -> None:
    await tree(admin)
    assert (await refused(admin, "set", request_, ns=OWNER))[0] == condition


async def test_of_several_changes_all_are_made_or_none(admin: Client) -> None:
    await tree(admin)
    await create(admin, "alone")
    assert await refused(admin, "set", link("blogs", "associate", "alone", "top"), ns=OWNER) == NOT_ALLOWED
    assert await place(admin, "alone") == ((), ())


# -- §7.4, §8.2: deletion


async def test_what_was_in_a_deleted_collection_stays(admin: Client, juliet: Client) -> None:
    await tree(admin)
    await configure(admin, "news", collection=("top", "blogs"))
    await subscribe(juliet, "top", subscription_type="all", subscription_depth="all")
    await ask(admin, "set", "<delete node='blogs'/>", ns=OWNER)
    await juliet.receives(event("<delete node='blogs'/>", "top"))
    assert await place(admin, "news") == (("top",), ())
    await ask(admin, "set", "<delete node='top'/>", ns=OWNER)
    await juliet.receives(event("<delete node='top'/>"))
    assert await nodes(admin) == ["news"]
    assert await listed(admin, "<items node='news'/>") == [{"id": "1", "publisher": "admin@localhost"}]


async def test_the_root_is_not_deleted(admin: Client) -> None:
    """§7.4.3.1"""
    assert await refused(admin, "set", "<delete/>", ns=OWNER) == ("not-allowed",)
