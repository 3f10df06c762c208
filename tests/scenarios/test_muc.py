"""Rooms (XEP-0045): who enters, who speaks, who may do what to whom."""

from __future__ import annotations

import pytest

from components.muc import Muc
from components.muc.notices import Notice

from .conftest import MakeWorld
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


# -- §10.1 creating


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


# -- §7.2 entering


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


# -- §7.4 to §7.6


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


# -- §8 to §10: who may do what


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
        f"<item role='none' affiliation='none' jid='{hag.jid}'/><destroy jid='heath@conference.localhost'><reason>Macbeth doth come.</reason></destroy></x></presence>"
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


# -- XEP-0410, 0030


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


# -- what members miss


async def speak(client: Client, *words: str) -> None:
    for word in words:
        client.send(f"<message type='groupchat' to='{ROOM}' id='{word}'><body>{word}</body></message>")
    await client._world.settle()
    client.inbox.clear()


def bodies(client: Client) -> list[str]:
    return [each.child_text("jabber:client", "body") for each in client.inbox if each.child("jabber:client", "body")]


@pytest.mark.parametrize("count", [5, 230])
async def test_a_member_who_was_away_gets_all_that_he_missed_in_order(world: World, count: int) -> None:
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    await speak(crone, "first")
    assert bodies(hag) == ["first"]
    await hag.disconnect()
    words = [f"w{n}" for n in range(count)]
    await speak(crone, *words)
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await world.settle()
    assert bodies(hag) == words
    assert hag.inbox[-1].child("jabber:client", "subject") is not None
    await speak(crone, "live")
    assert bodies(hag) == [*words, "live"]


async def test_a_room_stands_when_the_server_is_started_anew(world: World) -> None:
    crone = await make_room(world, persistentroom="1", roomname="Cave")
    await speak(crone, "before")
    await crone.disconnect()
    await world.settle()
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await world.settle()
    assert bodies(hag) == ["before"]
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    assert (await crone.request("get", f"<query xmlns='{OWNER}'/>", ROOM)).get("type") == "result"


async def test_the_log_of_a_room_is_read_by_its_members_and_not_by_others(world: World) -> None:
    crone = await make_room(world, persistentroom="1", membersonly="1", whois="anyone")
    await speak(crone, "one", "two")
    query = "<query xmlns='urn:xmpp:mam:2' queryid='q'/>"
    answer = await crone.request("set", query, ROOM)
    assert answer.get("type") == "result"
    results = [each.child("urn:xmpp:mam:2", "result") for each in crone.inbox]
    assert len(results) == 2
    assert results[0] is not None
    message = next(iter(results[0])).child("jabber:client", "message")
    assert message is not None
    assert (message.get("from"), message.get("to")) == (f"{ROOM}/firstwitch", "")
    x = message.child(USER, "x")
    assert x is not None
    assert next(iter(x)).get("jid") == crone.jid
    hag = await world.login("hag66@localhost/pda")
    answer = await hag.request("set", query, ROOM)
    error = answer.child("jabber:client", "error")
    assert error is not None
    assert next(iter(error)).name == "forbidden"


async def test_a_moderator_takes_a_message_back(crone: Client, hag: Client) -> None:
    hag.send(f"<message type='groupchat' to='{ROOM}' id='bad'><body>spam</body></message>")
    message = await crone.receives("<message id='bad'/>")
    stanza_id = message.child("urn:xmpp:sid:0", "stanza-id")
    assert stanza_id is not None
    await hag.receives("<message id='bad'/>")
    moderate = (
        f"<moderate xmlns='urn:xmpp:message-moderate:1' id='{stanza_id.get('id')}'>"
        "<retract xmlns='urn:xmpp:message-retract:1'/><reason>spam</reason></moderate>"
    )
    assert (await hag.request("set", moderate, ROOM)).get("type") == "error"
    assert (await crone.request("set", moderate, ROOM)).get("type") == "result"
    await hag.receives(
        f"<message from='{ROOM}'><retract xmlns='urn:xmpp:message-retract:1' id='{stanza_id.get('id')}'>"
        f"<moderated xmlns='urn:xmpp:message-moderate:1' by='{ROOM}/firstwitch'/></retract></message>"
    )
    crone.inbox.clear()
    await crone.request("set", "<query xmlns='urn:xmpp:mam:2'/>", ROOM)
    first = crone.inbox[0].to_bytes()
    assert b"retracted" in first
    assert b"<body>" not in first


@pytest.mark.parametrize("own", [True, False])
async def test_who_takes_his_own_message_back_leaves_a_tombstone(crone: Client, hag: Client, own: bool) -> None:
    hag.send(f"<message type='groupchat' to='{ROOM}' id='bad'><body>secret</body></message>")
    message = await crone.receives("<message id='bad'/>")
    stanza_id = message.child("urn:xmpp:sid:0", "stanza-id")
    assert stanza_id is not None
    retract = f"<retract xmlns='urn:xmpp:message-retract:1' id='{stanza_id.get('id')}'/>"
    (hag if own else crone).send(f"<message type='groupchat' to='{ROOM}' id='r'>{retract}</message>")
    await crone.receives("<message id='r'><retract xmlns='urn:xmpp:message-retract:1'/></message>")
    crone.inbox.clear()
    await crone.request("set", "<query xmlns='urn:xmpp:mam:2'/>", ROOM)
    first = crone.inbox[0].to_bytes()
    assert (b"<retracted" in first) == own
    assert (b"secret" in first) != own


# -- bounds, and people who are gone


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


async def test_an_occupant_who_is_gone_without_a_word_is_put_out(world: World, crone: Client, hag: Client) -> None:
    error = f"<error type='cancel'><recipient-unavailable xmlns='{STANZAS}'/><text xmlns='{STANZAS}'>He is gone</text></error>"
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


async def test_one_notice_of_a_message_names_the_members_who_are_away_and_those_who_are_mentioned(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    for name in ("hag66", "witch", "hecate"):
        nick = " nick='Hecate'" if name == "hecate" else ""
        assert await admin(crone, f"<item affiliation='member' jid='{name}@localhost'{nick}/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    notices: list[Notice] = []
    muc.listeners.append(notices.append)
    mention = f"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:{ROOM}/Hecate'/>"
    crone.send(f"<message type='groupchat' to='{ROOM}' id='1'><body>Hecate!</body>{mention}</message>")
    crone.send(
        f"<message type='groupchat' to='{ROOM}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    await world.settle()
    (notice,) = notices
    assert {str(jid) for jid in notice.absent} == {"witch@localhost", "hecate@localhost"}
    assert {str(jid) for jid in notice.mentioned} == {"hecate@localhost"}
