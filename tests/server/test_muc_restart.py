"""Rooms over a stop and over a crash: who can resume is still in them, others are told, and members miss nothing."""

from __future__ import annotations

import asyncio

import pytest

from components.muc.service import Muc
from tests.server.conftest import MakeServer
from tests.server.managed_client import SM, ManagedClient
from tests.server.running import RunningServer
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import Matching

ROOM = "cave@conference.localhost"
USER = "http://jabber.org/protocol/muc#user"
JOIN = "<x xmlns='http://jabber.org/protocol/muc'/>"
PERSISTENT = (
    "<iq type='set' id='c' to='cave@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>"
    "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_persistentroom'><value>1</value></field></x>"
    "</query></iq>"
)
MEMBER = (
    "<iq type='set' id='m' to='cave@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'>"
    "<item affiliation='member' jid='romeo@localhost'/></query></iq>"
)


async def until(client: ManagedClient, kind: str, key: str, value: str) -> Element:
    """The next stanza of this name whose attribute or body is this."""
    while True:
        element = await client.read()
        if element.name == kind and value in (element.get(key), element.child_text("jabber:client", key)):
            return element


async def enter(client: ManagedClient, nick: str) -> None:
    await client.send(f"<presence to='{ROOM}/{nick}'>{JOIN}</presence>")
    await until(client, "message", "subject", "")


async def a_room(server: RunningServer) -> tuple[ManagedClient, ManagedClient]:
    """Juliet, its owner, and Romeo, a member, in a room that stays."""
    await server.account("juliet")
    await server.account("romeo")
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    romeo = await ManagedClient.enable(server, "romeo", "orchard")
    await enter(juliet, "juliet")
    for request, id in ((PERSISTENT, "c"), (MEMBER, "m")):
        await juliet.send(request)
        await until(juliet, "iq", "id", id)
    await enter(romeo, "romeo")
    return juliet, romeo


async def speak(client: ManagedClient, text: str) -> None:
    await client.send(f"<message type='groupchat' to='{ROOM}' id='{text}'><body>{text}</body></message>")


async def test_who_resumes_is_still_in_the_room(server: RunningServer, make_server: MakeServer) -> None:
    juliet, romeo = await a_room(server)
    await speak(juliet, "before")
    await until(romeo, "message", "body", "before")
    await server.stop()
    again = await make_server()
    juliet, romeo = await juliet.resume(again), await romeo.resume(again)
    assert juliet.answer.name == romeo.answer.name == "resumed"
    await speak(juliet, "after")
    message = await until(romeo, "message", "body", "after")
    assert message.get("from") == f"{ROOM}/juliet"


async def test_who_is_still_in_the_room_may_say_what_is_logged_since_before_a_crash(
    server: RunningServer, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.muc.history._MOST", 1)
    juliet, _ = await a_room(server)
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='{0}'/>"
    message = f"<message type='groupchat' to='{ROOM}' id='{{0}}'><body>{{0}}</body>{origin}</message>"
    for id in ("1", "2"):
        await juliet.send(message.format(id))
        await until(juliet, "message", "body", id)
    await server.stop()
    again = await make_server()
    juliet = await juliet.resume(again)
    await juliet.send(message.format("1"))
    await until(juliet, "message", "body", "1")
    muc = again.app.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    assert len(await muc._rooms.log.page(JID.parse(ROOM), Matching(), limit=9)) == 2


async def test_who_was_being_brought_up_to_date_at_the_stop_is_so_after_it(
    server: RunningServer, make_server: MakeServer
) -> None:
    juliet, romeo = await a_room(server)
    await speak(juliet, "before")
    await until(romeo, "message", "body", "before")
    rooms = server.app.core.components.running["conference.localhost"]
    assert isinstance(rooms, Muc)
    assert romeo.jid is not None
    rooms._live[JID.parse(ROOM)].room.behind.add(romeo.jid)  # as while a page of the log is on its way to him
    await speak(juliet, "missed")
    await until(juliet, "message", "body", "missed")
    await server.stop()
    again = await make_server()
    juliet, romeo = await juliet.resume(again), await romeo.resume(again)
    await until(romeo, "message", "body", "missed")
    await speak(juliet, "after")
    await until(romeo, "message", "body", "after")


async def test_who_cannot_resume_is_told_at_the_stop(server: RunningServer) -> None:
    juliet, _ = await a_room(server)
    await server.account("nurse")
    nurse = await ManagedClient.login(server, "nurse", resource="chamber")
    nurse.name = "nurse"
    await enter(nurse, "nurse")
    stopping = asyncio.ensure_future(server.stop())
    while True:
        gone = await nurse.read()
        if gone.name == "presence" and gone.get("type") == "unavailable":
            break
    x = gone.child(USER, "x")
    assert x is not None
    assert {child.get("code") for child in x if child.name == "status"} == {"110", "332"}
    await stopping
    assert juliet.id


async def test_after_a_crash_a_member_enters_again_and_has_missed_nothing(
    server: RunningServer, make_server: MakeServer
) -> None:
    juliet, romeo = await a_room(server)
    await speak(juliet, "seen")
    await until(romeo, "message", "body", "seen")
    await romeo.send(f"<a xmlns='{SM}' h='{romeo.h}'/>")
    await romeo.send("<iq type='get' id='sync' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await until(romeo, "iq", "id", "sync")
    romeo.abort()
    await speak(juliet, "missed 1")
    await speak(juliet, "missed 2")
    await until(juliet, "message", "body", "missed 2")

    async def crash(*_: object) -> None:
        """Nothing is written at the end."""

    component = server.app.core.components.running["conference.localhost"]
    await component._cursors.save()  # type: ignore[attr-defined]  # as every ten seconds
    component._rooms.save_occupants = crash  # type: ignore[attr-defined]
    server.app.core.restart.save = crash  # type: ignore[method-assign]
    await server.stop()
    again = await make_server()
    romeo = await ManagedClient.enable(again, "romeo", "orchard")
    await romeo.send(f"<iq type='get' id='p' to='{ROOM}/romeo'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (await until(romeo, "iq", "id", "p")).get("type") == "error"
    await romeo.send(f"<presence to='{ROOM}/romeo'>{JOIN}</presence>")
    heard = []
    while True:
        element = await romeo.read()
        if element.name == "message":
            if element.child("jabber:client", "subject") is not None:
                break
            heard.append(element.child_text("jabber:client", "body"))
    assert heard == ["missed 1", "missed 2"]
