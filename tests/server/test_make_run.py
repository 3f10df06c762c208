"""`make run` on a clean copy of the checkout, as somebody who just cloned it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import slixmpp

ROOT = Path(__file__).parents[2]
INSTALL = 300.0  # seconds
SECOND_START = 3.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a commit of everything here would hold."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    copy = tmp_path / "copy"
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    return copy


class Run:
    """A running `make run`, with the lines that it wrote until now."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""

    async def read_until(self, pattern: str, timeout: float) -> re.Match[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            while not (match := re.search(pattern, self.text)):
                line = await self.process.stdout.readline()
                assert line, f"ended before {pattern!r}:\n{self.text}"
                self.text += line.decode()
        return match

    async def rest(self) -> int:
        """The exit code, once all is written."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            self.text += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    def server(self) -> int:
        """The process of the server itself: make's only child."""
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], check=True, capture_output=True)
        (pid,) = out.stdout.split()
        return int(pid)


@asynccontextmanager
async def make_run(checkout: Path, **more: str) -> AsyncIterator[Run]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV"))}
    process = await asyncio.create_subprocess_exec(
        *("make", "run", "PORT=0"),
        cwd=checkout,
        env={**env, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def log_in(port: int, password: str, certificate: Path) -> None:
    client: Any = slixmpp.ClientXMPP("admin@localhost/test", password)
    client.ca_certs = certificate
    started = asyncio.Event()
    failed: list[Any] = []
    client.add_event_handler("session_start", lambda _: started.set())
    client.add_event_handler("failed_all_auth", lambda event: (failed.append(event), started.set()))
    client.connect("127.0.0.1", port)
    async with asyncio.timeout(20):
        await started.wait()
    assert not failed
    await client.disconnect()


async def test_make_run_serves_from_a_clean_copy_and_again_on_the_same_data_without_a_network(checkout: Path) -> None:
    certificate = checkout / "data/certificates/localhost.crt"
    async with make_run(checkout) as first:
        await first.read_until(r"Stop with Ctrl-C", INSTALL)
        port = await first.read_until(r"c2s +127\.0\.0\.1:(\d+)", 0)
        password = (await first.read_until(r"admin@localhost with the password (\S+)", 0))[1]
        await log_in(int(port[1]), password, certificate)
        os.killpg(first.process.pid, signal.SIGINT)  # as a terminal does
        # make itself ends by the signal when its child has ended
        assert await first.rest() in (-signal.SIGINT, 128 + signal.SIGINT, 2, 0)
        assert "Stopping" in first.text
        assert "Traceback" not in first.text

    begin = time.monotonic()
    nowhere = "http://127.0.0.1:9"
    async with make_run(checkout, PIP_NO_INDEX="1", HTTPS_PROXY=nowhere, HTTP_PROXY=nowhere) as second:
        port = await second.read_until(r"c2s +127\.0\.0\.1:(\d+)", 30)
        await second.read_until(r"Stop with Ctrl-C", 30)
        assert time.monotonic() - begin < SECOND_START
        assert "password" not in second.text.replace("xmpp-server account password", "")
        await log_in(int(port[1]), password, certificate)
        os.kill(second.server(), signal.SIGINT)
        assert await second.rest() == 0
        assert "Stopping" in second.text
        assert "Traceback" not in second.text
