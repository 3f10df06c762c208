"""XEP-0153 and XEP-0398: photos, and their hashes in presence."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from .world import World

IMAGE = b"\x89PNG\r\n\x1a\nnot really one"
HASH = hashlib.sha1(IMAGE).hexdigest()
UPDATE = "vcard-temp:x:update"
HERE = f"<x xmlns='{UPDATE}'><photo>{HASH}</photo></x>"


def vcard(image: bytes = IMAGE) -> str:
    photo = f"<PHOTO><TYPE>image/png</TYPE><BINVAL>\n{b64encode(image).decode()}\n</BINVAL></PHOTO>" if image else ""
    return f"<vCard xmlns='vcard-temp'><FN>Romeo</FN>{photo}</vCard>"


async def with_photo(world: World) -> None:
    client = await world.connect("romeo@localhost/elsewhere")
    assert (await client.request("set", vcard())).get("type") == "result"
    await client.disconnect()


@pytest.mark.parametrize("content", ["", f"<x xmlns='{UPDATE}'/>", f"<x xmlns='{UPDATE}'><photo>00ff</photo></x>"])
async def test_presence_tells_the_hash_of_the_photo(world: World, content: str) -> None:
    """XEP-0398 §4"""
    await with_photo(world)
    await world.subscribe("romeo@localhost", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence><show>away</show>{content}</presence>")
    for seer in (juliet, romeo):
        seen = await seer.receives(f"<presence from='romeo@localhost/orchard'><show>away</show>{HERE}</presence>")
        assert len([child for child in seen if child.ns == UPDATE]) == 1
        seer.inbox.clear()


async def test_presence_that_says_there_is_none_is_left_alone(world: World) -> None:
    """XEP-0398 §4"""
    await with_photo(world)
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence><x xmlns='{UPDATE}'><photo/></x></presence>")
    seen = await romeo.receives("<presence/>")
    assert HASH.encode() not in seen.to_bytes()


async def test_without_a_photo_an_empty_update_says_so_and_other_presence_nothing(world: World) -> None:
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send(f"<presence><x xmlns='{UPDATE}'/></presence>")
    await romeo.receives(f"<presence><x xmlns='{UPDATE}'><photo/></x></presence>")
    romeo.send("<presence/>")
    assert UPDATE.encode() not in (await romeo.receives("<presence/>")).to_bytes()


async def test_directed_presence_tells_it_too(world: World) -> None:
    """XEP-0398 §4: such as MUC joins"""
    await with_photo(world)
    others = world.elsewhere()
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<presence to='feast@rooms.example/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await world.settle()
    assert HASH.encode() in others[0].to_bytes()


async def test_another_photo_is_told_to_all_and_another_name_is_not(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard", "<presence><show>dnd</show></presence>")
    juliet.inbox.clear()
    await romeo.request("set", vcard())
    seen = await juliet.receives(f"<presence from='romeo@localhost/orchard'><show>dnd</show>{HERE}</presence>")
    assert b"urn:xmpp:delay" not in seen.to_bytes()
    await romeo.request("set", vcard().replace("Romeo", "R."))
    await juliet.receives_nothing()
    await romeo.request("set", vcard(b""))
    await juliet.receives("<presence from='romeo@localhost/orchard'/>")
    late = await world.connect("juliet@localhost/window")
    late.send("<presence/>")
    await world.settle()
    shown = [stanza for stanza in late.inbox if stanza.get("from") == "romeo@localhost/orchard"]
    assert len(shown) == 1
    assert HASH.encode() not in shown[0].to_bytes()


async def test_nobody_is_told_the_photo_of_who_is_away(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    await with_photo(world)
    await juliet.receives_nothing()
