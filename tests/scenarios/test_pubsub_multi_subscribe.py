"""Several subscriptions of one address at a node, told apart by SubIDs (XEP-0060 §6.1.6), by the service's option."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio

from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.host import Passage
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import Subscription

from .conftest import MakeWorld
from .pubsub import (
    ADMINS,
    COLLECTIONS,
    EVENT,
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
    subscription,
    told,
    values,
)
from .test_pep import NS, OWNER, condition, items, publish
from .test_pubsub_lists import page, said
from .test_pubsub_subscriptions import answer, request_of
from .world import Client, World

__all__ = ["admin", "juliet"]

SHIM = "http://jabber.org/protocol/shim"
OFF = COLLECTIONS
ON = f"{OFF}multi_subscribe = true\n"
HOST = JID.parse(SERVICE)
REQUIRED = ("bad-request", "subid-required")
INVALID = ("not-acceptable", "invalid-subid")


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ON)


async def subscribe(client: Client, node: str = "news", jid: str = "", **options: str | tuple[str, ...]) -> str:
    """The SubID of the new subscription."""
    made = next(iter(await ask(client, "set", subscription(client, node, jid=jid, **options))))
    assert made.get("subscription") in ("subscribed", "pending")
    assert made.get("subid")
    return made.get("subid")


async def subids(client: Client, request: str = "<subscriptions/>", ns: str = NS) -> set[str]:
    return {entry["subid"] for entry in await listed(client, request, ns=ns)}


async def headers(client: Client, kind: str = "items", node: str = "news") -> list[tuple[str, str]]:
    """What the SHIM headers of the notification that comes next say; they are its last child."""
    message = await client.receives(f"<message><event xmlns='{EVENT}'><{kind} node='{node}'/></event></message>")
    *_, last = message
    assert (message.child(SHIM, "headers") is None) == (last.ns != SHIM)
    return [(header.get("name"), header.text) for header in last] if last.ns == SHIM else []


def identified(*subids: str) -> list[tuple[str, str]]:
    return [("SubID", subid) for subid in sorted(subids)]


def ended(subid: str, jid: str, state: str = "none") -> str:
    change = f"<subscription node='news' jid='{jid}' subscription='{state}' subid='{subid}'/>"
    return f"<message><event xmlns='{EVENT}'>{change}</event></message>"


def place(client: Client, subid: str = "") -> str:
    return f"node='news' jid='{client.jid}'" + (f" subid='{subid}'" if subid else "")


# -- §6.1.6, §5.6


async def test_every_request_makes_a_subscription_with_a_subid_of_ours(admin: Client, juliet: Client) -> None:
    await create(admin)
    first = await subscribe(juliet)
    answered = await ask(juliet, "set", subscription(juliet, deliver="0").replace("<subscribe", "<subscribe subid='x'"))
    made, options = answered
    second = made.get("subid")
    assert len({first, second, "x", ""}) == 4
    assert values(next(iter(options)))["deliver"] == ("0",)
    expected = [{"jid": juliet.jid, "subscription": "subscribed", "subid": subid} for subid in sorted((first, second))]
    assert await listed(juliet, "<subscriptions/>") == [{"node": "news"} | each for each in expected]
    assert await listed(juliet, "<subscriptions node='news'/>") == [{"node": "news"} | each for each in expected]
    assert await listed(admin, "<subscriptions node='news'/>", ns=OWNER) == expected


async def test_an_account_has_so_many_and_no_more(admin: Client, juliet: Client) -> None:
    await create(admin)
    made = {await subscribe(juliet) for _ in range(49)} | {await subscribe(juliet, jid="juliet@localhost")}
    assert len(made) == 50
    too_many = ("policy-violation", "too-many-subscriptions")
    assert await refused(juliet, "set", subscription(juliet)) == too_many
    await ask(juliet, "set", f"<unsubscribe {place(juliet, next(iter(await of_address(juliet))))}/>")
    await subscribe(juliet)
    await subscribe(admin)


async def of_address(client: Client) -> list[str]:
    """The SubIDs of this address alone."""
    return [entry["subid"] for entry in await listed(client, "<subscriptions/>") if entry["jid"] == client.jid]


async def test_an_account_of_a_user_gives_nobody_several(world: World, juliet: Client) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await create(romeo, "n", "romeo@localhost", access_model="open")
    for _ in range(2):
        made = next(iter(await ask(juliet, "set", subscription(juliet, "n"), "romeo@localhost")))
        assert made.attrs == {"node": "n", "jid": juliet.jid, "subscription": "subscribed"}
    assert len(await listed(juliet, "<subscriptions/>", "romeo@localhost")) == 1


# -- §6.2


async def test_a_subscription_is_ended_by_its_subid_unless_it_is_the_only_one(admin: Client, juliet: Client) -> None:
    """§6.2.2, §6.2.3.1, §6.2.3.5"""
    await create(admin, notify_sub="1")
    first, second = await subscribe(juliet), await subscribe(juliet)
    for subid in (first, second):
        await admin.receives(ended(subid, juliet.jid, "subscribed"))
    assert await refused(juliet, "set", f"<unsubscribe {place(juliet)}/>") == REQUIRED
    assert await refused(juliet, "set", f"<unsubscribe {place(juliet, 'x')}/>") == INVALID
    assert await subids(juliet) == {first, second}
    assert await refused(admin, "set", f"<unsubscribe {place(juliet, first)}/>") == ("forbidden",)
    gone = next(iter(await ask(juliet, "set", f"<unsubscribe {place(juliet, first)}/>")))
    assert gone.attrs == {"node": "news", "jid": juliet.jid, "subscription": "none", "subid": first}
    await admin.receives(ended(first, juliet.jid))
    assert await refused(juliet, "set", f"<unsubscribe {place(juliet, first)}/>") == INVALID
    assert next(iter(await ask(juliet, "set", f"<unsubscribe {place(juliet)}/>"))).get("subid") == second
    for subid in ("", second):
        assert await refused(juliet, "set", f"<unsubscribe {place(juliet, subid)}/>") == (
            "unexpected-request",
            "not-subscribed",
        )


# -- §6.3


async def test_options_are_those_of_the_subid(admin: Client, juliet: Client) -> None:
    """§6.3.4.4, §6.3.4.5"""
    await create(admin)
    only = await subscribe(juliet)
    shown = next(iter(await ask(juliet, "get", f"<options {place(juliet)}/>")))
    assert shown.attrs == {"node": "news", "jid": juliet.jid, "subid": only}
    other = await subscribe(juliet)
    off = form("subscribe_options", deliver="0")
    for type, content in (("get", ""), ("set", off)):
        assert await refused(juliet, type, f"<options {place(juliet)}>{content}</options>") == REQUIRED
        assert await refused(juliet, type, f"<options {place(juliet, 'x')}>{content}</options>") == INVALID
    await ask(juliet, "set", f"<options {place(juliet, only)}>{off}</options>")
    for subid, deliver in ((only, "0"), (other, "1")):
        shown = next(iter(await ask(juliet, "get", f"<options {place(juliet, subid)}/>")))
        assert shown.get("subid") == subid
        assert values(next(iter(shown)))["deliver"] == (deliver,)


# -- §6.5.9


async def test_who_has_several_says_by_which_it_reads(world: World, admin: Client, juliet: Client) -> None:
    """§6.5.9.1, §6.5.9.2"""
    await create(admin)
    await publish(admin, "news", "1", to=SERVICE)
    first = await subscribe(juliet, jid="juliet@localhost")
    assert await items(juliet, "news", SERVICE) == ["1"]
    second = await subscribe(juliet)
    for content in ("", "<item id='1'/>"):
        request = f"<items node='news'{{}}>{content}</items>"
        assert await refused(juliet, "get", request.format("")) == REQUIRED
        assert await refused(juliet, "get", request.format(" subid='x'")) == INVALID
        for subid in (first, second):
            found = next(iter(await ask(juliet, "get", request.format(f" subid='{subid}'"))))
            assert [item.get("id") for item in found] == ["1"]
    assert await items(admin, "news", SERVICE) == ["1"]  # an owner without a subscription
    other = await world.login("juliet@localhost/street")
    assert await items(other, "news", SERVICE) == ["1"]  # it has the one of the bare address
    stranger = await world.login("romeo@localhost/orchard")
    assert len(next(iter(await ask(stranger, "get", "<items node='news' subid='x'/>"))).children) == 1
    await affiliate(admin, "juliet@localhost", "outcast")
    assert await refused(juliet, "get", "<items node='news'/>") == ("forbidden",)


# -- §7.1.2.4, §7.2.2.2, §12.16


async def test_an_address_is_told_once_and_by_which_subscriptions(admin: Client, juliet: Client) -> None:
    await create(admin, notify_retract="1", notify_config="1", notify_delete="1", send_last_published_item="never")
    first, second = await subscribe(juliet), await subscribe(juliet)
    bare = await subscribe(juliet, jid="juliet@localhost")
    await publish(admin, "news", "1", to=SERVICE)
    assert [await headers(juliet), await headers(juliet)] == [identified(bare), identified(first, second)]
    await ask(admin, "set", "<retract node='news'><item id='1'/></retract>")
    assert [await headers(juliet), await headers(juliet)] == [identified(bare), identified(first, second)]
    await ask(juliet, "set", f"<unsubscribe node='news' jid='juliet@localhost' subid='{bare}'/>")
    await ask(admin, "set", "<purge node='news'/>", ns=OWNER)
    assert await headers(juliet, "purge") == []
    await configure(admin, title="T")
    assert await headers(juliet, "configuration") == []
    await ask(admin, "set", "<delete node='news'/>", ns=OWNER)
    assert await headers(juliet, "delete") == []
    await juliet.receives_nothing()


async def test_nobody_is_told_twice_where_a_page_of_subscribers_ends(world: World, admin: Client) -> None:
    await create(admin)
    jids = [JID.parse(f"s{number}@remote.example") for number in range(400)]  # 500 make a page
    crowd = Relations([Subscription(jid, subid) for jid in jids for subid in "abc"], most=10**4)
    await world.store.pubsub.relate(HOST, "news", jids[0], lambda row: crowd)
    elsewhere = world.elsewhere()
    await publish(admin, "news", "1", to=SERVICE)
    assert {stanza.to for stanza in elsewhere} == set(jids)
    assert [stanza.payload.count(b"<header ") for stanza in elsewhere] == [3] * 400


async def test_each_subscription_wants_what_its_options_say(admin: Client, juliet: Client) -> None:
    await create(admin)
    first, second = await subscribe(juliet), await subscribe(juliet, deliver="0")
    await publish(admin, "news", "1", to=SERVICE)
    assert await headers(juliet) == identified(first)
    await ask(juliet, "set", f"<options {place(juliet, first)}>{form('subscribe_options', deliver='0')}</options>")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives_nothing()
    await ask(juliet, "set", f"<options {place(juliet, second)}>{form('subscribe_options', deliver='1')}</options>")
    await publish(admin, "news", "3", to=SERVICE)
    assert await headers(juliet) == identified(second)


async def test_the_last_item_comes_by_the_new_subscription(admin: Client, juliet: Client) -> None:
    """§6.1.7"""
    await create(admin, send_last_published_item="on_sub")
    await publish(admin, "news", "1", to=SERVICE)
    for _ in range(2):
        made = await subscribe(juliet)
        assert await headers(juliet) == identified(made)
    await juliet.receives_nothing()


async def test_subscriptions_of_a_collection_are_named_beside_it(admin: Client, juliet: Client) -> None:
    """§12.16, XEP-0248 §5.3.1.1"""
    await create(admin, "all", node_type="collection")
    await create(admin, "one", collection="all")
    first = await subscribe(juliet, "all", subscription_type="items")
    second = await subscribe(juliet, "all", subscription_type="nodes")
    third = await subscribe(juliet, "all", subscription_type="all")
    await publish(admin, "one", "1", to=SERVICE)
    assert await headers(juliet, node="one") == [("Collection", "all"), *identified(first, third)]
    await create(admin, "two", collection="all")
    message = await juliet.receives(f"<message><event xmlns='{EVENT}'><create node='two'/></event></message>")
    assert second.encode() not in message.to_bytes()


async def test_a_collection_has_one_subscription_of_each_type(admin: Client, juliet: Client) -> None:
    """XEP-0248 §6.1.3"""
    await create(admin, "all", node_type="collection")
    await subscribe(juliet, "all")
    again = subscription(juliet, "all", subscription_type="nodes", subscription_depth="all")
    assert await refused(juliet, "set", again) == ("conflict",)
    other = await subscribe(juliet, "all", subscription_type="items")
    assert len(await listed(juliet, "<subscriptions/>")) == 2
    options = f"<options node='all' jid='{juliet.jid}' subid='{other}'>{{}}</options>"
    same = options.format(form("subscribe_options", subscription_type="nodes"))
    assert await refused(juliet, "set", same) == ("conflict",)
    await ask(juliet, "set", options.format(form("subscribe_options", deliver="0")))
    await ask(juliet, "set", options.format(form("subscribe_options", subscription_type="all")))


async def test_a_lease_ends_one_subscription_and_leaves_the_others(
    admin: Client, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§12.14, §12.19"""
    await create(admin)
    leased = await subscribe(juliet, expire=format_time(time.time_ns() // 1000 + 60_000_000))
    other = await subscribe(juliet)
    later = time.time_ns() + 120 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)
    assert await refused(juliet, "get", f"<options {place(juliet, leased)}/>") == INVALID
    await ask(juliet, "get", f"<options {place(juliet)}/>")
    await publish(admin, "news", "1", to=SERVICE)
    shim = f"<headers xmlns='{SHIM}'><header name='SubID'>{other}</header></headers></message>"
    await juliet.receives_all(ended(leased, juliet.jid), told("1").replace("</message>", shim))
    await juliet.receives_nothing()
    assert await subids(juliet) == {other}


async def test_who_cannot_be_reached_loses_all_at_that_node(world: World, admin: Client) -> None:
    """§12.4"""
    gone = JID.parse("s@remote.example")
    for node in ("news", "other"):
        await create(admin, node)
        both = Relations([Subscription(gone, "a"), Subscription(gone, "b")], most=9)
        await world.store.pubsub.relate(HOST, node, gone, lambda row, both=both: both)  # type: ignore[misc]
    elsewhere = world.elsewhere()
    await publish(admin, "news", "1", to=SERVICE)
    (message,) = elsewhere
    await world.core.router.route(Passage(message.error(StanzaError("service-unavailable"))))
    await world.settle()
    assert [node for node, _ in await world.store.pubsub.subscriptions(HOST, gone)] == ["other"] * 2


# -- §8.6 to §8.9


async def test_an_owner_approves_the_one_that_waits(admin: Client, juliet: Client) -> None:
    """§6.1.3.7, §8.6"""
    await create(admin, access_model="authorize")
    waiting = await subscribe(juliet)
    assert await refused(juliet, "set", subscription(juliet)) == ("not-authorized", "pending-subscription")
    message = await request_of(admin, juliet.jid)
    x = message.child("jabber:x:data", "x")
    assert x is not None
    assert values(x)["subid"] == (waiting,)
    admin.send(answer(message, "1"))
    await juliet.receives(ended(waiting, juliet.jid, "subscribed"))
    more = await subscribe(juliet)  # who may read needs nobody's approval
    admin.send(answer(message, "0"))  # late
    await juliet.receives_nothing()
    await publish(admin, "news", "1", to=SERVICE)
    assert await headers(juliet) == identified(waiting, more)
    await admin.receives_nothing()


async def test_one_that_waits_is_what_the_next_request_is_given_where_none_is_needed_any_more(
    admin: Client, juliet: Client
) -> None:
    await create(admin, access_model="authorize")
    waiting = await subscribe(juliet)
    await configure(admin, access_model="open")
    assert await subscribe(juliet) == waiting
    assert await subscribe(juliet) != waiting
    assert [entry["subscription"] for entry in await listed(juliet, "<subscriptions/>")] == ["subscribed"] * 2


def change(*entries: str) -> str:
    return f"<subscriptions node='news'>{''.join(entries)}</subscriptions>"


def entry(client: Client, state: str, subid: str = "") -> str:
    return f"<subscription jid='{client.jid}' subscription='{state}'" + (f" subid='{subid}'/>" if subid else "/>")


async def returned(owner: Client, *entries: str) -> list[dict[str, str]]:
    """The entries that came back, for they could not be changed."""
    request = f"<pubsub xmlns='{OWNER}'>{change(*entries)}</pubsub>"
    error: Element = await owner.request("set", request, SERVICE)
    assert condition(error) == ("not-acceptable",)
    return [each.attrs for each in next(iter(next(iter(error))))]


async def test_an_owner_changes_one_by_its_subid_and_all_without_one(
    world: World, admin: Client, juliet: Client
) -> None:
    """§8.8.2, §8.8.3, §8.8.4"""
    romeo = await world.login("romeo@localhost/orchard")
    await create(admin)
    first, second, third = [await subscribe(juliet) for _ in range(3)]
    mine = {"jid": juliet.jid}
    assert await returned(admin, entry(juliet, "none", "x"), entry(juliet, "none", first)) == [
        mine | {"subscription": "none", "subid": "x"}
    ]
    await juliet.receives(ended(first, juliet.jid))
    assert await returned(admin, entry(juliet, "maybe", second)) == [
        mine | {"subscription": "subscribed", "subid": second}
    ]
    left = [mine | {"subscription": "subscribed", "subid": subid} for subid in sorted((second, third))]
    assert await returned(admin, entry(juliet, "maybe"), entry(romeo, "maybe")) == [
        *left,
        {"jid": romeo.jid, "subscription": "none"},
    ]
    await ask(admin, "set", change(entry(juliet, "subscribed"), entry(romeo, "subscribed")), ns=OWNER)
    (given,) = await subids(romeo)
    await romeo.receives(ended(given, romeo.jid, "subscribed"))
    await juliet.receives_nothing()
    await ask(admin, "set", change(entry(juliet, "none")), ns=OWNER)
    await juliet.receives_all(ended(second, juliet.jid), ended(third, juliet.jid))
    assert await subids(admin, "<subscriptions node='news'/>", OWNER) == {given}


async def test_an_outcast_has_none(admin: Client, juliet: Client) -> None:
    await create(admin)
    made = [await subscribe(juliet) for _ in range(2)]
    await affiliate(admin, "juliet@localhost", "outcast")
    await juliet.receives_all(*(ended(subid, juliet.jid) for subid in made))
    assert await listed(admin, "<subscriptions node='news'/>", ns=OWNER) == []


async def test_a_page_of_the_owner_ends_between_two_of_one_address(admin: Client, juliet: Client) -> None:
    """§8.8.1.2"""
    await create(admin)
    made = sorted([await subscribe(juliet) for _ in range(5)])
    request = "<subscriptions node='news'/>"
    found: list[str] = []
    after = ""
    while True:
        answered = await ask(admin, "get", request + page(max="2", after=after), ns=OWNER)
        entries = list(next(iter(answered)))
        if not entries:
            break
        found += [each.get("subid") for each in entries]
        about = said(answered)
        assert about is not None
        assert about[2] == "5"
        after = about[1]
    assert found == made
    last = await ask(admin, "get", request + page(max="2", before=""), ns=OWNER)
    about = said(last)
    assert about is not None
    assert [each.get("subid") for each in next(iter(last))] == made[3:]
    before = await ask(admin, "get", request + page(max="2", before=about[0]), ns=OWNER)
    assert [each.get("subid") for each in next(iter(before))] == made[1:3]
    nowhere = await ask(admin, "get", request + page(max="2", after=f"{juliet.jid}"), ns=OWNER)
    assert list(next(iter(nowhere))) == []


async def test_ones_own_list_has_pages_too(admin: Client, juliet: Client) -> None:
    await create(admin)
    made = sorted([await subscribe(juliet) for _ in range(3)])
    first = await ask(juliet, "get", f"<subscriptions/>{page(max='2')}")
    about = said(first)
    assert about is not None
    rest = await ask(juliet, "get", f"<subscriptions/>{page(max='2', after=about[1])}")
    assert [each.get("subid") for part in (first, rest) for each in next(iter(part))] == made


# -- the option is off again


async def test_several_of_before_count_as_one_where_there_can_be_one_only(
    world: World, admin: Client, juliet: Client
) -> None:
    await create(admin, notify_sub="1")
    for _ in range(3):
        await subscribe(juliet)
    await world.settle()
    admin.inbox.clear()
    world.reconfigure(OFF)
    one = {"jid": juliet.jid, "subscription": "subscribed"}
    assert await listed(juliet, "<subscriptions/>") == [{"node": "news"} | one] * 3
    assert await listed(admin, "<subscriptions node='news'/>", ns=OWNER) == [one] * 3
    assert await items(juliet, "news", SERVICE) == []
    await publish(admin, "news", "1", to=SERVICE)
    assert await headers(juliet) == []
    await juliet.receives_nothing()
    await ask(juliet, "set", f"<options {place(juliet, 'x')}>{form('subscribe_options', deliver='0')}</options>")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives_nothing()
    made = next(iter(await ask(juliet, "set", subscription(juliet, deliver="1"))))
    assert made.attrs == {"node": "news"} | one
    await publish(admin, "news", "3", to=SERVICE)
    assert await headers(juliet) == []
    await juliet.receives_nothing()
    await ask(juliet, "set", f"<unsubscribe {place(juliet)}/>")
    change = f"<subscription node='news' jid='{juliet.jid}' subscription='none'/>"
    message = await admin.receives(f"<message><event xmlns='{EVENT}'>{change}</event></message>")
    assert b"subid" not in message.to_bytes()
    await admin.receives_nothing()
    assert await listed(juliet, "<subscriptions/>") == []


async def test_an_owner_ends_several_of_before_at_once(world: World, admin: Client, juliet: Client) -> None:
    await create(admin)
    for _ in range(2):
        await subscribe(juliet)
    world.reconfigure(ADMINS)
    await ask(admin, "set", change(entry(juliet, "none", "x")), ns=OWNER)
    await juliet.receives(f"<message><event xmlns='{EVENT}'><subscription subscription='none'/></event></message>")
    await juliet.receives_nothing()
    assert await listed(admin, "<subscriptions node='news'/>", ns=OWNER) == []
