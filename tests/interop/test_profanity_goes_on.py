"""Two people with profanity in the middle of a talk, when the network dies, and when the server is restarted or killed.

profanity forgets what it had written to a connection that is lost, so who does not see it on the other's screen after
what was said later types it again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from tests.chaos.links import Links
from tests.chaos.processes import Server, free_port
from tests.server.running import RunningServer
from tests.server.test_talk_goes_on import Process
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

from .conftest import OpenTerminal
from .terminal import Terminal
from .test_profanity import JULIET, PASSWORD, ROMEO, log_in


@pytest_asyncio.fixture
async def process(database_url: str, tmp_path: Path) -> AsyncIterator[Process]:
    """A server for Romeo and Juliet."""
    store = await Store.open(database_url)
    for address in (ROMEO, JULIET):
        await store.accounts.create(JID.parse(address), make_verifiers(PASSWORD))
    await store.close()
    port = free_port()
    server = Server(tmp_path, database_url, port, {}, archive=True)
    await server.start()
    links = await Links.open(port)
    yield Process(server, links, tmp_path)
    links.close()
    await server.close()


async def says(speaker: Terminal, listener: Terminal, *texts: str) -> None:
    """Say it, and wait until the other one sees the last of it."""
    for text in texts:
        await speaker.type(text)
    await listener.until(rf": {texts[-1]}\b")


async def seen(listener: Terminal) -> list[str]:
    """What the other one said, as it is on the screen."""
    return re.findall(r"(?:romeo|juliet)@localhost\S*: (\w+)", await listener.screen())


@pytest.mark.parametrize("happens", ["cut", "restart", "crash"])
async def test_each_person_sees_every_message_once(process: Process, open_terminal: OpenTerminal, happens: str) -> None:
    server: Any = cast(RunningServer, process)
    romeo = await open_terminal("romeo", "profanity")
    juliet = await open_terminal("juliet", "profanity")
    for terminal, address in ((romeo, f"{ROMEO}/orchard"), (juliet, f"{JULIET}/balcony")):
        await log_in(terminal, server, address, "trust")
        await terminal.type("/reconnect 1")
        await terminal.until("Reconnect interval set to 1")
    await romeo.type(f"/msg {JULIET} one")
    await juliet.until("<< chat message: romeo@localhost")
    await juliet.type(f"/win {ROMEO}")
    await juliet.until(r"romeo@localhost\S*: one")
    await says(juliet, romeo, "uno")
    await says(romeo, juliet, "two", "three")
    await romeo.type("four")
    await getattr(process, happens)()
    for terminal in (romeo, juliet):
        await terminal.until(r"\[TLS\] \[online\]")
    await says(romeo, juliet, "five")
    if "four" not in await seen(juliet):
        await says(romeo, juliet, "four")
    await says(juliet, romeo, "due", "tre")
    heard = await seen(juliet)
    assert [text for text in heard if text != "four"] == ["one", "two", "three", "five"]
    assert heard.count("four") == 1
    assert await seen(romeo) == ["uno", "due", "tre"]
