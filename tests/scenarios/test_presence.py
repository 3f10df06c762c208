"""What those see who come later: presence with its date (XEP-0203), and the receipt of a request (RFC 6121 §3.1.3)."""

from __future__ import annotations

import time

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time

from .world import World

DELAY = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>"


async def test_a_broadcast_has_no_date_and_who_comes_later_gets_it_with_one(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.connect("juliet@localhost/balcony")
    before = time.time_ns() // 1000
    juliet.send("<presence><show>away</show></presence>")
    live = await romeo.receives("<presence from='juliet@localhost/balcony'><show>away</show></presence>")
    assert live.child(ns.DELAY, "delay") is None

    street = await world.connect("romeo@localhost/street")
    street.send("<presence/>")
    await street.receives("<presence from='romeo@localhost/street'/>")
    await street.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    late = await street.receives(f"<presence from='juliet@localhost/balcony'><show>away</show>{DELAY}</presence>")
    delay = late.child(ns.DELAY, "delay")
    assert delay is not None
    assert before - 1000 <= parse_time(delay.get("stamp")) <= time.time_ns() // 1000


async def test_a_date_of_the_client_itself_is_not_joined_by_another(world: World) -> None:
    own = "<delay xmlns='urn:xmpp:delay' from='juliet@localhost/balcony' stamp='2002-09-10T23:41:07Z'/>"
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await world.login("juliet@localhost/balcony", f"<presence>{own}</presence>")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    presence = await romeo.receives(f"<presence from='juliet@localhost/balcony'>{own}</presence>")
    assert [child.name for child in presence] == ["delay"]


async def test_when_both_see_each_other_who_approved_last_gets_the_presence_of_the_other_anew(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost", "to")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence to='romeo@localhost' type='subscribe'/>")
    await romeo.receives("<presence from='juliet@localhost' type='subscribe'/>")
    romeo.send("<presence to='juliet@localhost' type='subscribed'/>")
    await romeo.receives(f"<presence from='juliet@localhost/balcony'>{DELAY}</presence>")
    await romeo.receives_nothing()
    await juliet.receives("<presence from='romeo@localhost' type='unavailable'/>")
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    await juliet.receives_nothing()


@pytest.mark.parametrize("online", [True, False])
async def test_a_request_is_acknowledged_alike_whether_the_contact_is_there_or_not(world: World, online: bool) -> None:
    await world.account("juliet@localhost")
    if online:
        await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await romeo.receives("<presence from='juliet@localhost' to='romeo@localhost' type='unavailable'/>")
    await romeo.receives_nothing()


async def test_a_request_to_somebody_who_blocks_is_not_acknowledged(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("set", "<block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block>")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
    await romeo.receives_nothing()
    await juliet.receives_nothing()
