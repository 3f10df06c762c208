"""Rooms (XEP-0045): who makes, enters and leaves them."""

from __future__ import annotations

import pytest

from .rooms import JOIN, OWNER, ROOM, STANZAS, USER, admin, configure, crone, enter, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]


async def test_a_room_is_made_by_entering_it_and_is_locked_until_it_is_configured(world: World) -> None:
    crone = await world.login("crone@localhost/desktop")
    hag = await world.login("hag66@localhost/pda")
    crone.send(f"<presence id='1' to='{ROOM}/firstwitch'>{JOIN}</presence>")
    await crone.receives(
        f"<presence from='{ROOM}/firstwitch' id='1'><x xmlns='{USER}'><item affiliation='owner' role='moderator' "
        f"jid='{crone.jid}'/><status code='110'/><status code='201'/></x>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0'/></presence>"
    )
    await crone.receives(f"<message type='groupchat' from='{ROOM}'><subject/></message>")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(
        f"<presence type='error' from='{ROOM}/thirdwitch'><x xmlns='http://jabber.org/protocol/muc'/>"
        f"<error type='cancel' by='{ROOM}'><item-not-found xmlns='{STANZAS}'/></error></presence>"
    )
    await configure(crone)
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/firstwitch'><x xmlns='{USER}'><item role='moderator'/></x></presence>")
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='110'/></x></presence>")
    await hag.receives(f"<message type='groupchat' from='{ROOM}'><subject/></message>")
    await crone.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item jid='{hag.jid}'/></x></presence>")


async def test_who_cancels_the_first_configuration_destroys_the_room(world: World) -> None:
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    answer = await crone.request(
        "set", f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='cancel'/></query>", ROOM
    )
    assert answer.get("type") == "result"
    info = await crone.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", ROOM)
    assert info.get("type") == "error"


@pytest.mark.parametrize(
    ("fields", "item", "x", "condition", "type"),
    [
        ({"roomsecret": "cauldronburn"}, "", JOIN, "not-authorized", "auth"),
        ({"membersonly": "1"}, "", JOIN, "registration-required", "auth"),
        ({}, "<item affiliation='outcast' jid='hag66@localhost'/>", JOIN, "forbidden", "auth"),
        ({}, "<item affiliation='member' jid='x@localhost' nick='thirdwitch'/>", JOIN, "conflict", "cancel"),
        ({"maxusers": "1"}, "", JOIN, "service-unavailable", "wait"),
    ],
)
async def test_who_may_not_enter_is_told_why(
    world: World, fields: dict[str, str], item: str, x: str, condition: str, type: str
) -> None:
    crone = await make_room(world, **fields)
    if item:
        assert await admin(crone, item) == "result"
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence id='1' to='{ROOM}/thirdwitch'>{x}</presence>")
    await hag.receives(
        f"<presence id='1' type='error' from='{ROOM}/thirdwitch'>"
        f"<error type='{type}' by='{ROOM}'><{condition} xmlns='{STANZAS}'/></error></presence>"
    )


async def test_the_password_opens_the_door(world: World) -> None:
    await make_room(world, roomsecret="cauldronburn")
    hag = await world.login("hag66@localhost/pda")
    x = "<x xmlns='http://jabber.org/protocol/muc'><password>cauldronburn</password></x>"
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{x}</presence>")
    await hag.receives(f"<presence from='{ROOM}/firstwitch'/>")


async def test_presence_without_the_join_of_one_who_is_not_there_is_answered_by_a_kick(
    world: World, crone: Client
) -> None:
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'/>")
    await hag.receives(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item role='none'/>"
        "<status code='110'/><status code='307'/><status code='333'/></x></presence>"
    )


async def test_real_addresses_are_seen_by_moderators_alone_unless_the_room_is_non_anonymous(
    world: World, crone: Client, hag: Client
) -> None:
    witch = await world.login("witch@localhost/laptop")
    witch.send(f"<presence to='{ROOM}/second'>{JOIN}</presence>")
    await world.settle()
    seen = [stanza.child(USER, "x") for stanza in (*crone.inbox, *hag.inbox)]
    jids = [next(iter(x)).get("jid") for x in seen if x is not None]
    assert jids == [witch.jid, ""]


async def test_the_same_account_may_enter_twice_with_one_nickname(world: World, crone: Client, hag: Client) -> None:
    laptop = await world.login("hag66@localhost/laptop")
    await enter(laptop, "thirdwitch")
    hag.inbox.clear()
    crone.inbox.clear()
    crone.send(f"<message type='groupchat' to='{ROOM}' id='a'><body>Hi</body></message>")
    for client in (crone, hag, laptop):
        await client.receives(f"<message type='groupchat' id='a' from='{ROOM}/firstwitch'><body>Hi</body></message>")
    laptop.send(f"<presence type='unavailable' to='{ROOM}/thirdwitch'/>")
    await laptop.receives(f"<presence type='unavailable' from='{ROOM}/thirdwitch'/>")
    await crone.receives(f"<presence from='{ROOM}/thirdwitch'/>")


async def test_a_nickname_is_changed_before_all_eyes(crone: Client, hag: Client) -> None:
    hag.send(f"<presence to='{ROOM}/oldhag'/>")
    for client, own in ((hag, "<status code='110'/>"), (crone, "")):
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item nick='oldhag'/>"
            f"<status code='303'/>{own}</x></presence>"
        )
        await client.receives(f"<presence from='{ROOM}/oldhag'/>")
    hag.send(f"<presence to='{ROOM}/firstwitch'/>")
    await hag.receives(f"<presence type='error'><error type='cancel'><conflict xmlns='{STANZAS}'/></error></presence>")


async def test_one_s_own_presence_comes_back_with_its_id(crone: Client, hag: Client) -> None:
    """As at entering (§7.2.2): so that a client knows which of its changes the room answers."""
    hag.send(f"<presence id='away' to='{ROOM}/thirdwitch'><show>away</show></presence>")
    await hag.receives(f"<presence id='away' from='{ROOM}/thirdwitch'><show>away</show></presence>")
    hag.send(f"<presence id='nick' to='{ROOM}/oldhag'/>")
    await hag.receives(f"<presence id='nick' type='unavailable' from='{ROOM}/thirdwitch'/>")
    await hag.receives(f"<presence id='nick' from='{ROOM}/oldhag'/>")
    hag.send(f"<presence id='gone' type='unavailable' to='{ROOM}/oldhag'/>")
    await hag.receives(f"<presence id='gone' type='unavailable' from='{ROOM}/oldhag'/>")
    assert [each.get("id") for each in crone.inbox] == ["", "", "", ""]


async def test_who_leaves_is_told_first_and_an_empty_room_is_gone(world: World, crone: Client, hag: Client) -> None:
    hag.send(f"<presence type='unavailable' to='{ROOM}/thirdwitch'><status>gone</status></presence>")
    await hag.receives(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch'><status>gone</status><x xmlns='{USER}'>"
        "<item role='none'/><status code='110'/></x></presence>"
    )
    await crone.receives(f"<presence type='unavailable' from='{ROOM}/thirdwitch'><status>gone</status></presence>")
    await crone.disconnect()
    await world.settle()
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='201'/></x></presence>")


async def test_an_occupant_who_is_gone_without_a_word_is_put_out(world: World, crone: Client, hag: Client) -> None:
    condition = f"<recipient-unavailable xmlns='{STANZAS}'/><text xmlns='{STANZAS}'>He is gone</text>"
    error = f"<error type='cancel'>{condition}</error>"
    hag.send(f"<message type='error' to='{ROOM}/firstwitch'>{error}</message>")
    await crone.receives(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='333'/></x>"
        "<status>Kicked: recipient unavailable: He is gone</status></presence>"
    )


async def test_people_of_elsewhere_make_no_rooms(world: World) -> None:
    stranger = await world.login("iago@capulet.example/x")
    stranger.send(f"<presence to='{ROOM}/iago'>{JOIN}</presence>")
    await stranger.receives(
        f"<presence type='error' from='{ROOM}/iago'><error type='cancel'><not-allowed xmlns='{STANZAS}'/></error>"
        "</presence>"
    )


@pytest.mark.parametrize("known", [True, False])
async def test_nobody_enters_a_room_over_and_over_or_tries_all_passwords(world: World, known: bool) -> None:
    await make_room(world, roomsecret="cauldronburn")
    hag = await world.login("hag66@localhost/pda")
    password = "cauldronburn" if known else "guess"
    x = f"<x xmlns='http://jabber.org/protocol/muc'><password>{password}</password></x>"
    for _ in range(70):
        hag.send(f"<presence to='{ROOM}/thirdwitch'>{x}</presence>")
    await world.settle()
    error = hag.inbox[-1].child("jabber:client", "error")
    assert error is not None
    assert (error.get("type"), next(iter(error)).name) == ("wait", "resource-constraint")
    refused = [each for each in hag.inbox if each.get("type") == "error"]
    assert len(refused) == (10 if known else 70)


async def test_an_account_makes_so_many_rooms_in_an_hour(world: World) -> None:
    crone = await world.login("crone@localhost/desktop")
    for n in range(20):
        await enter(crone, "firstwitch", room=f"cave{n}@conference.localhost")
    crone.send(f"<presence id='late' to='{ROOM}/firstwitch'>{JOIN}</presence>")
    error = f"<error type='wait'><resource-constraint xmlns='{STANZAS}'/></error>"
    await crone.receives(f"<presence type='error' id='late' from='{ROOM}/firstwitch'>{error}</presence>")
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='201'/></x></presence>")
