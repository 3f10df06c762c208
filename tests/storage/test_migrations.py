from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query, tables
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import MIGRATIONS, migrate
from xmpp_server.storage.roster import RosterItem
from xmpp_server.storage.schema import metadata
from xmpp_server.storage.store import Store

LEADING = {
    "secrets": "host",
    "invitations": "host",
    "capabilities": "host",
    "pubsub": "owner",
    "room": "room",
    "rooms": "room",
}
ADD_COLUMN = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9000", "{newest}"

def upgrade():
    recreate = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
    with op.batch_alter_table("accounts", recreate=recreate) as table:
        table.add_column(sa.Column("locale", sa.Text, nullable=False, server_default="en"))
"""
FAIL = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9000", "{newest}"

def upgrade():
    op.create_table("half", sa.Column("done", sa.Text))
    op.execute("DELETE FROM roster")
    raise RuntimeError("in the middle")
"""


async def connected(url: str, function: Any) -> Any:
    """Run a function on a SQLAlchemy connection."""
    if url.startswith("sqlite"):
        with create_engine(url).connect() as connection:
            return function(connection)
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        result = await connection.run_sync(function)
    await engine.dispose()
    return result


def shape(connection: Connection) -> dict[str, Any]:
    """All that can be seen of a schema."""
    seen = inspect(connection)
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), getattr(column["type"], "collation", None), column["nullable"])
                for column in seen.get_columns(table)
            ],
            "key": seen.get_pk_constraint(table)["constrained_columns"],
            "foreign": [
                (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"])
                for key in seen.get_foreign_keys(table)
            ],
            "indexes": sorted((index["name"], index["column_names"]) for index in seen.get_indexes(table)),
            "options": seen.get_table_options(table) if connection.dialect.name == "sqlite" else None,
        }
        for table in seen.get_table_names()
        if table != "alembic_version"
    }


def newest() -> str:
    (head,) = ScriptDirectory(str(MIGRATIONS)).get_heads()
    return head


def folder_with(tmp_path: Path, text: str) -> Path:
    """The migrations with another one on top."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9000_next.py").write_text(text.format(newest=newest()))
    return folder


async def some_data(url: str) -> None:
    store = await Store.open(url)
    await store.accounts.create(ROMEO, {}, created=7)
    await store.rosters.put(ROMEO, RosterItem(JULIET, "Juliet", "both"))
    await store.close()


async def test_the_migrations_make_the_schema_that_the_code_has(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    assert await connected(database_url, differences) == []


async def test_a_migrated_schema_is_in_all_that_can_be_seen_one_that_is_made_at_once(bare_url: str) -> None:
    def made(connection: Connection) -> dict[str, Any]:
        metadata.create_all(connection)
        seen = shape(connection)
        metadata.drop_all(connection)
        connection.commit()
        return seen

    at_once = await connected(bare_url, made)
    await migrate(bare_url)
    assert await connected(bare_url, shape) == at_once


async def test_revisions_are_numbered_in_one_row(bare_url: str) -> None:
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    names = sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
    assert [script.revision for script in reversed(scripts)] == names
    assert all(len(name) == 4 and name.isdecimal() for name in names)
    await migrate(bare_url)
    assert await query(bare_url, "SELECT version_num FROM alembic_version") == [(names[-1],)]


async def test_every_table_leads_with_its_owner(database_url: str) -> None:
    for name, table in (await connected(database_url, shape)).items():
        assert table["key"][0] == LEADING.get(name.partition("_")[0], "account"), name


async def test_what_is_up_to_date_is_found_so_quickly(database_url: str) -> None:
    await migrate(database_url)
    started = time.process_time()
    await migrate(database_url)
    assert time.process_time() - started < 0.1


async def test_several_who_migrate_at_the_same_time_wait_for_each_other(bare_url: str) -> None:
    await asyncio.gather(*(migrate(bare_url) for _ in range(3)))
    await some_data(bare_url)


async def test_an_upgrade_that_rebuilds_a_table_keeps_the_data(bare_url: str, tmp_path: Path) -> None:
    await migrate(bare_url)
    await some_data(bare_url)
    folder = folder_with(tmp_path, ADD_COLUMN)
    await migrate(bare_url, folder)
    await migrate(bare_url, folder)
    assert await query(bare_url, "SELECT account, created, locale FROM accounts") == [(str(ROMEO), 7, "en")]
    store = await Store.open(bare_url)
    assert (await store.rosters.load(ROMEO)).items == {JULIET: RosterItem(JULIET, "Juliet", "both", version=1)}
    assert await store.accounts.delete(ROMEO)
    assert (await store.rosters.load(ROMEO)).items == {}
    await store.close()


async def test_the_code_of_before_works_on_the_schema_of_after(bare_url: str, tmp_path: Path) -> None:
    await migrate(bare_url)
    await migrate(bare_url, folder_with(tmp_path, ADD_COLUMN))
    await migrate(bare_url)
    await some_data(bare_url)


async def test_an_upgrade_that_fails_leaves_everything_as_it_was(bare_url: str, tmp_path: Path) -> None:
    await migrate(bare_url)
    await some_data(bare_url)
    before = await connected(bare_url, shape)
    with pytest.raises(RuntimeError, match="in the middle"):
        await migrate(bare_url, folder_with(tmp_path, FAIL))
    assert await connected(bare_url, shape) == before
    assert "half" not in await tables(bare_url)
    await migrate(bare_url)
    store = await Store.open(bare_url)
    assert len((await store.rosters.load(ROMEO)).items) == 1
    await store.close()


async def test_data_of_the_first_revision_is_read_by_the_newest_code(bare_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__", "000[2-9]*", "00[1-9]*"))
    await migrate(bare_url, folder)
    for sql in (
        "INSERT INTO accounts (account, host, created, disabled) "
        "VALUES ('romeo@montague.example', 'montague.example', 7, false)",
        "INSERT INTO counters (account, name, value) VALUES ('romeo@montague.example', 'roster', 4)",
        "INSERT INTO roster (account, jid, name, subscription, ask, approved, listed, pending_in, groups, version) "
        "VALUES ('romeo@montague.example', 'juliet@capulet.example', 'J', 'to', true, false, true, NULL, '[\"a\"]', 4)",
        "INSERT INTO inbox (account, id, sender, stanza, received, expires) "
        "VALUES ('romeo@montague.example', 1, 'juliet@capulet.example/b', '<message/>', 1, 2)",
    ):
        await query(bare_url, sql)
    await migrate(bare_url)
    store = await Store.open(bare_url)
    state = await store.login_state(ROMEO)
    assert state is not None
    assert state.roster.version == 4
    assert state.roster.items == {JULIET: RosterItem(JULIET, "J", "to", ask=True, groups=("a",), version=4)}
    assert state.newest == 1
    await store.close()


async def test_subscriptions_of_before_stay_and_an_address_may_have_more(bare_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__", "001[4-9]*", "00[2-9]*"))
    await migrate(bare_url, folder)
    values = "'pubsub.montague.example', 'n', 'juliet@capulet.example', '{}', '{}', ''"
    put = f"INSERT INTO pubsub_subscriptions VALUES ({values})"
    await query(bare_url, "INSERT INTO pubsub_nodes VALUES ('pubsub.montague.example', 'n', '{}', 0)")
    await query(bare_url, put.format("a", "pending"))
    await migrate(bare_url)
    more = put.format("b", "subscribed")
    await query(bare_url, more)
    assert await query(bare_url, "SELECT jid, subid, state FROM pubsub_subscriptions ORDER BY subid") == [
        (str(JULIET), "a", "pending"),
        (str(JULIET), "b", "subscribed"),
    ]
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await query(bare_url, more)
    store = await Store.open(bare_url)
    assert await store.pubsub.delete(JID.parse("pubsub.montague.example"), "n")
    await store.close()
    assert await query(bare_url, "SELECT count(*) FROM pubsub_subscriptions") == [(0,)]


async def test_a_config_for_developers_finds_the_same_migrations() -> None:
    config = Config(toml_file=str(MIGRATIONS.parent / "pyproject.toml"))
    assert Path(ScriptDirectory.from_config(config).dir) == MIGRATIONS
