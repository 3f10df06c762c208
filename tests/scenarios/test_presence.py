"""RFC 6121 §4, section by section: who sees whose presence, and when."""

from __future__ import annotations

import time

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from .world import Client, World

ERROR = "<presence type='error' from='{by}'><error type='modify'><bad-request xmlns='{ns}'/></error></presence>"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
DELAY = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>"
WITH_ALL = """
    <presence id='p1'><show>away</show><status xml:lang='en'>be right back</status><priority>5</priority>
        <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://a.example' ver='x'/></presence>"""


async def probe(world: World, sender: str, to: str) -> None:
    """A probe that comes from elsewhere."""
    await world.core.router.send(
        Stanza.build("presence", sender=JID.parse(sender), to=JID.parse(to), type="probe", id="probe")
    )


def shown(stanzas: list[Stanza]) -> list[tuple[str, str, str]]:
    return [(stanza.type, str(stanza.sender), str(stanza.to)) for stanza in stanzas]


# -- §4.2: initial presence


@pytest.mark.parametrize(("subscription", "seen"), [("none", False), ("to", False), ("from", True), ("both", True)])
async def test_initial_presence_goes_to_those_who_have_a_subscription_to_it(
    world: World, subscription: str, seen: bool
) -> None:
    await world.subscribe("romeo@localhost", "juliet@capulet.example", subscription)  # type: ignore[arg-type]
    balcony = await world.login("juliet@capulet.example/balcony")
    chamber = await world.login("juliet@capulet.example/chamber")
    balcony.inbox.clear()
    unavailable = await world.connect("juliet@capulet.example/tomb")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    if seen:
        for juliet in (balcony, chamber):
            await juliet.receives("<presence from='romeo@localhost/orchard' to='juliet@capulet.example'/>")
    for juliet in (balcony, chamber, unavailable):
        await juliet.receives_nothing()


async def test_presence_comes_whole_and_to_all_own_available_resources(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    juliet = await world.login("juliet@localhost/balcony")
    street = await world.login("romeo@localhost/street")
    silent = await world.connect("romeo@localhost/tomb")
    juliet.inbox.clear()
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(WITH_ALL)
    await world.settle()
    romeo.forget("iq")  # XEP-0115: the server asks for what it does not know
    for client in (juliet, street, romeo):
        whole = WITH_ALL.replace("<presence", "<presence from='romeo@localhost/orchard'")
        stanza = await client.receives(whole)
        assert len(list(stanza)) == 4
    await silent.receives_nothing()


async def test_a_resource_that_sent_no_presence_is_not_there_for_others(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.connect("romeo@localhost/orchard")
    await juliet.receives_nothing()
    await romeo.disconnect()
    await juliet.receives_nothing()


async def test_contacts_elsewhere_get_presence_and_are_asked_for_theirs(world: World) -> None:
    away = world.elsewhere()
    for contact, subscription in (("a", "both"), ("b", "to"), ("c", "from"), ("d", "none")):
        await world.subscribe("romeo@localhost", f"{contact}@montague.example", subscription)  # type: ignore[arg-type]
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await world.settle()
    assert sorted(shown(away)) == [
        ("", "romeo@localhost/orchard", "a@montague.example"),
        ("", "romeo@localhost/orchard", "c@montague.example"),
        ("probe", "romeo@localhost", "a@montague.example"),
        ("probe", "romeo@localhost", "b@montague.example"),
    ]


# -- §4.3: probes


@pytest.mark.parametrize(("subscription", "sees"), [("none", False), ("to", True), ("from", False), ("both", True)])
async def test_a_new_resource_is_shown_the_contacts_whom_the_user_may_see(
    world: World, subscription: str, sees: bool
) -> None:
    for contact in ("juliet@localhost", "nurse@localhost", "tybalt@localhost"):
        await world.subscribe("romeo@localhost", contact, subscription)  # type: ignore[arg-type]
    await world.login("juliet@localhost/balcony", "<presence><status>B</status></presence>")
    await world.login("juliet@localhost/chamber", "<presence><status>C</status></presence>")
    await world.connect("tybalt@localhost/tomb")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    if sees:
        await romeo.receives_all(
            f"<presence from='juliet@localhost/balcony'><status>B</status>{DELAY}</presence>",
            f"<presence from='juliet@localhost/chamber'><status>C</status>{DELAY}</presence>",
            "<presence from='nurse@localhost' type='unavailable'/>",
            "<presence from='tybalt@localhost' type='unavailable'/>",
        )
    await romeo.receives_nothing()


async def test_a_new_resource_is_shown_the_others_of_the_account(world: World) -> None:
    await world.login("romeo@localhost/street", "<presence><status>S</status></presence>")
    await world.connect("romeo@localhost/tomb")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    await romeo.receives(
        "<presence from='romeo@localhost/street' to='romeo@localhost/orchard'><status>S</status></presence>"
    )
    await romeo.receives_nothing()


@pytest.mark.parametrize(
    "to", ["juliet@localhost", "juliet@localhost/balcony", "nobody@localhost", "nobody@localhost/x"]
)
@pytest.mark.parametrize("subscription", ["none", "to"])
async def test_a_probe_of_somebody_without_a_subscription_is_answered_with_unsubscribed(
    world: World, to: str, subscription: str
) -> None:
    away = world.elsewhere()
    await world.subscribe("juliet@localhost", "benvolio@montague.example", subscription)  # type: ignore[arg-type]
    await world.login("juliet@localhost/balcony")
    away.clear()
    await probe(world, "benvolio@montague.example", to)
    bare = to.partition("/")[0]
    assert shown(away) == [("unsubscribed", bare, "benvolio@montague.example")]


async def test_a_probe_of_somebody_else_takes_no_approval_away(world: World) -> None:
    world.elsewhere()
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence type='subscribed' to='benvolio@montague.example'/>")
    await world.settle()
    await probe(world, "benvolio@montague.example", "juliet@localhost")
    async with world.core.accounts.use(JID.parse("juliet@localhost")) as account:
        assert account is not None
        assert account.roster.items[JID.parse("benvolio@montague.example")].approved


async def test_a_probe_is_answered_with_the_last_presence_of_each_resource(world: World) -> None:
    away = world.elsewhere()
    await world.subscribe("juliet@localhost", "benvolio@montague.example", "from")
    await probe(world, "benvolio@montague.example", "juliet@localhost")
    assert shown(away) == [("unavailable", "juliet@localhost", "benvolio@montague.example")]
    balcony = await world.login("juliet@localhost/balcony")
    balcony.send("<presence><status>later</status></presence>")
    await world.login("juliet@localhost/chamber")
    await world.connect("juliet@localhost/tomb")
    away.clear()
    await probe(world, "benvolio@montague.example/x", "juliet@localhost")
    assert shown(away) == [
        ("", "juliet@localhost/balcony", "benvolio@montague.example/x"),
        ("", "juliet@localhost/chamber", "benvolio@montague.example/x"),
    ]
    assert b"later" in away[0].payload


async def test_a_probe_to_a_resource_tells_of_no_other(world: World) -> None:
    away = world.elsewhere()
    await world.subscribe("juliet@localhost", "benvolio@montague.example", "from")
    await world.login("juliet@localhost/balcony")
    await world.login("juliet@localhost/chamber")
    away.clear()
    await probe(world, "benvolio@montague.example", "juliet@localhost/chamber")
    assert shown(away) == [("", "juliet@localhost/chamber", "benvolio@montague.example")]
    away.clear()
    await probe(world, "benvolio@montague.example", "juliet@localhost/tomb")
    assert [(stanza.type, stanza.sender) for stanza in away] == [("unavailable", JID.parse("juliet@localhost/tomb"))]


async def test_a_broadcast_has_no_date_and_who_comes_later_gets_it_with_one(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.connect("juliet@localhost/balcony")
    before = time.time_ns() // 1000
    juliet.send("<presence><show>away</show></presence>")
    live = await romeo.receives("<presence from='juliet@localhost/balcony'><show>away</show></presence>")
    assert live.child(ns.DELAY, "delay") is None

    street = await world.connect("romeo@localhost/street")
    street.send("<presence/>")
    await street.receives("<presence from='romeo@localhost/street'/>")
    await street.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    late = await street.receives(f"<presence from='juliet@localhost/balcony'><show>away</show>{DELAY}</presence>")
    delay = late.child(ns.DELAY, "delay")
    assert delay is not None
    assert before - 1000 <= parse_time(delay.get("stamp")) <= time.time_ns() // 1000


async def test_a_date_of_the_client_itself_is_not_joined_by_another(world: World) -> None:
    own = "<delay xmlns='urn:xmpp:delay' from='juliet@localhost/balcony' stamp='2002-09-10T23:41:07Z'/>"
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await world.login("juliet@localhost/balcony", f"<presence>{own}</presence>")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    presence = await romeo.receives(f"<presence from='juliet@localhost/balcony'>{own}</presence>")
    assert [child.name for child in presence] == ["delay"]


# -- §4.4: later presence


async def test_later_presence_is_broadcast_and_asks_for_nothing(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    await world.subscribe("romeo@localhost", "nurse@localhost", "both")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence><show>dnd</show></presence>")
    await juliet.receives("<presence from='romeo@localhost/orchard'><show>dnd</show></presence>")
    await romeo.receives("<presence from='romeo@localhost/orchard'><show>dnd</show></presence>")
    await romeo.receives_nothing()
    await juliet.receives_nothing()


# -- §4.5: unavailable presence


async def test_unavailable_presence_is_broadcast_whole_and_once(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "from")
    juliet = await world.login("juliet@localhost/balcony")
    street = await world.login("romeo@localhost/street")
    romeo = await world.login("romeo@localhost/orchard")
    street.inbox.clear()
    romeo.send("<presence type='unavailable'><status>gone home</status></presence>")
    for client in (juliet, street, romeo):
        await client.receives(
            "<presence from='romeo@localhost/orchard' type='unavailable'><status>gone home</status></presence>"
        )
    romeo.send("<presence type='unavailable'/>")
    await romeo.disconnect()
    for client in (juliet, street, romeo):
        await client.receives_nothing()


async def test_presence_after_unavailable_presence_is_initial_again(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence type='unavailable'/><presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard' type='unavailable'/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    await romeo.receives("<presence from='juliet@localhost/balcony'/>")
    await romeo.receives_nothing()


async def test_when_the_connection_breaks_all_who_saw_the_resource_are_told(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "from")
    juliet = await world.login("juliet@localhost/balcony")
    street = await world.login("romeo@localhost/street")
    romeo = await world.login("romeo@localhost/orchard")
    street.inbox.clear()
    await romeo.disconnect()
    for client in (juliet, street):
        await client.receives("<presence from='romeo@localhost/orchard' type='unavailable'/>")
        await client.receives_nothing()


# -- §4.6: directed presence


@pytest.fixture
async def strangers(world: World) -> tuple[Client, Client]:
    """Romeo and Juliet, who do not know each other, online."""
    return await world.login("romeo@localhost/orchard"), await world.login("juliet@localhost/balcony")


@pytest.mark.parametrize("to", ["juliet@localhost", "juliet@localhost/balcony"])
@pytest.mark.parametrize("end", ["<presence type='unavailable'><status>bye</status></presence>", ""])
async def test_who_got_directed_presence_hears_no_more_but_of_the_end(
    world: World, strangers: tuple[Client, Client], to: str, end: str
) -> None:
    romeo, juliet = strangers
    romeo.send(f"<presence to='{to}'><status>hello</status></presence>")
    await juliet.receives(f"<presence from='{romeo.jid}' to='{to}'><status>hello</status></presence>")
    romeo.send("<presence><show>away</show></presence>")
    await juliet.receives_nothing()
    if end:
        romeo.send(end)
        await juliet.receives(f"<presence from='{romeo.jid}' type='unavailable'><status>bye</status></presence>")
    await romeo.disconnect()
    if not end:
        await juliet.receives(f"<presence from='{romeo.jid}' type='unavailable'/>")
    await juliet.receives_nothing()


async def test_who_was_told_of_the_end_already_is_not_told_again(
    world: World, strangers: tuple[Client, Client]
) -> None:
    romeo, juliet = strangers
    romeo.send("<presence to='juliet@localhost'/><presence to='juliet@localhost' type='unavailable'/>")
    await juliet.receives(f"<presence from='{romeo.jid}'/>")
    await juliet.receives(f"<presence from='{romeo.jid}' type='unavailable'/>")
    await romeo.disconnect()
    await juliet.receives_nothing()


async def test_a_resource_that_is_not_available_may_send_directed_presence(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await world.subscribe("nurse@localhost", "romeo@localhost", "both")
    nurse = await world.login("nurse@localhost/home")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost'/><presence to='nurse@localhost'/>")
    await romeo.disconnect()
    for client in (juliet, nurse):
        await client.receives("<presence from='romeo@localhost/orchard'/>")
        await client.receives("<presence from='romeo@localhost/orchard' type='unavailable'/>")
        await client.receives_nothing()


async def test_a_contact_with_a_subscription_stays_in_the_broadcasts_whatever_is_directed_to_him(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "from")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost'><status>for you</status></presence>")
    romeo.send("<presence><show>away</show></presence>")
    await juliet.receives("<presence><status>for you</status></presence>")
    await juliet.receives("<presence><show>away</show></presence>")
    await romeo.disconnect()
    await juliet.receives("<presence type='unavailable'/>")
    await juliet.receives_nothing()


async def test_directed_presence_goes_to_no_other_resource_of_the_user(
    world: World, strangers: tuple[Client, Client]
) -> None:
    romeo, juliet = strangers
    street = await world.login("romeo@localhost/street")
    romeo.inbox.clear()
    romeo.send(f"<presence to='{juliet.jid}'/>")
    await juliet.receives("<presence/>")
    await street.receives_nothing()
    await romeo.receives_nothing()


@pytest.mark.parametrize("prober", ["room@montague.example/romeo", "room@montague.example"])
async def test_who_got_directed_presence_may_ask_whether_the_resource_is_still_there(world: World, prober: str) -> None:
    away = world.elsewhere()
    romeo = await world.login("romeo@localhost/orchard", "<presence><status>secret</status></presence>")
    await world.login("romeo@localhost/street")
    romeo.send(f"<presence to='{prober}'/>")
    await world.settle()
    away.clear()
    await probe(world, prober, "romeo@localhost/orchard")
    await probe(world, prober, "romeo@localhost/street")
    await probe(world, prober, "romeo@localhost")
    await probe(world, "room@montague.example/tybalt", "romeo@localhost/orchard")
    assert shown(away)[:3] == [
        ("", "romeo@localhost/orchard", prober),
        ("unsubscribed", "romeo@localhost", "room@montague.example"),
        ("unsubscribed", "romeo@localhost", "room@montague.example"),
    ]
    assert away[0].payload == b""
    await romeo.disconnect()
    away.clear()
    await probe(world, prober, "romeo@localhost/orchard")
    assert shown(away) == [("unsubscribed", "romeo@localhost", "room@montague.example")]


async def test_the_number_of_addresses_of_directed_presence_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.session.presence._MAX_DIRECTED", 2)
    world.elsewhere()
    romeo = await world.login("romeo@localhost/orchard")
    for name in "ab":
        romeo.send(f"<presence to='{name}@montague.example'/>")
    await romeo.receives_nothing()
    romeo.send("<presence to='c@montague.example'/>")
    error = f"<error type='wait'><resource-constraint xmlns='{STANZAS}'/></error>"
    await romeo.receives(f"<presence type='error' from='c@montague.example'>{error}</presence>")
    romeo.send("<presence to='a@montague.example'><status>again</status></presence>")
    await romeo.receives_nothing()


# -- §4.7: the syntax


@pytest.mark.parametrize("priority", ["-128", "-1", "0", "127", "+5", " 7 ", "007", ""])
async def test_a_priority_is_from_minus_128_to_127(world: World, priority: str) -> None:
    romeo = await world.login("romeo@localhost/orchard", f"<presence><priority>{priority}</priority></presence>")
    assert romeo.session.priority == (int(priority) if priority else 0)


@pytest.mark.parametrize("priority", ["-129", "128", "x", "1.5", "-+5", "--5", "٣", "1 2", "9" * 1000])
async def test_presence_with_another_priority_is_refused_and_nobody_sees_it(world: World, priority: str) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence id='p'><priority>{priority}</priority></presence>")
    await romeo.receives(ERROR.format(by="romeo@localhost", ns=STANZAS))
    assert romeo.session.priority is None
    await juliet.receives_nothing()
    assert not romeo.closed


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "available", "x"])
async def test_presence_of_no_known_broadcast_type_is_refused(world: World, type: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<presence type='{type}'/>")
    await romeo.receives(ERROR.format(by="romeo@localhost", ns=STANZAS))
    await romeo.receives_nothing()


@pytest.mark.parametrize("type", ["probe", "unsubscribed", "error"])
async def test_presence_that_is_an_answer_or_a_question_gets_no_error(world: World, type: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<presence type='{type}'/>")
    await romeo.receives_nothing()


@pytest.mark.parametrize("type", ["available", "invisible", "x", "Subscribe"])
async def test_directed_presence_of_an_unknown_type_is_refused(
    world: World, strangers: tuple[Client, Client], type: str
) -> None:
    romeo, juliet = strangers
    romeo.send(f"<presence type='{type}' to='juliet@localhost'/>")
    await romeo.receives(ERROR.format(by="juliet@localhost", ns=STANZAS))
    await juliet.receives_nothing()


async def test_presence_to_the_server_means_nothing_to_it(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    for type in ("", "unavailable", "probe", "error"):
        romeo.send(f"<presence to='localhost' type='{type}'/>" if type else "<presence to='localhost'/>")
    await romeo.receives_nothing()


async def test_pushes_come_in_the_order_of_their_versions_though_the_contact_answers_at_once(world: World) -> None:
    await world.account("romeo@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence to='romeo@localhost' type='subscribed'/>")  # §3.4: approved before he asks
    romeo = await world.login("romeo@localhost/orchard")
    await romeo.request("get", "<query xmlns='jabber:iq:roster'/>")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await romeo.receives(
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='1'>"
        "<item jid='juliet@localhost' subscription='none' ask='subscribe'/></query></iq>"
    )
    await romeo.receives("<presence from='juliet@localhost' type='subscribed'/>")
    await romeo.receives(
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='2'>"
        "<item jid='juliet@localhost' subscription='to'/></query></iq>"
    )
    await romeo.receives("<presence from='juliet@localhost/balcony'/>")
    await romeo.receives_nothing()
