"""XEP-0359: nobody can forge a stanza id that bears an address of ours."""

from __future__ import annotations

import pytest
import pytest_asyncio

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, Stanza, qname

from .conftest import HOSTS, MakeWorld
from .world import Client, World


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    """A server without archives."""
    return await make_world(f"{HOSTS}[modules.archive]\nenabled = false")


JULIET = "juliet@capulet.example"


def stanza_id(by: str, id: str = "forged") -> str:
    return f"<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='{id}'/>"


def ids(message: object) -> list[str]:
    return [child.get("by") for child in message if child.ns == ns.STANZA_ID]  # type: ignore[attr-defined]


async def sent(world: World, payload: str, to: str = JULIET) -> list[str]:
    """By whom the ids are that arrive, beside the one that the receiver's account gives."""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login(f"{JULIET}/balcony")
    receiver: Client = juliet if to == JULIET else romeo
    romeo.send(f"<message to='{to}' type='chat'><body>Hi</body>{payload}</message>")
    message = await receiver.receives("<message><body>Hi</body></message>")
    account = to.partition("/")[0]
    own = [child.get("id") for child in message if child.ns == ns.STANZA_ID and child.get("by") == account]
    assert len(own) == 1
    assert len(own[0]) == 20, "not the forged one"
    return [by for by in ids(message) if by != account]


@pytest.mark.parametrize(
    "by",
    [
        JULIET,  # the receiver's account
        "romeo@localhost",  # the sender's account, which gives ids to what it archives
        "nurse@capulet.example",  # another account of ours
        "localhost",
        "capulet.example",
        "Juliet@CAPULET.example",  # rule 7: addresses are compared, not texts
        "ＪＵＬＩＥＴ@capulet.example",  # noqa: RUF001
        f"{JULIET}/balcony",
    ],
)
async def test_an_id_that_bears_an_address_of_ours_is_cut_out(world: World, by: str) -> None:
    """§3 rule 2"""
    assert await sent(world, stanza_id(by)) == []


@pytest.mark.parametrize("by", ["room@conference.example", "example", "romeo@localhost.example"])
async def test_the_ids_of_others_stay(world: World, by: str) -> None:
    """§3 rule 3"""
    assert await sent(world, stanza_id(by)) == [by]


async def test_all_forged_ids_go_and_only_they(world: World) -> None:
    room = stanza_id("room@conference.example")
    payload = stanza_id(JULIET, "1") + "<x xmlns='urn:x'/>" + room + stanza_id(JULIET, "2")
    assert await sent(world, payload) == ["room@conference.example"]


async def test_the_origin_id_stays(world: World) -> None:
    """§2.2: its content is preserved"""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login(f"{JULIET}/balcony")
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='de305d54-75b4-431b-adb2-eb6b9e546013'/>"
    romeo.send(f"<message to='{JULIET}' type='chat'>{stanza_id(JULIET)}{origin}</message>")
    await juliet.receives(f"<message>{origin}</message>")


@pytest.mark.parametrize("element", ["<stanza-id xmlns='urn:xmpp:sid:0' id='1'/>", stanza_id(""), stanza_id("@")])
async def test_an_id_by_nobody_is_not_ours_to_cut(world: World, element: str) -> None:
    """§3 rules 3 and 5"""
    assert len(await sent(world, element)) == 1


async def test_an_id_in_a_message_to_oneself_is_cut_out(world: World) -> None:
    assert await sent(world, stanza_id("romeo@localhost"), to="romeo@localhost/orchard") == []


async def test_neither_bare_nor_carbon_copies_carry_a_forged_id(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    balcony = await world.login(f"{JULIET}/balcony")
    chamber = await world.login(f"{JULIET}/chamber")
    await chamber.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.send(f"<message to='{JULIET}/balcony' type='chat'><body>Hi</body>{stanza_id(JULIET)}</message>")
    await balcony.receives("<message/>")
    copy = await chamber.receives("<message><received xmlns='urn:xmpp:carbons:2'/></message>")
    assert b"forged" not in copy.to_bytes()
    assert copy.to_bytes().count(b"stanza-id") == 1


async def test_it_is_cut_out_of_what_leaves_for_another_server(world: World) -> None:
    elsewhere = world.elsewhere()
    romeo = await world.login("romeo@localhost/orchard")
    for by in ("romeo@localhost", "localhost", "rooms.example"):
        romeo.send(f"<message to='room@rooms.example' type='groupchat'>{stanza_id(by)}</message>")
    await world.settle()
    assert [ids(parse(stanza.to_bytes())) for stanza in elsewhere] == [[], [], ["rooms.example"]]


# from elsewhere: what a component or another server sends comes without a session


async def arrived(world: World, sender: str, by: str) -> list[str]:
    juliet = await world.login(f"{JULIET}/balcony")
    payload = stanza_id(by).encode()
    child = Child(qname(ns.STANZA_ID, "stanza-id"), ["by", by, "id", "1"], 0, len(payload))
    message = Stanza(
        "message", JID.parse(sender), JID.parse(f"{JULIET}/balcony"), "groupchat", "", "", None, (child,), payload
    )
    await world.core.router.send(message)
    return ids(await juliet.receives(f"<message from='{sender}'/>"))


async def test_the_id_of_a_room_stays_on_its_way_to_the_member(world: World) -> None:
    """§2.2; a room at a domain that we serve, and one elsewhere"""
    assert await arrived(world, "room@localhost/nick", "room@localhost") == ["room@localhost"]


async def test_the_id_of_a_room_elsewhere_stays(world: World) -> None:
    assert await arrived(world, "room@rooms.example/nick", "room@rooms.example") == ["room@rooms.example"]


@pytest.mark.parametrize("by", [JULIET, "localhost", "room@localhost"])
async def test_another_server_gives_no_ids_in_our_name(world: World, by: str) -> None:
    assert await arrived(world, "room@rooms.example/nick", by) == []


async def test_host_and_account_tell_that_their_ids_can_be_trusted(world: World) -> None:
    """§5"""
    romeo = await world.login("romeo@localhost/orchard")
    for to in ("localhost", "romeo@localhost"):
        answer = await romeo.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to)
        assert b"var='urn:xmpp:sid:0'" in answer.to_bytes()
