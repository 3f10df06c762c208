"""XEP-0153 and XEP-0398: photos, and their hashes in presence."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from .pep import EVENT, items, login_with, publish
from .world import Client, World

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


# -- XEP-0398: vCard and nodes follow each other

DATA = "urn:xmpp:avatar:data"
METADATA = "urn:xmpp:avatar:metadata"
IMAGE_DATA = f"<data xmlns='{DATA}'>{b64encode(IMAGE).decode()}</data>"


def metadata(info: str = "") -> str:
    return f"<metadata xmlns='{METADATA}'>{info}</metadata>"


INFO = f"<info id='{HASH}' bytes='{len(IMAGE)}' type='image/png'/>"


async def stored(client: Client, to: str = "") -> bytes:
    return (await client.request("get", "<vCard xmlns='vcard-temp'/>", to)).to_bytes()


async def test_an_avatar_in_open_nodes_becomes_the_photo_of_the_vcard(world: World) -> None:
    """§3.1, §4"""
    await world.subscribe("romeo@localhost", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    juliet.inbox.clear()
    await romeo.request("set", "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
    await romeo.request("set", publish(DATA, HASH, IMAGE_DATA, access_model="open"))
    elsewhere = "<info id='0011' bytes='1' type='image/webp' url='https://x.example/a.webp'/>"
    await romeo.request("set", publish(METADATA, HASH, metadata(elsewhere + INFO), access_model="open"))
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{HERE}</presence>")
    card = await stored(juliet, "romeo@localhost")
    assert b"<FN>Romeo</FN>" in card
    assert b64encode(IMAGE) in card
    assert b"<TYPE>image/png</TYPE>" in card
    await romeo.request("set", publish(METADATA, HASH, metadata(), access_model="open"))
    await juliet.receives(f"<presence><x xmlns='{UPDATE}'><photo/></x></presence>")
    assert b"PHOTO" not in await stored(juliet, "romeo@localhost")


@pytest.mark.parametrize(("access", "data"), [("presence", IMAGE_DATA), ("open", IMAGE_DATA.replace("iVBO", "iVBP"))])
async def test_an_avatar_for_some_or_under_a_false_id_does_not(world: World, access: str, data: str) -> None:
    """§3.1: the hash is verified; §7: only if the data node is open"""
    romeo = await world.login("romeo@localhost/orchard")
    await romeo.request("set", publish(DATA, HASH, data, access_model=access))
    await romeo.request("set", publish(METADATA, HASH, metadata(INFO), access_model=access))
    assert b"PHOTO" not in await stored(romeo)


async def test_the_photo_of_a_vcard_is_published(world: World) -> None:
    """§3.2"""
    await world.subscribe("romeo@localhost", "juliet@localhost")
    juliet = await login_with(world, "juliet@localhost/balcony", METADATA)
    romeo = await world.login("romeo@localhost/orchard")
    juliet.inbox.clear()
    await romeo.request("set", vcard())
    juliet.forget("presence")
    await juliet.receives(
        f"<message from='romeo@localhost'><event xmlns='{EVENT}'><items node='{METADATA}'>"
        f"<item id='{HASH}'>{metadata(INFO)}</item></items></event></message>"
    )
    assert (await items(juliet, DATA, "romeo@localhost"))[HASH].text == b64encode(IMAGE).decode()
    await romeo.request("set", vcard())  # the same again
    await juliet.receives_nothing()
    await romeo.request("set", vcard(b""))
    juliet.forget("presence")
    await juliet.receives(f"<message><event xmlns='{EVENT}'><items node='{METADATA}'/></event></message>")
    assert all(not list(found) for found in (await items(romeo, METADATA)).values())


async def test_the_conversion_is_told_on_the_account(world: World) -> None:
    """§2"""
    romeo = await world.login("romeo@localhost/orchard")
    info = (await romeo.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")).to_bytes()
    assert b"<feature var='urn:xmpp:pep-vcard-conversion:0'/>" in info
