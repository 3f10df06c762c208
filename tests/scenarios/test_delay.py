"""XEP-0203: nobody can make it look as if we delayed something."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from .world import World

JULIET = "juliet@capulet.example"


def delay(sender: str) -> str:
    return f"<delay xmlns='urn:xmpp:delay' from='{sender}' stamp='2002-09-10T23:08:25Z'/>"


def delays(stanza: Element) -> list[str]:
    return [child.get("from") for child in stanza if child.ns == ns.DELAY]


@pytest.mark.parametrize(
    ("sender", "stays"),
    [
        ("capulet.example", False),  # §6: a notation whose `from` matches the server's address
        ("localhost", False),
        ("CAPULET.example", False),
        (JULIET, False),
        (f"{JULIET}/balcony", False),
        ("nurse@capulet.example", False),
        ("romeo@localhost/orchard", True),  # XEP-0198 §5: what is sent again carries a delay
        ("romeo@localhost", True),
        ("room@conference.example", True),
    ],
)
async def test_a_delay_of_somebody_else_of_ours_is_cut_out_of_a_message(world: World, sender: str, stays: bool) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login(f"{JULIET}/balcony")
    romeo.send(f"<message to='{JULIET}' type='chat'><body>Hi</body>{delay(sender)}</message>")
    message = await juliet.receives("<message><body>Hi</body></message>")
    assert delays(message) == ([sender] if stays else [])


async def test_it_is_cut_out_of_what_leaves_for_another_server(world: World) -> None:
    elsewhere = world.elsewhere()
    romeo = await world.login("romeo@localhost/orchard")
    both = delay("localhost") + delay("romeo@localhost")
    romeo.send(f"<message to='nurse@rooms.example' type='chat'>{both}</message>")
    romeo.send(f"<presence to='nurse@rooms.example'>{both}</presence>")
    await world.settle()
    assert [delays(parse(stanza.to_bytes())) for stanza in elsewhere] == [["romeo@localhost"]] * 2


@pytest.mark.parametrize("to", ["", f"to='{JULIET}'", f"to='{JULIET}/balcony'"])
async def test_presence_is_treated_alike_broadcast_or_directed(world: World, to: str) -> None:
    await world.subscribe("romeo@localhost", JULIET)
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login(f"{JULIET}/balcony")
    both = delay("capulet.example") + delay("romeo@localhost/orchard")
    romeo.send(f"<presence {to}><show>away</show>{both}</presence>")
    presence = await juliet.receives("<presence from='romeo@localhost/orchard'><show>away</show></presence>")
    assert delays(presence) == ["romeo@localhost/orchard"]


async def test_who_comes_later_sees_no_forged_delay_either(world: World) -> None:
    """what the client sent first is kept, and shown to others"""
    await world.subscribe("romeo@localhost", JULIET)
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence>{delay('capulet.example')}</presence>")
    await world.settle()
    juliet = await world.connect(f"{JULIET}/balcony")
    juliet.send("<presence/>")
    await world.settle()
    shown = next(stanza for stanza in juliet.inbox if stanza.get("from") == romeo.jid)
    assert delays(shown) == ["localhost"]


@pytest.mark.parametrize("address", ["localhost", "capulet.example", JULIET])
async def test_another_server_does_not_date_presence_in_our_name(world: World, address: str) -> None:
    juliet = await world.login(f"{JULIET}/balcony")
    element = Element(ns.DELAY, "delay", {"from": address, "stamp": "2002-09-10T23:05:37Z"})
    to = JID.parse(f"{JULIET}/balcony")
    await world.core.router.send(Stanza.build("presence", element, sender=JID.parse("nurse@rooms.example/x"), to=to))
    assert delays(await juliet.receives("<presence from='nurse@rooms.example/x'/>")) == []


async def test_a_delay_without_an_address_stays(world: World) -> None:
    """§2: `from` is only recommended"""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login(f"{JULIET}/balcony")
    plain = "<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>"
    romeo.send(f"<message to='{JULIET}' type='chat'>{plain}</message>")
    await juliet.receives(f"<message>{plain}</message>")


@pytest.mark.parametrize(
    ("address", "stays"), [("room@rooms.example", True), (JULIET, False), ("capulet.example", False)]
)
async def test_a_room_dates_its_history_in_its_own_name_only(world: World, address: str, stays: bool) -> None:
    """§3, example 3"""
    juliet = await world.login(f"{JULIET}/balcony")
    element = Element(ns.DELAY, "delay", {"from": address, "stamp": "2002-09-10T23:05:37Z"})
    history = Stanza.build(
        "message",
        element,
        sender=JID.parse("room@rooms.example/secondwitch"),
        to=JID.parse(f"{JULIET}/balcony"),
        type="groupchat",
    )
    await world.core.router.send(history)
    assert delays(await juliet.receives("<message type='groupchat'/>")) == ([address] if stays else [])
