"""Who may do what to whom in a room (XEP-0045 §8 to §10), and what its owner chooses."""

from __future__ import annotations

import pytest

from .rooms import ADMIN, JOIN, OWNER, ROOM, STANZAS, USER, admin, crone, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]


async def test_the_form_has_the_fields_of_the_registry(crone: Client) -> None:
    answer = await crone.request("get", f"<query xmlns='{OWNER}'/>", ROOM)
    query = answer.child(OWNER, "query")
    assert query is not None
    x = query.child("jabber:x:data", "x")
    assert x is not None
    names = {field.get("var").removeprefix("muc#roomconfig_") for field in x if field.name == "field"}
    assert {
        "roomname", "roomdesc", "lang", "persistentroom", "publicroom", "membersonly", "moderatedroom", "whois",
        "passwordprotectedroom", "roomsecret", "changesubject", "allowinvites", "allowpm", "enablelogging",
        "enablearchiving", "getmemberlist", "presencebroadcast", "maxusers", "roomadmins", "roomowners", "pubsub",
        "muc#maxhistoryfetch",
    } <= names  # fmt: skip


async def test_a_moderator_kicks(crone: Client, hag: Client) -> None:
    assert await admin(hag, "<item nick='firstwitch' role='none'/>") == "forbidden"
    item = "<item nick='thirdwitch' role='none'><reason>Avaunt</reason></item>"
    assert await admin(crone, item) == "result"
    await hag.receives(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item affiliation='none' role='none'>"
        "<actor nick='firstwitch'/><reason>Avaunt</reason></item><status code='110'/><status code='307'/></x>"
        "</presence>"
    )
    await crone.receives(f"<presence type='unavailable'><x xmlns='{USER}'><status code='307'/></x></presence>")


async def test_the_last_owner_stays(crone: Client) -> None:
    assert await admin(crone, "<item affiliation='admin' jid='crone@localhost'/>") == "conflict"
    assert await admin(crone, "<item affiliation='outcast' jid='crone@localhost'/>") == "conflict"
    assert await admin(crone, "<item affiliation='owner' jid='hag66@localhost'/>") == "result"
    assert await admin(crone, "<item affiliation='admin' jid='crone@localhost'/>") == "result"


async def test_a_ban_puts_out(crone: Client, hag: Client) -> None:
    assert (
        await admin(crone, "<item affiliation='outcast' jid='hag66@localhost'><reason>Treason</reason></item>")
        == "result"
    )
    await hag.receives(
        f"<presence type='unavailable'><x xmlns='{USER}'><item affiliation='outcast' role='none'>"
        "<reason>Treason</reason></item><status code='301'/></x></presence>"
    )
    answer = await crone.request("get", f"<query xmlns='{ADMIN}'><item affiliation='outcast'/></query>", ROOM)
    query = answer.child(ADMIN, "query")
    assert query is not None
    assert [(item.get("jid"), item.child_text(ADMIN, "reason")) for item in query] == [("hag66@localhost", "Treason")]


async def test_a_room_is_destroyed_with_another_to_go_to(crone: Client, hag: Client) -> None:
    destroy = "<destroy jid='heath@conference.localhost'><reason>Macbeth doth come.</reason></destroy>"
    answer = await hag.request("set", f"<query xmlns='{OWNER}'>{destroy}</query>", ROOM)
    assert answer.get("type") == "error"
    answer = await crone.request("set", f"<query xmlns='{OWNER}'>{destroy}</query>", ROOM)
    assert answer.get("type") == "result"
    await hag.receives(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch'><x xmlns='{USER}'>"
        f"<item role='none' affiliation='none' jid='{hag.jid}'/>"
        "<destroy jid='heath@conference.localhost'><reason>Macbeth doth come.</reason></destroy></x></presence>"
    )


@pytest.mark.parametrize(
    "item",
    [
        "<item nick='thirdwitch' role='none' affiliation='none'/>",
        "<item nick='thirdwitch'/>",
        "<item nick='thirdwitch' role='king'/>",
        "<item affiliation='king' jid='a@b'/>",
        "<item role='none'/>",
        "",
    ],
)
async def test_a_request_that_makes_no_sense_changes_nothing(crone: Client, hag: Client, item: str) -> None:
    assert await admin(crone, item) == "bad-request"
    await hag.receives_nothing()


async def test_of_several_changes_one_that_is_forbidden_stops_all(crone: Client, hag: Client) -> None:
    both = "<item affiliation='outcast' jid='hag66@localhost'/><item affiliation='outcast' jid='crone@localhost'/>"
    assert await admin(crone, both) == "conflict"
    await hag.receives_nothing()


async def test_registering_reserves_a_nickname(world: World) -> None:
    crone = await make_room(world)
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    field = "<field var='muc#register_roomnick'><value>thirdwitch</value></field>"
    submit = f"<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>{field}</x></query>"
    assert (await hag.request("set", submit, ROOM)).get("type") == "result"
    node = "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"
    query = next(iter(await hag.request("get", node, ROOM)))
    assert [identity.get("name") for identity in query] == ["thirdwitch"]
    witch = await world.login("witch@localhost/laptop")
    assert (await witch.request("set", submit, ROOM)).get("type") == "error"
    witch.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await witch.receives(
        f"<presence type='error'><error type='cancel'><conflict xmlns='{STANZAS}'/></error></presence>"
    )


@pytest.mark.parametrize(
    "item", ["<item nick='thirdwitch' role='none'/>", "<item jid='hag66@localhost' affiliation='outcast'/>"]
)
async def test_who_is_put_out_twice_by_one_request_is_out(crone: Client, hag: Client, item: str) -> None:
    assert await admin(crone, item * 2) == "result"
    gone = f"<presence type='unavailable' from='{ROOM}/thirdwitch'/>"
    await hag.receives(gone)
    await crone.receives(gone)
    await crone.receives_nothing()
