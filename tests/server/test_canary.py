"""What was delivered is gone from the server: a canary is planted, found while it waits, and found no more. What is
encrypted is never there to be found."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from slixmpp.plugins.xep_0454 import XEP_0454

from tests.storage.raw import query, tables
from xmpp_server.app import upkeep

from .conftest import MakeServer
from .omemo_person import OmemoPerson
from .raw_client import RawClient
from .uploads import client, serve_plain

__all__ = ["client"]

CANARY = "canary-7f3a91d2"
DEADLINE = 30.0


async def found(url: str, canary: str = CANARY) -> bool:
    """Whether the canary stands in the files of SQLite, or in any table of PostgreSQL."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return any(canary.encode() in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    for table in await tables(url):
        for row in await query(url, f'SELECT * FROM "{table}"'):
            if any(canary.encode() in (value if isinstance(value, bytes) else str(value).encode()) for value in row):
                return True
    return False


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("size", [1, 500], ids=["small", "of several pages"])
async def test_with_the_archive_off_nothing_is_left_of_what_was_delivered(
    make_server: MakeServer, database_url: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(upkeep, "_SCRUB_EVERY", 0.3)
    server = await make_server("[modules.archive]\nenabled = false\n")
    await server.account("romeo")
    await server.account("juliet")
    romeo = await RawClient.login(server, "romeo")
    body = f"{CANARY} " * size
    await romeo.send(f"<message to='juliet@localhost' type='chat' id='1'><body>{body}</body></message>")
    await until(lambda: found(database_url))
    juliet = await RawClient.login(server, "juliet")
    await juliet.send("<presence/>")
    assert CANARY in (await juliet.read_until("message")).child_text("jabber:client", "body")

    async def gone() -> bool:
        return not await found(database_url)

    await until(gone)


async def test_of_an_encrypted_file_nothing_can_be_read_at_the_server(
    make_server: MakeServer, database_url: str, client: aiohttp.ClientSession
) -> None:
    """XEP-0454: the key goes in the encrypted message, the ciphertext to the server."""
    server = await make_server()
    await serve_plain(server)
    people = []
    for name in ("romeo", "juliet"):
        await server.account(name)
        person = OmemoPerson(server, f"{name}@localhost/orchard")
        server.hang_up.append(person.abort)
        await person.log_in()
        await person.come_online()
        await person.omemo_ready()
        people.append(person)
    romeo, juliet = people
    romeo.register_plugin("xep_0363")
    plain = f"{CANARY} ".encode() * 20_000
    sealed, key = XEP_0454.encrypt(BytesIO(plain), None)
    url = await romeo.plugin["xep_0363"].upload_file("a.jpg", len(sealed), input_file=BytesIO(sealed), timeout=DEADLINE)
    await romeo.say_encrypted("juliet@localhost", f"{url.replace('http', 'aesgcm', 1)}#{key}")

    received, _, fragment = (await juliet.reads()).replace("aesgcm", "http", 1).partition("#")
    async with client.get(received) as answer:
        opened = XEP_0454.decrypt(BytesIO(await answer.read()), fragment)
    assert hashlib.sha256(opened).digest() == hashlib.sha256(plain).digest()

    (file,) = (server.app.config.data / "uploads").iterdir()
    assert file.read_bytes() == sealed
    assert await found(database_url, file.name)
    for secret in (CANARY, key, key[24:]):
        assert not await found(database_url, secret)
        files = [file for file in server.app.config.data.rglob("*") if file.is_file()]
        assert not any(secret.encode() in file.read_bytes() for file in files)
