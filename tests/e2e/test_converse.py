"""Converse.js, as its package is, in a browser: over WebSocket and over BOSH."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.server.running import RunningServer
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.roster import RosterItem

from .conftest import OpenBrowser, Shoot
from .converse import Converse, served

ROMEO: Final = "romeo@localhost"
JULIET: Final = "juliet@localhost"
SECRET: Final = "With love's light wings did I o'er-perch these walls"
ANSWER: Final = "Three words, dear Romeo, and good night indeed"
SIZE: Final = (60, 40)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[str]:
    async with served() as url:
        yield url


@pytest_asyncio.fixture
async def contacts(people: RunningServer) -> RunningServer:
    """A server on which Romeo and Juliet are contacts of each other."""
    romeo, juliet = JID.parse(ROMEO), JID.parse(JULIET)
    await people.store.rosters.put(romeo, RosterItem(juliet, "Juliet", "both"))
    await people.store.rosters.put(juliet, RosterItem(romeo, "Romeo", "both"))
    return people


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of this size."""
    width, height = SIZE
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in (x * 4, y * 6, 160)) for y in range(height))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    file = tmp_path / "rose.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks.items()
        )
    )
    return file


def websocket(server: RunningServer) -> dict[str, str]:
    return {"websocket_url": f"wss://localhost:{server.https_port}/xmpp-websocket"}


def bosh(server: RunningServer) -> dict[str, str]:
    return {"bosh_service_url": f"https://localhost:{server.https_port}/http-bind"}


async def test_two_people_chat_and_one_sees_the_others_picture(
    contacts: RunningServer, open_browser: OpenBrowser, site: str, shoot: Shoot, picture: Path
) -> None:
    romeo = await Converse.log_in(await open_browser(), site, "romeo", **websocket(contacts))
    juliet = await Converse.log_in(await open_browser(), site, "juliet", **bosh(contacts))
    his, hers = await romeo.chat(JULIET), await juliet.chat(ROMEO)
    await his.say("But, soft! what light through yonder window breaks?")
    await hers.shows("what light through yonder window")
    await hers.say("Ay me!")
    await his.shows("Ay me!")
    await his.send_file(picture)
    assert await hers.picture() == SIZE
    await hers.send_file(picture)
    assert await his.picture() == SIZE
    await shoot(juliet.page, "converse-chat")
    assert romeo.transports == {"wss"}
    assert juliet.transports == {"bosh"}


async def test_two_people_talk_encrypted_and_the_server_keeps_ciphertext(
    contacts: RunningServer, open_browser: OpenBrowser, site: str, shoot: Shoot, picture: Path, tmp_path: Path
) -> None:
    romeo = await Converse.log_in(await open_browser(), site, "romeo", **websocket(contacts))
    juliet = await Converse.log_in(await open_browser(), site, "juliet", **bosh(contacts))
    his, hers = await romeo.chat(JULIET), await juliet.chat(ROMEO)
    await his.encrypt()
    await his.say(SECRET)
    await hers.shows(SECRET)
    await hers.encrypt()
    await hers.say(ANSWER)
    await his.shows(ANSWER)
    await his.send_file(picture)
    assert await hers.picture() == SIZE
    await shoot(juliet.page, "converse-omemo")
    stored = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file != picture]
    assert not [data for data in stored if SECRET.encode() in data or ANSWER.encode() in data]
    assert not [data for data in stored if data.startswith(picture.read_bytes()[:100])]


async def test_two_people_meet_in_a_group(
    contacts: RunningServer, open_browser: OpenBrowser, site: str, shoot: Shoot
) -> None:
    romeo = await Converse.log_in(await open_browser(), site, "romeo", **bosh(contacts))
    juliet = await Converse.log_in(await open_browser(), site, "juliet", **websocket(contacts))
    his = await romeo.join("garden@conference.localhost")
    await his.say("Who is there?")
    await his.shows("Who is there?")
    hers = await juliet.join("garden@conference.localhost")
    await hers.shows("Who is there?")
    await hers.say("It is I")
    await his.shows("It is I")
    await shoot(juliet.page, "converse-group")
