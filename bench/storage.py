"""CPU of storage, client side: µs for each read and write, one at a time and 50 at a time.

python -m bench.storage [URL ...]      default: SQLite in a temporary folder, and the PostgreSQL of the tests
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from xmpp_server.protocol.credentials import Verifier
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.roster import RosterItem
from xmpp_server.storage.store import Store

PEOPLE = 200
CONTACTS = 49
STANZA = b"<message type='chat' id='0123456789' to='romeo@montague.example'>" + b"x" * 230 + b"</message>"
people = [JID.parse(f"user{number}@montague.example") for number in range(PEOPLE)]


async def measure(name: str, operation: Callable[[int], Awaitable[object]], times: int) -> None:
    """Print CPU and time of an operation, done so many times."""
    figures = []
    for at_once in (1, 50):

        async def some(first: int, step: int) -> None:
            for number in range(first, times, step):
                await operation(number)

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(some(first, at_once) for first in range(at_once)))
        figures += [(time.process_time() - cpu) / times * 1e6, (time.perf_counter() - wall) / times * 1e6]
    print(f"{name:34}" + "".join(f"{figure:10.0f}" for figure in figures), flush=True)


async def fill(store: Store) -> None:
    verifier = Verifier(b"s" * 16, 10_000, b"k" * 32, b"k" * 32)
    await asyncio.gather(
        *(store.accounts.create(jid, {"sha1": verifier, "sha256": verifier, "sha512": verifier}) for jid in people)
    )
    for number, jid in enumerate(people):
        contacts = [people[(number + step) % PEOPLE] for step in range(1, CONTACTS + 1)]
        await asyncio.gather(*(store.rosters.put(jid, RosterItem(one, "Name", "both")) for one in contacts))


async def bench(url: str) -> None:
    await migrate(url)
    store = await Store.open(url)
    print(f"\n{url.partition(':')[0]:34}{'CPU':>10}{'time':>10}{'CPU':>10}{'time':>10}   µs, 1 and 50 at a time")
    await fill(store)
    person = lambda number: people[number % PEOPLE]  # noqa: E731
    await measure("exists", lambda n: store.accounts.exists(person(n)), 2000)
    await measure("credentials", lambda n: store.accounts.credentials(person(n)), 2000)
    await measure(f"login_state, {CONTACTS} contacts", lambda n: store.login_state(person(n)), 1000)
    await measure(f"subscriptions_to, {CONTACTS}", lambda n: store.rosters.subscriptions_to(person(n)), 1000)

    async def login(number: int) -> None:
        jid = person(number)
        await store.accounts.credentials(jid)
        await store.login_state(jid)
        await store.rosters.subscriptions_to(jid)
        store.accounts.logged_in(jid, number)

    await measure("login: the three", login, 1000)
    await measure("roster put", lambda n: store.rosters.put(person(n), RosterItem(person(n + 1), str(n))), 1000)
    await measure(
        "offline store, 300 B",
        lambda n: store.offline.store(person(n), person(n + 1), STANZA, received=n, expires=2**60, quota=1000),
        1000,
    )
    await measure("offline load", lambda n: store.offline.load(person(n), now=0), 1000)
    await measure("blocking add", lambda n: store.blocking.add(person(n), [person(n + 7)]), 1000)
    await store.close()


async def main() -> None:
    if urls := sys.argv[1:]:
        for url in urls:
            await bench(url)
        return
    with tempfile.TemporaryDirectory() as folder:
        await bench(f"sqlite:///{Path(folder) / 'bench.db'}")
    from tests.postgres import PostgreSQL

    server = PostgreSQL()
    try:
        await bench(await server.create())
    finally:
        server.stop()


if __name__ == "__main__":
    uvloop.run(main())
