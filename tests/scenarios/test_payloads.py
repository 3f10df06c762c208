"""What clients say to each other in messages: it arrives as it was sent, on all devices, and waits where it should.

XEP-0184 receipts, 0085 chat states, 0333 markers, 0308 corrections, 0444 reactions, 0353 calls: from their examples.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from xmpp_server.protocol.element import Element

from .conftest import HOSTS, MakeWorld
from .world import Client, World


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    """A server without archives: messages arrive as they were sent, without the id of an archive."""
    return await make_world(f"{HOSTS}[modules.archive]\nenabled = false")


STORE = "<store xmlns='urn:xmpp:hints'/>"

REQUEST = "<body>My lord, dispatch; read o'er these articles.</body><request xmlns='urn:xmpp:receipts'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='richard2-4.1.247'/>"
MARKABLE = "<body>My lord, dispatch</body><markable xmlns='urn:xmpp:chat-markers:0'/>"
DISPLAYED = "<displayed xmlns='urn:xmpp:chat-markers:0' id='message-1'/>"
CORRECTION = (
    "<body>But soft, what light through yonder window breaks?</body>"
    "<replace xmlns='urn:xmpp:message-correct:0' id='bad1'/>"
)
REACTIONS = (
    "<reactions xmlns='urn:xmpp:reactions:0' id='744f6e18-a57a-11e9-a656-4889e7820c76'>"
    "<reaction>\N{WAVING HAND SIGN}</reaction><reaction>\N{TURTLE}</reaction></reactions>"
)
PROPOSE = (
    "<propose xmlns='urn:xmpp:jingle-message:0' id='ca3cf894-5325-482f-a412-a6e9f832298d'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"
)
RETRACT = (
    "<retract xmlns='urn:xmpp:jingle-message:0' id='ca3cf894-5325-482f-a412-a6e9f832298d'>"
    "<reason xmlns='urn:xmpp:jingle:1'><cancel/><text>Retracted</text></reason></retract>"
)
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
GONE = "<gone xmlns='http://jabber.org/protocol/chatstates'/>"
WITH_STATE = "<body>Hi</body><active xmlns='http://jabber.org/protocol/chatstates'/>"

KEPT = {
    "a request for a receipt": REQUEST,
    "a receipt": RECEIPT,
    "a markable message": MARKABLE,
    "a marker": DISPLAYED,
    "a correction": CORRECTION,
    "reactions": REACTIONS,
    "reactions to be stored": REACTIONS + STORE,
    "a call": PROPOSE + STORE,
    "a call that was taken back": RETRACT + STORE,
    "a body with a chat state": WITH_STATE,
}
NOT_KEPT = {"composing": COMPOSING, "gone": GONE, "composing in a thread": COMPOSING + "<thread>1</thread>"}
ALL = {**KEPT, **NOT_KEPT}


def content(message: Element) -> bytes:
    """What was sent; the id that its receiver's account gives to what is kept (XEP-0359) comes after it."""
    return b"".join(child.to_bytes() for child in message if child.name != "stanza-id")


async def devices(world: World) -> tuple[Client, Client, Client]:
    romeo = await world.login("romeo@localhost/orchard")
    balcony = await world.login("juliet@capulet.example/balcony")
    chamber = await world.login("juliet@capulet.example/chamber")
    for client in (balcony, chamber):
        await client.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    return romeo, balcony, chamber


@pytest.mark.parametrize("payload", ALL.values(), ids=ALL)
async def test_it_reaches_all_devices_as_it_was_sent(world: World, payload: str) -> None:
    romeo, balcony, chamber = await devices(world)
    romeo.send(f"<message to='juliet@capulet.example' type='chat' id='1'>{payload}</message>")
    for client in (balcony, chamber):
        message = await client.receives("<message from='romeo@localhost/orchard' type='chat' id='1'/>")
        assert content(message) == payload.encode()
        await client.receives_nothing()
    await romeo.receives_nothing()


@pytest.mark.parametrize("payload", ALL.values(), ids=ALL)
@pytest.mark.parametrize("type", ["chat", "normal"])
async def test_what_goes_to_one_device_is_copied_to_the_other(world: World, payload: str, type: str) -> None:
    """XEP-0280 §6.1, and what the other specifications ask of carbons"""
    romeo, balcony, chamber = await devices(world)
    romeo.send(f"<message to='juliet@capulet.example/balcony' type='{type}' id='1'>{payload}</message>")
    assert content(await balcony.receives("<message id='1'/>")) == payload.encode()
    (received,) = await chamber.receives("<message from='juliet@capulet.example'/>")
    (forwarded,) = received
    (message,) = forwarded
    assert isinstance(message, Element)
    assert content(message) == payload.encode()


@pytest.mark.parametrize("payload", KEPT.values(), ids=KEPT)
async def test_it_waits_for_who_is_away(world: World, payload: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await world.account("juliet@capulet.example")
    romeo.send(f"<message to='juliet@capulet.example' type='chat' id='1'>{payload}</message>")
    await romeo.receives_nothing()
    juliet = await world.connect("juliet@capulet.example/balcony")
    juliet.send("<presence/>")
    await juliet.receives("<presence/>")
    message = await juliet.receives("<message from='romeo@localhost/orchard' id='1'/>")
    assert content(message).startswith(payload.encode())


@pytest.mark.parametrize("payload", NOT_KEPT.values(), ids=NOT_KEPT)
async def test_a_chat_state_alone_does_not_wait_and_is_no_error(world: World, payload: str) -> None:
    """XEP-0085 §5.5, XEP-0160 §3: nobody wants to read who was typing a day ago"""
    romeo = await world.login("romeo@localhost/orchard")
    await world.account("juliet@capulet.example")
    romeo.send(f"<message to='juliet@capulet.example' type='chat' id='1'>{payload}</message>")
    await romeo.receives_nothing()
    juliet = await world.connect("juliet@capulet.example/balcony")
    juliet.send("<presence/>")
    await juliet.receives("<presence/>")
    await juliet.receives_nothing()


async def test_a_call_rings_on_all_devices_and_stops_when_one_answers(world: World) -> None:
    """XEP-0353 §3: propose to the bare address, accept to the own one, proceed to the caller"""
    romeo, balcony, chamber = await devices(world)
    romeo.send(f"<message to='juliet@capulet.example' type='chat' id='ring1'>{PROPOSE}{STORE}</message>")
    for client in (balcony, chamber):
        await client.receives(f"<message from='romeo@localhost/orchard' type='chat'>{PROPOSE}</message>")
    proceed = "<proceed xmlns='urn:xmpp:jingle-message:0' id='ca3cf894-5325-482f-a412-a6e9f832298d'/>"
    balcony.send(f"<message to='romeo@localhost/orchard' type='chat' id='proceed1'>{proceed}{STORE}</message>")
    await romeo.receives(f"<message from='juliet@capulet.example/balcony' type='chat'>{proceed}</message>")
    await chamber.receives(f"""
        <message from='juliet@capulet.example'>
          <sent xmlns='urn:xmpp:carbons:2'>
            <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>{proceed}</message></forwarded>
          </sent>
        </message>""")
