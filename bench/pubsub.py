"""CPU of publish-subscribe, in one process without sockets: a publication by the number of subscribers, and a login of
somebody whose contacts have nodes.

python -m bench.pubsub
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.scenarios.world import World
from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.jid import JID
from xmpp_server.pubsub.engine import Engine
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.pubsub import NewNode, Storing
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import Item, Subscription

CROWDS = (1, 1_000, 10_000)
NOTIFICATIONS = 20_000
CONTACTS = 200
NODES = [f"urn:example:node:{number}" for number in range(5)]
SERVICE = JID.parse("pubsub.localhost")
PAYLOAD = b"<entry xmlns='http://www.w3.org/2005/Atom'><title>" + b"x" * 200 + b"</title></entry>"
OPTIONS = "[hosts.localhost]\nadmins = ['admin']\n[components.pubsub]\npublishes_per_minute = 1000000000"


async def publications(world: World, size: int) -> None:
    """Print CPU of a notification, and the longest turn of the loop meanwhile."""
    engine: Engine = world.core.components.running[str(SERVICE)].engine  # type: ignore[attr-defined]
    admin = (await world.account("admin@localhost")).with_resource("desk")
    name = f"news-{size}"
    await engine.create(SERVICE, name, by=admin)
    jids = [JID.parse(f"s{number}@remote.example") for number in range(size)]
    for start in range(0, size, 1000):
        change = Relations([Subscription(jid, "x") for jid in jids[start : start + 1000]], most=10**6)
        await engine.store.relate(SERVICE, name, admin, lambda row, change=change: change)  # type: ignore[misc]
    times = max(1, min(2_000, NOTIFICATIONS // size))
    longest, ends = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ends:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    cpu = time.process_time()
    for number in range(times):
        await engine.publish(SERVICE, name, [Item(str(number % 5), PAYLOAD, admin.bare)], by=admin)
        await world.settle()
    each = (time.process_time() - cpu) / times / size * 1e6
    watching = asyncio.get_running_loop().create_task(watch())
    await engine.publish(SERVICE, name, [Item("last", PAYLOAD, admin.bare)], by=admin)
    await world.settle()
    ends = True
    await watching
    print(f"{size:8} subscribers {each:10.1f} µs a notification, longest turn {longest * 1e3:8.1f} ms", flush=True)


async def login(world: World, contacts: int) -> None:
    """Print queries and CPU of a login with so many contacts, who have five nodes each."""
    user = f"user{contacts}@localhost"
    for number in range(contacts):
        contact = f"contact{number}@localhost"
        await world.subscribe(user, contact)
        jid = JID.parse(contact)
        storing = Storing(
            1, create=NewNode(b'{"access_model":"presence","send_last_published_item":"on_sub_and_presence"}', jid, 99)
        )
        for node in NODES:
            await world.store.pubsub.publish(jid, node, [Item("1", PAYLOAD, jid)], jid, lambda row, s=storing: s)  # type: ignore[misc]
    info = Info((Identity("client", "pc", name="bench"),), tuple(f"{node}+notify" for node in NODES))
    caps = Caps.of("https://client.example", info)
    host = JID.parse("localhost")
    await world.store.capabilities.save(host, caps, info.element().to_bytes(), time.time_ns() // 1000, most=10)
    reads: list[Any] = []
    read = world.store.database.read
    world.store.database.read = lambda work: (reads.append(work), read(work))[1]  # type: ignore[method-assign]
    cpu = time.process_time()
    client = await world.connect(f"{user}/bench")
    client.send(f"<presence>{caps.element().to_bytes().decode()}</presence>")
    await world.settle()
    taken = (time.process_time() - cpu) * 1e3
    world.store.database.read = read  # type: ignore[method-assign]
    told = sum(stanza.name == "message" for stanza in client.inbox)
    print(f"{contacts:8} contacts    {len(reads):10} queries, {told:6} last items, {taken:8.1f} ms of CPU", flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        await migrate(url)
        world = await World.open(url, OPTIONS)
        elsewhere = world.elsewhere()
        for size in CROWDS:
            await publications(world, size)
            elsewhere.clear()
        for contacts in (1, CONTACTS):
            await login(world, contacts)
        await world.close()


if __name__ == "__main__":
    uvloop.run(main())
