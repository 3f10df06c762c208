"""XEP-0199: who is pinged, and who answers."""

from __future__ import annotations

from .world import World

PING = "<ping xmlns='urn:xmpp:ping'/>"


async def test_the_host_answers_a_ping(world: World) -> None:
    """§4.2, example 3"""
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq to='capulet.example' id='c2s1' type='get'>{PING}</iq>")
    await juliet.receives("<iq from='capulet.example' to='juliet@capulet.example/balcony' id='c2s1' type='result'/>")
    await juliet.receives_nothing()


async def test_a_ping_to_nobody_or_to_the_own_account_is_answered_for_the_account(world: World) -> None:
    """§4.2: no 'to' is equivalent to the bare address"""
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq id='1' type='get'>{PING}</iq><iq to='juliet@capulet.example' id='2' type='get'>{PING}</iq>")
    await juliet.receives("<iq from='juliet@capulet.example' id='1' type='result'/>")
    await juliet.receives("<iq from='juliet@capulet.example' id='2' type='result'/>")


async def test_a_ping_to_another_account_tells_nothing_about_it(world: World) -> None:
    """§6: no presence leak; an account that does not exist looks the same"""
    juliet = await world.login("juliet@capulet.example/balcony")
    await world.login("romeo@localhost/home")
    await world.account("tybalt@localhost")
    answers = []
    for to in ("romeo@localhost", "tybalt@localhost", "nobody@localhost", "romeo@localhost/home", "romeo@localhost/no"):
        answer = await juliet.request("get", PING, to)
        answer.attrs = {"type": answer.get("type")}
        answers.append(answer.to_bytes())
    assert len(set(answers)) == 1
    assert b"service-unavailable" in answers[0]


async def test_a_ping_reaches_the_client_of_a_contact_and_its_pong_comes_back(world: World) -> None:
    """§4.4"""
    await world.subscribe("juliet@capulet.example", "romeo@localhost")
    juliet = await world.login("juliet@capulet.example/chamber")
    romeo = await world.login("romeo@localhost/home")
    romeo.send(f"<iq to='juliet@capulet.example/chamber' type='get' id='e2e1'>{PING}</iq>")
    await juliet.receives(f"<iq from='romeo@localhost/home' type='get' id='e2e1'>{PING}</iq>")
    juliet.send("<iq to='romeo@localhost/home' type='result' id='e2e1'/>")
    await romeo.receives("<iq from='juliet@capulet.example/chamber' type='result' id='e2e1'/>")


async def test_a_ping_that_is_set_is_no_ping(world: World) -> None:
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq to='capulet.example' id='c2s1' type='set'>{PING}</iq>")
    await juliet.receives("""
        <iq from='capulet.example' id='c2s1' type='error'>
          <error type='cancel' code='503'>
            <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
          </error>
        </iq>""")


async def test_an_iq_with_two_payloads_is_a_bad_request(world: World) -> None:
    """RFC 6120 §8.2.3"""
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq to='capulet.example' id='c2s1' type='get'>{PING}{PING}</iq>")
    await juliet.receives("""
        <iq from='capulet.example' id='c2s1' type='error'>
          <error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
        </iq>""")
