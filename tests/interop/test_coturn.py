"""coturn takes the credentials that we make for it (XEP-0215), and no others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient
from tests.server.running import ADDRESS
from xmpp_server.protocol.element import Element

DEADLINE: Final = 30.0
SECRET: Final = "north"
NS: Final = "urn:xmpp:extdisco:2"


@pytest_asyncio.fixture
async def turn(tmp_path: Path) -> AsyncIterator[int]:
    """coturn on a port of its own, with the secret."""
    with socket.create_server((ADDRESS, 0)) as free:
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "-L", ADDRESS, "-E", ADDRESS, "-p", str(port)),
        *("--use-auth-secret", "--static-auth-secret", SECRET, "-r", "localhost", "--allow-loopback-peers"),
        *("--log-file", "stdout", "--pidfile", str(tmp_path / "coturn.pid"), "--userdb", str(tmp_path / "turndb")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                _, writer = await asyncio.open_connection(ADDRESS, port)
                writer.close()
                break
            except OSError:
                assert process.returncode is None
                await asyncio.sleep(0.05)
    yield port
    process.terminate()
    await process.wait()


async def relays(port: int, username: str, password: str) -> bool:
    """Whether coturn relays packets between two clients with these credentials."""
    process = await asyncio.create_subprocess_exec(
        *("turnutils_uclient", "-y", "-n", "2", "-m", "1", "-p", str(port), "-L", ADDRESS),
        *("-u", username, "-w", password, ADDRESS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE):
        output, _ = await process.communicate()
    return process.returncode == 0 and b"Total lost packets 0 " in output


async def credentials(make_server: MakeServer, port: int, secret: str) -> Element:
    server = await make_server(
        "[[modules.external_services.services]]\n"
        f"type = 'turn'\nhost = '{ADDRESS}'\nport = {port}\nsecret = '{secret}'\n"
    )
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    await romeo.send(f"<iq type='get' id='s' to='localhost'><services xmlns='{NS}'/></iq>")
    answer = await romeo.read()
    services = answer.child(NS, "services")
    assert services is not None
    (service,) = services
    return service


async def test_coturn_relays_for_who_has_our_credentials(make_server: MakeServer, turn: int) -> None:
    service = await credentials(make_server, turn, SECRET)
    assert await relays(turn, service.get("username"), service.get("password"))


@pytest.mark.parametrize("change", ["secret", "time"])
async def test_coturn_relays_for_nobody_with_others(make_server: MakeServer, turn: int, change: str) -> None:
    service = await credentials(make_server, turn, "south" if change == "secret" else SECRET)
    username = service.get("username")
    if change == "time":
        expires, _, user = username.partition(":")
        username = f"{int(expires) + 1}:{user}"
    assert not await relays(turn, username, service.get("password"))
