"""The end of a server: told to everybody where there is time for it, and harmless where there is none."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.server.conftest import MakeServer
from tests.server.raw_client import Listening, RawClient
from tests.server.running import PASSWORD, RunningServer, configuration
from tests.waiting import until
from xmpp_server.net.certificates import generate
from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import Accounts, Credentials
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

START = 20.0  # seconds
MESSAGE = "<message to='juliet@localhost' type='chat' id='{}'><body>wait for me</body></message>"


async def test_everybody_is_told_of_a_stop(server: RunningServer) -> None:
    for name in ("romeo", "juliet"):
        await server.account(name)
    clients = [
        await RawClient.login(server, "romeo"),
        await RawClient.login(server, "juliet", tls="direct"),
        await RawClient.open(server),
        await RawClient.open(server, tls="none"),
        await RawClient.connect(server),
    ]
    stopping = asyncio.create_task(server.stop())
    for client in clients:
        assert await client.ended() == ([], "system-shutdown")  # RFC 6120 §4.9.3.20
        assert client.closed
        client.abort()
    await stopping
    assert not server.app.core.accounts.busy


async def test_a_login_that_is_under_way_at_the_stop_is_no_failure_of_the_server(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.account("romeo")
    accounts, goes = server.store.accounts, asyncio.Event()
    find = type(accounts).credentials

    async def slow(self: Accounts, account: JID) -> Credentials | None:
        await goes.wait()
        return await find(self, account)

    monkeypatch.setattr(type(accounts), "credentials", slow)
    romeo = await RawClient.open(server)
    login = asyncio.create_task(romeo.authenticate("romeo"))
    await until(lambda: any(connection._busy is not None for connection in server.connections))  # type: ignore[attr-defined]
    with capture_logs() as logs:
        stopping = asyncio.create_task(server.stop())
        await until(lambda: all(connection.closing for connection in server.connections))
        goes.set()
        await stopping
    await asyncio.gather(login, return_exceptions=True)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []


async def test_a_stop_waits_for_no_one_who_does_not_answer(server: RunningServer) -> None:
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    romeo.writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        await server.stop()
    assert not server.connections


async def test_what_was_sent_before_a_stop_is_there_after_it(make_server: MakeServer) -> None:
    server = await make_server()
    for name in ("romeo", "juliet"):
        await server.account(name)
    romeo = await RawClient.login(server, "romeo")
    item = "<item jid='juliet@localhost' name='Juliet'/>"
    request = f"<iq type='set' id='r'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
    assert (await romeo.ask(request, "r")).get("type") == "result"
    await romeo.send("".join(MESSAGE.format(number) for number in range(20)))
    await romeo.ask("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>", "p")
    romeo.abort()
    await server.stop()
    await expect_all(await make_server())


async def expect_all(server: Listening) -> None:
    """Romeo's roster and Juliet's messages are there."""
    juliet = await RawClient.login(server, "juliet")
    await juliet.send("<presence/>")
    for number in range(20):
        assert (await juliet.read_until("message")).get("id") == str(number)
    romeo = await RawClient.login(server, "romeo")
    answer = await romeo.ask("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>", "g")
    query = answer.child(ns.ROSTER, "query")
    assert query is not None
    assert [each.get("jid") for each in query] == ["juliet@localhost"]
    romeo.abort()
    juliet.abort()


class Process:
    """A server in a process of its own, as far as `RawClient` has to know it."""

    domain = "localhost"

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = self.direct_tls_port = 0
        self.hang_up: list[Callable[[], None]] = []
        self.text = ""

    async def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(START):
            while not (match := re.search(pattern, self.text)):
                line = await self.process.stdout.readline()
                assert line, f"ended before {pattern!r}:\n{self.text}"
                self.text += line.decode()
        return match


@asynccontextmanager
async def serve(file: Path) -> AsyncIterator[Process]:
    """A server that listens."""
    command = (sys.executable, "-m", "xmpp_server", "serve", "--config", str(file))
    process = Process(await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    try:
        process.port = int((await process.read_until(r"c2s +127\.0\.0\.1:(\d+)"))[1])
        await process.read_until("Stop with Ctrl-C")
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.process.wait()


async def test_a_server_that_was_killed_starts_again_on_its_data(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(configuration(tmp_path / "data", database_url, level="info"))
    store = await Store.open(database_url)
    for name in ("romeo", "juliet"):
        await store.accounts.create(JID.of(name, "localhost"), make_verifiers(PASSWORD))
    async with serve(file) as server:
        romeo = await RawClient.login(server, "romeo")
        item = "<item jid='juliet@localhost' name='Juliet'/>"
        request = f"<iq type='set' id='r'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
        assert (await romeo.ask(request, "r")).get("type") == "result"
        await romeo.send("".join(MESSAGE.format(number) for number in range(20)))
        async with asyncio.timeout(START):  # without stream management nobody is told when they are safe
            while await store.offline.count(JID.parse("juliet@localhost")) < 20:
                await asyncio.sleep(0.01)
        await store.close()
        server.process.send_signal(signal.SIGKILL)
        await romeo.gone()
        assert await server.process.wait() == -signal.SIGKILL
    async with serve(file) as server:
        await expect_all(server)
        old = await RawClient.login(server, "romeo")
        new = generate("localhost", tmp_path / "data/certificates").leaf.serial_number
        server.process.send_signal(signal.SIGHUP)
        await server.read_until("reloaded")
        fresh = await RawClient.open(server)
        assert (old.serial != new, fresh.serial == new) == (True, True)
        server.process.send_signal(signal.SIGTERM)
        assert await old.ended() == ([], "system-shutdown")
        assert await fresh.ended() == ([], "system-shutdown")
        old.abort()
        fresh.abort()
        async with asyncio.timeout(START):
            assert await server.process.wait() == 0
