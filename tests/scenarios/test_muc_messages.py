"""Messages in rooms (XEP-0045 §7.4, §7.5, §8.1): to all, to one, and of the subject; and what is too much."""

from __future__ import annotations

import time

import pytest

from components.muc import Muc

from .rooms import JOIN, ROOM, STANZAS, USER, admin, bodies, crone, enter, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]


async def test_a_message_is_reflected_with_its_id_and_ids_of_the_room(crone: Client, hag: Client) -> None:
    forged = (
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='f'/>"
        f"<x xmlns='{USER}'><item affiliation='owner'/></x>"
    )
    hag.send(f"<message type='groupchat' to='{ROOM}' id='m1'><body>Harpier cries</body>{forged}</message>")
    for client in (crone, hag):
        message = await client.receives(
            f"<message type='groupchat' id='m1' from='{ROOM}/thirdwitch'><body>Harpier cries</body></message>"
        )
        ids = [child for child in message if child.name == "stanza-id"]
        assert [each.get("by") for each in ids] == [ROOM]
        assert ids[0].get("id") != "forged"
        assert [child.get("id") for child in message if child.name == "occupant-id"] != ["f"]
        assert message.child(USER, "x") is None


async def test_who_is_not_in_the_room_speaks_to_nobody(world: World, crone: Client) -> None:
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<message type='groupchat' to='{ROOM}' id='1'><body>Hi</body></message>")
    await hag.receives(f"<message type='error' id='1'><error><not-acceptable xmlns='{STANZAS}'/></error></message>")
    hag.send(f"<message type='chat' to='{ROOM}/firstwitch' id='2'><body>Hi</body></message>")
    await hag.receives(f"<message type='error' id='2'><error><not-acceptable xmlns='{STANZAS}'/></error></message>")
    await crone.receives_nothing()


async def test_a_private_message_goes_to_one(crone: Client, hag: Client) -> None:
    hag.send(f"<message type='chat' to='{ROOM}/firstwitch' id='p'><body>I'll give thee a wind</body></message>")
    await crone.receives(
        f"<message type='chat' id='p' from='{ROOM}/thirdwitch'><body>I'll give thee a wind</body>"
        f"<x xmlns='{USER}'/></message>"
    )
    await hag.receives_nothing()
    hag.send(f"<message type='groupchat' to='{ROOM}/firstwitch' id='q'><body>x</body></message>")
    await hag.receives(
        f"<message type='error' id='q'><error type='modify'><bad-request xmlns='{STANZAS}'/></error></message>"
    )
    hag.send(f"<message type='chat' to='{ROOM}/nobody' id='r'><body>x</body></message>")
    await hag.receives(f"<message type='error' id='r'><error><item-not-found xmlns='{STANZAS}'/></error></message>")


async def test_the_subject_is_kept_with_its_author_and_its_time(world: World, crone: Client, hag: Client) -> None:
    hag.send(f"<message type='groupchat' to='{ROOM}' id='1'><subject>Mine</subject></message>")
    await hag.receives(
        f"<message type='error' id='1'><error type='auth'><forbidden xmlns='{STANZAS}'/></error></message>"
    )
    crone.send(f"<message type='groupchat' to='{ROOM}'><subject>Fire Burn</subject></message>")
    await hag.receives(f"<message type='groupchat' from='{ROOM}/firstwitch'><subject>Fire Burn</subject></message>")
    witch = await world.login("witch@localhost/laptop")
    witch.send(f"<presence to='{ROOM}/second'>{JOIN}</presence>")
    await world.settle()
    witch.forget("presence")
    await witch.receives(
        f"<message type='groupchat' from='{ROOM}/firstwitch'><subject>Fire Burn</subject>"
        f"<delay xmlns='urn:xmpp:delay' from='{ROOM}'/></message>"
    )


async def test_voice_is_asked_for_and_given(world: World) -> None:
    crone = await make_room(world, moderatedroom="1")
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    crone.inbox.clear()
    hag.send(f"<message type='groupchat' to='{ROOM}' id='1'><body>Hi</body></message>")
    await hag.receives(
        f"<message type='error' id='1'><error type='auth'><forbidden xmlns='{STANZAS}'/></error></message>"
    )
    field = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>"
    hag.send(
        f"<message to='{ROOM}'><x xmlns='jabber:x:data' type='submit'>{field}"
        "<field var='muc#role'><value>participant</value></field></x></message>"
    )
    await crone.receives(f"<message from='{ROOM}'><x xmlns='jabber:x:data' type='form'/></message>")
    crone.send(
        f"<message to='{ROOM}'><x xmlns='jabber:x:data' type='submit'>{field}"
        "<field var='muc#roomnick'><value>thirdwitch</value></field>"
        "<field var='muc#request_allow'><value>true</value></field></x></message>"
    )
    await hag.receives(
        f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item role='participant'/></x></presence>"
    )


async def test_invitations_go_through_the_room_and_make_members(world: World) -> None:
    crone = await make_room(world, membersonly="1")
    hag = await world.login("hag66@localhost/pda")
    crone.send(
        f"<message to='{ROOM}' id='i'><x xmlns='{USER}'><invite to='hag66@localhost'><reason>Hey</reason></invite>"
        "</x></message>"
    )
    await hag.receives(
        f"<message from='{ROOM}' id='i'><x xmlns='{USER}'><invite from='{ROOM}/firstwitch'><reason>Hey</reason>"
        f"</invite></x><x xmlns='jabber:x:conference' jid='{ROOM}'/></message>"
    )
    hag.send(f"<message to='{ROOM}'><x xmlns='{USER}'><decline to='{ROOM}/firstwitch'/></x></message>")
    await world.settle()
    crone.inbox.popleft()
    await crone.receives(f"<message from='{ROOM}'><x xmlns='{USER}'><decline from='hag66@localhost'/></x></message>")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/firstwitch'/>")


async def test_a_flood_of_one_occupant_reaches_nobody(world: World, crone: Client, hag: Client) -> None:
    for n in range(250):
        hag.send(f"<message type='groupchat' to='{ROOM}' id='{n}'><body>spam</body></message>")
    await world.settle()
    assert len(bodies(crone)) < 220
    refused = [each for each in hag.inbox if each.get("type") == "error"]
    error = refused[-1].child("jabber:client", "error")
    assert error is not None
    assert (error.get("type"), next(iter(error)).name) == ("wait", "resource-constraint")


async def test_what_is_too_large_is_refused(crone: Client, hag: Client) -> None:
    large = "x" * 200_000
    crone.send(f"<message type='groupchat' to='{ROOM}' id='1'><subject>{large}</subject></message>")
    await crone.receives(f"<message type='error' id='1'><error><policy-violation xmlns='{STANZAS}'/></error></message>")
    await hag.receives_nothing()


async def test_a_private_message_that_comes_back_is_told_to_who_wrote_it(crone: Client, hag: Client) -> None:
    hag.send(f"<message type='chat' to='{ROOM}/firstwitch' id='p'><body>x</body></message>")
    await crone.receives("<message id='p'/>")
    error = f"<error type='wait'><resource-constraint xmlns='{STANZAS}'/></error>"
    crone.send(f"<message type='error' to='{ROOM}/thirdwitch' id='p'>{error}<body>x</body></message>")
    told = await hag.receives(f"<message type='error' id='p' from='{ROOM}/firstwitch'>{error}</message>")
    assert [child.name for child in told] == ["error"]


async def test_nobody_is_told_that_one_of_many_did_not_get_what_he_said(crone: Client, hag: Client) -> None:
    crone.send(f"<message type='groupchat' to='{ROOM}' id='g'><body>x</body></message>")
    await crone.receives("<message id='g'/>")
    error = f"<error type='wait'><resource-constraint xmlns='{STANZAS}'/></error>"
    hag.send(f"<message type='error' to='{ROOM}/firstwitch' id='g'>{error}</message>")
    await crone.receives_nothing()


@pytest.mark.parametrize(
    "stanza",
    [
        f"<message to='{ROOM}' id='%d'><x xmlns='{USER}'><invite to='witch@localhost'/></x></message>",
        f"<message to='{ROOM}' id='%d'><x xmlns='jabber:x:data' type='submit'/></message>",
        f"<message to='{ROOM}/firstwitch' type='chat' id='%d'><body>x</body></message>",
        f"<iq to='{ROOM}/firstwitch' type='get' id='%d'><query xmlns='jabber:iq:version'/></iq>",
        f"<presence to='{ROOM}/thirdwitch' id='%d'><show>away</show></presence>",
    ],
)
async def test_nothing_that_goes_on_to_others_goes_on_without_a_bound(
    world: World, stanza: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crone = await make_room(world, moderatedroom="1")
    hag, witch = [await world.login(address) for address in ("hag66@localhost/pda", "witch@localhost/laptop")]
    await enter(hag, "thirdwitch")
    crone.inbox.clear()
    now = time.time_ns() // 1000
    monkeypatch.setattr(Muc, "now", lambda _: now)
    for n in range(250):
        hag.send(stanza % n)
    await world.settle()
    assert 190 <= len(crone.inbox) + len(witch.inbox) <= 201
    error = hag.inbox[-1].child("jabber:client", "error")
    assert error is not None
    assert (error.get("type"), next(iter(error)).name) == ("wait", "resource-constraint")


async def test_who_is_banned_declines_nothing(world: World, crone: Client) -> None:
    assert await admin(crone, "<item affiliation='outcast' jid='hag66@localhost'/>") == "result"
    crone.inbox.clear()
    hag = await world.login("hag66@localhost/pda")
    decline = f"<decline to='{ROOM}/firstwitch'><reason>Buy</reason></decline>"
    hag.send(f"<message to='{ROOM}' id='d'><x xmlns='{USER}'>{decline}</x></message>")
    await hag.receives(
        f"<message type='error' id='d'><error type='auth'><forbidden xmlns='{STANZAS}'/></error></message>"
    )
    await crone.receives_nothing()
