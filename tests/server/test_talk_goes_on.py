"""slixmpp and aioxmpp in the middle of a talk, when the network dies, and when the server is started anew or killed.

The server is a process of its own. Both send again what was not acknowledged, with the same origin-id, and show a
stanza-id once, as users' clients do; neither library does that by itself after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import pytest
import pytest_asyncio

from tests.chaos.links import Links
from tests.chaos.processes import Server, free_port
from tests.waiting import until
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

from .person import Person
from .running import ADDRESS, PASSWORD, RunningServer
from .test_aioxmpp import Aioxmpp

ROMEO: Final = "romeo@localhost"
JULIET: Final = "juliet@localhost"
PAUSE: Final = 0.1  # seconds until a client tries to connect again
BREATH: Final = 0.02  # seconds between two messages of one person
MESSAGES: Final = 24
MIDDLE: Final = 10


class Process:
    """A server of its own behind a proxy; as far as clients have to know it, one that runs here."""

    direct_tls_port = 0
    domain = "localhost"

    def __init__(self, server: Server, links: Links, folder: Path) -> None:
        self.server = server
        self.links = links
        self.port = links.port
        self.certificate = folder / "data/certificates/localhost.crt"
        self.hang_up: list[Callable[[], None]] = []

    @classmethod
    async def start(cls, folder: Path, url: str, *, archive: bool, password: str = PASSWORD) -> Process:
        """A server for Romeo and Juliet."""
        store = await Store.open(url)
        for address in (ROMEO, JULIET):
            await store.accounts.create(JID.parse(address), make_verifiers(password))
        await store.close()
        port = free_port()
        server = Server(folder, url, port, {}, archive=archive)
        await server.start()
        return cls(server, await Links.open(port), folder)

    async def cut(self) -> None:
        """The network dies."""
        for link in list(self.links.open_links):
            link.ended()

    async def restart(self) -> None:
        """As an operator does it."""
        await self.server.stop()
        await self.server.start()

    async def outage(self) -> None:
        """The network dies, and the server is restarted before anybody is back: the sessions outlive it."""
        await self.cut()
        await self.restart()

    async def crash(self) -> None:
        """kill -9."""
        await self.server.kill()
        await self.server.start()

    async def close(self) -> None:
        self.links.close()
        await self.server.close()


class Steady(Person):
    """Somebody with slixmpp who comes back, and sends again what was not acknowledged."""

    def __init__(self, server: RunningServer, address: str, password: str = PASSWORD) -> None:
        super().__init__(server, address, password)
        self.use_origin_id = True
        self.heard: list[str] = []
        self.said: list[Any] = []
        """Messages that are not acknowledged."""
        self.leaving = False
        self._shown: set[str] = set()
        self._ready = False
        self.register_plugin("xep_0198")
        self.add_event_handler("sm_enabled", self._begin)
        self.add_event_handler("session_resumed", self._go_on)
        self.add_event_handler("stanza_acked", self._acknowledged)
        self.add_event_handler("message", self._hear)
        self.add_event_handler("disconnected", self._come_back)
        self.add_event_handler("connection_failed", self._come_back)

    def say(self, to: str, body: str) -> None:
        message = self.make_message(to, body, mtype="chat")
        message["id"] = message["origin_id"]["id"] = self.new_id()
        self.said.append(message)
        if self._ready:
            self._send(message)

    def _send(self, message: Any) -> None:
        message.send()
        self._ask()

    def _ask(self) -> None:
        """Soon, for slixmpp's request goes past what it was given to send before."""
        asyncio.get_running_loop().call_later(BREATH, self._ask_now)

    def _ask_now(self) -> None:
        if self._ready:
            self.plugin["xep_0198"].request_ack()

    def _begin(self, _: object) -> None:
        self.send_presence()
        self._ready = True
        for message in self.said:
            self._send(message)

    def _go_on(self, _: object) -> None:
        """slixmpp has sent again what it knows to be under way. It forgets what it wrote to a link that was gone."""
        sent = {stanza["id"] for _, stanza in self.plugin["xep_0198"].unacked_queue}
        self._ready = True
        for message in self.said:
            if message["id"] not in sent:
                self._send(message)
        self._ask()

    def _acknowledged(self, stanza: Any) -> None:
        self.said = [message for message in self.said if message["id"] != stanza["id"]]

    def _hear(self, message: Any) -> None:
        id = message["stanza_id"]["id"]
        if message["type"] == "chat" and id not in self._shown:
            self._shown.add(id)
            self.heard.append(message["body"])

    def _come_back(self, _: object) -> None:
        self._ready = False
        if not self.leaving:
            asyncio.get_running_loop().call_later(PAUSE, self.connect, ADDRESS, self._server.port)


class Listener:
    """Somebody with aioxmpp; the rest is in `aioxmpp_client.py`."""

    def __init__(self, client: Aioxmpp) -> None:
        self.client = client
        self.heard: list[str] = []
        self._shown: set[str] = set()
        self._task = asyncio.create_task(self._listen())

    def say(self, to: str, body: str) -> None:
        self.client.tell(do="say", to=to, body=body)

    async def _listen(self) -> None:
        while True:
            message = await self.client.next("message", seconds=600)
            if message["stanza_id"] not in self._shown:
                self._shown.add(message["stanza_id"])
                self.heard.append(message["body"])

    async def leave(self) -> None:
        self._task.cancel()
        await self.client.leave()


@pytest_asyncio.fixture
async def process(archive: bool, database_url: str, tmp_path: Path) -> AsyncIterator[Process]:
    """A server for Romeo and Juliet."""
    process = await Process.start(tmp_path, database_url, archive=archive)
    yield process
    await process.close()


@pytest.mark.parametrize(
    ("happens", "archive"), [("cut", True), ("restart", True), ("outage", True), ("crash", True), ("crash", False)]
)
async def test_each_person_sees_every_message_once(process: Process, happens: str) -> None:
    server = cast(RunningServer, process)
    romeo = Steady(server, f"{ROMEO}/orchard")
    await romeo.log_in()
    aioxmpp = await Aioxmpp.start(server, f"{JULIET}/balcony", PASSWORD, "starttls")
    await aioxmpp.next("online")
    juliet = Listener(aioxmpp)
    said = [f"{number:02}" for number in range(MESSAGES)]
    for number in said:
        romeo.say(JULIET, number)
        juliet.say(ROMEO, number)
        if number == said[MIDDLE]:
            # they talk on, and nobody waits for what was said
            going_on = asyncio.create_task(getattr(process, happens)())
        await asyncio.sleep(BREATH)
    await going_on
    with suppress(TimeoutError):  # what is missing is shown
        await until(lambda: len(romeo.heard) >= MESSAGES <= len(juliet.heard) and not romeo.said, seconds=20)
    assert juliet.heard == said
    # where the stream is resumed, aioxmpp sends again in the opposite order: what it said is all there, no more
    assert sorted(romeo.heard) == said
    if happens not in ("cut", "outage"):
        assert romeo.heard == said
    assert not romeo.said, "not acknowledged"
    romeo.leaving = True
    await asyncio.gather(juliet.leave(), romeo.disconnect())
