"""XEP-0490: the server's help with what was seen."""

from __future__ import annotations

from .pep import EVENT, items, login_with
from .world import World

NS = "urn:xmpp:mds:displayed:0"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='the-msg-1'/>"
SEEN = f"<displayed xmlns='{NS}'><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='0423e3a9'/></displayed>"


async def test_it_is_cut_out_and_published_and_the_rest_goes_on(world: World) -> None:
    """§4.5.3, the examples"""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    phone = await login_with(world, "juliet@localhost/phone", NS)
    await phone.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    juliet.send(f"<message to='romeo@localhost' type='chat' id='m1'>{MARKER}{SEEN}</message>")
    got = await romeo.receives(f"<message from='juliet@localhost/balcony' id='m1'>{MARKER}</message>")
    assert NS.encode() not in got.to_bytes()
    await phone.receives_all(
        f"<message from='juliet@localhost' type='headline'><event xmlns='{EVENT}'><items node='{NS}'>"
        f"<item id='romeo@localhost'>{SEEN}</item></items></event></message>",
        "<message><sent xmlns='urn:xmpp:carbons:2'/></message>",
    )
    assert list(await items(juliet, NS)) == ["romeo@localhost"]


async def test_neither_archive_nor_carbons_hold_it(world: World) -> None:
    await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    phone = await world.login("juliet@localhost/phone")
    await phone.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    juliet.send(f"<message to='romeo@localhost' type='chat' id='m1'>{MARKER}{SEEN}</message>")
    copy = await phone.receives("<message><sent xmlns='urn:xmpp:carbons:2'/></message>")
    assert NS.encode() not in copy.to_bytes()
    juliet.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
    archived = await juliet.receives("<message><result xmlns='urn:xmpp:mam:2'/></message>")
    assert MARKER.encode() in archived.to_bytes()
    assert NS.encode() not in archived.to_bytes()


async def test_the_node_holds_the_last_state_of_every_chat(world: World) -> None:
    """§4.1: the item's id is the address of the message"""
    world.elsewhere()
    juliet = await world.login("juliet@localhost/balcony")
    room = "feast@rooms.example"
    for id in ("one", "two"):
        seen = SEEN.replace("0423e3a9", id)
        juliet.send(f"<message to='{room}' type='groupchat' id='{id}'>{MARKER}{seen}</message>")
    await world.settle()
    found = await items(juliet, NS)
    assert list(found) == [room]
    assert b"id='two'" in found[room].to_bytes()


async def test_nobody_else_sees_the_node(world: World) -> None:
    """XEP-0223"""
    await world.subscribe("juliet@localhost", "romeo@localhost")
    romeo = await login_with(world, "romeo@localhost/orchard", NS)
    juliet = await world.login("juliet@localhost/balcony")
    romeo.inbox.clear()
    juliet.send(f"<message to='romeo@localhost' type='chat' id='m1'>{MARKER}{SEEN}</message>")
    await romeo.receives("<message id='m1'/>")
    await romeo.receives_nothing()
    answer = await romeo.request(
        "get", f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{NS}'/></pubsub>", "juliet@localhost"
    )
    assert answer.get("type") == "error"


async def test_what_is_incomplete_is_cut_out_and_not_published(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    two = SEEN.replace("</displayed>", "<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='2'/></displayed>")
    for number, bad in enumerate((f"<displayed xmlns='{NS}'/>", two)):
        juliet.send(f"<message to='romeo@localhost' type='chat' id='m{number}'>{MARKER}{bad}</message>")
        got = await romeo.receives(f"<message id='m{number}'>{MARKER}</message>")
        assert NS.encode() not in got.to_bytes()
    assert await items(juliet, NS) == {}


async def test_the_feature_is_told_on_the_account(world: World) -> None:
    """§4.5.2"""
    juliet = await world.login("juliet@localhost/balcony")
    info = (await juliet.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")).to_bytes()
    assert b"<feature var='urn:xmpp:mds:server-assist:0'/>" in info
