"""What a room and its service tell of themselves (XEP-0045 §6), and requests to those who are in it."""

from __future__ import annotations

import pytest

from .conftest import MakeWorld
from .rooms import ROOM, USER, configure, crone, enter, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]


async def test_a_ping_to_oneself_tells_whether_one_is_in_the_room(world: World, crone: Client, hag: Client) -> None:
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    assert (await hag.request("get", ping, f"{ROOM}/thirdwitch")).get("type") == "result"
    witch = await world.login("witch@localhost/laptop")
    answer = await witch.request("get", ping, f"{ROOM}/thirdwitch")
    error = answer.child("jabber:client", "error")
    assert error is not None
    assert next(iter(error)).name == "not-acceptable"


async def test_a_request_to_another_occupant_comes_back(crone: Client, hag: Client) -> None:
    hag.send(f"<iq type='get' id='v' to='{ROOM}/firstwitch'><query xmlns='jabber:iq:version'/></iq>")
    request = await crone.receives(f"<iq type='get' from='{ROOM}/thirdwitch'><query xmlns='jabber:iq:version'/></iq>")
    crone.send(
        f"<iq type='result' id='{request.get('id')}' to='{ROOM}/thirdwitch'><query xmlns='jabber:iq:version'/></iq>"
    )
    await hag.receives(f"<iq type='result' id='v' from='{ROOM}/firstwitch'><query xmlns='jabber:iq:version'/></iq>")


async def test_the_service_lists_its_public_rooms(world: World) -> None:
    crone = await make_room(world, roomname="A Dark Cave")
    await enter(crone, "firstwitch", room="heath@conference.localhost")
    await configure(crone, "heath@conference.localhost", publicroom="0")
    items = await crone.request(
        "get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", "conference.localhost"
    )
    assert [(item.get("jid"), item.get("name")) for item in next(iter(items))] == [(ROOM, "A Dark Cave")]
    info = await crone.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", ROOM)
    features = {child.get("var") for child in next(iter(info)) if child.name == "feature"}
    assert {"urn:xmpp:mam:2", "urn:xmpp:sid:0", "urn:xmpp:occupant-id:0", "muc_open", "vcard-temp"} <= features


@pytest.mark.parametrize(
    ("option", "fields", "listed"),
    [
        ("true", {}, [f"{ROOM}/firstwitch"]),
        ("true", {"publicroom": "0"}, []),
        ("true", {"membersonly": "1"}, []),
        ("false", {}, []),
    ],
)
async def test_who_is_in_a_room_is_told_outside_of_it_if_the_operator_wants_it_and_the_room_is_open(
    make_world: MakeWorld, option: str, fields: dict[str, str], listed: list[str]
) -> None:
    """§6.5, §14.4"""
    world = await make_world(f"[components.muc]\nlist_occupants = {option}\n")
    await make_room(world, **fields)
    hag = await world.login("hag66@localhost/pda")
    items = await hag.request("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", ROOM)
    assert [item.get("jid") for item in next(iter(items))] == listed


async def test_a_room_shows_its_avatar(crone: Client, hag: Client) -> None:
    vcard = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO></vCard>"
    assert (await hag.request("set", vcard, ROOM)).get("type") == "error"
    assert (await crone.request("set", vcard, ROOM)).get("type") == "result"
    await hag.receives(f"<message type='groupchat' from='{ROOM}'><x xmlns='{USER}'><status code='104'/></x></message>")
    info = next(iter(await hag.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", ROOM)))
    form = info.child("jabber:x:data", "x")
    assert form is not None
    fields = {field.get("var"): next(iter(field)).text for field in form if next(iter(field), None) is not None}
    assert fields["muc#roominfo_avatarhash"] == "29e2dcfbb16f63bb0254df7585a15bb6fb5e927d"
    assert (await hag.request("get", "<vCard xmlns='vcard-temp'/>", ROOM)).child("vcard-temp", "vCard") is not None
