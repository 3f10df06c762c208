"""Subscriptions: options, leases, presence, and those that an owner approves."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio

from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element

from .conftest import MakeWorld
from .pubsub import (
    ADMINS,
    COMMANDS,
    EVENT,
    PENDING,
    SERVICE,
    affiliate,
    ask,
    configure,
    create,
    form,
    listed,
    refused,
    subscribe,
    subscription,
    told,
    values,
)
from .test_pep import NS, OWNER, condition, items, publish
from .world import Client, World

ROMEO = "romeo@localhost"


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS)


async def people(world: World) -> tuple[Client, Client]:
    return await world.login("admin@localhost/desk"), await world.login("juliet@localhost/balcony")


def state_told(state: str, jid: str, node: str = "news") -> str:
    change = f"<subscription node='{node}' jid='{jid}' subscription='{state}'/>"
    return f"<message><event xmlns='{EVENT}'>{change}</event></message>"


# -- §6.1, §6.2


async def test_who_subscribes_twice_has_one_subscription_and_gets_one_notification(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    assert [await subscribe(juliet) for _ in range(2)] == ["subscribed"] * 2
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives(told("1"))
    await juliet.receives_nothing()
    answer = await ask(juliet, "set", f"<unsubscribe node='news' jid='{juliet.jid}'/>")
    assert next(iter(answer)).attrs == {"node": "news", "jid": juliet.jid, "subscription": "none"}
    assert await refused(juliet, "set", f"<unsubscribe node='news' jid='{juliet.jid}'/>") == (
        "unexpected-request",
        "not-subscribed",
    )


async def test_a_node_that_takes_no_subscriptions_says_so(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, subscribe="0")
    assert await refused(juliet, "set", subscription(juliet)) == ("feature-not-implemented", "unsupported")


async def test_a_new_subscriber_gets_the_last_item_with_its_time(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, send_last_published_item="on_sub")
    await publish(admin, "news", "1", to=SERVICE)
    await publish(admin, "news", "2", to=SERVICE)
    await subscribe(juliet)
    message = await juliet.receives(told("2"))
    assert message.child("urn:xmpp:delay", "delay") is not None
    await juliet.receives_nothing()


async def test_there_are_as_many_subscriptions_as_the_options_allow(make_world: MakeWorld) -> None:
    world = await make_world(ADMINS + "[components.pubsub]\nsubscribers = 1")
    admin, juliet = await people(world)
    romeo = await world.login("romeo@localhost/orchard")
    await create(admin)
    await subscribe(juliet)
    assert await refused(romeo, "set", subscription(romeo)) == ("policy-violation", "too-many-subscriptions")
    assert await subscribe(juliet) == "subscribed"


# -- §6.3, §6.4: options


async def test_options_are_shown_changed_and_kept(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    place = f"node='news' jid='{juliet.jid}'"
    await subscribe(juliet)
    shown = next(iter(next(iter(await ask(juliet, "get", f"<options {place}/>")))))
    assert shown.get("type") == "form"
    assert values(shown) == {"FORM_TYPE": (f"{NS}#subscribe_options",), "deliver": ("1",), "expire": ()}
    await ask(juliet, "set", f"<options {place}>{form('subscribe_options', deliver='0', digest='0')}</options>")
    assert values(next(iter(next(iter(await ask(juliet, "get", f"<options {place}/>"))))))["deliver"] == ("0",)
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives_nothing()
    await ask(juliet, "set", f"<options {place}>{form('subscribe_options', deliver='true')}</options>")
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives(told("2"))


async def test_options_are_given_with_the_subscription_and_come_back_with_it(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    made, options = await ask(juliet, "set", subscription(juliet, deliver="0"))
    assert made.get("subscription") == "subscribed"
    x = next(iter(options))
    assert (options.name, x.get("type"), values(x)["deliver"]) == ("options", "result", ("0",))
    wrong = subscription(juliet, deliver="0").replace("<options>", "<options node='news'>")
    assert await refused(juliet, "set", wrong) == ("bad-request",)


@pytest.mark.parametrize("node", ["", " node='news'"])
async def test_the_options_that_a_subscription_has_at_first_are_told(world: World, node: str) -> None:
    admin, juliet = await people(world)
    await create(admin)
    x = next(iter(next(iter(await ask(juliet, "get", f"<default{node}/>")))))
    assert (x.get("type"), values(x)["deliver"]) == ("result", ("1",))


@pytest.mark.parametrize(
    "options",
    [
        {"deliver": "perhaps"},
        {"digest": "1"},
        {"include_body": "1"},
        {"expire": "tomorrow"},
        {"expire": "presence"},
        {"expire": "2001-01-01T00:00:00Z"},
    ],
)
async def test_options_that_cannot_be_are_refused(world: World, options: dict[str, str]) -> None:
    admin, juliet = await people(world)
    await create(admin)
    await subscribe(juliet)
    submitted = form("subscribe_options", **options)
    place = f"node='news' jid='{juliet.jid}'"
    assert await refused(juliet, "set", f"<options {place}>{submitted}</options>") == ("bad-request", "invalid-options")
    assert await refused(juliet, "set", subscription(juliet, **options)) == ("bad-request", "invalid-options")


async def test_options_belong_to_their_subscriber(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    place = f"node='news' jid='{juliet.jid}'"
    assert await refused(juliet, "get", f"<options {place}/>") == ("unexpected-request", "not-subscribed")
    await subscribe(juliet)
    for type, content in (("get", ""), ("set", form("subscribe_options", deliver="0"))):
        assert await refused(admin, type, f"<options {place}>{content}</options>") == ("forbidden",)
        assert await refused(juliet, type, f"<options node='news'>{content}</options>") == (
            "bad-request",
            "jid-required",
        )
        assert await refused(juliet, type, f"<options jid='{juliet.jid}'>{content}</options>") == (
            "bad-request",
            "nodeid-required",
        )
        assert await refused(juliet, type, f"<options node='none' jid='{juliet.jid}'>{content}</options>") == (
            "item-not-found",
        )


async def test_a_lease_ends_at_its_time_and_takes_no_room_then(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """§12.19"""
    admin, juliet = await people(world)
    await create(admin)
    end = time.time_ns() // 1000 + 60_000_000
    await subscribe(juliet, expire=format_time(end))
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives(told("1"))
    later = time.time_ns() + 120 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)
    await publish(admin, "news", "2", to=SERVICE)
    await juliet.receives(state_told("none", juliet.jid))
    await juliet.receives_nothing()
    assert await listed(admin, "<subscriptions node='news'/>", ns=OWNER) == []
    assert await refused(juliet, "get", f"<options node='news' jid='{juliet.jid}'/>") == (
        "unexpected-request",
        "not-subscribed",
    )


async def test_a_lease_is_prolonged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    admin, juliet = await people(world)
    await create(admin)
    now = time.time_ns() // 1000
    await subscribe(juliet, expire=format_time(now + 60_000_000))
    await subscribe(juliet, expire=format_time(now + 600_000_000))
    later = time.time_ns() + 120 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives(told("1"))


# -- presence (§12.6): accounts know it of those who show it to them


async def test_states_of_presence_are_chosen_by_the_subscriber(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await create(romeo, "n", ROMEO, access_model="open")
    await subscribe(juliet, "n", ROMEO, **{"show-values": ("chat", "online")})
    shows = (("", True), ("<show>dnd</show>", False), ("<show>chat</show>", True))
    for number, (show, is_told) in enumerate(shows):
        juliet.send(f"<presence>{show}</presence>")
        await world.settle()
        juliet.inbox.clear()
        await publish(romeo, "n", str(number))
        if is_told:
            await juliet.receives(told(str(number), "n"))
        await juliet.receives_nothing()
    wrong = subscription(juliet, "n", **{"show-values": "asleep"})
    assert await refused(juliet, "set", wrong, ROMEO) == ("bad-request", "invalid-options")


async def test_a_node_that_delivers_by_presence_tells_nobody_who_is_away_or_hides(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    nurse = await world.login("nurse@localhost/chamber")
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await create(romeo, "n", ROMEO, access_model="open", presence_based_delivery="1", notification_type="normal")
    for client in (juliet, nurse):
        bare = client.jid.partition("/")[0]
        await ask(client, "set", subscription(client, "n", jid=bare), ROMEO)
    await publish(romeo, "n", "1")
    await juliet.receives(told("1", "n"))
    await nurse.receives_nothing()  # he does not see her presence
    await juliet.disconnect()
    await publish(romeo, "n", "2")
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.receives_nothing()


# -- §8.6: approvals


async def request_of(owner: Client, jid: str, node: str = "news") -> Element:
    message = await owner.receives(
        f"<message from='{SERVICE}' id='*'><body/><x xmlns='jabber:x:data' type='form'/></message>"
    )
    x = message.child("jabber:x:data", "x")
    assert x is not None
    asked = values(x)
    assert (asked["FORM_TYPE"], asked["node"], asked["subscriber_jid"], asked["allow"]) == (
        (f"{NS}#subscribe_authorization",),
        (node,),
        (jid,),
        ("0",),
    )
    return message


def answer(message: Element, allow: str, *, kind: str = "submit", to: str = SERVICE) -> str:
    x = message.child("jabber:x:data", "x")
    assert x is not None
    asked = {name: each[0] for name, each in values(x).items() if name in ("node", "subscriber_jid", "subid")}
    content = form("subscribe_authorization", kind, **asked, allow=allow)
    return f"<message to='{to}' id='{message.get('id')}'>{content}</message>"


@pytest.mark.parametrize(("allow", "state"), [("1", "subscribed"), ("false", "none")])
async def test_an_owner_approves_or_denies(world: World, allow: str, state: str) -> None:
    admin, juliet = await people(world)
    await create(admin, access_model="authorize")
    assert await subscribe(juliet) == "pending"
    assert await refused(juliet, "set", subscription(juliet)) == ("not-authorized", "pending-subscription")
    message = await request_of(admin, juliet.jid)
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives_nothing()
    assert await refused(juliet, "get", "<items node='news'/>") == ("not-authorized", "not-subscribed")
    admin.send(answer(message, "1", kind="cancel"))
    await juliet.receives_nothing()
    admin.send(answer(message, allow))
    await juliet.receives(state_told(state, juliet.jid))
    admin.send(answer(message, "1"))  # late: it is decided
    await juliet.receives_nothing()
    await admin.receives_nothing()
    await publish(admin, "news", "2", to=SERVICE)
    if state == "subscribed":
        await juliet.receives(told("2"))
        assert await items(juliet, "news", SERVICE) == ["1", "2"]
    else:
        await juliet.receives_nothing()
        assert await refused(juliet, "get", "<items node='news'/>") == ("not-authorized", "not-subscribed")


async def test_nobody_but_an_owner_approves(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, access_model="authorize")
    await subscribe(juliet)
    message = await request_of(admin, juliet.jid)
    juliet.send(answer(message, "1"))
    assert condition(await juliet.receives("<message type='error'/>")) == ("forbidden",)
    admin.send(answer(message, "perhaps"))
    assert condition(await admin.receives("<message type='error'/>")) == ("not-acceptable",)
    assert [each["subscription"] for each in await listed(juliet, "<subscriptions/>")] == ["pending"]


async def test_an_answer_to_a_request_that_was_withdrawn_counts_for_no_other(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, access_model="authorize")
    await subscribe(juliet)
    first = await request_of(admin, juliet.jid)
    await ask(juliet, "set", f"<unsubscribe node='news' jid='{juliet.jid}'/>")
    await subscribe(juliet)
    await request_of(admin, juliet.jid)
    admin.send(answer(first, "1"))
    await juliet.receives_nothing()


async def test_an_account_approves_and_what_it_answers_goes_nowhere_else(world: World) -> None:
    romeo, other = await world.login("romeo@localhost/orchard"), await world.login("romeo@localhost/street")
    juliet = await world.login("juliet@localhost/balcony")
    await create(romeo, "n", ROMEO, access_model="authorize")
    assert await subscribe(juliet, "n", ROMEO) == "pending"
    message = await romeo.receives(f"<message from='{ROMEO}'><x xmlns='jabber:x:data' type='form'/></message>")
    other.inbox.clear()
    romeo.send(answer(message, "1", to=ROMEO))
    await juliet.receives(state_told("subscribed", juliet.jid, "n"))
    await romeo.receives_nothing()
    await other.receives_nothing()
    await publish(romeo, "n", "1")
    await juliet.receives(told("1", "n"))


@pytest.mark.parametrize(
    ("affiliation", "state"), [("member", "subscribed"), ("publisher", "subscribed"), ("outcast", "none")]
)
async def test_an_affiliation_decides_what_waits(world: World, affiliation: str, state: str) -> None:
    """§8.7.4"""
    admin, juliet = await people(world)
    await create(admin, access_model="authorize")
    await subscribe(juliet)
    await affiliate(admin, "juliet@localhost", affiliation)
    await juliet.receives(state_told(state, juliet.jid))


# -- §8.7: what waits


def command(content: str = "", action: str = "execute", node: str = PENDING) -> str:
    return f"<command xmlns='{COMMANDS}' node='{node}' action='{action}'>{content}</command>"


async def test_an_owner_asks_for_what_waits(world: World) -> None:
    admin, juliet = await people(world)
    for node in ("news", "other"):
        await create(admin, node, access_model="authorize")
    await subscribe(juliet)
    await world.settle()
    admin.inbox.clear()
    answered = next(iter(await admin.request("set", command(), SERVICE)))
    assert (answered.get("node"), answered.get("status")) == (PENDING, "executing")
    x = answered.child("jabber:x:data", "x")
    assert x is not None
    field = next(field for field in x if field.get("var") == "pubsub#node")
    assert [option.child_text("jabber:x:data", "value") for option in field] == ["news"]
    chosen = form("subscribe_authorization", node="news")
    answered = next(iter(await admin.request("set", command(chosen), SERVICE)))
    assert answered.get("status") == "completed"
    message = await request_of(admin, juliet.jid)
    admin.send(answer(message, "1"))
    await juliet.receives(state_told("subscribed", juliet.jid))
    answered = next(iter(await admin.request("set", command(), SERVICE)))
    assert b"<option" not in answered.to_bytes()


async def test_what_waits_is_told_to_nobody_else(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, access_model="authorize")
    await subscribe(juliet)
    answered = next(iter(await juliet.request("set", command(), SERVICE)))
    assert b"<option" not in answered.to_bytes()
    for node, expected in (("news", "forbidden"), ("none", "item-not-found")):
        chosen = form("subscribe_authorization", node=node)
        assert condition(await juliet.request("set", command(chosen), SERVICE)) == (expected,)
    assert condition(await juliet.request("set", command(node="reboot"), SERVICE)) == ("item-not-found",)
    for action, expected in (("dance", "malformed-action"), ("prev", "bad-action")):
        answered = await juliet.request("set", command(action=action), SERVICE)
        assert condition(answered) == ("bad-request", expected)
    cancelled = next(iter(await juliet.request("set", command(action="cancel"), SERVICE)))
    assert cancelled.get("status") == "canceled"


# -- §8.8: management


async def test_owners_give_and_end_subscriptions_and_hear_of_others(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin, notify_sub="1")
    await subscribe(juliet)
    await admin.receives(state_told("subscribed", juliet.jid))
    change = "<subscriptions node='news'><subscription jid='{}' subscription='{}'/></subscriptions>"
    for state in ("none", "subscribed"):
        await ask(admin, "set", change.format(juliet.jid, state), ns=OWNER)
        await juliet.receives(state_told(state, juliet.jid))
    assert await listed(juliet, "<subscriptions/>") == [
        {"node": "news", "jid": juliet.jid, "subscription": "subscribed"}
    ]
    assert await refused(juliet, "set", change.format(juliet.jid, "none"), ns=OWNER) == ("forbidden",)
    assert await refused(juliet, "get", "<subscriptions node='news'/>", ns=OWNER) == ("forbidden",)
    await ask(juliet, "set", f"<unsubscribe node='news' jid='{juliet.jid}'/>")
    await admin.receives(state_told("none", juliet.jid))


async def test_entries_that_cannot_be_changed_come_back_as_they_are(world: World) -> None:
    """§8.8.2.4"""
    admin, juliet = await people(world)
    await create(admin)
    await subscribe(juliet)
    kept = f"<subscription jid='{juliet.jid}' subscription='maybe'/>"
    entries = f"{kept}<subscription jid='{ROMEO}' subscription='subscribed'/>"
    change = f"<pubsub xmlns='{OWNER}'><subscriptions node='news'>{entries}</subscriptions></pubsub>"
    error = await admin.request("set", change, SERVICE)
    assert condition(error) == ("not-acceptable",)
    returned = next(iter(next(iter(error))))
    assert [entry.attrs for entry in returned] == [{"jid": juliet.jid, "subscription": "subscribed"}]
    there = await listed(admin, "<subscriptions node='news'/>", ns=OWNER)
    assert {entry["jid"] for entry in there} == {juliet.jid, ROMEO}


async def test_who_may_no_longer_read_is_told_nothing(world: World) -> None:
    admin, juliet = await people(world)
    await create(admin)
    await subscribe(juliet)
    await configure(admin, access_model="whitelist")
    await publish(admin, "news", "1", to=SERVICE)
    await juliet.receives_nothing()


async def test_who_loses_access_by_the_roster_is_subscribed_no_more(world: World) -> None:
    """XEP-0163 §7.1"""
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo, juliet = await world.login("romeo@localhost/orchard"), await world.login("juliet@localhost/balcony")
    await create(romeo, "n", ROMEO, access_model="presence")
    await subscribe(juliet, "n", ROMEO)
    romeo.send("<presence to='juliet@localhost' type='unsubscribed'/>")
    await world.settle()
    for name in ("presence", "iq"):
        juliet.forget(name)
    await juliet.receives(
        f"<message from='{ROMEO}'><event xmlns='{EVENT}'><subscription node='n' subscription='none'/></event></message>"
    )
    assert await listed(romeo, "<subscriptions node='n'/>", ROMEO, OWNER) == []
    await publish(romeo, "n", "1")
    await juliet.receives_nothing()


@pytest.mark.parametrize("change", ["<group>Foes</group>", "removed"])
async def test_who_leaves_a_group_or_the_roster_is_subscribed_no_more(world: World, change: str) -> None:
    """XEP-0163 §7.1"""
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo, juliet = await world.login("romeo@localhost/orchard"), await world.login("juliet@localhost/balcony")
    roster = "<query xmlns='jabber:iq:roster'><item jid='juliet@localhost'{}>{}</item></query>"
    await romeo.request("set", roster.format("", "<group>Friends</group>"))
    await create(romeo, "n", ROMEO, access_model="roster", roster_groups_allowed="Friends")
    await create(romeo, "m", ROMEO, access_model="open")
    for node in ("n", "m"):
        await subscribe(juliet, node, ROMEO)
    gone = change == "removed"
    await romeo.request("set", roster.format(" subscription='remove'" if gone else "", "" if gone else change))
    await world.settle()
    assert await listed(romeo, "<subscriptions node='n'/>", ROMEO, OWNER) == []
    assert [each["jid"] for each in await listed(romeo, "<subscriptions node='m'/>", ROMEO, OWNER)] == [juliet.jid]


async def test_who_is_blocked_is_told_nothing(world: World) -> None:
    romeo, juliet = await world.login("romeo@localhost/orchard"), await world.login("juliet@localhost/balcony")
    await create(romeo, "n", ROMEO, access_model="open")
    await subscribe(juliet, "n", ROMEO)
    await romeo.request("set", "<block xmlns='urn:xmpp:blocking'><item jid='juliet@localhost'/></block>")
    await publish(romeo, "n", "1")
    await juliet.receives_nothing()


async def test_clients_that_want_it_are_told_instead_of_the_bare_address_that_subscribed(world: World) -> None:
    """XEP-0163 §4.3.3"""
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo, juliet = await world.login("romeo@localhost/orchard"), await world.login("juliet@localhost/balcony")
    other = await world.login("juliet@localhost/phone")
    juliet.inbox.clear()
    await create(romeo, "n", ROMEO, access_model="open")
    await ask(juliet, "set", subscription(juliet, "n", jid="juliet@localhost"), ROMEO)
    await publish(romeo, "n", "1")
    for client in (juliet, other):
        await client.receives(told("1", "n"))
    juliet.session.interests = frozenset({"n"})
    await publish(romeo, "n", "2")
    message = await juliet.receives(told("2", "n"))
    assert message.get("to") == juliet.jid
    await juliet.receives_nothing()
    await other.receives_nothing()
