"""A page of 50 from a small archive and from a large one: µs of time for each kind of query, and their ratio.

python -m bench.archive_pages [MESSAGES] [URL ...]      default: 10,000,000, on SQLite and the PostgreSQL of the tests
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import uvloop

from xmpp_server.protocol.archive import Query
from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import PageRequest
from xmpp_server.storage.archive import archive
from xmpp_server.storage.archive_pages import Pages
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store

SMALL: Final = 1_000
LARGE: Final = 10_000_000
PEERS: Final = 10
STEP: Final = 10_000_000  # microseconds between two messages: ten million are of three years
ROUNDS: Final = 200
STANZA: Final = b"<message xmlns='jabber:client' type='chat' id='0123456789'><body>hello</body></message>"
COLUMNS: Final = [column.name for column in archive.columns]

people = {size: JID.parse(f"owner{size}@montague.example") for size in (SMALL, LARGE)}
ids = ArchiveIds(b"k" * 32)


def rows(account: JID, size: int) -> Iterator[tuple[Any, ...]]:
    dice = random.Random(size)
    for number in range(1, size + 1):
        at = number * STEP
        peer = f"peer{dice.randrange(PEERS)}@capulet.example"
        yield str(account), at, at, peer, "phone", dice.getrandbits(63), STANZA


def fill_sqlite(path: str, account: JID, size: int) -> None:
    connection = sqlite3.connect(path)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
        connection.execute(f"PRAGMA {pragma}")
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(f"INSERT INTO archive ({', '.join(COLUMNS)}) VALUES ({marks})", rows(account, size))
    connection.commit()
    connection.close()


async def fill_postgresql(url: str, account: JID, size: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.copy_records_to_table("archive", records=rows(account, size), columns=COLUMNS)
    await connection.execute("ANALYZE archive")
    await connection.close()


def queries(account: JID, size: int) -> dict[str, Query]:
    """What clients ask for, in the middle of the archive where there is a middle."""
    middle = size // 2 * STEP
    peer = JID.parse("peer7@capulet.example")
    id = ids.seal(account, middle)
    return {
        "the newest": Query(page=PageRequest(before="")),
        "the oldest": Query(),
        "after an id": Query(page=PageRequest(after=id)),
        "before an id": Query(page=PageRequest(before=id)),
        "from a time on": Query(start=middle),
        "up to a time, backwards": Query(end=middle, page=PageRequest(before="")),
        "the newest of a contact": Query(peer=peer, page=PageRequest(before="")),
        "of a contact, after an id": Query(peer=peer, page=PageRequest(after=id)),
        "of a device, from a time on": Query(peer=peer.with_resource("phone"), start=middle),
        "of somebody who never wrote": Query(peer=JID.parse("nobody@capulet.example")),
        "how many there are": Query(page=PageRequest(max=0)),
    }


async def page(store: Store, account: JID, query: Query) -> int:
    pages = Pages(store.archive, ids)
    answer = await pages.find(account, query, 50)
    count = 0
    async for messages in pages.load(account, query, answer):
        count += len(messages)
    return count


async def microseconds(store: Store, account: JID, query: Query) -> float:
    """The median of many."""
    times = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        await page(store, account, query)
        times.append((time.perf_counter() - before) * 1e6)
    return statistics.median(times)


async def bench(url: str, large: int) -> None:
    await migrate(url)
    store = await Store.open(url)
    for account in people.values():
        await store.accounts.create(account, {})
    await store.close()
    for size, account in people.items():
        messages = min(size, large)
        before = time.perf_counter()
        if url.startswith("sqlite"):
            await asyncio.to_thread(fill_sqlite, url.removeprefix("sqlite:///"), account, messages)
        else:
            await fill_postgresql(url, account, messages)
        print(f"{messages:,} messages written in {time.perf_counter() - before:.0f} s", flush=True)
    store = await Store.open(url)
    print(f"\n{url.partition(':')[0]:34}{SMALL:>12,}{large:>12,}{'ratio':>8}   µs a page of 50, median of {ROUNDS}")
    for name in queries(people[SMALL], SMALL):
        few = await microseconds(store, people[SMALL], queries(people[SMALL], SMALL)[name])
        many = await microseconds(store, people[LARGE], queries(people[LARGE], large)[name])
        print(f"{name:34}{few:12.0f}{many:12.0f}{many / few:8.2f}", flush=True)
    await store.close()


async def main() -> None:
    large = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE
    if urls := sys.argv[2:]:
        for url in urls:
            await bench(url, large)
        return
    with tempfile.TemporaryDirectory() as folder:
        await bench(f"sqlite:///{Path(folder) / 'bench.db'}", large)
    from tests.postgres import PostgreSQL

    server = PostgreSQL()
    try:
        await bench(await server.create(), large)
    finally:
        server.stop()


if __name__ == "__main__":
    uvloop.run(main())
