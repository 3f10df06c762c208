"""RFC 6121 §3, section by section: who asks, who answers, who is told, and what both rosters say afterwards.

Romeo is the user and Juliet the contact, as in the RFC's flows; both have an interested and available resource unless
the test says otherwise.
"""

from __future__ import annotations

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from .world import Client, World

GET = "<query xmlns='jabber:iq:roster'/>"
DELAY = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>"
ROMEO, JULIET = "romeo@localhost", "juliet@localhost"


def push(jid: str, subscription: str, more: str = "") -> str:
    item = f"<item jid='{jid}' subscription='{subscription}' {more}/>"
    return f"<iq type='set'><query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"


async def login(world: World, address: str) -> Client:
    client = await world.login(address)
    await client.request("get", GET)
    return client


@pytest.fixture
async def romeo(world: World) -> Client:
    return await login(world, "romeo@localhost/orchard")


@pytest.fixture
async def juliet(world: World) -> Client:
    return await login(world, "juliet@localhost/balcony")


async def friends(world: World, subscription: str = "both") -> tuple[Client, Client]:
    """Romeo has this subscription to Juliet in his roster; both are online, and have looked at all that this brings."""
    await world.subscribe(ROMEO, JULIET, subscription)  # type: ignore[arg-type]
    romeo = await login(world, "romeo@localhost/orchard")
    return romeo, await login(world, "juliet@localhost/balcony")


async def state(world: World, owner: str, contact: str) -> str:
    """What the owner's roster says of the contact: subscription, and what waits."""
    async with world.core.accounts.use(JID.parse(owner)) as account:
        assert account is not None
        item = account.roster.items.get(JID.parse(contact))
    if item is None:
        return "absent"
    waits = " ask" * item.ask + " pending" * (item.pending_in is not None) + " approved" * item.approved
    return item.subscription + waits + " unlisted" * (not item.listed)


async def receive(world: World, stanza: Stanza) -> None:
    """A stanza that comes from another server."""
    await world.core.router.send(stanza)


def from_elsewhere(type: str, sender: str = "benvolio@montague.example", to: str = ROMEO) -> Stanza:
    return Stanza.build("presence", sender=JID.parse(sender), to=JID.parse(to), type=type)


# -- §3.1: requesting a subscription


async def test_a_request_goes_from_bare_to_bare_and_whole_to_all_available_resources(
    world: World, romeo: Client, juliet: Client
) -> None:
    chamber = await world.login("juliet@localhost/chamber", "<presence><priority>-1</priority></presence>")
    juliet.inbox.clear()
    tomb = await world.connect("juliet@localhost/tomb")
    street = await world.connect("romeo@localhost/street")
    await street.request("get", GET)
    romeo.send(
        "<presence type='subscribe' to='juliet@localhost/balcony' id='s1'>"
        "<status>It is I</status><x xmlns='urn:example'><y/></x></presence>"
    )
    for client in (juliet, chamber):
        stanza = await client.receives(
            f"<presence type='subscribe' from='{ROMEO}' to='{JULIET}' id='s1'>"
            "<status>It is I</status><x xmlns='urn:example'><y/></x></presence>"
        )
        assert len(list(stanza)) == 2
        await client.receives_nothing()
    await tomb.receives_nothing()
    for client in (romeo, street):
        await client.receives(push(JULIET, "none", "ask='subscribe'"))
    await romeo.receives(f"<presence type='unavailable' from='{JULIET}' to='{ROMEO}'/>")
    for client in (romeo, street):
        await client.receives_nothing()
    assert await state(world, JULIET, ROMEO) == "none pending unlisted"


@pytest.mark.parametrize("online", [True, False])
async def test_a_request_is_acknowledged_alike_whether_the_contact_is_there_or_not(world: World, online: bool) -> None:
    await world.account("juliet@localhost")
    if online:
        await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await romeo.receives("<presence from='juliet@localhost' to='romeo@localhost' type='unavailable'/>")
    await romeo.receives_nothing()


async def test_a_request_to_somebody_who_blocks_is_not_acknowledged(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("set", "<block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block>")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await romeo.receives_nothing()
    await juliet.receives_nothing()


async def test_a_request_waits_whole_and_comes_to_each_resource_until_it_is_answered(
    world: World, romeo: Client
) -> None:
    await world.account(JULIET)
    romeo.send(
        f"<presence type='subscribe' to='{JULIET}' id='s1'><status>first</status><x xmlns='urn:example'/></presence>"
    )
    romeo.send(f"<presence type='subscribe' to='{JULIET}' id='s2'><status>second</status></presence>")
    await world.settle()
    for resource in ("balcony", "chamber", "balcony"):
        juliet = await world.connect(f"juliet@localhost/{resource}")
        query = (await juliet.request("get", GET)).child("jabber:iq:roster", "query")
        assert query is not None
        assert not list(query), "who only asks is no contact"
        juliet.send("<presence/>")
        await juliet.receives(f"<presence from='{juliet.jid}'/>")
        await juliet.receives(
            f"<presence type='subscribe' from='{ROMEO}' to='{JULIET}' id='s1'>"
            "<status>first</status><x xmlns='urn:example'/></presence>"
        )
        await juliet.receives_nothing()
        await juliet.disconnect()
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send(f"<presence/><presence type='subscribed' to='{ROMEO}'/>")
    await world.settle()
    await juliet.disconnect()
    again = await world.connect("juliet@localhost/balcony")
    again.send("<presence/>")
    await again.receives("<presence from='juliet@localhost/balcony'/>")
    assert not [stanza for stanza in again.inbox if stanza.get("type") == "subscribe"]


async def test_an_approval_is_told_to_both_and_brings_the_presence(world: World, romeo: Client, juliet: Client) -> None:
    chamber = await world.login("juliet@localhost/chamber", "<presence><show>away</show></presence>")
    juliet.inbox.clear()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    for client in (romeo, juliet, chamber):
        client.inbox.clear()
    juliet.send(f"<presence type='subscribed' to='{ROMEO}/orchard' id='a1'/>")
    await romeo.receives(f"<presence type='subscribed' from='{JULIET}' to='{ROMEO}' id='a1'/>")
    await romeo.receives(push(JULIET, "to"))
    await romeo.receives_all(
        f"<presence from='juliet@localhost/balcony' to='{ROMEO}'>{DELAY}</presence>",
        f"<presence from='juliet@localhost/chamber' to='{ROMEO}'><show>away</show>{DELAY}</presence>",
    )
    await romeo.receives_nothing()
    await juliet.receives(push(ROMEO, "from"))
    await juliet.receives_nothing()
    await chamber.receives_nothing()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("to", "from")


async def test_an_approval_goes_to_interested_resources_and_to_no_others(
    world: World, romeo: Client, juliet: Client
) -> None:
    street = await world.login("romeo@localhost/street")
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    romeo.inbox.clear()
    street.inbox.clear()
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    await romeo.receives("<presence type='subscribed'/>")
    await street.receives("<presence from='juliet@localhost/balcony'/>")
    await street.receives_nothing()


async def test_a_refusal_is_told_to_the_user_and_leaves_nothing_with_the_contact(
    world: World, romeo: Client, juliet: Client
) -> None:
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    romeo.inbox.clear()
    juliet.inbox.clear()
    juliet.send(f"<presence type='unsubscribed' to='{ROMEO}'/>")
    await romeo.receives(f"<presence type='unsubscribed' from='{JULIET}' to='{ROMEO}'/>")
    await romeo.receives(push(JULIET, "none"))
    await romeo.receives_nothing()
    await juliet.receives_nothing()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("none", "absent")


async def test_both_may_ask_at_a_time_and_see_each_other_when_both_have_agreed(
    world: World, romeo: Client, juliet: Client
) -> None:
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    juliet.send(f"<presence type='subscribe' to='{ROMEO}'/>")
    await world.settle()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("none ask pending",) * 2
    romeo.send(f"<presence type='subscribed' to='{JULIET}'/>")
    await world.settle()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("from ask", "to pending")
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    await world.settle()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("both", "both")


async def test_when_both_see_each_other_who_approved_last_gets_the_presence_of_the_other_anew(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "to")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence to='romeo@localhost' type='subscribe'/>")
    await romeo.receives("<presence from='juliet@localhost' type='subscribe'/>")
    romeo.send("<presence to='juliet@localhost' type='subscribed'/>")
    await romeo.receives(f"<presence from='juliet@localhost/balcony'>{DELAY}</presence>")
    await romeo.receives_nothing()
    await juliet.receives("<presence from='romeo@localhost' type='unavailable'/>")
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    await juliet.receives_nothing()


async def test_a_request_of_somebody_who_has_the_subscription_is_answered_by_the_server(world: World) -> None:
    romeo, juliet = await friends(world, "to")
    async with world.core.accounts.use(JID.parse(ROMEO)) as account:  # Romeo's server has forgotten
        assert account is not None
        await world.core.rosters.remove(account, JID.parse(JULIET))
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    await juliet.receives_nothing()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("to", "from")
    assert [s.get("type") for s in romeo.inbox if s.get("from") == JULIET] == ["subscribed"]
    assert [s.get("type") for s in romeo.inbox if s.get("from") == "juliet@localhost/balcony"] == [""]


@pytest.mark.parametrize("to", ["nobody@localhost", "localhost", "nobody@capulet.example"])
async def test_a_request_to_nobody_is_silently_ignored_and_stands_in_the_roster(
    world: World, romeo: Client, to: str
) -> None:
    romeo.send(f"<presence type='subscribe' to='{to}'/>")
    await romeo.receives(push(to, "none", "ask='subscribe'"))
    await romeo.receives_nothing()


async def test_a_request_to_a_domain_that_nobody_serves_is_answered_with_an_error(world: World, romeo: Client) -> None:
    romeo.send("<presence type='subscribe' to='benvolio@montague.example'/>")
    await romeo.receives(push("benvolio@montague.example", "none", "ask='subscribe'"))
    await romeo.receives("<presence type='error' from='benvolio@montague.example'><error type='cancel'/></presence>")


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
async def test_nobody_subscribes_to_himself(world: World, romeo: Client, type: str) -> None:
    romeo.send(f"<presence type='{type}' to='{ROMEO}'/>")
    await world.settle()
    assert all(stanza.get("type") == "error" for stanza in romeo.inbox)
    assert await state(world, ROMEO, ROMEO) == "absent"
    await receive(world, from_elsewhere(type, ROMEO))
    assert await state(world, ROMEO, ROMEO) == "absent"


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
async def test_subscription_stanzas_with_a_bad_address_are_answered(world: World, romeo: Client, type: str) -> None:
    romeo.send(f"<presence type='{type}' to='@localhost'/>")
    await romeo.receives("<presence type='error'><error type='modify'/></presence>")


async def test_requests_that_wait_are_bounded_in_size_and_number(
    world: World, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.session.subscriptions._MOST_REQUESTS", 2)
    away = world.elsewhere()
    for name in "abc":
        await receive(world, from_elsewhere("subscribe", f"{name}@montague.example"))
    assert [(str(s.to), s.type) for s in away] == [
        ("a@montague.example", "unavailable"),
        ("b@montague.example", "unavailable"),
        ("c@montague.example", "error"),
    ]
    await romeo.request("set", "<query xmlns='jabber:iq:roster'><item jid='c@montague.example'/></query>")
    await receive(world, from_elsewhere("subscribe", "c@montague.example"))
    assert away[-1].type == "unavailable", "who is in the roster may ask all the same"
    await world.account(JULIET)
    await world.settle()
    romeo.inbox.clear()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'><status>{'x' * 20_000}</status></presence>")
    await romeo.receives(push(JULIET, "none", "ask='subscribe'"))
    await romeo.receives(f"<presence type='error' from='{JULIET}'/>")
    assert await state(world, JULIET, ROMEO) == "absent"


async def test_a_full_roster_takes_no_request_out_or_in(world: World, romeo: Client, juliet: Client) -> None:
    world.core.subscriptions.limit = 0
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await romeo.receives(f"<presence type='error' from='{JULIET}'><error type='wait'/></presence>")
    await juliet.receives_nothing()
    assert await state(world, ROMEO, JULIET) == "absent"


# -- §3.2: cancelling the subscription of a contact to oneself


async def test_who_loses_his_subscription_sees_the_user_leave_first_and_is_told(world: World) -> None:
    romeo, juliet = await friends(world)
    chamber = await world.login("juliet@localhost/chamber")
    romeo.inbox.clear()
    juliet.inbox.clear()
    juliet.send(f"<presence type='unsubscribed' to='{ROMEO}' id='u1'/>")
    await romeo.receives_all(
        f"<presence type='unavailable' from='{juliet.jid}'/>", f"<presence type='unavailable' from='{chamber.jid}'/>"
    )
    await romeo.receives(f"<presence type='unsubscribed' from='{JULIET}' to='{ROMEO}' id='u1'/>")
    await romeo.receives(push(JULIET, "from"))
    await romeo.receives_nothing()
    await juliet.receives(push(ROMEO, "to"))
    juliet.send("<presence><show>away</show></presence>")
    await romeo.receives_nothing()
    romeo.send("<presence><show>dnd</show></presence>")
    await chamber.receives(f"<presence from='{juliet.jid}'/>")
    await chamber.receives(f"<presence from='{romeo.jid}'><show>dnd</show></presence>")


async def test_who_was_away_when_he_lost_his_subscription_sees_nobody_afterwards(world: World) -> None:
    await world.subscribe(ROMEO, JULIET, "to")
    juliet = await login(world, "juliet@localhost/balcony")
    juliet.send(f"<presence type='unsubscribed' to='{ROMEO}'/>")
    await juliet.receives(push(ROMEO, "none"))
    assert await state(world, ROMEO, JULIET) == "none"
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await romeo.receives(f"<presence from='{romeo.jid}'/>")
    await romeo.receives_nothing()


async def test_a_cancellation_that_means_nothing_to_the_user_is_not_shown(world: World, romeo: Client) -> None:
    for type in ("unsubscribed", "subscribed", "unsubscribe"):
        await receive(world, from_elsewhere(type))
    await romeo.receives_nothing()
    assert await state(world, ROMEO, "benvolio@montague.example") == "absent"


# -- §3.3: unsubscribing


async def test_who_unsubscribes_sees_the_contact_leave_and_the_contact_is_told(world: World) -> None:
    romeo, juliet = await friends(world)
    romeo.send(f"<presence type='unsubscribe' to='{JULIET}' id='u1'/>")
    await juliet.receives(f"<presence type='unsubscribe' from='{ROMEO}' to='{JULIET}' id='u1'/>")
    await juliet.receives(push(ROMEO, "to"))
    await juliet.receives_nothing()
    await romeo.receives(push(JULIET, "from"))
    await romeo.receives(f"<presence type='unavailable' from='{juliet.jid}'/>")
    await romeo.receives_nothing()
    juliet.send("<presence><show>away</show></presence>")
    await romeo.receives_nothing()


async def test_a_request_is_withdrawn_by_unsubscribing(world: World, romeo: Client) -> None:
    await world.account(JULIET)
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/><presence type='unsubscribe' to='{JULIET}'/>")
    await world.settle()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("none", "absent")
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send("<presence/>")
    await juliet.receives(f"<presence from='{juliet.jid}'/>")
    await juliet.receives_nothing()


# -- §2.5.2: removing a contact


@pytest.mark.parametrize("subscription", ["none", "to", "from", "both"])
async def test_a_removal_ends_all_that_stood_between_the_two(world: World, subscription: str) -> None:
    romeo, juliet = await friends(world, subscription)
    remove = f"<query xmlns='jabber:iq:roster'><item jid='{JULIET}' subscription='remove'/></query>"
    assert (await romeo.request("set", remove)).get("type") == "result"
    romeo.inbox.clear()
    juliet.inbox.clear()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("absent", "none")
    romeo.send("<presence><show>away</show></presence>")
    juliet.send("<presence><show>away</show></presence>")
    await romeo.receives(f"<presence from='{romeo.jid}'/>")
    await juliet.receives(f"<presence from='{juliet.jid}'/>")
    await romeo.receives_nothing()
    await juliet.receives_nothing()


async def test_a_removal_withdraws_the_users_request_and_denies_that_of_the_contact(
    world: World, romeo: Client, juliet: Client
) -> None:
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    juliet.send(f"<presence type='subscribe' to='{ROMEO}'/>")
    await world.settle()
    remove = f"<query xmlns='jabber:iq:roster'><item jid='{JULIET}' subscription='remove'/></query>"
    await romeo.request("set", remove)
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("absent", "none")


# -- §3.4: pre-approval


async def test_an_approval_in_advance_is_noted_and_not_sent(world: World, romeo: Client, juliet: Client) -> None:
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    await juliet.receives(push(ROMEO, "none", "approved='true'"))
    await juliet.receives_nothing()
    await romeo.receives_nothing()
    assert await state(world, JULIET, ROMEO) == "none approved"


@pytest.mark.parametrize("online", [True, False])
async def test_a_request_that_was_approved_in_advance_is_answered_by_the_server(
    world: World, romeo: Client, online: bool
) -> None:
    juliet = await login(world, "juliet@localhost/balcony")
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    await world.settle()
    juliet.inbox.clear()
    if not online:
        await juliet.disconnect()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    assert (await state(world, ROMEO, JULIET), await state(world, JULIET, ROMEO)) == ("to", "from")
    seen = [(s.get("type"), s.get("from")) for s in romeo.inbox if s.name == "presence"]
    assert seen == [("subscribed", JULIET)] + [("", "juliet@localhost/balcony")] * online
    if online:
        await juliet.receives(push(ROMEO, "from"))
    await juliet.receives_nothing()


async def test_an_approval_in_advance_is_taken_back_without_a_word_to_the_contact(
    world: World, romeo: Client, juliet: Client
) -> None:
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/><presence type='unsubscribed' to='{ROMEO}'/>")
    await juliet.receives(push(ROMEO, "none", "approved='true'"))
    pushed = await juliet.receives(push(ROMEO, "none"))
    assert b"approved" not in pushed.to_bytes()
    await romeo.receives_nothing()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await juliet.receives(f"<presence type='subscribe' from='{ROMEO}'/>")
    assert await state(world, JULIET, ROMEO) == "none pending"


async def test_an_approval_in_advance_is_used_up_by_the_request(world: World, romeo: Client, juliet: Client) -> None:
    juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    await world.settle()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await world.settle()
    romeo.send(f"<presence type='unsubscribe' to='{JULIET}'/>")
    await world.settle()
    juliet.inbox.clear()
    romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await juliet.receives(f"<presence type='subscribe' from='{ROMEO}'/>")
    assert await state(world, JULIET, ROMEO) == "none pending"


# -- contacts of other servers


async def test_the_flow_with_a_contact_elsewhere(world: World, romeo: Client) -> None:
    away = world.elsewhere()
    benvolio = "benvolio@montague.example"

    def sent() -> list[tuple[str, str, str]]:
        stanzas = [(s.type, str(s.sender), str(s.to)) for s in away]
        away.clear()
        return stanzas

    romeo.send(f"<presence type='subscribe' to='{benvolio}/x'/>")
    await romeo.receives(push(benvolio, "none", "ask='subscribe'"))
    assert sent() == [("subscribe", ROMEO, benvolio)]
    await receive(world, from_elsewhere("subscribed"))
    await romeo.receives(f"<presence type='subscribed' from='{benvolio}' to='{ROMEO}'/>")
    await romeo.receives(push(benvolio, "to"))
    assert sent() == []
    await receive(world, from_elsewhere("subscribe"))
    await romeo.receives(f"<presence type='subscribe' from='{benvolio}' to='{ROMEO}'/>")
    sent()
    romeo.send(f"<presence type='subscribed' to='{benvolio}'/>")
    await romeo.receives(push(benvolio, "both"))
    assert sent()[:2] == [("subscribed", ROMEO, benvolio), ("", romeo.jid, benvolio)]
    await receive(world, from_elsewhere("unsubscribe"))
    await romeo.receives(f"<presence type='unsubscribe' from='{benvolio}' to='{ROMEO}'/>")
    await romeo.receives(push(benvolio, "to"))
    assert sent() == [("unavailable", romeo.jid, benvolio), ("unsubscribed", ROMEO, benvolio)]
    await receive(world, from_elsewhere("unsubscribed", f"{benvolio}/x", f"{ROMEO}/orchard"))
    await romeo.receives(f"<presence type='unsubscribed' from='{benvolio}' to='{ROMEO}'/>")
    await romeo.receives(push(benvolio, "none"))
    assert sent() == []


# -- §8.5.3.2.2


@pytest.mark.parametrize("type", ["subscribed", "unsubscribe", "unsubscribed"])
@pytest.mark.parametrize("online", [True, False])
async def test_subscription_stanzas_to_a_resource_that_is_gone_are_ignored(
    world: World, online: bool, type: str
) -> None:
    """The state is one in which the same stanza to the bare address would change something."""
    away = world.elsewhere()
    benvolio = "benvolio@montague.example"
    romeo = await login(world, "romeo@localhost/orchard")
    romeo.send(f"<presence type='subscribe' to='{benvolio}'/>")
    await receive(world, from_elsewhere("subscribe"))
    await world.settle()
    before = await state(world, ROMEO, benvolio)
    assert before == "none ask pending"
    romeo.inbox.clear()
    if not online:
        await romeo.disconnect()
    await world.settle()
    away.clear()
    await receive(world, from_elsewhere(type, to=f"{ROMEO}/gone"))
    await world.settle()
    assert await state(world, ROMEO, benvolio) == before
    await romeo.receives_nothing()
    assert away == []
