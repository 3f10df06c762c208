"""XEP-0012, section by section."""

from __future__ import annotations

import time

import pytest

from .world import World

LAST = "<query xmlns='jabber:iq:last'/>"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
JULIET = "juliet@capulet.example"
FORBIDDEN = f"<iq type='error'><error type='auth' code='403'><forbidden xmlns='{STANZAS}'/></error></iq>"


async def test_the_host_tells_its_uptime(world: World) -> None:
    """§5: no character data"""
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq to='localhost' id='last3' type='get'>{LAST}</iq>")
    (query,) = await romeo.receives("""
        <iq type='result' from='localhost' to='romeo@localhost/orchard' id='last3'>
          <query xmlns='jabber:iq:last' seconds='*'/>
        </iq>""")
    assert 0 <= int(query.get("seconds")) < 3600
    assert not query.text


async def test_since_when_a_contact_is_away_and_what_it_said_last(world: World) -> None:
    """§3, examples 2 and 5"""
    await world.subscribe("romeo@localhost", JULIET)
    juliet = await world.login(f"{JULIET}/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    juliet.send("<presence type='unavailable'><status>Heading Home</status></presence>")
    await juliet.disconnect()
    romeo.forget("presence")
    romeo.send(f"<iq id='last1' to='{JULIET}' type='get'>{LAST}</iq>")
    (query,) = await romeo.receives(f"""
        <iq type='result' from='{JULIET}' to='romeo@localhost/orchard' id='last1'>
          <query xmlns='jabber:iq:last' seconds='*'>Heading Home</query>
        </iq>""")
    assert 0 <= int(query.get("seconds")) < 60


async def test_the_seconds_are_those_since_the_logout(world: World) -> None:
    await world.subscribe("romeo@localhost", JULIET)
    romeo = await world.login("romeo@localhost/orchard")
    world.store.last_activity.put(await world.account(JULIET), time.time_ns() // 1000 - 903_500_000, "")
    (query,) = await romeo.request("get", LAST, JULIET)
    assert 903 <= int(query.get("seconds")) < 1000
    assert not query.text


async def test_a_clock_that_was_set_back_makes_no_negative_seconds(world: World) -> None:
    """§8: seconds are unsigned"""
    await world.subscribe("romeo@localhost", JULIET)
    romeo = await world.login("romeo@localhost/orchard")
    world.store.last_activity.put(await world.account(JULIET), time.time_ns() // 1000 + 3_600_000_000, "")
    (query,) = await romeo.request("get", LAST, JULIET)
    assert query.get("seconds") == "0"


async def test_a_lost_connection_is_a_logout_too(world: World) -> None:
    await world.subscribe("romeo@localhost", JULIET)
    juliet = await world.login(f"{JULIET}/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    await juliet.disconnect()
    romeo.forget("presence")
    answer = await romeo.request("get", LAST, JULIET)
    assert answer.get("type") == "result"


async def test_the_last_resource_decides(world: World) -> None:
    """§3: with an available resource the answer is empty, and 0 seconds"""
    await world.subscribe("romeo@localhost", JULIET)
    balcony = await world.login(f"{JULIET}/balcony")
    chamber = await world.login(f"{JULIET}/chamber")
    romeo = await world.login("romeo@localhost/orchard")
    balcony.send("<presence type='unavailable'><status>One</status></presence>")
    await world.settle()
    romeo.forget("presence")
    (query,) = await romeo.request("get", LAST, JULIET)
    assert (query.get("seconds"), query.text) == ("0", "")
    chamber.send("<presence type='unavailable'><status>Two</status></presence>")
    await world.settle()
    (query,) = await romeo.request("get", LAST, JULIET)
    assert query.text == "Two"
    balcony.send("<presence/>")
    await world.settle()
    (query,) = await romeo.request("get", LAST, JULIET)
    assert (query.get("seconds"), query.text) == ("0", "")


async def test_the_own_account_tells_its_last_logout_while_nothing_is_available(world: World) -> None:
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence><status>Hello</status></presence>")
    await romeo.receives("<presence from='romeo@localhost/orchard'><status>Hello</status></presence>")
    romeo.send("<presence type='unavailable'><status>Goodbye</status></presence>")
    await romeo.receives("<presence type='unavailable'><status>Goodbye</status></presence>")
    romeo.send(f"<iq id='a' type='get'>{LAST}</iq>")
    await romeo.receives("<iq type='result' id='a'><query xmlns='jabber:iq:last' seconds='*'>Goodbye</query></iq>")


async def test_who_is_connected_and_never_was_available_leaves_no_trace(world: World) -> None:
    """§8: that would leak what presence hides"""
    await world.subscribe("romeo@localhost", JULIET)
    juliet = await world.connect(f"{JULIET}/hidden")
    romeo = await world.login("romeo@localhost/orchard")
    await juliet.disconnect()
    assert b"item-not-found" in (await romeo.request("get", LAST, JULIET)).to_bytes()


@pytest.mark.parametrize(("subscription", "told"), [("none", False), ("to", True), ("from", False), ("both", True)])
async def test_only_who_may_see_the_presence_is_told(world: World, subscription: str, told: bool) -> None:
    """§3, example 4: forbidden; §8. Also of somebody who is there, and of a resource (§4)"""
    await world.subscribe("romeo@localhost", JULIET, subscription)  # type: ignore[arg-type]
    juliet = await world.login(f"{JULIET}/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", LAST, JULIET)
    assert answer.get("type") == ("result" if told else "error")
    assert (b"forbidden" in answer.to_bytes()) is not told
    romeo.send(f"<iq id='last2' to='{JULIET}/balcony' type='get'>{LAST}</iq>")
    if told:
        await juliet.receives(f"<iq from='romeo@localhost/orchard' id='last2' type='get'>{LAST}</iq>")
    else:
        await romeo.receives(FORBIDDEN)
        await juliet.receives_nothing()


async def test_who_may_not_know_cannot_tell_whether_an_account_or_a_resource_exists(world: World) -> None:
    await world.login(f"{JULIET}/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    for to in (JULIET, "nobody@capulet.example", f"{JULIET}/balcony", f"{JULIET}/no", "nobody@capulet.example/no"):
        romeo.send(f"<iq id='last1' to='{to}' type='get'>{LAST}</iq>")
        answer = await romeo.receives(FORBIDDEN)
        assert answer.get("from") == to


async def test_a_resource_that_is_gone_is_answered_by_the_delivery_rules(world: World) -> None:
    """§4: RFC 6121 §8.5.3.2.3"""
    await world.subscribe("romeo@localhost", JULIET)
    romeo = await world.login("romeo@localhost/orchard")
    assert b"service-unavailable" in (await romeo.request("get", LAST, f"{JULIET}/gone")).to_bytes()


async def test_the_client_answers_for_its_resource(world: World) -> None:
    """§4, example 8"""
    await world.subscribe("romeo@localhost", JULIET)
    juliet = await world.login(f"{JULIET}/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq id='last2' to='{JULIET}/balcony' type='get'>{LAST}</iq>")
    await juliet.receives("<iq id='last2'/>")
    juliet.send(
        "<iq id='last2' to='romeo@localhost/orchard' type='result'><query xmlns='jabber:iq:last' seconds='123'/></iq>"
    )
    await romeo.receives("<iq id='last2' type='result'><query xmlns='jabber:iq:last' seconds='123'/></iq>")


async def test_the_time_outlives_the_session_and_goes_with_the_account(world: World) -> None:
    juliet = await world.login(f"{JULIET}/balcony")
    account = await world.account(JULIET)
    await juliet.disconnect()
    await world.store.database.lazy.flush()
    assert await world.store.last_activity.get(account) is not None
    await world.store.accounts.delete(account)
    assert await world.store.last_activity.get(account) is None
