"""XEP-0424: what was retracted is gone from every archive of ours."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, Stanza, qname

from .archive import JULIET, ROMEO, Answer, couple, query
from .conftest import HOSTS, MakeWorld
from .world import Client, World

NS = "urn:xmpp:message-retract:1"
SECRET = "Have not saints lips"


def say(id: str, to: str = JULIET, body: str = SECRET) -> str:
    return f"<message to='{to}' type='chat' id='{id}'><body>{body}</body><x xmlns='urn:x'/></message>"


def retract(id: str, to: str = JULIET, own: str = "r1") -> str:
    return (
        f"<message to='{to}' type='chat' id='{own}'><retract xmlns='{NS}' id='{id}'/><body>/me retracted</body>"
        "<store xmlns='urn:xmpp:hints'/></message>"
    )


def tombstones(answer: Answer) -> list[str]:
    """The ids of the messages that are but tombstones."""
    return [message.get("id") for message in answer.messages if is_tombstone(message)]


def is_tombstone(message: Element) -> bool:
    return [(child.ns, child.name) for child in message] == [(NS, "retracted")]


async def test_a_tombstone_stands_in_both_archives_and_the_retraction_too(world: World) -> None:
    """§4, §5"""
    romeo, juliet = await couple(world)
    romeo.send(say("m1"))
    await world.settle()
    before = [await query(client) for client in (romeo, juliet)]
    romeo.send(retract("m1"))
    await juliet.receives(f"<message><retract xmlns='{NS}' id='m1'/></message>")
    for client, earlier in zip((romeo, juliet), before, strict=True):
        answer = await query(client)
        assert answer.ids[0] == earlier.ids[0], "the id stays"
        assert SECRET.encode() not in b"".join(result.to_bytes() for result in answer.results)
        tombstone, retraction = answer.messages
        expected = {"from": f"{ROMEO}/orchard", "to": JULIET, "type": "chat", "id": "m1", "xml:lang": "en"}
        assert tombstone.attrs == expected
        (retracted,) = tombstone
        assert (retracted.ns, retracted.name, retracted.get("id")) == (NS, "retracted", "r1")
        assert parse_time(retracted.get("stamp")) > 0
        assert retraction.get("id") == "r1"
        by_id = await query(client, "", "")
        assert by_id.ids == answer.ids


async def test_any_device_of_the_author_may_retract(world: World) -> None:
    """§5: the same bare address"""
    romeo, juliet = await couple(world)
    garden = await world.login(f"{ROMEO}/garden")
    romeo.send(say("m1"))
    await world.settle()
    garden.send(retract("m1"))
    await world.settle()
    for client in (romeo, juliet):
        assert tombstones(await query(client)) == ["m1"]


async def test_nobody_else_may(world: World) -> None:
    """§5: not the receiver, not a third one"""
    romeo, juliet = await couple(world)
    nurse = await world.login("nurse@localhost/kitchen")
    romeo.send(say("m1"))
    await world.settle()
    juliet.send(retract("m1", ROMEO))
    nurse.send(retract("m1"))
    nurse.send(retract("m1", ROMEO))
    await world.settle()
    for client in (romeo, juliet):
        assert tombstones(await query(client)) == []


async def test_it_holds_for_the_conversation_alone(world: World) -> None:
    romeo, juliet = await couple(world)
    nurse = await world.login("nurse@localhost/kitchen")
    romeo.send(say("m1", "nurse@localhost"))
    romeo.send(say("m1"))
    await world.settle()
    romeo.send(retract("m1"))
    await world.settle()
    assert tombstones(await query(nurse)) == []
    assert tombstones(await query(juliet)) == ["m1"]
    assert [is_tombstone(message) for message in (await query(romeo)).messages] == [False, True, False]


async def test_of_several_with_one_id_the_newest_goes(world: World) -> None:
    """§6.1: clients that count from 1"""
    romeo, juliet = await couple(world)
    for body in ("old", "new"):
        romeo.send(say("1", body=body))
    await world.settle()
    romeo.send(retract("1"))
    romeo.send(retract("unknown"))
    await world.settle()
    assert (await query(juliet)).bodies[:2] == ["old", ""]


async def test_a_note_to_oneself(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    romeo.send(say("m1", ROMEO))
    await world.settle()
    romeo.send(retract("m1", ROMEO))
    await world.settle()
    assert tombstones(await query(romeo)) == ["m1"]


async def test_it_reaches_who_was_away(world: World) -> None:
    """§5: these clients will become aware of the retraction"""
    await world.account(JULIET)
    romeo = await world.login(f"{ROMEO}/orchard")
    romeo.send(say("m1"))
    await world.settle()
    romeo.send(retract("m1"))
    await world.settle()
    juliet = await world.login(f"{JULIET}/balcony")
    assert any(stanza.child(NS, "retract") is not None for stanza in juliet.inbox)
    assert tombstones(await query(juliet)) == ["m1"]


@pytest.mark.parametrize("archive", ["true", "false"])
async def test_who_was_away_never_gets_what_was_retracted_meanwhile(make_world: MakeWorld, archive: str) -> None:
    """§4: the copy that waits is a tombstone too, with the time and the id that the message had"""
    world = await make_world(f"{HOSTS}[modules.archive]\nenabled = {archive}")
    await world.account(JULIET)
    romeo = await world.login(f"{ROMEO}/orchard")
    romeo.send(say("m1"))
    romeo.send(say("m2", body="stays"))
    await world.settle()
    romeo.send(retract("m1"))
    await world.settle()
    juliet = await world.login(f"{JULIET}/balcony")
    tombstone = await juliet.receives(
        f"<message from='{ROMEO}/orchard' id='m1'><retracted xmlns='{NS}' id='r1' stamp='*'/>"
        "<delay xmlns='urn:xmpp:delay' from='*'/></message>"
    )
    assert SECRET.encode() not in tombstone.to_bytes()
    assert tombstone.child("urn:xmpp:sid:0", "stanza-id") is not None
    await juliet.receives("<message id='m2'><body>stays</body></message>")
    await juliet.receives(f"<message id='r1'><retract xmlns='{NS}' id='m1'/></message>")


@pytest.mark.parametrize("retraction", ["<retract xmlns='urn:xmpp:message-retract:1'/>", retract("", own="x")])
async def test_a_retraction_of_nothing_changes_nothing(world: World, retraction: str) -> None:
    romeo, juliet = await couple(world)
    romeo.send(f"<message to='{JULIET}' type='chat'><body>{SECRET}</body></message>")
    await world.settle()
    romeo.send(retraction if retraction.startswith("<message") else f"<message to='{JULIET}'>{retraction}</message>")
    await world.settle()
    assert (await query(juliet)).bodies[0] == SECRET


async def in_room(world: World, juliet: Client, nick: str, payload: str, id: str) -> None:
    """A private message of an occupant, as a room sends it."""
    data = f"{payload}<x xmlns='http://jabber.org/protocol/muc#user'/>".encode()
    end = len(payload.encode())
    key = qname(NS, "retract") if "retract" in payload else qname("jabber:client", "body")
    children = (
        Child(key, ["id", "m1"], 0, end),
        Child(qname("http://jabber.org/protocol/muc#user", "x"), [], end, len(data)),
    )
    sender = JID.parse(f"room@rooms.example/{nick}")
    await world.core.router.send(Stanza("message", sender, JID.parse(juliet.jid), "chat", id, "", None, children, data))


async def test_in_a_room_only_the_same_occupant_may(world: World) -> None:
    """§5: the same full address"""
    juliet = await world.login(f"{JULIET}/balcony")
    await in_room(world, juliet, "romeo", f"<body>{SECRET}</body>", "m1")
    await in_room(world, juliet, "tybalt", f"<retract xmlns='{NS}' id='m1'/>", "r1")
    assert tombstones(await query(juliet)) == []
    await in_room(world, juliet, "romeo", f"<retract xmlns='{NS}' id='m1'/>", "r2")
    assert tombstones(await query(juliet)) == ["m1"]
