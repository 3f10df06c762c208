"""XEP-0115: the server learns what clients can do, and believes only what the hash proves."""

from __future__ import annotations

import time

import pytest

from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID

from .conftest import HOSTS, MakeWorld
from .world import Client, World

HOST = JID.parse("localhost")
NODE = "http://code.matthewwild.co.uk/clix/"
NICK = "http://jabber.org/protocol/nick"
INFO = Info(
    (Identity("client", "console", name="clix"),),
    ("http://jabber.org/protocol/disco#info", f"{NICK}+notify"),
)
CAPS = Caps.of(NODE, INFO)


def presence(caps: Caps = CAPS) -> str:
    return f"<presence>{caps.element().to_bytes().decode()}</presence>"


def answer(caps: Caps = CAPS, info: Info = INFO, *, to: str = "romeo@localhost", id: str = "disco") -> str:
    query: Element = Info(info.identities, info.features, info.forms, caps.disco_node).element()
    return f"<iq type='result' id='{id}' to='{to}'>{query.to_bytes().decode()}</iq>"


async def asked(client: Client, caps: Caps = CAPS) -> None:
    await client.receives(
        f"<iq type='get' id='disco' from='romeo@localhost'>"
        f"<query xmlns='http://jabber.org/protocol/disco#info' node='{caps.disco_node}'/></iq>"
    )
    client.forget("presence")


async def come_online(world: World, resource: str = "orchard", caps: Caps = CAPS) -> Client:
    client = await world.connect(f"romeo@localhost/{resource}")
    client.send(presence(caps))
    await world.settle()
    return client


async def test_an_unknown_hash_is_asked_for_before_the_presence_comes_back(world: World) -> None:
    romeo = await come_online(world)
    await asked(romeo)
    assert romeo.session.interests is None
    romeo.send(answer())
    await romeo.receives_nothing()
    assert romeo.session.interests == {NICK}


async def test_a_hash_that_is_proven_counts_for_everybody_and_is_not_asked_for_again(world: World) -> None:
    romeo = await come_online(world)
    romeo.send(answer())
    await world.settle()
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send(presence())
    await juliet.receives("<presence/>")
    await juliet.receives_nothing()
    assert juliet.session.interests == {NICK}


async def test_what_the_database_knows_is_known_from_the_first_presence_on(world: World) -> None:
    await world.store.capabilities.save(HOST, CAPS, INFO.element().to_bytes(), time.time_ns() // 1000, most=10)
    romeo = await come_online(world)
    await romeo.receives("<presence/>")
    assert romeo.session.interests == {NICK}


@pytest.mark.parametrize("hash", ["sha-1", "md2"])
async def test_an_answer_that_does_not_fit_counts_for_its_client_alone(world: World, hash: str) -> None:
    """§5.4 3.8, §8.1: caps poisoning"""
    false = Caps(NODE, CAPS.ver, hash)
    poison = Info(INFO.identities, (*INFO.features, "urn:xmpp:bookmarks:1+notify"))
    romeo = await come_online(world, caps=false)
    await asked(romeo, false)
    romeo.send(answer(false, poison))
    await world.settle()
    assert romeo.session.interests == {NICK, "urn:xmpp:bookmarks:1"}
    assert await world.store.capabilities.load(HOST, false, 1) is None
    other = await come_online(world, "street", false)
    await asked(other, false)
    assert other.session.interests is None


async def test_a_very_long_answer_counts_for_its_client_alone(world: World) -> None:
    """Thousands are remembered."""
    info = Info(INFO.identities, (*INFO.features, *(f"urn:example:{number}:{'x' * 100}" for number in range(200))))
    caps = Caps.of(NODE, info)
    romeo = await come_online(world, caps=caps)
    await asked(romeo, caps)
    romeo.send(answer(caps, info))
    await romeo.receives_nothing()
    assert romeo.session.interests == {NICK}
    await asked(await come_online(world, "garden", caps), caps)


async def test_nobody_answers_for_another_client(world: World) -> None:
    romeo = await come_online(world)
    juliet = await world.login("juliet@localhost/balcony")
    street = await world.login("romeo@localhost/street")
    for other in (juliet, street):
        other.send(answer())
        await world.settle()
    assert romeo.session.interests is None
    romeo.send(answer(id="another"))
    await world.settle()
    assert romeo.session.interests is None


@pytest.mark.parametrize(
    "reply",
    [
        "<iq type='error' id='disco' to='romeo@localhost'><error type='cancel'/></iq>",
        "<iq type='result' id='disco' to='romeo@localhost'/>",
        "<iq type='result' id='disco' to='romeo@localhost'><query xmlns='http://jabber.org/protocol/disco#info'>"
        "<feature/></query></iq>",
    ],
)
async def test_a_client_that_does_not_tell_is_interested_in_nothing(world: World, reply: str) -> None:
    romeo = await come_online(world)
    await asked(romeo)
    romeo.send(reply)
    await romeo.receives_nothing()
    assert romeo.session.interests is None


async def test_the_legacy_format_is_ignored(world: World) -> None:
    """§5.4 1"""
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence><c xmlns='http://jabber.org/protocol/caps' node='{NODE}' ver='0.9'/></presence>")
    await romeo.receives("<presence/>")
    await romeo.receives_nothing()


async def test_presence_that_says_nothing_of_it_changes_nothing(world: World) -> None:
    romeo = await come_online(world)
    romeo.send(answer())
    romeo.send("<presence><show>away</show></presence>")
    await world.settle()
    assert romeo.session.interests == {NICK}
    romeo.send(presence())
    romeo.forget("presence")
    await world.settle()
    assert not [stanza for stanza in romeo.inbox if stanza.get("id") == "disco" and stanza.get("type") == "set"]


async def test_capabilities_that_change_are_asked_for(world: World) -> None:
    romeo = await come_online(world)
    await asked(romeo)
    romeo.send(answer())
    more = Info(INFO.identities, ("urn:xmpp:bookmarks:1+notify",))
    caps = Caps.of(NODE, more)
    romeo.send(presence(caps))
    await asked(romeo, caps)
    romeo.send(answer(caps, more))
    await world.settle()
    assert romeo.session.interests == {"urn:xmpp:bookmarks:1"}


async def test_questions_that_wait_are_bounded(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.client_caps]\noutstanding = 1")
    first = await come_online(world)
    second = await come_online(world, "street")
    first.send(answer())
    await world.settle()
    assert first.session.interests is None
    second.send(answer())
    await world.settle()
    assert second.session.interests == {NICK}


async def test_listeners_are_told_when_interests_are_known(world: World) -> None:
    told: list[tuple[str, frozenset[str] | None]] = []
    hook = world.core.router.hosts["localhost"].hooks.interests_known
    hook.add(lambda known: told.append((known.session.resource, known.session.interests)), owner="test")
    romeo = await come_online(world)
    assert told == []
    romeo.send(answer())
    await world.settle()
    await come_online(world, "street")
    assert told == [("orchard", {NICK}), ("street", {NICK})]
    romeo.send("<presence type='unavailable'/>")
    await world.settle()
    assert romeo.session.interests is None
    romeo.send(presence())
    await world.settle()
    assert told[2:] == [("orchard", {NICK})]


async def test_without_the_database_presence_goes_out_and_the_client_is_asked(world: World) -> None:
    romeo = await world.connect("romeo@localhost/orchard")
    await world.store.database.close()
    romeo.send(presence())
    await asked(romeo)
    romeo.send(answer())
    await romeo.receives_nothing()
    assert romeo.session.interests == {NICK}


async def test_contacts_ask_for_a_hash_that_nobody_knows_but_not_all_of_them(world: World) -> None:
    """XEP-0060 §9.2"""
    for number in range(10):
        await world.subscribe("romeo@localhost", f"contact{number}@localhost")
        await world.login(f"contact{number}@localhost/home")
    romeo = await come_online(world)
    askers = {stanza.get("from") for stanza in romeo.inbox if stanza.name == "iq"}
    assert len(askers) == 5
    assert "romeo@localhost" in askers
    romeo.inbox.clear()
    for asker in askers:
        romeo.send(answer(to=asker))
    await romeo.receives_nothing()
    romeo.send(answer(to="romeo@localhost"))  # nobody waits for it
    await world.settle()
    romeo.send(presence())
    await world.settle()
    romeo.forget("presence")
    await romeo.receives_nothing()


async def test_an_answer_belongs_to_the_question_with_its_node(world: World) -> None:
    other = Caps.of(NODE, Info(INFO.identities, INFO.features[:1]))
    romeo = await come_online(world, caps=other)
    romeo.send(presence())
    await asked(romeo, other)
    await asked(romeo)
    romeo.send(answer(other, Info()))
    await world.settle()
    assert romeo.session.interests is None
    romeo.send(answer())
    await world.settle()
    assert romeo.session.interests == {NICK}
