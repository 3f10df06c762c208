"""`xmpp-server component muc`: rooms in a process of their own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from tests.databases import Servers
from xmpp_server.protocol.jid import JID

from .raw_client import RawClient
from .running import ADDRESS, RunningServer, configuration
from .test_muc_outside import OUTSIDE, component

ROOM: Final = "cave@conference.localhost"
USER: Final = "http://jabber.org/protocol/muc#user"
JOIN: Final = f"<presence to='{ROOM}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"


async def enter(romeo: RawClient) -> None:
    """Returns when the room shows its subject, which comes last."""
    await romeo.send(JOIN)
    message = await romeo.read_until("message", type="groupchat")
    assert message.child("jabber:client", "subject") is not None


async def test_rooms_run_in_a_process_of_their_own(servers: Servers, tmp_path: Path) -> None:
    server = await RunningServer.start(tmp_path / "server", await servers.sqlite(tmp_path / "server.db"), OUTSIDE)
    await server.account("romeo")
    (tmp_path / "rooms").mkdir()
    file = tmp_path / "rooms.toml"
    file.write_text(configuration(tmp_path / "rooms", f"sqlite:///{tmp_path / 'rooms.db'}", OUTSIDE, level="info"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xmpp_server", "component", "muc", "--config", str(file)),
        *("--connect", f"{ADDRESS}:{server.component_port}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"connected" not in await process.stdout.readline():
            assert not process.stdout.at_eof()
    romeo = await RawClient.login(server, "romeo", tls="none")
    await romeo.send("<presence/>")
    await enter(romeo)
    process.send_signal(signal.SIGTERM)
    presence = await romeo.read_until("presence", type="unavailable")
    x = presence.child(USER, "x")
    assert x is not None
    assert {child.get("code") for child in x if child.name == "status"} == {"110", "332"}
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    romeo.abort()
    await server.stop()


async def test_a_component_comes_back_to_a_server_that_was_started_anew(servers: Servers, tmp_path: Path) -> None:
    url = await servers.sqlite(tmp_path / "server.db")
    server = await RunningServer.start(tmp_path / "server", url, OUTSIDE)
    await server.account("romeo")
    outside = component(tmp_path / "outside", await servers.sqlite(tmp_path / "outside.db"))
    port = server.component_port
    await outside.start(ADDRESS, port)
    async with asyncio.timeout(60):
        await outside.port.connected.wait()
        await server.stop()
        while outside.port.connected.is_set():
            await asyncio.sleep(0.01)
        romeo = JID.parse("romeo@localhost/x")
        assert not outside.port.resumes(romeo)
        fixed = OUTSIDE.replace("enabled = true\nport = 0", f"enabled = true\nport = {port}")
        server = await RunningServer.start(tmp_path / "server", url, fixed)
        await outside.port.connected.wait()
    client = await RawClient.login(server, "romeo", tls="none")
    await client.send("<presence/>")
    await enter(client)
    client.abort()
    await outside.stop()
    await server.stop()
