"""XEP-0402, XEP-0411 and XEP-0048: clients of every age have the same bookmarks."""

from __future__ import annotations

import pytest

from .pep import EVENT, PUBSUB, items, login_with, publish, retract
from .world import Client, World

NS = "urn:xmpp:bookmarks:1"
LEGACY = "storage:bookmarks"
PLAY = "theplay@conference.shakespeare.example"
ORCHARD = "orchard@conference.shakespeare.example"
PRIVATE = {
    "persist_items": "true",
    "max_items": "max",
    "send_last_published_item": "never",
    "access_model": "whitelist",
}
CONFERENCE = (
    f"<conference xmlns='{NS}' name='The Play' autojoin='true'><nick>JC</nick>"
    "<extensions><pinned xmlns='urn:xmpp:bookmarks-pinning:0'/>"
    "<notify xmlns='urn:xmpp:notification-settings:1'><never/></notify></extensions></conference>"
)


def old(*rooms: str) -> str:
    return f"<storage xmlns='{LEGACY}'>{''.join(rooms)}</storage>"


def room(jid: str, name: str = "The Play", nick: str = "JC") -> str:
    return f"<conference jid='{jid}' name='{name}' autojoin='true'><nick>{nick}</nick></conference>"


async def store_old(client: Client, storage: str) -> None:
    answer = await client.request("set", f"<query xmlns='jabber:iq:private'>{storage}</query>")
    assert answer.get("type") == "result", answer


async def load_old(client: Client) -> bytes:
    answer = await client.request("get", f"<query xmlns='jabber:iq:private'><storage xmlns='{LEGACY}'/></query>")
    return answer.to_bytes()


async def test_what_a_client_of_today_bookmarks_is_in_private_storage(world: World) -> None:
    """XEP-0402 §5.3.1, `#compat`"""
    juliet = await world.login("juliet@localhost/balcony")
    assert (await juliet.request("set", publish(NS, PLAY, CONFERENCE, **PRIVATE))).get("type") == "result"
    await juliet.request("set", publish(NS, ORCHARD, f"<conference xmlns='{NS}'/>", **PRIVATE))
    found = await load_old(juliet)
    assert room(PLAY).encode() in found
    assert f"<conference jid='{ORCHARD}'/>".encode() in found
    await juliet.request("set", retract(NS, PLAY))
    assert PLAY.encode() not in await load_old(juliet)


async def test_what_a_client_of_today_bookmarks_is_in_the_node_of_old(world: World) -> None:
    """XEP-0402 §5.3.1, `#compat-pep`"""
    juliet = await world.login("juliet@localhost/balcony")
    gajim = await login_with(world, "juliet@localhost/garden", LEGACY)
    await juliet.request("set", publish(NS, PLAY, CONFERENCE, **PRIVATE))
    await gajim.receives(
        f"<message from='juliet@localhost'><event xmlns='{EVENT}'><items node='{LEGACY}'>"
        f"<item id='current'>{old(room(PLAY))}</item></items></event></message>"
    )
    found = await items(juliet, LEGACY)
    assert list(found) == ["current"]
    assert room(PLAY).encode() in found["current"].to_bytes()


async def test_what_a_client_of_old_stores_becomes_items_and_all_are_told(world: World) -> None:
    """XEP-0411 §3, XEP-0402 §5.3.2"""
    juliet = await world.login("juliet@localhost/balcony")
    watching = await login_with(world, "juliet@localhost/garden", NS)
    await store_old(juliet, old(room(PLAY)))
    await watching.receives(
        f"<message><event xmlns='{EVENT}'><items node='{NS}'><item id='{PLAY}'>"
        f"<conference xmlns='{NS}' name='The Play' autojoin='true'><nick>JC</nick></conference>"
        "</item></items></event></message>"
    )
    await store_old(juliet, old(room(PLAY), room(ORCHARD, "The Orchard")))
    await watching.receives(
        f"<message><event xmlns='{EVENT}'><items node='{NS}'><item id='{ORCHARD}'/></items></event></message>"
    )
    await watching.receives_nothing()  # nothing of what did not change
    await store_old(juliet, old(room(ORCHARD, "The Orchard")))
    await watching.receives(
        f"<message><event xmlns='{EVENT}'><items node='{NS}'><retract id='{PLAY}'/></items></event></message>"
    )
    assert list(await items(juliet, NS)) == [ORCHARD]


async def test_what_is_stored_in_the_node_of_old_becomes_items(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("set", publish(LEGACY, "current", old(room(PLAY)), access_model="whitelist"))
    assert list(await items(juliet, NS)) == [PLAY]
    await juliet.request("set", publish(LEGACY, "current", old(), access_model="whitelist"))
    assert await items(juliet, NS) == {}


async def test_a_client_of_old_keeps_what_it_does_not_know(world: World) -> None:
    """XEP-0402 §3.1: extensions are preserved, such as pinning (XEP-0469) and notification settings (XEP-0492)"""
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("set", publish(NS, PLAY, CONFERENCE, **PRIVATE))
    await store_old(juliet, old(room(PLAY, "Another name", "Juliet")))
    kept = (await items(juliet, NS))[PLAY].to_bytes()
    assert b"Another name" in kept
    assert b"<nick>Juliet</nick>" in kept
    assert b"<pinned xmlns='urn:xmpp:bookmarks-pinning:0'/>" in kept
    assert b"<notify xmlns='urn:xmpp:notification-settings:1'><never/></notify>" in kept


async def test_addresses_of_pages_stay_in_private_storage(world: World) -> None:
    """XEP-0048 §2.2"""
    juliet = await world.login("juliet@localhost/balcony")
    page = "<url name='Plays' url='https://plays.example'/>"
    await store_old(juliet, old(room(PLAY), page))
    await juliet.request("set", retract(NS, PLAY))
    found = await load_old(juliet)
    assert page.encode() in found
    assert PLAY.encode() not in found


async def test_nobody_else_sees_them(world: World) -> None:
    """XEP-0411 §5"""
    await world.subscribe("juliet@localhost", "romeo@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    await store_old(juliet, old(room(PLAY)))
    romeo = await world.login("romeo@localhost/orchard")
    for node in (NS, LEGACY):
        answer = await romeo.request(
            "get", f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>", "juliet@localhost"
        )
        assert answer.get("type") == "error"
        assert PLAY.encode() not in answer.to_bytes()


async def test_nothing_goes_to_a_node_that_is_open(world: World) -> None:
    """XEP-0411 §5: the conversion is not done"""
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("set", publish(NS, ORCHARD, f"<conference xmlns='{NS}'/>", access_model="open"))
    await store_old(juliet, old(room(PLAY)))
    assert list(await items(juliet, NS)) == [ORCHARD]
    assert PLAY.encode() in await load_old(juliet)


@pytest.mark.parametrize("bad", ["<conference/>", "<conference jid='@@'/>", "<other xmlns='x:y'/>"])
async def test_what_is_no_bookmark_makes_no_item(world: World, bad: str) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await store_old(juliet, old(bad, room(PLAY)))
    assert list(await items(juliet, NS)) == [PLAY]


async def test_the_features_are_told_on_the_account(world: World) -> None:
    """XEP-0402 §6, XEP-0411 §2"""
    juliet = await world.login("juliet@localhost/balcony")
    info = (await juliet.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")).to_bytes()
    for feature in (f"{NS}#compat", f"{NS}#compat-pep", "urn:xmpp:bookmarks-conversion:0"):
        assert f"<feature var='{feature}'/>".encode() in info
