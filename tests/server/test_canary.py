"""What was delivered is gone from the server: a canary is planted, found while it waits, and found no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.storage.raw import query, tables
from xmpp_server.app import upkeep

from .conftest import MakeServer
from .raw_client import RawClient

CANARY = "canary-7f3a91d2"
DEADLINE = 30.0


async def found(url: str) -> bool:
    """Whether the canary stands in the files of SQLite, or in any table of PostgreSQL."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return any(CANARY.encode() in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    for table in await tables(url):
        for row in await query(url, f'SELECT * FROM "{table}"'):
            if any(CANARY.encode() in (value if isinstance(value, bytes) else str(value).encode()) for value in row):
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
