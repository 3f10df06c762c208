"""The log of a room: what members missed, its archive (XEP-0313), and what is taken back (XEP-0424, XEP-0425)."""

from __future__ import annotations

import pytest

from components.muc import Muc
from components.muc.notices import Notice

from .rooms import JOIN, OWNER, ROOM, USER, admin, bodies, crone, enter, hag, make_room, speak
from .world import Client, World

__all__ = ["crone", "hag"]


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
