"""slixmpp and aioxmpp in the middle of a talk, when the network dies, and when the server is started anew or killed.

The server is a process of its own. Both send again what was not acknowledged, with the same origin-id, and show a
stanza-id once, as users' clients do; neither library does that by itself after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

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

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"
PAUSE = 0.1  # seconds until a client tries to connect again


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

    async def cut(self) -> None:
        """The network dies."""
        for link in list(self.links.open_links):
            link.ended()

    async def restart(self) -> None:
        """As an operator does it."""
        await self.server.stop()
        await self.server.start()

    async def crash(self) -> None:
        """kill -9."""
        await self.server.kill()
        await self.server.start()


class Steady(Person):
    """Somebody with slixmpp who comes back, and sends again what was not acknowledged."""

    def __init__(self, server: RunningServer, address: str) -> None:
        super().__init__(server, address)
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

    def say(self, to: str, body: str) -> None:
        message = self.make_message(to, body, mtype="chat")
        message["id"] = message["origin_id"]["id"] = self.new_id()
        self.said.append(message)
        if self._ready:
            self._send(message)

    def _send(self, message: Any) -> None:
        message.sent = True
        message.send()
        self.plugin["xep_0198"].request_ack()

    def _begin(self, _: object) -> None:
        self.send_presence()
        self._ready = True
        for message in self.said:
            self._send(message)

    def _go_on(self, _: object) -> None:
        """slixmpp has sent again what it had sent before."""
        self._ready = True
        for message in self.said:
            if not hasattr(message, "sent"):
                self._send(message)
        self.plugin["xep_0198"].request_ack()

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
    store = await Store.open(database_url)
    for address in (ROMEO, JULIET):
        await store.accounts.create(JID.parse(address), make_verifiers(PASSWORD))
    await store.close()
    port = free_port()
    server = Server(tmp_path, database_url, port, {}, archive=archive)
    await server.start()
    links = await Links.open(port)
    yield Process(server, links, tmp_path)
    links.close()
    await server.close()


@pytest.mark.parametrize(("happens", "archive"), [("cut", True), ("restart", True), ("crash", True), ("crash", False)])
async def test_each_person_sees_every_message_once(process: Process, happens: str) -> None:
    server = cast(RunningServer, process)
    romeo = Steady(server, f"{ROMEO}/orchard")
    await romeo.log_in()
    juliet = Listener(await Aioxmpp.start(server, f"{JULIET}/balcony", PASSWORD, "starttls"))
    people: list[tuple[Steady | Listener, str]] = [(romeo, JULIET), (juliet, ROMEO)]
    said = [str(number) for number in range(30)]
    for number in said:
        for person, to in people:
            person.say(to, number)
        if number == "12":
            # they talk on, and nobody waits for what was said
            going_on = asyncio.create_task(getattr(process, happens)())
        await asyncio.sleep(0.02)
    await going_on
    with suppress(TimeoutError):  # what is missing is shown
        await until(lambda: len(romeo.heard) >= len(said) and len(juliet.heard) >= len(said) and not romeo.said)
    assert romeo.heard == said
    assert juliet.heard == said
    assert not romeo.said, "not acknowledged"
    await juliet.leave()
    romeo.leaving = True
    await romeo.disconnect()
