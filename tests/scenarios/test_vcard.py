"""XEP-0054"""

from __future__ import annotations

import pytest

from .conftest import HOSTS, MakeWorld
from .world import World

EMPTY = "<vCard xmlns='vcard-temp'/>"
ROMEO = "<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><N><FAMILY>Montague</FAMILY><MIDDLE/></N></vCard>"


async def test_a_vcard_is_read_by_everybody(world: World) -> None:
    """§3.1 to §3.3, §5: also by strangers, and while its owner is away"""
    romeo = await world.login("romeo@localhost/orchard")
    assert (await romeo.request("set", ROMEO)).get("type") == "result"
    romeo.send(f"<iq type='get' id='v1'>{EMPTY}</iq>")
    await romeo.receives(f"<iq type='result' id='v1'>{ROMEO}</iq>")
    await romeo.disconnect()
    juliet = await world.login("juliet@capulet.example/balcony")
    juliet.send(f"<iq type='get' id='v3' to='romeo@localhost'>{EMPTY}</iq>")
    await juliet.receives(f"<iq type='result' id='v3' from='romeo@localhost'>{ROMEO}</iq>")


async def test_without_a_vcard_the_owner_is_told_so(world: World) -> None:
    """§3.1"""
    romeo = await world.login("romeo@localhost/orchard")
    assert b"<item-not-found" in (await romeo.request("get", EMPTY)).to_bytes()


async def test_nobody_learns_whether_an_account_without_a_vcard_exists(world: World) -> None:
    """§3.3: the same error condition in both cases, service-unavailable"""
    await world.subscribe("juliet@localhost", "romeo@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    answers = [await juliet.request("get", EMPTY, to) for to in ("romeo@localhost", "nobody@localhost")]
    texts = {bytes(child.to_bytes()) for answer in answers for child in answer}
    assert len(texts) == 1
    assert b"<service-unavailable" in texts.pop()


async def test_a_vcard_is_replaced_as_a_whole(world: World) -> None:
    """§3.2"""
    romeo = await world.login("romeo@localhost/orchard")
    await romeo.request("set", ROMEO)
    await romeo.request("set", "<vCard xmlns='vcard-temp'><DESC>Gone</DESC></vCard>")
    answer = (await romeo.request("get", EMPTY)).to_bytes()
    assert b"Gone" in answer
    assert b"Montague" not in answer


async def test_nobody_changes_the_vcard_of_another(world: World) -> None:
    """§3.2: forbidden"""
    await world.account("romeo@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    for to in ("romeo@localhost", "nobody@localhost"):
        assert b"<forbidden" in (await juliet.request("set", ROMEO, to)).to_bytes()


async def test_a_vcard_that_is_too_large_is_refused(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.vcard]\noctets = 200")
    romeo = await world.login("romeo@localhost/orchard")
    assert (await romeo.request("set", ROMEO)).get("type") == "result"
    large = f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{'A' * 200}</BINVAL></PHOTO></vCard>"
    assert b"<policy-violation" in (await romeo.request("set", large)).to_bytes()
    assert b"Montague" in (await romeo.request("get", EMPTY)).to_bytes()


@pytest.mark.parametrize("to", ["localhost", "romeo@localhost"])
async def test_the_feature_is_told(world: World, to: str) -> None:
    """§4"""
    romeo = await world.login("romeo@localhost/orchard")
    info = await romeo.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to)
    assert b"<feature var='vcard-temp'/>" in info.to_bytes()
