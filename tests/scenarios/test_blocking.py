"""XEP-0191 §3 to §5, section by section."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.roster import RosterItem

from .conftest import HOSTS, MakeWorld
from .world import Client, World

NS = "urn:xmpp:blocking"
BLOCKED_ERROR = """
    <message type='error'><error type='cancel'>
        <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><blocked xmlns='urn:xmpp:blocking:errors'/>
    </error></message>"""
UNAVAILABLE_ERROR = """
    <{name} type='error'><error type='cancel'>
        <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
    </error></{name}>"""
LIST = f"<blocklist xmlns='{NS}'/>"


def items(name: str, *jids: str) -> str:
    children = "".join(f"<item jid='{jid}'/>" for jid in jids)
    return f"<{name} xmlns='{NS}'>{children}</{name}>"


async def change(client: Client, name: str, *jids: str) -> None:
    answer = await client.request("set", items(name, *jids))
    assert answer.get("type") == "result"


async def listed(client: Client) -> list[str]:
    answer = (await client.request("get", LIST)).child(NS, "blocklist")
    assert answer is not None
    return [item.get("jid") for item in answer]


async def condition(client: Client, payload: str) -> str:
    error = (await client.request("set", payload)).child("jabber:client", "error")
    assert error is not None
    return next(iter(error)).name


@pytest.fixture
async def friends(world: World) -> tuple[Client, Client]:
    """Romeo and Juliet, who see each other and are online."""
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    romeo = await world.login("romeo@localhost/orchard")
    return romeo, await world.login("juliet@localhost/balcony")


# -- §3.1 to §3.5: the list


async def test_the_host_says_that_it_blocks(world: World) -> None:
    assert NS in world.core.router.hosts["localhost"].features


async def test_the_list_is_empty_first_and_then_has_what_was_blocked(world: World) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    assert await listed(juliet) == []
    await change(juliet, "block", "romeo@montague.net", "iago@shakespeare.lit/x")
    await change(juliet, "block", "Romeo@Montague.NET", "shakespeare.lit")
    assert await listed(juliet) == ["iago@shakespeare.lit/x", "romeo@montague.net", "shakespeare.lit"]
    await change(juliet, "unblock", "shakespeare.lit", "never@blocked.example")
    assert await listed(juliet) == ["iago@shakespeare.lit/x", "romeo@montague.net"]
    await change(juliet, "unblock")
    assert await listed(juliet) == []


async def test_the_list_outlives_the_session(world: World) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    await change(juliet, "block", "romeo@localhost")
    await juliet.disconnect()
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<message to='juliet@localhost' type='chat'><body>x</body></message>")
    await romeo.receives(UNAVAILABLE_ERROR.format(name="message"))
    assert await listed(await world.connect("juliet@localhost/chamber")) == ["romeo@localhost"]


async def test_changes_are_pushed_to_the_resources_that_asked_for_the_list(world: World) -> None:
    chamber = await world.connect("juliet@localhost/chamber")
    balcony = await world.connect("juliet@localhost/balcony")
    phone = await world.connect("juliet@localhost/phone")
    await listed(chamber)
    await listed(balcony)
    phone.send(f"<iq type='set' id='b'>{items('block', 'romeo@montague.net', 'a.example')}</iq>")
    await phone.receives("<iq type='result' id='b'/>")
    for client in (chamber, balcony):
        await client.receives(
            f"<iq type='set' id='*' to='{client.jid}'>{items('block', 'romeo@montague.net', 'a.example')}</iq>"
        )
    await change(chamber, "unblock", "a.example")
    for client in (chamber, balcony):
        await client.receives(f"<iq type='set' id='*' to='{client.jid}'>{items('unblock', 'a.example')}</iq>")
    await change(chamber, "unblock")
    for client in (chamber, balcony):
        push = await client.receives(f"<iq type='set' id='*'><unblock xmlns='{NS}'/></iq>")
        assert not list(next(iter(push)))
    await phone.receives_nothing()


@pytest.mark.parametrize(
    ("expected", "payload"),
    [
        ("bad-request", f"<block xmlns='{NS}'/>"),
        ("bad-request", f"<block xmlns='{NS}'><other/></block>"),
        ("bad-request", f"<block xmlns='{NS}'><item/></block>"),
        ("bad-request", f"<unblock xmlns='{NS}'><item/></unblock>"),
        ("jid-malformed", items("block", "a@localhost", "@b")),
        ("jid-malformed", items("block", "")),
        ("jid-malformed", items("unblock", "a@b/")),
    ],
)
async def test_a_request_that_breaks_a_rule_changes_nothing(world: World, expected: str, payload: str) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    await change(juliet, "block", "romeo@montague.net")
    await listed(juliet)
    assert await condition(juliet, payload) == expected
    await juliet.receives_nothing()
    assert await listed(juliet) == ["romeo@montague.net"]


async def test_a_full_list_takes_no_more(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.blocking]\nlimit = 2\n")
    juliet = await world.connect("juliet@localhost/chamber")
    assert await condition(juliet, items("block", "a.example", "b.example", "c.example")) == "resource-constraint"
    await change(juliet, "block", "a.example", "b.example")
    await change(juliet, "block", "a.example")
    assert await condition(juliet, items("block", "c.example")) == "resource-constraint"


async def test_the_list_of_somebody_else_is_out_of_reach(world: World) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    romeo = await world.connect("romeo@localhost/orchard")
    answer = await romeo.request("set", items("block", "a.example"), "juliet@localhost")
    assert answer.get("type") == "error"
    assert await listed(juliet) == []


# -- §3.3: presence


async def test_whom_it_blocks_sees_the_user_leave_and_come_back(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    await juliet.receives("<presence type='unavailable' from='romeo@localhost/orchard' to='juliet@localhost'/>")
    romeo.send("<presence><show>away</show></presence>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    await juliet.receives_nothing()
    await change(romeo, "unblock", "juliet@localhost")
    await juliet.receives("<presence from='romeo@localhost/orchard' to='juliet@localhost'><show>away</show></presence>")


async def test_after_unblocking_the_user_sees_the_contact_again(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.send("<presence><show>dnd</show></presence>")
    await romeo.receives_nothing()
    await change(romeo, "unblock")
    await romeo.receives("<presence from='juliet@localhost/balcony'><show>dnd</show></presence>")


@pytest.mark.parametrize("entry", ["localhost", "juliet@localhost", "juliet@localhost/balcony"])
async def test_a_contact_is_covered_by_an_entry_of_each_form(friends: tuple[Client, Client], entry: str) -> None:
    romeo, juliet = friends
    await change(romeo, "block", entry)
    await juliet.receives("<presence type='unavailable' from='romeo@localhost/orchard'/>")
    await juliet.receives_nothing()
    juliet.send("<message to='romeo@localhost' type='chat'><body>x</body></message>")
    await juliet.receives(UNAVAILABLE_ERROR.format(name="message"))
    await change(romeo, "unblock", entry)
    await juliet.receives("<presence from='romeo@localhost/orchard'/>")


async def test_nothing_is_said_to_whom_does_not_see_the_user(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "to")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    await change(romeo, "block", "juliet@localhost", "nobody@localhost")
    await juliet.receives_nothing()
    await change(romeo, "unblock", "juliet@localhost")
    await juliet.receives_nothing()


async def test_blocking_twice_says_nothing_twice(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    await juliet.receives("<presence type='unavailable'/>")
    await change(romeo, "block", "juliet@localhost", "localhost")
    await juliet.receives_nothing()
    await change(romeo, "unblock", "juliet@localhost")  # the domain is still blocked
    await juliet.receives_nothing()


async def test_directed_presence_is_taken_back(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    romeo.send("<presence to='juliet@localhost/balcony'/>")
    await juliet.receives("<presence from='romeo@localhost/orchard'/>")
    await change(romeo, "block", "juliet@localhost")
    await juliet.receives("<presence type='unavailable' from='romeo@localhost/orchard'/>")
    await romeo.disconnect()
    await juliet.receives_nothing()


async def test_presence_of_any_type_from_a_blocked_contact_gets_no_answer(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    for type in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "unavailable"):
        juliet.send(f"<presence to='romeo@localhost' type='{type}'/>")
    juliet.send("<presence to='romeo@localhost'/>")
    await juliet.receives_nothing()
    await romeo.receives_nothing()


async def test_who_logs_in_sees_nothing_of_whom_blocked_it(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "both")
    romeo = await world.login("romeo@localhost/orchard")
    await change(romeo, "block", "localhost")
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send("<presence/>")
    await world.settle()
    assert not [stanza for stanza in juliet.inbox if stanza.get("from") == "romeo@localhost/orchard"]
    await romeo.receives_nothing()


async def test_subscriptions_stay_as_they_are(friends: tuple[Client, Client], world: World) -> None:
    romeo, _ = friends
    await change(romeo, "block", "juliet@localhost")
    async with world.core.accounts.use(JID.parse("romeo@localhost")) as account:
        assert account is not None
        assert account.roster.items[JID.parse("juliet@localhost")].subscription == "both"


async def test_a_request_that_waits_is_forgotten(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await world.account("romeo@localhost")
    juliet.send("<presence to='romeo@localhost' type='subscribe'/>")
    await world.settle()
    juliet.inbox.clear()
    romeo = await world.login("romeo@localhost/orchard")
    await change(romeo, "block", "juliet@localhost")
    await juliet.receives_nothing()
    romeo_jid = JID.parse("romeo@localhost")
    assert (await world.store.rosters.load(romeo_jid)).items == {}


# -- §3.3: stanzas from a blocked address


@pytest.mark.parametrize("type", ["chat", "normal"])
async def test_messages_from_a_blocked_address_are_answered(friends: tuple[Client, Client], type: str) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    for to in ("romeo@localhost", "romeo@localhost/orchard"):
        juliet.send(f"<message to='{to}' type='{type}'><body>x</body></message>")
        error = await juliet.receives(UNAVAILABLE_ERROR.format(name="message"))
        assert error.get("from") == to
    await romeo.receives_nothing()


@pytest.mark.parametrize("type", ["error", "headline", "groupchat"])
async def test_other_messages_from_a_blocked_address_are_dropped(friends: tuple[Client, Client], type: str) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    juliet.send(f"<message to='romeo@localhost/orchard' type='{type}'><body>x</body></message>")
    await juliet.receives_nothing()
    await romeo.receives_nothing()


@pytest.mark.parametrize("to", ["romeo@localhost", "romeo@localhost/orchard"])
@pytest.mark.parametrize("type", ["get", "set"])
async def test_requests_from_a_blocked_address_are_refused(friends: tuple[Client, Client], type: str, to: str) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    for payload in ("<query xmlns='http://jabber.org/protocol/disco#info'/>", "<query xmlns='jabber:iq:roster'/>"):
        juliet.send(f"<iq to='{to}' type='{type}' id='1'>{payload}</iq>")
        await juliet.receives(UNAVAILABLE_ERROR.format(name="iq"))
    await romeo.receives_nothing()


@pytest.mark.parametrize("type", ["result", "error"])
async def test_answers_from_a_blocked_address_are_dropped(friends: tuple[Client, Client], type: str) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    juliet.send(f"<iq to='romeo@localhost/orchard' type='{type}' id='1'/>")
    await juliet.receives_nothing()
    await romeo.receives_nothing()


async def test_after_unblocking_everything_is_delivered(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    await change(romeo, "unblock", "juliet@localhost")
    romeo.inbox.clear()
    juliet.send("<message to='romeo@localhost' type='chat'><body>x</body></message>")
    await romeo.receives("<message from='juliet@localhost/balcony'><body>x</body></message>")


# -- §3.3: stanzas to a blocked address


async def test_nothing_leaves_for_a_blocked_address(friends: tuple[Client, Client]) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    juliet.inbox.clear()
    romeo.send("<message to='juliet@localhost' type='chat' id='1'><body>Can you hear me now?</body></message>")
    await romeo.receives(BLOCKED_ERROR)
    romeo.send("<iq to='juliet@localhost/balcony' type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>")
    await romeo.receives(BLOCKED_ERROR.replace("message", "iq"))
    for type in ("subscribe", "unsubscribe", ""):
        romeo.send(f"<presence to='juliet@localhost' id='3' type='{type}'/>".replace(" type=''", ""))
        await romeo.receives(BLOCKED_ERROR.replace("message", "presence"))
    romeo.send("<message to='juliet@localhost' type='error'/><iq to='juliet@localhost/balcony' type='result' id='4'/>")
    await romeo.receives_nothing()
    await juliet.receives_nothing()


# -- §5, note: oneself


@pytest.mark.parametrize("entry", ["romeo@localhost", "localhost", "romeo@localhost/street"])
async def test_nobody_locks_himself_out(world: World, entry: str) -> None:
    orchard = await world.login("romeo@localhost/orchard")
    street = await world.login("romeo@localhost/street")
    await change(orchard, "block", entry)
    orchard.inbox.clear()
    street.inbox.clear()
    orchard.send("<message to='romeo@localhost/street' type='chat'><body>x</body></message>")
    await street.receives("<message from='romeo@localhost/orchard'><body>x</body></message>")
    street.send("<message to='romeo@localhost' type='chat'><body>y</body></message>")
    await orchard.receives("<message from='romeo@localhost/street'><body>y</body></message>")
    street.inbox.clear()
    street.send("<presence><show>away</show></presence>")
    await orchard.receives("<presence from='romeo@localhost/street'><show>away</show></presence>")
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    assert (await orchard.request("get", ping, "localhost")).get("type") == "result"
    assert (await orchard.request("get", ping, "romeo@localhost")).get("type") == "result"
    assert await listed(orchard) == [entry]
    await change(street, "unblock", entry)
    assert await listed(orchard) == []


async def test_a_removed_contact_who_is_blocked_is_told(friends: tuple[Client, Client], world: World) -> None:
    romeo, juliet = friends
    await change(romeo, "block", "juliet@localhost")
    await juliet.request("get", "<query xmlns='jabber:iq:roster'/>")
    juliet.inbox.clear()
    await romeo.request(
        "set", "<query xmlns='jabber:iq:roster'><item jid='juliet@localhost' subscription='remove'/></query>"
    )
    kinds = [stanza.get("type") for stanza in juliet.inbox if stanza.name == "presence"]
    assert kinds == ["unsubscribe", "unsubscribed"]
    item = RosterItem(JID.parse("romeo@localhost"))
    kept = (await world.store.rosters.load(JID.parse("juliet@localhost"))).items[item.jid]
    assert kept.subscription == "none"
