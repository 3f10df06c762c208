"""XEP-0199."""

from __future__ import annotations

from .world import World

PING = "<ping xmlns='urn:xmpp:ping'/>"


async def test_the_host_answers_a_ping(world: World) -> None:
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq to='capulet.example' id='c2s1' type='get'>{PING}</iq>")
    await juliet.receives("<iq from='capulet.example' to='juliet@capulet.example/balcony' id='c2s1' type='result'/>")
    await juliet.receives_nothing()
