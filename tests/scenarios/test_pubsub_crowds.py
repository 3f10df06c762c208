"""Many subscribers, many publishers, and floods: order stays, nobody else is stalled, nothing grows without a bound."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_asyncio

from components.pubsub import Service
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.pubsub import notifications
from xmpp_server.routing.host import Passage
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import Subscription

from .conftest import MakeWorld
from .pubsub import ADMINS, SERVICE, affiliate, ask, create, refused, subscribe
from .test_pep import condition, options, publish
from .world import World

HOST = JID.parse(SERVICE)


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS + "[components.pubsub]\npublishes_per_minute = 100000")


def service(world: World) -> Service:
    found = world.core.components.running[SERVICE]
    assert isinstance(found, Service)
    return found


async def crowd(world: World, size: int) -> None:
    """So many subscribers elsewhere."""
    jids = [JID.parse(f"s{number}@remote.example") for number in range(size)]

    def change(*some: JID) -> Relations:
        return Relations([Subscription(jid, "x") for jid in some], most=10**6)

    for start in range(0, size, 1000):
        some = jids[start : start + 1000]
        await world.store.pubsub.relate(HOST, "news", some[0], lambda row, some=some: change(*some))  # type: ignore[misc]


def ids(stanzas: list[Stanza]) -> list[str]:
    found = []
    for stanza in stanzas:
        event = stanza.parse(stanza.children[0])
        found.append(next(iter(next(iter(event)))).get("id"))
    return found


async def test_10000_subscribers_are_told_while_others_are_served(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    await crowd(world, 10_000)
    elsewhere = world.elsewhere()
    turns, ends = 0, False

    async def watch() -> None:
        nonlocal turns
        while not ends:
            await asyncio.sleep(0)
            turns += 1

    watching = asyncio.get_running_loop().create_task(watch())
    await publish(admin, "news", "1", to=SERVICE)
    ends = True
    await watching
    assert len({str(stanza.to) for stanza in elsewhere}) == len(elsewhere) == 10_000
    assert turns > 10_000 / notifications._TOGETHER


async def test_everybody_sees_one_order_however_many_publish(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin, max_items="max", publish_model="open")
    await crowd(world, 120)
    elsewhere = world.elsewhere()
    publishers = [await world.login(f"p{number}@localhost/x") for number in range(8)]
    for number in range(5):
        for client in publishers:
            item = f"<item id='{client.session.account.jid.localpart}-{number}'><x xmlns='x:y'/></item>"
            client.send(
                f"<iq type='set' id='i{number}' to='{SERVICE}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                f"<publish node='news'>{item}</publish></pubsub></iq>"
            )
    await world.settle()
    stored = [entry.id for entry in await world.store.pubsub.contents(HOST, "news")]
    assert len(stored) == 40
    by_receiver: dict[str, list[Stanza]] = {}
    for stanza in elsewhere:
        by_receiver.setdefault(str(stanza.to), []).append(stanza)
    assert len(by_receiver) == 120
    assert all(ids(stanzas) == stored for stanzas in by_receiver.values())


async def test_what_waits_to_be_told_is_bounded_by_making_publishers_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    await create(admin, "other")
    await subscribe(admin)
    await subscribe(admin, "other")
    face = service(world).engine.face
    stalled = asyncio.Event()
    followers = face.followers

    async def slow(owner: JID, node: str) -> list[JID]:
        if node == "news":
            await stalled.wait()
        return list(await followers(owner, node))

    monkeypatch.setattr(face, "followers", slow)
    engine = service(world).engine
    node = await engine.node(HOST, "news")
    tasks = [
        asyncio.ensure_future(engine.notifications.tell(node, notifications.events.retracted("news", [str(number)])))
        for number in range(50)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = sum(not task.done() for task in tasks)
    assert waiting == 50 - notifications._WAITING
    other = await engine.node(HOST, "other")
    await engine.notifications.tell(other, notifications.events.retracted("other", ["1"]))  # no other node waits
    stalled.set()
    await asyncio.gather(*tasks)
    await world.settle()
    told = [stanza for stanza in admin.inbox if stanza.name == "message"]
    assert len(told) == 51
    assert not engine.notifications._lines


async def test_a_notification_that_fails_does_not_hold_up_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    await subscribe(admin)
    store = world.store.pubsub
    engine = service(world).engine
    subscribers = engine.store.subscribers
    calls = 0

    async def fails_once(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("the database hiccups")
        return await subscribers(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.store, "subscribers", fails_once)
    await publish(admin, "news", "1", to=SERVICE)
    await publish(admin, "news", "2", to=SERVICE)
    await world.settle()
    assert [stanza.name for stanza in admin.inbox] == ["message"]
    assert [entry.id for entry in await store.contents(HOST, "news")] == ["1", "2"]


async def test_two_owners_who_change_a_node_at_once_lose_nothing(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    juliet = await world.login("juliet@localhost/balcony")
    await create(admin)
    await affiliate(admin, "juliet@localhost", "owner")
    engine = service(world).engine

    def wanted(name: str, value: str) -> Form:
        return Form.of("submit", "http://jabber.org/protocol/pubsub#node_config", Field(f"pubsub#{name}", (value,)))

    await asyncio.gather(
        engine.configure(HOST, "news", wanted("title", "T"), admin.session.jid),
        engine.configure(HOST, "news", wanted("description", "D"), juliet.session.jid),
    )
    config = (await engine.node(HOST, "news")).config
    assert (config.title, config.description) == ("T", "D")


async def test_who_loses_the_right_to_publish_does_not_slip_through(world: World) -> None:
    """What is decided, is decided by the node as it is in the transaction."""
    admin = await world.login("admin@localhost/desk")
    juliet = await world.login("juliet@localhost/balcony")
    await create(admin)
    await affiliate(admin, "juliet@localhost", "publisher")
    store = service(world).engine.store
    removing = store.relate(
        HOST, "news", JID.parse("juliet@localhost"), lambda row: Relations((), {juliet.session.jid.bare: "none"})
    )
    answer = asyncio.ensure_future(publish(juliet, "news", "1", to=SERVICE))
    await removing
    assert condition(await answer) == ("forbidden",)


async def test_a_flood_of_publications_is_refused_and_ends_with_the_minute(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(ADMINS + "[modules.pep]\npublishes_per_minute = 3")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(3):
        assert (await publish(romeo, "n", str(number))).get("type") == "result"
    error = await publish(romeo, "n", "4")
    assert condition(error) == ("policy-violation",)
    assert next(child for child in error if child.name == "error").get("type") == "wait"
    now = time.monotonic()
    monkeypatch.setattr("xmpp_server.pubsub.engine.time.monotonic", lambda: now + 61)
    assert (await publish(romeo, "n", "5")).get("type") == "result"


@pytest.mark.parametrize(
    ("option", "request_", "expected"),
    [
        ("nodes = 1", "<create node='other'/>", ("resource-constraint",)),
        (
            "items = 2",
            "<publish node='news'>" + "<item><x xmlns='x:y'/></item>" * 3 + "</publish>",
            ("not-allowed", "max-items-exceeded"),
        ),
        (
            "item_bytes = 20",
            f"<publish node='news'><item><x xmlns='x:y'>{'x' * 20}</x></item></publish>",
            ("not-acceptable", "payload-too-big"),
        ),
    ],
)
async def test_every_limit_has_its_error(
    make_world: MakeWorld, option: str, request_: str, expected: tuple[str, ...]
) -> None:
    world = await make_world(ADMINS + f"[components.pubsub]\n{option}")
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    assert await refused(admin, "set", request_) == expected
    long = "n" * 513
    assert await refused(admin, "set", f"<publish node='news'><item id='{long}'><x xmlns='x:y'/></item></publish>") == (
        "not-acceptable",
    )
    await ask(admin, "get", "<items node='news'/>")


async def test_an_account_keeps_so_much_and_no_more(make_world: MakeWorld) -> None:
    world = await make_world(ADMINS + "[modules.pep]\ntotal_bytes = 4000\nitems = 1000")
    romeo = await world.login("romeo@localhost/orchard")
    big = "x" * 1000
    answers = [
        await romeo.request(
            "set",
            f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n{number}'>"
            f"<item><x xmlns='x:y'>{big}</x></item></publish></pubsub>",
        )
        for number in range(6)
    ]
    assert [answer.get("type") for answer in answers] == ["result"] * 3 + ["error"] * 3
    assert condition(answers[-1]) == ("resource-constraint",)
    for number in range(40):  # in one node it is looked at every 16 items
        last = await publish(romeo, "n1", str(number), more=options(max_items="1"))
    assert last.get("type") == "result"
    await romeo.request("set", "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete node='n0'/></pubsub>")
    assert (await publish(romeo, "n9", "1")).get("type") == "result"


@pytest.mark.parametrize(
    ("type", "reason", "stays"),
    [
        ("cancel", "service-unavailable", False),
        ("modify", "gone", False),
        ("wait", "remote-server-timeout", True),
        ("cancel", "remote-server-not-found", True),
    ],
)
async def test_who_cannot_be_reached_for_good_is_subscribed_no_more(
    world: World, type: str, reason: str, stays: bool
) -> None:
    """XEP-0060 §12.4"""
    admin = await world.login("admin@localhost/desk")
    for node in ("news", "other"):
        await create(admin, node)
    await crowd(world, 1)
    gone = JID.parse("s0@remote.example")
    subscribed = Relations([Subscription(gone, "x")], most=9)
    await world.store.pubsub.relate(HOST, "other", gone, lambda row: subscribed)
    elsewhere = world.elsewhere()
    await publish(admin, "news", "1", to=SERVICE)
    error = elsewhere[0].error(StanzaError(reason, type=type))
    await world.core.router.route(Passage(error))
    await world.settle()
    there = [node for node, _ in await world.store.pubsub.subscriptions(HOST, gone)]
    assert there == (["news", "other"] if stays else ["other"])
