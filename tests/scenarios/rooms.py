"""Rooms of `tests/scenarios/test_muc*.py`: Crone, who owns one, and Hag, who is in it."""

from __future__ import annotations

import pytest

from .world import Client, World

ROOM = "cave@conference.localhost"
JOIN = "<x xmlns='http://jabber.org/protocol/muc'/>"
USER = "http://jabber.org/protocol/muc#user"
OWNER = "http://jabber.org/protocol/muc#owner"
ADMIN = "http://jabber.org/protocol/muc#admin"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


async def enter(client: Client, nick: str, x: str = JOIN, room: str = ROOM) -> None:
    """Enter the room, and look at nothing of what comes."""
    client.send(f"<presence to='{room}/{nick}'>{x}</presence>")
    await client._world.settle()
    client.inbox.clear()


async def configure(client: Client, room: str = ROOM, **fields: str) -> None:
    answer = await client.request("set", f"<query xmlns='{OWNER}'>{form(**fields)}</query>", room)
    assert answer.get("type") == "result", answer


def form(**fields: str) -> str:
    values = "".join(
        f"<field var='muc#roomconfig_{var}'><value>{value}</value></field>" for var, value in fields.items()
    )
    return f"<x xmlns='jabber:x:data' type='submit'>{values}</x>"


async def admin(client: Client, item: str, type: str = "set") -> str:
    """What the answer is: result, or the condition of the error."""
    answer = await client.request(type, f"<query xmlns='{ADMIN}'>{item}</query>", ROOM)
    error = answer.child("jabber:client", "error")
    return next(iter(error)).name if error is not None else answer.get("type")


async def make_room(world: World, **fields: str) -> Client:
    """Crone, the owner, in a room that is configured."""
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    await configure(crone, **fields)
    crone.inbox.clear()
    return crone


@pytest.fixture
async def crone(world: World) -> Client:
    return await make_room(world)


@pytest.fixture
async def hag(world: World, crone: Client) -> Client:
    """A participant in the room."""
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    crone.inbox.clear()
    return hag


async def speak(client: Client, *words: str) -> None:
    for word in words:
        client.send(f"<message type='groupchat' to='{ROOM}' id='{word}'><body>{word}</body></message>")
    await client._world.settle()
    client.inbox.clear()


def bodies(client: Client) -> list[str]:
    return [each.child_text("jabber:client", "body") for each in client.inbox if each.child("jabber:client", "body")]
