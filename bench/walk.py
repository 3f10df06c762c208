"""CPU of one message's walk through the server, step by step and as a whole, in memory: µs for each message.

    python -m bench.walk

Half of the messages go to bare addresses, half to full ones; attributes stand in any order; everybody is online and
nobody else's device wants a copy. Sockets are left out: `load.py` measures with them.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.framing import STANZAS, chat, frame, framed, measure, omemo, write
from bench.tls_memory import handshake
from xmpp_server.app.core import Core
from xmpp_server.config import load
from xmpp_server.modules import all_modules
from xmpp_server.net.certificates import generate
from xmpp_server.net.tls_contexts import TLSContexts
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.delivery import decide
from xmpp_server.routing.host import Passage
from xmpp_server.session.session import Session
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.offline import Message
from xmpp_server.storage.store import Store

RECEIVERS = 50
KINDS: dict[str, Callable[[int], bytes]] = {
    "300 B": lambda number: chat(number, 30),
    "2 KB OMEMO": omemo,
    "8 KB": lambda number: chat(number, 7700),
}
CONFIGURATION = """
[hosts."montague.example"]
[hosts."capulet.example"]
"""


class Outbox:
    """Where a session's bytes go."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return True

    def when_written(self, callback: Callable[[], None]) -> None:
        callback()

    async def drained(self) -> bool:
        return True

    def close(self, error: StreamError | None = None) -> None:
        raise RuntimeError(f"the session ended: {error}")


@dataclass
class Server:
    """The server in memory, its sender, and what the receivers were sent."""

    core: Core
    store: Store
    romeo: Session
    outbox: Outbox

    @classmethod
    async def open(cls, folder: Path) -> Server:
        (folder / "server.toml").write_text(CONFIGURATION)
        url = f"sqlite:///{folder / 'walk.db'}"
        await migrate(url)
        store = await Store.open(url)
        core = Core(load(folder / "server.toml", all_modules()), store)
        outbox = Outbox()

        async def login(text: str) -> Session:
            jid = JID.parse(text)
            await store.accounts.create(jid.bare, {})
            session = await core.binder.bind(core.router.hosts[jid.domain], jid.bare, jid.resource, outbox)
            await session.receive(Stanza.build("presence"))
            return session

        for number in range(RECEIVERS):
            await login(f"juliet{number}@capulet.example/balcony")
        return cls(core, store, await login("romeo@montague.example/orchard"), outbox)


def at_once(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the hot path waits")


def walk(server: Server, stanzas: list[Stanza]) -> dict[str, float]:
    """The steps between the framer and the outbox."""
    romeo, outbox, core = server.romeo, server.outbox, server.core
    home, away = core.router.hosts["montague.example"], core.router.hosts["capulet.example"]
    stamped = [stanza.stamped(sender=romeo.jid) for stanza in stanzas]
    leaving = [Passage(stanza, romeo) for stanza in stamped]
    arriving = [Passage(stanza, romeo, core.accounts.get(stanza.to.bare)) for stanza in stamped if stanza.to]
    for passage in arriving:
        assert passage.account is not None
        passage.targets = list(passage.account.sessions.values())

    def hooks_out(passages: list[Passage]) -> None:
        for passage in passages:
            home.hooks.message_out.ask(passage)

    def hooks_in(passages: list[Passage]) -> None:
        for passage in passages:
            away.hooks.message_in.ask(passage)
            away.hooks.message_delivered.tell(passage)

    def delivery(passages: list[Passage]) -> None:
        for passage in passages:
            assert passage.account is not None
            assert passage.stanza.to is not None
            decide("message", passage.stanza.type, passage.stanza.to.resource, passage.account.sessions)

    def whole(stanzas: list[Stanza]) -> None:
        outbox.written.clear()
        for stanza in stanzas:
            at_once(romeo.receive(stanza))

    figures = {
        "hooks, going out": measure(hooks_out, leaving),
        "hooks, coming in and delivered": measure(hooks_in, arriving),
        "delivery: who gets it": measure(delivery, arriving),
        "serialising": measure(write, stamped),
    }
    total = measure(whole, stanzas)
    assert len(outbox.written) == STANZAS
    return {"session and routing": total - sum(figures.values())} | figures | {"session to outbox, the whole": total}


def encryption(messages: list[bytes], folder: Path) -> tuple[float, float]:
    """TLS in and out, a record for each message."""
    certificate = generate("localhost", folder)
    client = ssl.create_default_context(cafile=str(certificate.files.chain))
    session, peer, to_server, _ = handshake(TLSContexts({"localhost": certificate.files}), client)
    records = []
    for message in messages:
        peer.write(message)
        records.append(to_server.read())
    start = time.process_time()
    for record in records:
        session.receive(record)
    received = time.process_time()
    for message in messages:
        session.send(message)
        session.data_to_send()
    sent = time.process_time()
    return (received - start) / len(messages) * 1e6, (sent - received) / len(messages) * 1e6


async def keeping(store: Store, messages: list[bytes]) -> float:
    """The database's part of a message for somebody who is away, 50 senders at a time; threads are counted."""
    owner, sender = JID.parse("juliet0@capulet.example"), JID.parse("romeo@montague.example")

    async def some(first: int) -> None:
        for number in range(first, len(messages), 50):
            data = messages[number]
            await store.offline.keep([Message(owner, number, sender, data, number, 2**60, 2**31)])

    start = time.process_time()
    await asyncio.gather(*(some(first) for first in range(50)))
    return (time.process_time() - start) / len(messages) * 1e6


async def figures() -> dict[str, dict[str, float]]:
    """By kind of message: µs by step, in the order of the walk."""
    table: dict[str, dict[str, float]] = {}
    for kind, make in KINDS.items():
        messages = [make(number) for number in range(STANZAS)]
        with tempfile.TemporaryDirectory() as folder:
            tls_in, tls_out = encryption(messages, Path(folder))
            server = await Server.open(Path(folder))
            steps = walk(server, list(framed(messages)))
            table[kind] = {
                "TLS in": tls_in,
                "framing, one in a chunk": measure(frame, messages),
                "framing, twenty in a chunk": measure(
                    frame, [b"".join(messages[i : i + 20]) for i in range(0, STANZAS, 20)]
                ),
                **steps,
                "TLS out": tls_out,
                "storage: kept for somebody who is away": await keeping(server.store, messages),
            }
            await server.store.close()
    return table


def lines(table: dict[str, dict[str, float]]) -> list[str]:
    """The table in Markdown."""
    kinds = list(table)
    rows = [f"| CPU µs a message | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    rows += [f"| {step} | {' | '.join(f'{table[kind][step]:.1f}' for kind in kinds)} |" for step in table[kinds[0]]]
    return rows


if __name__ == "__main__":
    print("\n".join(lines(uvloop.run(figures()))))
