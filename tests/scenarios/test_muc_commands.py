"""What administrators do with rooms by ad-hoc command (XEP-0050)."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element

from .conftest import MakeWorld
from .rooms import JOIN, ROOM, USER, make_room
from .world import Client, World

COMMANDS = "http://jabber.org/protocol/commands"
DESTROY = "http://prosody.im/protocol/muc#destroy"
SERVICE = "conference.localhost"
ITEMS = "http://jabber.org/protocol/disco#items"
INFO = "http://jabber.org/protocol/disco#info"


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world("[hosts.localhost]\nadmins = ['wiccarocks']\n")


async def command(client: Client, *rooms: str, form: bool = True, more: str = "") -> Element:
    values = "".join(f"<value>{room}</value>" for room in rooms)
    x = f"<x xmlns='jabber:x:data' type='submit'><field var='rooms'>{values}</field></x>" if form else ""
    return await client.request("set", f"<command xmlns='{COMMANDS}' node='{DESTROY}' {more}>{x}</command>", SERVICE)


def condition(answer: Element) -> str:
    error = answer.child("jabber:client", "error")
    assert error is not None, answer
    return next(iter(error)).name


def notes(answer: Element) -> list[tuple[str, str]]:
    done = answer.child(COMMANDS, "command")
    assert done is not None, answer
    assert done.get("status") == "completed"
    return [(note.get("type"), note.text) for note in done if note.name == "note"]


async def test_an_administrator_destroys_rooms_of_others(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    admin = await world.login("wiccarocks@localhost/laptop")
    answer = await command(admin, ROOM, f"nowhere@{SERVICE}")
    assert notes(answer) == [
        ("info", f"The following rooms were destroyed:\n{ROOM}"),
        ("error", f"There are no such rooms:\nnowhere@{SERVICE}"),
    ]
    x = (await crone.receives(f"<presence type='unavailable' from='{ROOM}/firstwitch'/>")).child(USER, "x")
    assert x is not None
    assert [child.name for child in x] == ["destroy", "item", "status"]
    assert notes(await command(admin, ROOM)) == [("error", f"There are no such rooms:\n{ROOM}")]


async def test_a_room_in_which_nobody_is_is_destroyed_too(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    crone.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    await world.settle()
    admin = await world.login("wiccarocks@localhost/laptop")
    assert notes(await command(admin, ROOM))[0][0] == "info"
    crone.inbox.clear()
    crone.send(f"<presence to='{ROOM}/firstwitch'>{JOIN}</presence>")
    created = (await crone.receives(f"<presence from='{ROOM}/firstwitch'/>")).child(USER, "x")
    assert created is not None
    assert "201" in [status.get("code") for status in created], "another one"


async def test_it_asks_for_the_rooms_first_and_is_listed_for_who_may(world: World) -> None:
    admin, other = [await world.login(jid) for jid in ("wiccarocks@localhost/laptop", "hag66@localhost/pda")]
    asked = (await command(admin, form=False)).child(COMMANDS, "command")
    assert asked is not None
    assert asked.get("status") == "executing"
    form = asked.child("jabber:x:data", "x")
    assert form is not None
    assert [(field.get("var"), field.get("type")) for field in form if field.name == "field"][1:] == [
        ("rooms", "jid-multi")
    ]
    cancelled = (await command(admin, form=False, more="action='cancel'")).child(COMMANDS, "command")
    assert cancelled is not None
    assert cancelled.get("status") == "canceled"
    for client, listed in ((admin, [DESTROY]), (other, [])):
        found = await client.request("get", f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>", SERVICE)
        query = found.child(ITEMS, "query")
        assert query is not None
        assert [item.get("node") for item in query] == listed
    about = (await admin.request("get", f"<query xmlns='{INFO}' node='{DESTROY}'/>", SERVICE)).child(INFO, "query")
    assert about is not None
    assert next(iter(about)).get("type") == "command-node"
    assert condition(await other.request("get", f"<query xmlns='{INFO}' node='{DESTROY}'/>", SERVICE)) == "forbidden"
    assert condition(await admin.request("get", f"<query xmlns='{INFO}' node='x'/>", SERVICE)) == "item-not-found"


async def test_nobody_else_destroys_anything(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    assert condition(await command(crone, ROOM)) == "forbidden"
    await crone.receives_nothing()


@pytest.mark.parametrize(
    ("rooms", "error"),
    [
        ([], "not-acceptable"),
        (["cave@localhost"], "not-acceptable"),
        ([f"{ROOM}/firstwitch"], "not-acceptable"),
        (["a@b@c"], "jid-malformed"),
        ([f"r{number}@{SERVICE}" for number in range(1001)], "not-acceptable"),
    ],
)
async def test_what_names_no_rooms_of_the_service_is_refused(world: World, rooms: list[str], error: str) -> None:
    admin = await world.login("wiccarocks@localhost/laptop")
    assert condition(await command(admin, *rooms)) == error


async def test_there_is_no_other_command(world: World) -> None:
    admin = await world.login("wiccarocks@localhost/laptop")
    answer = await admin.request("set", f"<command xmlns='{COMMANDS}' node='x'/>", SERVICE)
    assert condition(answer) == "item-not-found"
