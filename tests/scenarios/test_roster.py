"""RFC 6121 §2, section by section, with the cases that the XSF's interoperability suite takes from it."""

from __future__ import annotations

import asyncio

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.roster import RosterItem

from .world import Client, World

GET = "<query xmlns='jabber:iq:roster'/>"
NURSE = "<item jid='nurse@localhost'/>"


def roster(*items: str, ver: str | None = None) -> str:
    version = "" if ver is None else f" ver='{ver}'"
    return f"<query xmlns='jabber:iq:roster'{version}>{''.join(items)}</query>"


def push(item: str, ver: str = "*") -> str:
    return f"<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='{ver}'>{item}</query></iq>"


async def interested(world: World, address: str) -> Client:
    client = await world.connect(address)
    assert (await client.request("get", GET)).get("type") == "result"
    return client


async def error_of(client: Client, payload: str, to: str = "", type: str = "set") -> str:
    answer = await client.request(type, payload, to)
    assert answer.get("type") == "error"
    error = answer.child("jabber:client", "error")
    assert error is not None
    return next(iter(error)).name


async def test_both_stream_features_are_offered_after_authentication_only(world: World) -> None:
    wanted = {("urn:xmpp:features:rosterver", "ver"), ("urn:xmpp:features:pre-approval", "sub")}
    assert wanted <= {(feature.ns, feature.name) for feature in await world.features()}
    before = {(feature.ns, feature.name) for feature in await world.features(authenticated=False)}
    assert not wanted & before


# -- §2.1, §2.2: getting it


async def test_the_roster_of_a_new_account_is_empty_and_has_version_1(world: World) -> None:
    romeo = await world.connect("romeo@localhost/orchard")
    answer = await romeo.request("get", GET)
    query = answer.child("jabber:iq:roster", "query")
    assert query is not None
    assert query.attrs == {"ver": "1"}
    assert not list(query)


async def test_the_roster_shows_handle_groups_and_subscription_of_each_contact(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@capulet.example", "to")
    romeo = await world.connect("romeo@localhost/orchard")
    await romeo.request(
        "set",
        roster("<item jid='juliet@capulet.example' name='J&lt;&apos;'><group>Loves</group><group>VIP</group></item>"),
    )
    romeo.send(f"<iq type='get' id='r'>{GET}</iq>")
    await romeo.receives(
        "<iq type='result' id='r'><query xmlns='jabber:iq:roster' ver='2'>"
        "<item jid='juliet@capulet.example' subscription='to' name='J&lt;&apos;'>"
        "<group>Loves</group><group>VIP</group></item></query></iq>"
    )


async def test_a_request_that_waits_is_no_item_of_the_roster(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await world.account("juliet@localhost")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await world.settle()
    juliet = await world.connect("juliet@localhost/balcony")
    query = (await juliet.request("get", GET)).child("jabber:iq:roster", "query")
    assert query is not None
    assert not list(query)


# -- §2.1.5, §2.3: adding


async def test_a_contact_is_added_pushed_to_every_interested_resource_and_answered(world: World) -> None:
    orchard = await interested(world, "romeo@localhost/orchard")
    street = await interested(world, "romeo@localhost/street")
    bystander = await world.connect("romeo@localhost/tomb")
    orchard.send(f"<iq type='set' id='a'>{roster(NURSE)}</iq>")
    await orchard.receives(push("<item jid='nurse@localhost' subscription='none'/>", "1"))
    await orchard.receives("<iq type='result' id='a'/>")
    await street.receives(push("<item jid='nurse@localhost' subscription='none'/>", "1"))
    await bystander.receives_nothing()


@pytest.mark.parametrize("presence", [False, True])
async def test_adding_updating_and_removing_is_pushed_to_all_who_asked_available_or_not(
    world: World, presence: bool
) -> None:
    """§2.3.2, §2.4.2, §2.5.2: who is available and did not ask is not interested."""
    orchard, street = [await interested(world, f"romeo@localhost/{name}") for name in ("orchard", "street")]
    if presence:
        for client in (orchard, street):
            client.send("<presence/>")
    available = await world.login("romeo@localhost/tomb")
    for client in (orchard, street):
        client.forget("presence")
    for item, shown in (
        (NURSE, "<item jid='nurse@localhost' subscription='none'/>"),
        ("<item jid='nurse@localhost' name='N'/>", "<item jid='nurse@localhost' subscription='none' name='N'/>"),
        ("<item jid='nurse@localhost' subscription='remove'/>",) * 2,
    ):
        assert (await orchard.request("set", roster(item))).get("type") == "result"
        for client in (orchard, street):
            await client.receives(push(shown))
            await client.receives_nothing()
        await available.receives_nothing()


@pytest.mark.parametrize("subscription", ["both", "from", "to", "none", "ask", "nonsense", ""])
async def test_a_subscription_other_than_remove_is_ignored(world: World, subscription: str) -> None:
    romeo = await interested(world, "romeo@localhost/orchard")
    answer = await romeo.request(
        "set", roster(f"<item jid='nurse@localhost' subscription='{subscription}' ask='subscribe' approved='true'/>")
    )
    assert answer.get("type") == "result"
    pushed = await romeo.receives(push("<item jid='nurse@localhost' subscription='none'/>"))
    item = next(iter(next(iter(pushed))))
    assert item.attrs.keys() == {"jid", "subscription"}


@pytest.mark.parametrize("type", ["get", "set"])
async def test_the_roster_of_somebody_else_is_forbidden(world: World, type: str) -> None:
    romeo = await world.connect("romeo@localhost/orchard")
    juliet = await interested(world, "juliet@localhost/balcony")
    assert await error_of(romeo, roster(NURSE), "juliet@localhost", type) == "forbidden"
    assert await error_of(romeo, roster(NURSE), "juliet@capulet.example", type) != ""
    await juliet.receives_nothing()


async def test_nobody_updates_a_contact_in_the_roster_of_somebody_else(world: World) -> None:
    """§2.4.3"""
    romeo = await world.connect("romeo@localhost/orchard")
    juliet = await interested(world, "juliet@localhost/balcony")
    await juliet.request("set", roster("<item jid='nurse@localhost' name='N'/>"))
    juliet.inbox.clear()
    for item in ("<item jid='nurse@localhost' name='M'/>", "<item jid='nurse@localhost' subscription='remove'/>"):
        assert await error_of(romeo, roster(item), "juliet@localhost") == "forbidden"
    await juliet.receives_nothing()
    juliet.send(f"<iq type='get' id='r'>{GET}</iq>")
    same = roster("<item jid='nurse@localhost' name='N'/>", ver="1")
    await juliet.receives(f"<iq type='result' id='r'>{same}</iq>")


async def test_the_own_bare_address_may_be_named(world: World) -> None:
    romeo = await interested(world, "romeo@localhost/orchard")
    assert (await romeo.request("set", roster(NURSE), "romeo@localhost")).get("type") == "result"


GROUP = "<group>Friends</group>"
BAD = [
    ("bad-request", ""),
    ("bad-request", "<item jid='a@localhost'/><item jid='b@localhost'/>"),
    ("bad-request", "<item/>"),
    ("bad-request", "<item jid='@localhost'/>"),
    ("bad-request", "<item jid='nurse@localhost/resource'/>"),
    ("bad-request", f"<item jid='nurse@localhost'>{GROUP}{GROUP}</item>"),
    ("not-acceptable", "<item jid='nurse@localhost'><group/></item>"),
    ("not-acceptable", f"<item jid='nurse@localhost' name='{'n' * 1024}'/>"),
    ("not-acceptable", f"<item jid='nurse@localhost'><group>{'g' * 1024}</group></item>"),
    (
        "not-acceptable",
        f"<item jid='nurse@localhost'>{''.join(f'<group>{n:01000}</group>' for n in range(5))}</item>",
    ),
    ("not-acceptable", f"<item jid='nurse@localhost'>{''.join(f'<group>{n}</group>' for n in range(101))}</item>"),
    ("not-allowed", "<item jid='romeo@localhost'/>"),
    ("item-not-found", "<item jid='nurse@localhost' subscription='remove'/>"),
]


@pytest.mark.parametrize(("condition", "items"), BAD)
async def test_a_set_that_breaks_a_rule_gets_its_error_and_changes_nothing(
    world: World, condition: str, items: str
) -> None:
    romeo = await interested(world, "romeo@localhost/orchard")
    assert await error_of(romeo, roster(items)) == condition
    await romeo.receives_nothing()
    query = (await romeo.request("get", GET)).child("jabber:iq:roster", "query")
    assert query is not None
    assert query.attrs == {"ver": "1"}


async def test_a_full_roster_takes_nobody_more_but_lets_contacts_be_changed(world: World) -> None:
    world.core.subscriptions.limit = 2
    romeo = await interested(world, "romeo@localhost/orchard")
    for name in ("a", "b"):
        assert (await romeo.request("set", roster(f"<item jid='{name}@localhost'/>"))).get("type") == "result"
    assert await error_of(romeo, roster("<item jid='c@localhost'/>")) == "resource-constraint"
    assert (await romeo.request("set", roster("<item jid='a@localhost' name='A'/>"))).get("type") == "result"


# -- §2.4: updating


@pytest.mark.parametrize(
    ("item", "children"),
    [
        ("<item jid='nurse@localhost' name='N'><group>A</group><group>B</group></item>", {"A", "B"}),
        ("<item jid='nurse@localhost' name='N'><group>B</group></item>", {"B"}),
        ("<item jid='nurse@localhost' name='N'/>", set()),
        ("<item jid='nurse@localhost' name='M'><group>A</group></item>", {"A"}),
        ("<item jid='nurse@localhost' name=''><group>A</group></item>", {"A"}),
        ("<item jid='nurse@localhost'><group>A</group></item>", {"A"}),
    ],
)
async def test_a_contact_is_exactly_as_it_was_set_last(world: World, item: str, children: set[str]) -> None:
    await world.subscribe("romeo@localhost", "nurse@localhost", "from")
    romeo = await interested(world, "romeo@localhost/orchard")
    first = roster("<item jid='nurse@localhost' name='N'><group>A</group></item>")
    await romeo.request("set", first)
    romeo.inbox.clear()
    await romeo.request("set", roster(item))
    pushed = await romeo.receives(push("<item jid='nurse@localhost' subscription='from'/>", "3"))
    shown = next(iter(next(iter(pushed))))
    assert {group.text for group in shown} == children
    assert ("name" in shown.attrs) == ("name='N'" in item or "name='M'" in item)


@pytest.mark.parametrize(
    ("condition", "items"),
    [(condition, items) for condition, items in BAD if "nurse" in items and condition != "item-not-found"],
)
async def test_an_update_that_breaks_a_rule_gets_the_error_of_adding_and_changes_nothing(
    world: World, condition: str, items: str
) -> None:
    """§2.4.3"""
    romeo = await interested(world, "romeo@localhost/orchard")
    await romeo.request("set", roster("<item jid='nurse@localhost' name='N'><group>A</group></item>"))
    romeo.inbox.clear()
    assert await error_of(romeo, roster(items)) == condition
    assert await error_of(romeo, roster(NURSE, "<item jid='b@localhost'/>")) == "bad-request"
    await romeo.receives_nothing()
    romeo.send(f"<iq type='get' id='r'>{GET}</iq>")
    same = roster("<item jid='nurse@localhost' name='N'><group>A</group></item>", ver="1")
    await romeo.receives(f"<iq type='result' id='r'>{same}</iq>")


# -- §2.5: removing


@pytest.mark.parametrize(
    ("subscription", "told"),
    [("none", []), ("to", ["unsubscribe"]), ("from", ["unsubscribed"]), ("both", ["unsubscribe", "unsubscribed"])],
)
async def test_a_removed_contact_is_told_as_far_as_there_were_subscriptions(
    world: World, subscription: str, told: list[str]
) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", subscription)  # type: ignore[arg-type]
    romeo = await interested(world, "romeo@localhost/orchard")
    street = await interested(world, "romeo@localhost/street")
    juliet = await interested(world, "juliet@localhost/balcony")
    remove = roster("<item jid='juliet@localhost' subscription='remove'/>")
    romeo.send(f"<iq type='set' id='r'>{remove}</iq>")
    await romeo.receives(push("<item jid='juliet@localhost' subscription='remove'/>", "2"))
    await romeo.receives("<iq type='result' id='r'/>")
    await street.receives(push("<item jid='juliet@localhost' subscription='remove'/>", "2"))
    await romeo.receives_nothing()
    await world.settle()
    seen = [stanza.get("type") for stanza in juliet.inbox if stanza.name == "presence"]
    assert seen == told
    async with world.core.accounts.use(JID.parse("juliet@localhost")) as account:
        assert account is not None
        assert account.roster.items[JID.parse("romeo@localhost")].subscription == "none"
    assert await error_of(romeo, remove) == "item-not-found"


async def test_a_contact_who_sees_the_user_sees_him_leave_before_he_is_removed(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("get", GET)
    romeo = await world.login("romeo@localhost/orchard")
    juliet.inbox.clear()
    await romeo.request("set", roster("<item jid='juliet@localhost' subscription='remove'/>"))
    kinds = [(stanza.get("type"), stanza.get("from")) for stanza in juliet.inbox if stanza.name == "presence"]
    assert ("unavailable", "romeo@localhost/orchard") in kinds
    assert kinds.index(("unavailable", "romeo@localhost/orchard")) < kinds.index(("unsubscribed", "romeo@localhost"))


# -- §2.6: versions


async def changed(world: World, *items: str) -> Client:
    romeo = await world.connect("romeo@localhost/orchard")
    for item in items:
        assert (await romeo.request("set", roster(item))).get("type") == "result"
    return romeo


@pytest.mark.parametrize("ver", [None, "", "77", "-1", "abc", "1" * 30, "٣"])
async def test_without_a_version_of_ours_the_whole_roster_comes(world: World, ver: str | None) -> None:
    romeo = await changed(world, NURSE)
    romeo.send(f"<iq type='get' id='r'>{roster(ver=ver)}</iq>")
    await romeo.receives(f"<iq type='result' id='r'>{roster(NURSE, ver='1')}</iq>")
    await romeo.receives_nothing()


async def test_nothing_comes_for_the_present_version(world: World) -> None:
    romeo = await changed(world, NURSE, "<item jid='nurse@localhost' name='N'/>")
    answer = await romeo.request("get", roster(ver="2"))
    assert answer.get("type") == "result"
    assert not list(answer)
    await romeo.receives_nothing()


async def test_who_has_the_empty_roster_is_told_of_the_first_change(world: World) -> None:
    romeo = await changed(world)
    for expected in ((), (NURSE,)):
        answer = await romeo.request("get", roster(ver="1"))
        assert not list(answer)
        for item in expected:
            await romeo.receives(push(item, "1"))
        await romeo.receives_nothing()
        await romeo.request("set", roster(NURSE))
        romeo.inbox.clear()


async def test_what_has_changed_comes_as_one_push_for_each_contact_in_the_order_of_the_changes(world: World) -> None:
    romeo = await changed(
        world,
        "<item jid='a@localhost'/>",
        "<item jid='b@localhost'/>",
        "<item jid='c@localhost'/>",
        "<item jid='a@localhost' name='A'/>",
        "<item jid='b@localhost' subscription='remove'/>",
        "<item jid='c@localhost' name='C'/>",
        "<item jid='c@localhost' name='D'/>",
    )
    romeo.send(f"<iq type='get' id='r'>{roster(ver='2')}</iq>")
    answer = await romeo.receives("<iq type='result' id='r'/>")
    assert not list(answer)
    await romeo.receives(push("<item jid='a@localhost' name='A'/>", "4"))
    await romeo.receives(push("<item jid='b@localhost' subscription='remove'/>", "5"))
    await romeo.receives(push("<item jid='c@localhost' name='D'/>", "7"))
    await romeo.receives_nothing()


async def test_after_a_get_by_version_changes_are_pushed(world: World) -> None:
    romeo = await changed(world, NURSE, "<item jid='nurse@localhost' name='N'/>")
    await romeo.request("get", roster(ver="2"))
    await romeo.request("set", roster("<item jid='nurse@localhost' name='M'/>"))
    await romeo.receives(push("<item jid='nurse@localhost' name='M'/>", "3"))


async def test_a_roster_of_10000_is_sent_whole_and_one_change_of_it_alone(world: World) -> None:
    jid = await world.account("romeo@localhost")
    rosters = world.store.rosters
    items = [RosterItem(JID.parse(f"c{number}@capulet.example"), f"Contact {number}") for number in range(10_000)]
    for start in range(0, 10_000, 1000):
        await asyncio.gather(*(rosters.put(jid, item) for item in items[start : start + 1000]))
    romeo = await world.connect("romeo@localhost/orchard")
    query = (await romeo.request("get", GET)).child("jabber:iq:roster", "query")
    assert query is not None
    assert len(list(query)) == 10_000
    romeo.send(f"<iq type='get' id='r'>{roster(ver='9999')}</iq>")
    await romeo.receives("<iq type='result' id='r'/>")
    await romeo.receives(push("<item jid='c9999@capulet.example'/>", "10000"))
    await romeo.receives_nothing()
    query = (await romeo.request("get", roster(ver="1"))).child("jabber:iq:roster", "query")
    assert query is not None, "thousands of pushes"
