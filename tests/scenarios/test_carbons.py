"""XEP-0280, section by section."""

from __future__ import annotations

import pytest

from xmpp_server.modules.carbons import Carbons
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

from .world import Client, World

ENABLE = "<enable xmlns='urn:xmpp:carbons:2'/>"
DISABLE = "<disable xmlns='urn:xmpp:carbons:2'/>"
ROMEO = "romeo@localhost"
JULIET = "juliet@capulet.example"
HI = "<message xmlns='jabber:client'><body>Hi</body></message>"
ERROR = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


async def device(world: World, address: str, *, carbons: bool = True, priority: int = 0) -> Client:
    client = await world.login(address, f"<presence><priority>{priority}</priority></presence>")
    if carbons:
        assert (await client.request("set", ENABLE)).get("type") == "result"
    return client


def carbon(direction: str, to: str, message: str, type: str = "chat") -> str:
    account = to.partition("/")[0]
    return f"""
        <message from='{account}' to='{to}' type='{type}'>
          <{direction} xmlns='urn:xmpp:carbons:2'>
            <forwarded xmlns='urn:xmpp:forward:0'>{message}</forwarded>
          </{direction}>
        </message>"""


# -- §4, §5, §10.1


async def test_carbons_are_enabled_and_disabled_as_often_as_the_client_likes(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/garden")
    for number, payload in enumerate((ENABLE, ENABLE, DISABLE, DISABLE, ENABLE)):
        romeo.send(f"<iq id='{number}' type='set'>{payload}</iq>")
        await romeo.receives(f"<iq from='{ROMEO}' to='{ROMEO}/garden' id='{number}' type='result'/>")
    assert romeo.session.carbons


async def test_nobody_enables_carbons_for_another_account(world: World) -> None:
    """§4.1, and whether the account exists is not told"""
    juliet = await world.login(f"{JULIET}/balcony")
    romeo = await world.login(f"{ROMEO}/garden")
    for payload in (ENABLE, DISABLE):
        for to in (JULIET, "nobody@capulet.example"):
            answer = await romeo.request("set", payload, to)
            assert answer.get("type") == "error"
            assert b"not-allowed" in answer.to_bytes()
    assert not juliet.session.carbons


async def test_carbons_are_not_got_by_get(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/garden")
    assert b"service-unavailable" in (await romeo.request("get", ENABLE)).to_bytes()


async def test_a_new_session_of_the_same_resource_starts_without_carbons(world: World) -> None:
    romeo = await device(world, f"{ROMEO}/garden")
    await romeo.disconnect()
    assert not (await world.login(f"{ROMEO}/garden")).session.carbons


# -- §7


async def test_what_one_device_receives_the_others_get_as_received(world: World) -> None:
    """§7, the first two examples"""
    garden = await device(world, f"{ROMEO}/garden", carbons=False)
    home = await device(world, f"{ROMEO}/home")
    other = await device(world, f"{ROMEO}/other", carbons=False)
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"""
        <message to='{ROMEO}/garden' type='chat' id='m1' xml:lang='en'>
          <body>What man art thou that, thus bescreen'd in night, so stumblest on my counsel?</body>
          <thread>0e3141cd80894871a68e6fe6b1ec56fa</thread>
        </message>""")
    original = f"""
        <message xmlns='jabber:client' from='{JULIET}/balcony' to='{ROMEO}/garden' type='chat' id='m1' xml:lang='en'>
          <body>What man art thou that, thus bescreen'd in night, so stumblest on my counsel?</body>
          <thread>0e3141cd80894871a68e6fe6b1ec56fa</thread>
        </message>"""
    await garden.receives(original)
    await home.receives(carbon("received", f"{ROMEO}/home", original))
    for client in (garden, home, other, juliet):
        await client.receives_nothing()


async def test_the_copy_names_the_namespace_of_the_message_in_it(world: World) -> None:
    """XEP-0297 §4: otherwise it would be in the namespace of <forwarded/>"""
    await device(world, f"{ROMEO}/garden", carbons=False)
    home = await device(world, f"{ROMEO}/home")
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}/garden' type='chat'><body>Hi</body><x xmlns='urn:x'><y xmlns=''/></x></message>")
    (received,) = await home.receives("<message/>")
    (forwarded,) = received
    (message,) = forwarded
    assert [element.ns for element in (received, forwarded, message)] == [ns.CARBONS, ns.FORWARD, ns.CLIENT]
    assert [element.ns for element in message] == [ns.CLIENT, "urn:x", ns.STANZA_ID]


async def test_no_device_gets_a_message_twice(world: World) -> None:
    """§7: not to those whom RFC 6121 delivers the message to"""
    devices = [await device(world, f"{ROMEO}/{name}") for name in ("garden", "home")]
    away = await device(world, f"{ROMEO}/away", priority=-1)
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Hi</body></message>")
    original = f"<message xmlns='jabber:client' from='{JULIET}/balcony' to='{ROMEO}'><body>Hi</body></message>"
    for client in devices:
        await client.receives(original)
        await client.receives_nothing()
    await away.receives(carbon("received", f"{ROMEO}/away", original))
    await away.receives_nothing()


async def test_a_device_that_is_not_available_gets_copies_too(world: World) -> None:
    """§7: each Carbons-enabled resource"""
    await world.login(f"{ROMEO}/garden")
    hidden = await world.connect(f"{ROMEO}/hidden")
    await hidden.request("set", ENABLE)
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Hi</body></message>")
    await hidden.receives(carbon("received", f"{ROMEO}/hidden", HI))


async def test_a_message_that_waits_for_another_device_is_copied_now(world: World) -> None:
    """RFC 6121 §8.5.2.2: nobody gets it now, but §7 knows one who wants a copy"""
    away = await device(world, f"{ROMEO}/away", priority=-1)
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Hi</body></message>")
    await away.receives(carbon("received", f"{ROMEO}/away", HI))
    await away.receives_nothing()


async def test_a_forged_carbon_is_a_message_of_who_sent_it(world: World) -> None:
    """§7, the last example: clients ignore it, for it is not from their own account"""
    romeo = await device(world, f"{ROMEO}/garden")
    tybalt = await world.login("tybalt@capulet.example/home")
    forged = carbon("received", ROMEO, "<message xmlns='jabber:client'><body>Tonight!</body></message>")
    tybalt.send(forged.replace(f"from='{ROMEO}'", ""))
    await romeo.receives("<message from='tybalt@capulet.example/home'><received xmlns='urn:xmpp:carbons:2'/></message>")


async def test_no_client_sends_in_the_name_of_its_account_what_would_be_a_carbon_for_others(world: World) -> None:
    romeo = await device(world, f"{ROMEO}/garden")
    tybalt = await world.login("tybalt@capulet.example/home")
    tybalt.send(carbon("received", ROMEO, "<message xmlns='jabber:client'/>"))
    await romeo.receives_nothing()
    assert tybalt.error == "invalid-from"


# -- §8


async def test_what_one_device_sends_the_others_get_as_sent(world: World) -> None:
    """§8, both examples; the sender need not have enabled carbons"""
    home = await device(world, f"{ROMEO}/home", carbons=False)
    garden = await device(world, f"{ROMEO}/garden")
    other = await device(world, f"{ROMEO}/other", carbons=False)
    juliet = await world.login(f"{JULIET}/balcony")
    body = "<body>Neither, fair saint, if either thee dislike.</body>"
    home.send(f"<message to='{JULIET}/balcony' type='chat'>{body}</message>")
    original = f"""
        <message xmlns='jabber:client' from='{ROMEO}/home' to='{JULIET}/balcony' type='chat'>
          {body}
        </message>"""
    await juliet.receives(original)
    await garden.receives(carbon("sent", f"{ROMEO}/garden", original))
    for client in (home, garden, other, juliet):
        await client.receives_nothing()


async def test_the_sender_gets_no_copy_of_its_own_message(world: World) -> None:
    """§8"""
    home = await device(world, f"{ROMEO}/home")
    await device(world, f"{ROMEO}/garden")
    await world.login(f"{JULIET}/balcony")
    home.send(f"<message to='{JULIET}' type='chat'><body>Hi</body></message>")
    await home.receives_nothing()


async def test_both_sides_have_copies(world: World) -> None:
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    balcony, chamber = [await device(world, f"{JULIET}/{name}") for name in ("balcony", "chamber")]
    home.send(f"<message to='{JULIET}/balcony' type='chat'><body>Hi</body></message>")
    await garden.receives(carbon("sent", f"{ROMEO}/garden", HI))
    await balcony.receives("<message type='chat'><body>Hi</body></message>")
    await chamber.receives(carbon("received", f"{JULIET}/chamber", HI))


async def test_a_message_to_the_own_account_is_there_once_on_each_device(world: World) -> None:
    """notes to oneself: to one device, to all, and without an address (RFC 6120 §10.3.1)"""
    home = await device(world, f"{ROMEO}/home")
    garden = await device(world, f"{ROMEO}/garden")
    third = await device(world, f"{ROMEO}/third", priority=-1)
    home.send(f"<message to='{ROMEO}/garden' type='chat'><body>One</body></message>")
    one = "<message xmlns='jabber:client'><body>One</body></message>"
    await garden.receives(one)
    await third.receives(carbon("received", f"{ROMEO}/third", one))
    for address in (f"to='{ROMEO}'", ""):
        home.send(f"<message {address} type='chat'><body>All</body></message>")
        everyone = "<message xmlns='jabber:client'><body>All</body></message>"
        await home.receives(everyone)
        await garden.receives(everyone)
        await third.receives(carbon("received", f"{ROMEO}/third", everyone))
    for client in (home, garden, third):
        await client.receives_nothing()


@pytest.mark.parametrize(
    ("payload", "type"),
    [
        ("<body>Hi</body>", "headline"),
        ("<subject>Hi</subject>", "normal"),
        ("<event xmlns='http://jabber.org/protocol/pubsub#event'/>", "headline"),
    ],
)
async def test_what_is_no_instant_message_is_not_copied(world: World, payload: str, type: str) -> None:
    """§6.1"""
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    balcony, chamber = [await device(world, f"{JULIET}/{name}") for name in ("balcony", "chamber")]
    home.send(f"<message to='{JULIET}/balcony' type='{type}'>{payload}</message>")
    await balcony.receives(f"<message type='{type}'>{payload}</message>")
    for client in (home, garden, balcony, chamber):
        await client.receives_nothing()


# -- §9


@pytest.mark.parametrize(
    "mark",
    [
        "<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>",
        "<private xmlns='urn:xmpp:carbons:2'/>",
        "<no-copy xmlns='urn:xmpp:hints'/>",
    ],
)
async def test_a_private_message_is_copied_on_neither_side_and_keeps_its_mark(world: World, mark: str) -> None:
    """§9, both examples"""
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    balcony, chamber = [await device(world, f"{JULIET}/{name}") for name in ("balcony", "chamber")]
    home.send(f"<message to='{JULIET}/balcony' type='chat'><body>Hush</body>{mark}</message>")
    await balcony.receives(f"<message from='{ROMEO}/home' type='chat'><body>Hush</body>{mark}</message>")
    for client in (home, garden, balcony, chamber):
        await client.receives_nothing()


# -- §10.3, and errors of §6.1


async def test_an_error_is_copied_where_the_message_was(world: World) -> None:
    """§6.1: sent in response to an eligible message; on both sides"""
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    balcony, chamber = [await device(world, f"{JULIET}/{name}") for name in ("balcony", "chamber")]
    home.send(f"<message to='{JULIET}/balcony' type='chat' id='m1'><body>Hi</body></message>")
    await balcony.receives("<message id='m1'/>")
    await world.settle()
    for client in (garden, chamber):
        client.forget("message")
    balcony.send(f"<message to='{ROMEO}/home' type='error' id='m1'>{ERROR}</message>")
    error = f"""
        <message xmlns='jabber:client' from='{JULIET}/balcony' to='{ROMEO}/home' type='error' id='m1'>
          {ERROR}
        </message>"""
    await home.receives(error)
    await garden.receives(carbon("received", f"{ROMEO}/garden", error, type="error"))
    await chamber.receives(carbon("sent", f"{JULIET}/chamber", error, type="error"))
    for client in (home, garden, balcony, chamber):
        await client.receives_nothing()


async def test_an_error_to_a_message_of_a_long_id_is_copied_and_the_id_is_not_kept(world: World) -> None:
    """What is remembered of thousands of messages is bounded in octets."""
    id = "\U0001f339" * 20_000
    romeo, other = await device(world, f"{ROMEO}/garden"), await device(world, f"{ROMEO}/balcony")
    juliet = await world.login(f"{JULIET}/balcony")
    romeo.send(f"<message to='{JULIET}/balcony' type='chat' id='{id}'><body>Hi</body></message>")
    await juliet.receives(f"<message id='{id}'/>")
    await other.receives(carbon("sent", f"{ROMEO}/balcony", HI))
    juliet.send(f"<message to='{ROMEO}/garden' type='error' id='{id}'>{ERROR}</message>")
    await romeo.receives("<message type='error'/>")
    await other.receives("<message type='error'/>")
    carbons = world.core.modules["localhost"]["carbons"]
    assert isinstance(carbons, Carbons)
    assert all(isinstance(each, int) for each in carbons._copied)


async def test_an_error_that_the_server_makes_is_copied_too(world: World) -> None:
    """the other devices saw the message go out, and see that it did not arrive"""
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    home.send("<message to='nobody@capulet.example' type='chat' id='m1'><body>Hi</body></message>")
    await garden.receives(carbon("sent", f"{ROMEO}/garden", "<message xmlns='jabber:client' id='m1'/>"))
    error = f"<message xmlns='jabber:client' from='nobody@capulet.example' type='error' id='m1'>{ERROR}</message>"
    await home.receives(error)
    await garden.receives(carbon("received", f"{ROMEO}/garden", error, type="error"))


async def test_an_error_to_a_message_that_was_not_copied_is_not_copied(world: World) -> None:
    """whatever the error carries: §10.3 lets nothing depend on what it repeats"""
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    juliet = await world.login(f"{JULIET}/balcony")
    home.send(f"<message to='{JULIET}/balcony' type='normal' id='m1'><subject>Hi</subject></message>")
    await juliet.receives("<message id='m1'/>")
    juliet.send(f"<message to='{ROMEO}/home' type='error' id='m1'><body>Hi</body>{ERROR}</message>")
    juliet.send(f"<message to='{ROMEO}/home' type='error' id='other'><body>Hi</body>{ERROR}</message>")
    juliet.send(f"<message to='{ROMEO}/home' type='error'><body>Hi</body>{ERROR}</message>")
    for _ in range(3):
        await home.receives("<message type='error'/>")
    await garden.receives_nothing()


async def test_nobody_else_can_answer_a_message_with_an_error(world: World) -> None:
    home, garden = [await device(world, f"{ROMEO}/{name}") for name in ("home", "garden")]
    await world.login(f"{JULIET}/balcony")
    tybalt = await world.login("tybalt@capulet.example/home")
    home.send(f"<message to='{JULIET}/balcony' type='chat' id='m1'><body>Hi</body></message>")
    await garden.receives("<message/>")
    tybalt.send(f"<message to='{ROMEO}/home' type='error' id='m1'>{ERROR}</message>")
    await home.receives("<message from='tybalt@capulet.example/home' type='error'/>")
    await garden.receives_nothing()


async def test_the_error_that_a_carbon_meets_reaches_nobody(world: World) -> None:
    """§10.3: not the original sender"""
    garden = await device(world, f"{ROMEO}/garden", carbons=False)
    home = await device(world, f"{ROMEO}/home")
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}/garden' type='chat' id='m1'><body>Hi</body></message>")
    await garden.receives("<message id='m1'/>")
    copy = await home.receives("<message/>")
    home.send(f"<message to='{copy.get('from')}' type='error' id='m1'>{ERROR}</message>")
    for client in (garden, home, juliet):
        await client.receives_nothing()


# -- in its surroundings


async def test_a_blocked_message_is_copied_to_nobody(world: World) -> None:
    """XEP-0191 §3.5: what is blocked does not reach the account"""
    garden, home = [await device(world, f"{ROMEO}/{name}") for name in ("garden", "home")]
    await garden.request("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></block>")
    juliet = await world.login(f"{JULIET}/balcony")
    garden.inbox.clear()
    home.inbox.clear()
    juliet.send(f"<message to='{ROMEO}/garden' type='chat'><body>Hi</body></message>")
    for client in (garden, home):
        await client.receives_nothing()


async def test_a_message_to_somebody_whom_the_sender_blocked_is_copied_to_nobody(world: World) -> None:
    """XEP-0191 §3.2: it does not leave"""
    garden, home = [await device(world, f"{ROMEO}/{name}") for name in ("garden", "home")]
    await garden.request("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></block>")
    home.inbox.clear()
    garden.send(f"<message to='{JULIET}' type='chat' id='1'><body>Hi</body></message>")
    await garden.receives("<message type='error' id='1'/>")
    await home.receives_nothing()


async def test_disabled_means_no_copies(world: World) -> None:
    garden, home = [await device(world, f"{ROMEO}/{name}") for name in ("garden", "home")]
    await home.request("set", DISABLE)
    juliet = await world.login(f"{JULIET}/balcony")
    juliet.send(f"<message to='{ROMEO}/garden' type='chat'><body>Hi</body></message>")
    await garden.receives("<message><body>Hi</body></message>")
    garden.send(f"<message to='{JULIET}' type='chat'><body>Hi</body></message>")
    await home.receives_nothing()


async def test_markup_in_addresses_and_ids_stays_well_formed_in_a_copy(world: World) -> None:
    home = await device(world, f"{ROMEO}/home")
    garden = await world.login(f"{ROMEO}/o'<&\"garden")
    marks = "'&lt;&amp;&quot;"
    garden.send(f'<message to="{JULIET}/{marks}" type="chat" id="{marks}"><body>&lt;&amp;]]&gt;</body></message>')
    (sent,) = await home.receives("<message/>")
    (forwarded,) = sent
    (message,) = forwarded
    assert isinstance(message, Element)
    assert message.get("from") == f"{ROMEO}/o'<&\"garden"
    assert message.get("to") == f"{JULIET}/'<&\""
    assert message.get("id") == "'<&\""
    assert message.child_text(ns.CLIENT, "body") == "<&]]>"
