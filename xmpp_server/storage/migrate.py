"""Bring the schema of a database up to date."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy.engine import URL

from xmpp_server.storage.database import parse_url
from xmpp_server.storage.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

_log = structlog.get_logger()
MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
_LOCK: Final = 0x786D7070  # of PostgreSQL's advisory locks: "xmpp"


async def migrate(url: str, folder: Path = MIGRATIONS) -> None:
    """Upgrade the database of this URL to the newest revision in the folder; a SQLite file is made if there is none.

    All or nothing; processes that do it at the same time wait for each other. If it is up to date, or newer than this
    code (a release only adds to the schema of the one before), that costs one query. Raises ValueError if the URL is of
    a kind that is not supported, Unavailable if the database is.
    """
    parsed = parse_url(url)
    newest = max(path.stem.partition("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))
    current = await (_sqlite_revision(parsed) if parsed.drivername == "sqlite" else _postgresql_revision(parsed))
    if current is not None and current >= newest:
        if current > newest:
            _log.warning("schema_is_newer", database=current, code=newest)
        return
    _log.info("migrating", database=current, code=newest)
    if parsed.drivername == "sqlite":
        await asyncio.to_thread(_upgrade_sqlite, parsed, folder)
    else:
        await _upgrade_postgresql(parsed, folder)


async def _sqlite_revision(url: URL) -> str | None:
    path = Path(url.database or "")
    try:
        # the file holds verifiers and secrets: nobody else may read it, nor what SQLite puts beside it
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # no such table
            return None
        raise Unavailable(f"{path}: {error}") from error
    return row[0] if row else None


async def _postgresql_revision(url: URL) -> str | None:
    import asyncpg

    try:
        connection = await asyncpg.connect(url.render_as_string(hide_password=False), timeout=10)
        try:
            revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await connection.close()
    except asyncpg.UndefinedTableError:
        return None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(str(error)) from error
    return revision


def _upgrade_sqlite(url: URL, folder: Path) -> None:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def manual(connection: sqlite3.Connection, _: Any) -> None:
        # foreign keys stay off: a table that is rebuilt is dropped in between
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        _upgrade(connection, folder)
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
            raise RuntimeError(f"a migration left rows without an owner in {sorted({row[0] for row in broken})}")


async def _upgrade_postgresql(url: URL, folder: Path) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade, folder)


def _upgrade(connection: Connection, folder: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
