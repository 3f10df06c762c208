"""The scenarios of rooms (`tests/scenarios/test_muc*.py`) with the component outside of Prosody (XEP-0114)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest_asyncio

from tests.databases import Servers
from tests.scenarios.rooms import crone, hag
from tests.server.running import ADDRESS, PASSWORD
from tests.server.test_muc_outside import SCENARIOS, component
from tests.server.wire import Wire
from tests.waiting import until

__all__ = ["crone", "hag"]

PEOPLE: Final = ("crone@localhost", "hag66@localhost", "witch@localhost", "hecate@localhost", "iago@capulet.example")
CONFIGURATION: Final = """
run_as_root = true; daemonize = false
pidfile = "{folder}/prosody.pid"; data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}; local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}; component_ports = {{ {component_port} }}; component_interfaces = {{ "127.0.0.1" }}
c2s_direct_tls_ports = {{}}; s2s_ports = {{}}; http_ports = {{}}; https_ports = {{}}
modules_enabled = {{ "roster", "saslauth", "disco", "ping" }}
modules_disabled = {{ "s2s", "s2s_auth_certs", "tls" }}
c2s_require_encryption = false; authentication = "internal_hashed"
log = {{ warn = "{folder}/prosody.log" }}
VirtualHost "localhost"
VirtualHost "capulet.example"
Component "conference.localhost"
  component_secret = "fair is foul, and foul is fair"
"""

globals().update(SCENARIOS)


class Prosody:
    """One Prosody with the accounts of all people."""

    domain: Final = "localhost"
    direct_tls_port: Final = 0

    def __init__(self) -> None:
        self.port, self.component_port = _free(), _free()
        self.hang_up: list[Callable[[], None]] = []
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, folder: Path) -> None:
        """Returns when it listens."""
        folder.mkdir()
        file = folder / "prosody.cfg.lua"
        file.write_text(CONFIGURATION.format(folder=folder, port=self.port, component_port=self.component_port))
        for person in PEOPLE:
            name, _, domain = person.partition("@")
            made = await asyncio.create_subprocess_exec(
                *("prosodyctl", "--config", str(file), "register", name, domain, PASSWORD),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            await made.wait()
        self._process = await asyncio.create_subprocess_exec(
            *("prosody", "--config", str(file), "-F"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(lambda: _listens(self.port) and _listens(self.component_port))

    async def stop(self) -> None:
        """End it."""
        for hang_up in self.hang_up:
            hang_up()
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()


def _free() -> int:
    with socket.create_server((ADDRESS, 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


@pytest_asyncio.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[Wire]:
    """Prosody, whose rooms are ours."""
    prosody = Prosody()
    await prosody.start(tmp_path / "prosody")
    outside = component(tmp_path / "outside", await servers.sqlite(tmp_path / "outside.db"))
    await outside.start(ADDRESS, prosody.component_port)
    await outside.port.connected.wait()

    async def account(jid: str) -> None:
        assert jid in PEOPLE

    wire = Wire(prosody, outside, account)
    yield wire
    await wire.close()
    await outside.stop()
    await prosody.stop()
