"""Nodes: their configuration, who may do what, and what comes back of their items."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio

from xmpp_server.protocol.element import Element

from .conftest import MakeWorld
from .pubsub import (
    ADMINS,
    EVENT,
    INFO,
    SERVICE,
    affiliate,
    ask,
    configure,
    create,
    form,
    listed,
    refused,
    subscribe,
    told,
    values,
)
from .test_pep import NS, OWNER, condition, items, options, publish
from .world import Client, World

ROMEO = "romeo@localhost"
RSM = "http://jabber.org/protocol/rsm"


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS)


async def people(world: World) -> tuple[Client, Client]:
    return await world.login("admin@localhost/desk"), await world.login("juliet@localhost/balcony")


def item(id: str, content: str = "") -> str:
    return f"<item id='{id}'><x xmlns='x:y'>{content or id}</x></item>"


# -- §8.2, §8.3: configuration


def shape(x: Element) -> list[tuple[str, str, str]]:
    return [(field.get("var"), field.get("type"), field.get("label")) for field in x if field.name == "field"]


async def test_the_form_of_a_configuration_is_the_one_that_others_show(world: World) -> None:
    admin, _ = await people(world)
    await create(admin)
    x = next(iter(next(iter(await ask(admin, "get", "<configure node='news'/>", ns=OWNER)))))
    assert shape(x) == [
        ("FORM_TYPE", "hidden", ""),
        ("pubsub#title", "text-single", "Title"),
        ("pubsub#description", "text-single", "Description"),
        (
            "pubsub#type",
            "text-single",
            "The type of node data, usually specified by the namespace of the payload (if any)",
        ),
        ("pubsub#max_items", "text-single", "Max # of items to persist"),
        ("pubsub#persist_items", "boolean", "Persist items to storage"),
        ("pubsub#access_model", "list-single", "Specify the subscriber model"),
        ("pubsub#roster_groups_allowed", "list-multi", "Roster groups allowed to subscribe"),
        ("pubsub#publish_model", "list-single", "Specify the publisher model"),
        ("pubsub#send_last_published_item", "list-single", ""),
        ("pubsub#deliver_notifications", "boolean", "Whether to deliver event notifications"),
        ("pubsub#deliver_payloads", "boolean", "Whether to deliver payloads with event notifications"),
        ("pubsub#notification_type", "list-single", "Specify the delivery style for notifications"),
        ("pubsub#notify_delete", "boolean", "Whether to notify subscribers when the node is deleted"),
        ("pubsub#notify_retract", "boolean", "Whether to notify subscribers when items are removed from the node"),
        ("pubsub#itemreply", "list-single", "Specify whose JID to include as the publisher of items"),
    ]
    whole = next(iter(next(iter(await ask(admin, "get", "<default/>", ns=OWNER)))))
    assert shape(whole)[:16] == shape(x)
    assert [var for var, _, _ in shape(whole)[16:]] == [
        "pubsub#max_payload_size",
        "pubsub#item_expire",
        "pubsub#notify_config",
        "pubsub#notify_sub",
        "pubsub#subscribe",
    ]
    assert b"<range min='1' max='1000'/>" in x.to_bytes()


async def test_every_field_is_kept_and_shown_where_it_differs(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    wanted: dict[str, tuple[str, ...]] = {
        "title": ("Tunes",),
        "description": ("What I hear",),
        "type": ("x:y",),
        "max_items": ("max",),
        "persist_items": ("0",),
        "access_model": ("roster",),
        "roster_groups_allowed": ("Friends", "Family"),
        "publish_model": ("open",),
        "send_last_published_item": ("on_sub",),
        "deliver_notifications": ("0",),
        "deliver_payloads": ("0",),
        "notification_type": ("normal",),
        "notify_delete": ("0",),
        "notify_retract": ("0",),
        "itemreply": ("owner",),
        "max_payload_size": ("77",),
        "item_expire": ("604800",),
        "notify_config": ("1",),
        "notify_sub": ("1",),
        "subscribe": ("0",),
        "presence_based_delivery": ("1",),
    }
    await create(romeo, "n", ROMEO, **wanted)
    x = next(iter(next(iter(await ask(romeo, "get", "<configure node='n'/>", ROMEO, OWNER)))))
    assert {name: each for name, each in values(x).items() if name != "FORM_TYPE"} == wanted
    await configure(romeo, "n", ROMEO, title="Music")  # what is left out stays
    x = next(iter(next(iter(await ask(romeo, "get", "<configure node='n'/>", ROMEO, OWNER)))))
    assert {name: each for name, each in values(x).items() if name != "FORM_TYPE"} == wanted | {"title": ("Music",)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("access_model", "closed"),
        ("publish_model", "nobody"),
        ("max_items", "0"),
        ("max_items", "1001"),
        ("max_items", "many"),
        ("item_expire", "-1"),
        ("item_expire", "soon"),
        ("max_payload_size", "999999999"),
        ("persist_items", "maybe"),
        ("notification_type", "groupchat"),
        ("itemreply", "everybody"),
        ("send_last_published_item", "always"),
    ],
)
async def test_a_value_that_cannot_be_changes_nothing(world: World, name: str, value: str) -> None:
    """§8.2.4"""
    admin, _ = await people(world)
    await create(admin)
    submitted = form("node_config", title="Other", **{name: value})
    change = f"<configure node='news'>{submitted}</configure>"
    assert await refused(admin, "set", change, ns=OWNER) == ("not-acceptable",)
    x = next(iter(next(iter(await ask(admin, "get", "<configure node='news'/>", ns=OWNER)))))
    assert values(x)["title"] == ()
    cancelled = f"<configure node='news'>{form('node_config', 'cancel', title='Other')}</configure>"
    await ask(admin, "set", cancelled, ns=OWNER)
    x = next(iter(next(iter(await ask(admin, "get", "<configure node='news'/>", ns=OWNER)))))
    assert values(x)["title"] == ()


async def test_subscribers_hear_of_another_configuration_and_of_a_node_that_goes(world: World) -> None:
    """§8.2.5.3, §8.4"""
    admin, juliet = await people(world)
    await create(admin, notify_config="1")
    await subscribe(juliet)
    await configure(admin, title="The Globe")
    message = await juliet.receives(f"<message><event xmlns='{EVENT}'><configuration node='news'/></event></message>")
    x = next(iter(next(iter(next(iter(message))))))
    assert (x.get("type"), values(x)["title"]) == ("result", ("The Globe",))
    await configure(admin, deliver_payloads="0")
    message = await juliet.receives(f"<message><event xmlns='{EVENT}'><configuration node='news'/></event></message>")
    assert b"jabber:x:data" not in message.to_bytes()
    redirect = "<redirect uri='xmpp:pubsub.localhost?;node=globe'/>"
    await ask(admin, "set", f"<delete node='news'>{redirect}</delete>", ns=OWNER)
    await juliet.receives(f"<message><event xmlns='{EVENT}'><delete node='news'>{redirect}</delete></event></message>")


async def test_another_configuration_is_told_as_it_is_applied(world: World) -> None:
    """A node of keys that was made for contacts counts as open, and its owner's form is as it was made."""
    romeo, juliet = await world.login(f"{ROMEO}/orchard"), await world.login("juliet@localhost/balcony")
    node = "urn:xmpp:omemo:2:devices"
    await create(romeo, node, ROMEO, access_model="presence", notify_config="1")
    await subscribe(juliet, node, ROMEO)
    await configure(romeo, node, ROMEO, title="T")
    message = await juliet.receives(f"<message><event xmlns='{EVENT}'><configuration node='{node}'/></event></message>")
    assert values(next(iter(next(iter(next(iter(message)))))))["access_model"] == ("open",)
    x = next(iter(next(iter(await ask(romeo, "get", f"<configure node='{node}'/>", ROMEO, OWNER)))))
    assert values(x)["access_model"] == ("presence",)


async def test_the_metadata_of_a_node_is_told_to_who_may_read_it(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, title="News", max_items="5")
    await affiliate(admin, "juliet@localhost", "publisher")
    await subscribe(juliet)
    query = next(iter(await juliet.request("get", f"<query xmlns='{INFO}' node='news'/>", SERVICE)))
    x = query.child("jabber:x:data", "x")
    assert x is not None
    assert values(x) == {
        "FORM_TYPE": (f"{NS}#meta-data",),
        "title": ("News",),
        "description": ("",),
        "type": ("",),
        "access_model": ("open",),
        "publish_model": ("publishers",),
        "max_items": ("5",),
        "owner": ("admin@localhost",),
        "publisher": ("juliet@localhost",),
        "num_subscribers": ("1",),
    }
    await configure(admin, access_model="whitelist")
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", f"<query xmlns='{INFO}' node='news'/>", SERVICE)
    assert condition(answer) == ("not-allowed", "closed-node")


# -- §4.5: who may read


async def test_a_node_for_groups_of_the_roster_is_read_by_them_alone(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await world.subscribe("romeo@localhost", "paris@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    juliet, paris = await world.login("juliet@localhost/balcony"), await world.login("paris@localhost/street")
    group = "<item jid='juliet@localhost'><group>Friends</group></item>"
    await romeo.request("set", f"<query xmlns='jabber:iq:roster'>{group}</query>")
    await create(romeo, "n", ROMEO, access_model="roster", roster_groups_allowed=("Friends", "Family"))
    romeo.inbox.clear()
    assert await subscribe(juliet, "n", ROMEO) == "subscribed"
    wanted = f"<subscribe node='n' jid='{paris.jid}'/>"
    for type, request in (("set", wanted), ("get", "<items node='n'/>")):
        assert await refused(paris, type, request, ROMEO) == ("not-authorized", "not-in-roster-group")
    await publish(romeo, "n", "1")
    await juliet.receives(told("1", "n"))
    assert await items(juliet, "n", ROMEO) == ["1"]
    await romeo.request("set", f"<query xmlns='jabber:iq:roster'>{group.replace('Friends', 'Foes')}</query>")
    await world.settle()
    juliet.forget("iq")
    gone = f"<subscription node='n' jid='{juliet.jid}' subscription='none'/>"
    await juliet.receives(f"<message><event xmlns='{NS}#event'>{gone}</event></message>")
    await publish(romeo, "n", "2")
    await juliet.receives_nothing()
    query = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    assert "n" not in {each.get("node") for each in next(iter(await juliet.request("get", query, ROMEO)))}


# -- §4.1, §7: who may publish and retract


async def test_subscribers_publish_where_the_node_lets_them_and_touch_nobody_elses_items(world: World) -> None:
    admin, juliet = await people(world)
    romeo = await world.login("romeo@localhost/orchard")
    await create(admin, publish_model="subscribers")
    await publish(admin, "news", "1", to=SERVICE)
    assert condition(await publish(juliet, "news", "2", to=SERVICE)) == ("forbidden",)
    await subscribe(juliet)
    await publish(juliet, "news", "2", to=SERVICE)
    await juliet.receives(told("2", publisher="juliet@localhost"))
    assert condition(await publish(juliet, "news", "1", to=SERVICE)) == ("forbidden",)
    retract = "<retract node='news'><item id='{}'/></retract>"
    assert await refused(juliet, "set", retract.format("1")) == ("forbidden",)
    assert await refused(romeo, "set", retract.format("2")) == ("forbidden",)
    await ask(juliet, "set", retract.format("2"))
    assert await items(juliet, "news", SERVICE) == ["1"]
    await ask(admin, "set", retract.format("1"))
    assert await refused(juliet, "set", "<purge node='news'/>", ns=OWNER) == ("forbidden",)


@pytest.mark.parametrize(
    ("affiliation", "publishes", "reads", "subscribes"),
    [
        ("owner", True, True, True),
        ("publisher", True, True, True),
        ("publish-only", True, False, False),
        ("member", False, True, True),
        ("none", False, False, False),
        ("outcast", False, False, False),
    ],
)
async def test_affiliations_allow_what_table_1_says(
    world: World, affiliation: str, publishes: bool, reads: bool, subscribes: bool
) -> None:
    admin, juliet = await people(world)
    await create(admin, access_model="whitelist")
    await affiliate(admin, "juliet@localhost", affiliation)
    answers = {
        "publishes": await publish(juliet, "news", "1", to=SERVICE),
        "reads": await juliet.request("get", f"<pubsub xmlns='{NS}'><items node='news'/></pubsub>", SERVICE),
        "subscribes": await juliet.request(
            "set", f"<pubsub xmlns='{NS}'><subscribe node='news' jid='{juliet.jid}'/></pubsub>", SERVICE
        ),
        "owns": await juliet.request("set", f"<pubsub xmlns='{OWNER}'><delete node='news'/></pubsub>", SERVICE),
    }
    assert {name: answer.get("type") == "result" for name, answer in answers.items()} == {
        "publishes": publishes,
        "reads": reads,
        "subscribes": subscribes,
        "owns": affiliation == "owner",
    }


async def test_an_outcast_hears_nothing_of_an_open_node(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    await subscribe(juliet)
    await affiliate(admin, "juliet@localhost", "outcast")
    await juliet.receives(f"<message><event xmlns='{EVENT}'><subscription subscription='none'/></event></message>")
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives_nothing()
    assert await refused(juliet, "get", "<items node='news'/>") == ("forbidden",)


async def test_affiliations_are_listed_and_a_node_keeps_its_last_owner(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    resigns = "<affiliation jid='admin@localhost' affiliation='none'/>"
    entries = f"{resigns}<affiliation jid='juliet@localhost' affiliation='member'/>"
    change = f"<pubsub xmlns='{OWNER}'><affiliations node='news'>{entries}</affiliations></pubsub>"
    error = await admin.request("set", change, SERVICE)
    assert condition(error) == ("not-acceptable",)
    assert [entry.attrs for entry in next(iter(next(iter(error))))] == [
        {"jid": "admin@localhost", "affiliation": "owner"}
    ]
    assert await listed(juliet, "<affiliations/>") == [{"node": "news", "affiliation": "member"}]
    assert await listed(admin, "<affiliations node='news'/>", ns=OWNER) == [
        {"jid": "admin@localhost", "affiliation": "owner"},
        {"jid": "juliet@localhost", "affiliation": "member"},
    ]
    twice = entries.replace("admin", "juliet")
    assert await refused(admin, "set", f"<affiliations node='news'>{twice}</affiliations>", ns=OWNER) == (
        "bad-request",
    )
    unknown = "<affiliation jid='juliet@localhost' affiliation='king'/>"
    assert await refused(admin, "set", f"<affiliations node='news'>{unknown}</affiliations>", ns=OWNER) == (
        "not-acceptable",
    )
    assert await refused(juliet, "get", "<affiliations node='news'/>", ns=OWNER) == ("forbidden",)


# -- §6.5, §7.1: items


async def test_who_published_is_told_as_the_node_wants_it(world: World) -> None:
    """§12.17"""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    await create(romeo, "n", ROMEO, publish_model="open", access_model="open", max_items="9")
    await subscribe(juliet, "n", ROMEO)
    for reply, publisher in (
        ("none", {}),
        ("publisher", {"publisher": "juliet@localhost"}),
        ("owner", {"publisher": ROMEO}),
    ):
        await configure(romeo, "n", ROMEO, itemreply=reply)
        answer = await juliet.request(
            "set", f"<pubsub xmlns='{NS}'><publish node='n'>{item(reply)}</publish></pubsub>", ROMEO
        )
        assert answer.get("type") == "result"
        message = await juliet.receives(told(reply, "n"))
        event = next(iter(next(iter(message))))
        assert next(iter(event)).attrs == {"id": reply} | publisher
        shown = await listed(juliet, f"<items node='n'><item id='{reply}'/></items>", ROMEO)
        assert shown == [{"id": reply} | publisher]


@pytest.mark.parametrize(
    ("config", "content", "expected"),
    [
        ({}, "", ("bad-request", "item-required")),
        ({}, "<item/>", ("bad-request", "payload-required")),
        ({}, "<item><x xmlns='x:y'/><x xmlns='x:y'/></item>", ("bad-request", "invalid-payload")),
        ({"max_payload_size": "5"}, "<item><x xmlns='x:y'/></item>", ("not-acceptable", "payload-too-big")),
        ({"persist_items": "0", "deliver_payloads": "0"}, "<item id='1'/>", ("bad-request", "item-forbidden")),
        ({"persist_items": "0"}, "<item/>", ("bad-request", "payload-required")),
    ],
)
async def test_a_publication_that_does_not_fit_the_node_is_refused(
    world: World, config: dict[str, str], content: str, expected: tuple[str, ...]
) -> None:
    """§7.1.3"""
    admin, _ = await people(world)
    await create(admin, **config)
    assert await refused(admin, "set", f"<publish node='news'>{content}</publish>") == expected


async def test_events_go_out_with_and_without_items_and_payloads(world: World) -> None:
    """§4.3"""
    admin, juliet = await people(world)
    kinds = ({"persist_items": "0", "deliver_payloads": "0"}, {"deliver_payloads": "0"}, {"persist_items": "0"})
    for number, (config, content) in enumerate(zip(kinds, ("", item("1"), item("1")), strict=True)):
        node = f"n{number}"
        await create(admin, node, **config)
        await subscribe(juliet, node)
        await ask(admin, "set", f"<publish node='{node}'>{content}</publish>")
        message = await juliet.receives(f"<message><event xmlns='{EVENT}'><items node='{node}'/></event></message>")
        assert (b"<item" in message.to_bytes().replace(b"<items", b"")) == bool(content)
        assert (b"x:y" in message.to_bytes()) == (number == 2)
        if "persist_items" in config:
            assert await refused(juliet, "get", f"<items node='{node}'/>") == ("feature-not-implemented", "unsupported")
            assert await refused(admin, "set", f"<purge node='{node}'/>", ns=OWNER) == (
                "feature-not-implemented",
                "unsupported",
            )


async def test_items_expire(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    admin, juliet = await people(world)
    await create(admin, item_expire="60", send_last_published_item="on_sub")
    await publish(admin, "news", "1", to=SERVICE)
    later = time.time_ns() + 61 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)
    await subscribe(juliet)
    await juliet.receives_nothing()
    assert await items(juliet, "news", SERVICE) == []
    assert await listed(juliet, "<items node='news'><item id='1'/></items>") == []
    host = world.core.router.hosts["localhost"].jid
    assert await world.store.pubsub.contents(host.parse(SERVICE), "news") == []
    await publish(admin, "news", "2", to=SERVICE)
    assert await items(juliet, "news", SERVICE) == ["2"]


def page(**values: str | None) -> str:
    content = "".join(f"<{name}/>" if value is None else f"<{name}>{value}</{name}>" for name, value in values.items())
    return f"<items node='news'/><set xmlns='{RSM}'>{content}</set>"


@pytest.mark.parametrize(
    ("request_", "ids", "index"),
    [
        (page(max="2"), ["1", "2"], "0"),
        (page(max="2", after="2"), ["3", "4"], "2"),
        (page(max="2", before=None), ["4", "5"], "3"),
        (page(max="2", before="4"), ["2", "3"], "1"),
        (page(max="2", index="3"), ["4", "5"], "3"),
        (page(after="3"), ["4", "5"], "3"),
        (page(max="2", after="5"), [], ""),
        (page(max="0"), [], ""),
        (page(), None, ""),
        (page(max="1", before=None).replace("'news'", "'news' max_items='3'"), ["5"], "2"),
    ],
)
async def test_items_come_in_pages(world: World, request_: str, ids: list[str] | None, index: str) -> None:
    """§6.5.4"""
    admin, _ = await people(world)
    await create(admin)
    await publish(admin, "news", "1", "2", "3", "4", "5", to=SERVICE)
    answer = await ask(admin, "get", request_)
    found = next(iter(answer))
    assert [each.get("id") for each in found] == (["1", "2", "3", "4", "5"] if ids is None else ids)
    said = answer.child(RSM, "set")
    if ids is None:
        assert said is None
        return
    assert said is not None
    assert said.child_text(RSM, "count") == ("3" if "max_items" in request_ else "5")
    first = said.child(RSM, "first")
    assert (
        (first.text, first.get("index"), said.child_text(RSM, "last")) == (ids[0], index, ids[-1]) if ids else not first
    )


async def test_a_page_beside_an_item_that_is_not_there_is_no_page(world: World) -> None:
    admin, _ = await people(world)
    await create(admin)
    await publish(admin, "news", "1", to=SERVICE)
    assert await refused(admin, "get", page(after="9")) == ("item-not-found",)
    assert await refused(admin, "get", "<items node='news' max_items='many'/>") == ("bad-request",)


async def test_the_newest_items_come_and_it_is_said_where_not_all_of_them_do(world: World) -> None:
    admin, _ = await people(world)
    await create(admin)
    assert [each["id"] for each in await listed(admin, "<items node='news' max_items='2'/>")] == []
    big = "x" * 200_000
    for number in range(8):
        await ask(admin, "set", f"<publish node='news'>{item(str(number), big)}</publish>")
    answer = await ask(admin, "get", "<items node='news'/>")
    assert [each.get("id") for each in next(iter(answer))] == ["3", "4", "5", "6", "7"]
    said = answer.child(RSM, "set")
    assert said is not None
    assert said.child_text(RSM, "count") == "8"
    assert [each["id"] for each in await listed(admin, "<items node='news' max_items='2'/>")] == ["6", "7"]


async def test_items_come_by_their_ids_in_the_order_of_the_request_with_one_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, _ = await people(world)
    await create(admin)
    await publish(admin, "news", *map(str, range(1, 20)), to=SERVICE)
    reads: list[object] = []
    read = world.store.database.read
    monkeypatch.setattr(world.store.database, "read", lambda work: (reads.append(work), read(work))[1])
    wanted = "".join(f"<item id='{id}'/>" for id in ("7", "1", "none", "19"))
    assert [each["id"] for each in await listed(admin, f"<items node='news'>{wanted}</items>")] == ["7", "1", "19"]
    assert len(reads) <= 3  # the node for who asks, twice, and the items


async def test_what_is_nowhere_defined_is_refused(world: World) -> None:
    admin, _ = await people(world)
    await create(admin)
    for request, expected in (
        ("<publish/>", ("bad-request", "nodeid-required")),
        ("<items/>", ("bad-request", "nodeid-required")),
        ("<retract node='news'/>", ("bad-request", "item-required")),
        ("<retract node='news'><item/></retract>", ("bad-request", "item-required")),
        ("<retract node='news'><item id='9'/></retract>", ("item-not-found",)),
        ("<subscribe node='news'/>", ("bad-request", "jid-required")),
        ("<subscribe node='news' jid='@'/>", ("jid-malformed",)),
        ("<dance/>", ("feature-not-implemented", "unsupported")),
        ("", ("bad-request",)),
    ):
        type = "get" if request.startswith("<items") else "set"
        assert await refused(admin, type, request) == expected, request


async def test_a_condition_without_a_type_of_form_is_understood(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await publish(romeo, "n", "1", more=options(access_model="open").replace(" type='submit'", ""))
    refusal = await publish(romeo, "n", "2", more=options(access_model="whitelist").replace(" type='submit'", ""))
    assert condition(refusal) == ("conflict", "precondition-not-met")
    assert b"Field does not match: access_model" in refusal.to_bytes()


async def test_a_batch_is_done_whole_or_not_at_all(world: World) -> None:
    """§12.11"""
    admin, juliet = await people(world)
    await create(admin, max_items="3")
    await publish(admin, "news", "1", "2", to=SERVICE)
    await subscribe(juliet)
    request = "<retract node='news' notify='1'><item id='1'/><item id='none'/></retract>"
    assert await refused(admin, "set", request) == ("item-not-found",)
    too_many = await publish(admin, "news", "4", "5", "6", "7", to=SERVICE)
    assert condition(too_many) == ("not-allowed", "max-items-exceeded")
    await juliet.receives_nothing()
    assert await items(admin, "news", SERVICE) == ["1", "2"]
