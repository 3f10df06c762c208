"""Profanity sends files over the server's HTTPS port, whose certificate is the one that it took for XMPP."""

from __future__ import annotations

import hashlib
import os
import ssl
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from slixmpp.plugins.xep_0454 import XEP_0454

from tests.server.omemo_person import OmemoPerson
from tests.server.running import RunningServer

from .conftest import OpenTerminal
from .terminal import Terminal
from .test_profanity import PASSWORD, log_in
from .test_profanity_omemo import JULIET, ROMEO, befriend, come_online, until_keys_are_known


async def downloaded(server: RunningServer, url: str) -> bytes:
    context = ssl.create_default_context(cafile=str(server.certificate))
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
        assert answer.status == 200
        return await answer.read()


async def opened(
    server: RunningServer, open_terminal: OpenTerminal, *, omemo: bool = False
) -> tuple[Terminal, OmemoPerson]:
    """Romeo with profanity, Juliet with slixmpp, in each other's rosters."""
    await server.account(ROMEO, PASSWORD)
    romeo = await open_terminal("romeo", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "trust")
    if omemo:
        await romeo.type("/omemo gen")
        await romeo.until("materials generated")
        await romeo.until("Going to publish own device ID")
        await romeo.type("/omemo trustmode blind")
    juliet = await come_online(server, JULIET)
    await befriend(romeo, juliet)
    await romeo.type(f"/msg {JULIET}")
    return romeo, juliet


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(os.urandom(1_000_000))
    return path


async def test_profanity_sends_a_file(server: RunningServer, open_terminal: OpenTerminal, file: Path) -> None:
    romeo, juliet = await opened(server, open_terminal)
    await romeo.type(f"/sendfile {file}")
    message = await juliet.next("message", lambda message: "/upload/" in message["body"])
    assert message["body"].endswith("/picture.png")
    data = await downloaded(server, message["body"])
    assert hashlib.sha256(data).digest() == hashlib.sha256(file.read_bytes()).digest()


async def test_profanity_sends_an_encrypted_file(
    server: RunningServer, open_terminal: OpenTerminal, file: Path
) -> None:
    romeo, juliet = await opened(server, open_terminal, omemo=True)
    await romeo.type(f"/omemo start {JULIET}")
    await romeo.until(r"OMEMO session started|\[OMEMO\]")
    await until_keys_are_known(romeo)
    await romeo.type(f"/sendfile {file}")
    url, _, key = (await juliet.reads()).partition("#")
    assert url.startswith("aesgcm://")
    sealed = await downloaded(server, url.replace("aesgcm", "https", 1))
    assert len(sealed) == len(file.read_bytes()) + 16
    data = XEP_0454.decrypt(BytesIO(sealed), key)
    assert hashlib.sha256(data).digest() == hashlib.sha256(file.read_bytes()).digest()


async def test_profanity_saves_a_file_that_was_sent_to_it(
    server: RunningServer, open_terminal: OpenTerminal, file: Path, tmp_path: Path
) -> None:
    romeo, _ = await opened(server, open_terminal)
    await romeo.type(f"/sendfile {file}")
    url = (await romeo.until(r"https://localhost:\d+/upload/\S+/picture\.png"))[0]
    saved = tmp_path / "saved.png"
    await romeo.type(f"/url save {url} {saved}")
    await romeo.until("Downloading.*100%|done")
    assert hashlib.sha256(saved.read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest()
