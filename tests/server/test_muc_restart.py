"""Rooms over a stop and over a crash: who can resume is still in them, others are told, and members miss nothing."""

from __future__ import annotations

from tests.server.conftest import MakeServer
from tests.server.managed_client import ManagedClient
from tests.server.running import RunningServer
from xmpp_server.protocol.element import Element

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
