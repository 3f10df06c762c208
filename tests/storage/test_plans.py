"""No query reads a whole table: the plan of every statement, on both databases."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator

import asyncpg
import pytest

import xmpp_server.storage
from xmpp_server.storage import archive, rooms
from xmpp_server.storage.statement import Statement


def statements() -> Iterator[tuple[str, Statement]]:
    """All statements of the repositories, by file and name; those of archives by table, name and kind of query."""
    for module in pkgutil.iter_modules(xmpp_server.storage.__path__):
        for name, value in vars(importlib.import_module(f"xmpp_server.storage.{module.name}")).items():
            if isinstance(value, Statement):
                yield f"{module.name}.{name}", value
    for table, logs in (("archive", archive._OF_ACCOUNTS), ("room_log", rooms._OF_ROOMS)):
        for name, value in vars(logs).items():
            if isinstance(value, Statement):
                yield f"{table}.{name}", value
            elif isinstance(value, tuple):
                yield from ((f"{table}.{name}_{kind}", each) for kind, each in zip(KINDS, value, strict=True))


KINDS = ("all", "peer", "resource")
STATEMENTS = dict(statements())
SCAN = re.compile(r"^SCAN (?!anon_|\(subquery)(?!.* USING )|Seq Scan on ", re.MULTILINE)


async def plans(url: str) -> dict[str, str]:
    """What the database would do for each statement, whatever the values are."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        found = {}
        for name, statement in STATEMENTS.items():
            compiled = statement.sqlite
            sql, values = compiled.sql, [0] * compiled.sql.count("?")
            found[name] = "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
        connection.close()
        return found
    postgres = await asyncpg.connect(url)
    try:
        # small tables are read whole, and rightly, unless it is forbidden
        await postgres.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        found = {}
        for number, (name, statement) in enumerate(STATEMENTS.items()):
            sql = statement.postgresql.sql
            await postgres.execute(f"PREPARE s{number} AS {sql}")
            values = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", sql))))
            found[name] = "\n".join(
                row[0] for row in await postgres.fetch(f"EXPLAIN EXECUTE s{number}" + (f"({values})" if values else ""))
            )
        return found
    finally:
        await postgres.close()


async def crowd(url: str) -> None:
    """A service with many nodes, subscribers and members."""
    postgres = await asyncpg.connect(url)
    try:
        await postgres.execute(
            "INSERT INTO pubsub_nodes SELECT 's', 'n' || n, '', 0 FROM generate_series(0, 99) n;"
            "INSERT INTO pubsub_subscriptions SELECT 's', 'n' || n % 100, 'u' || n, '', "
            "CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'subscribed' END, '' FROM generate_series(0, 9999) n;"
            "INSERT INTO pubsub_affiliations SELECT 's', 'n' || n % 100, 'u' || n, 'owner' "
            "FROM generate_series(0, 9999) n;"
            "ANALYZE pubsub_nodes; ANALYZE pubsub_subscriptions; ANALYZE pubsub_affiliations"
        )
    finally:
        await postgres.close()


async def test_no_statement_reads_a_whole_table(database_url: str) -> None:
    found = await plans(database_url)
    assert len(found) > 30
    for name, plan in found.items():
        assert not SCAN.search(plan), f"{name}:\n{plan}"


async def test_presence_probes_are_answered_by_the_index_alone(database_url: str) -> None:
    plan = (await plans(database_url))["roster._SUBSCRIPTIONS"]
    assert "COVERING INDEX roster_by_contact" in plan or "Index Only Scan using roster_by_contact" in plan


@pytest.mark.parametrize("kind", ["page", "back", "load", "count"])
@pytest.mark.parametrize(("table", "owner"), [("archive", "account"), ("room_log", "room")])
async def test_a_page_of_an_archive_is_found_by_the_index_of_its_conversation_and_not_sorted(
    database_url: str, table: str, owner: str, kind: str
) -> None:
    found = await plans(database_url)
    is_sqlite = database_url.startswith("sqlite")
    for name, index in (
        ("all", f"sqlite_autoindex_{table}_1 ({owner}=? AND n>? AND n<?)" if is_sqlite else f"{table}_pkey"),
        ("peer", f"{table}_by_peer"),
        ("resource", f"{table}_by_resource"),
    ):
        plan = found[f"{table}.{kind}_{name}"]
        assert index in plan, plan
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize(
    ("statement", "index", "sqlite_index"),
    [
        ("marked", "{table}_by_mark", "{table}_by_mark"),
        ("first", "{table}_pkey", "sqlite_autoindex_{table}_1 ({owner}=?)"),
        ("newest", "{table}_pkey", "sqlite_autoindex_{table}_1 ({owner}=?)"),
        ("purge", "{table}_pkey", "sqlite_autoindex_{table}_1 ({owner}=? AND n<?)"),
        ("outdated", "{table}_pkey", "sqlite_autoindex_{table}_1 ({owner}=? AND n<?)"),
    ],
)
@pytest.mark.parametrize(("table", "owner"), [("archive", "account"), ("room_log", "room")])
async def test_other_statements_on_archives_use_their_index(
    database_url: str, table: str, owner: str, statement: str, index: str, sqlite_index: str
) -> None:
    plan = (await plans(database_url))[f"{table}.{statement}"]
    wanted = sqlite_index if database_url.startswith("sqlite") else index
    assert wanted.format(table=table, owner=owner) in plan, plan
    assert "Sort" not in plan or statement == "purge", plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("_SUBSCRIBED", "pubsub_subscriptions_by_subscriber"),
        ("_AFFILIATED", "pubsub_affiliations_by_affiliate"),
        ("_PENDING", "pubsub_affiliations_by_affiliate"),
    ],
)
async def test_relations_at_all_nodes_of_a_service_are_found_by_who_has_them(
    database_url: str, statement: str, index: str
) -> None:
    if not database_url.startswith("sqlite"):  # which plans by what it counted
        await crowd(database_url)
    plan = (await plans(database_url))[f"pubsub_relations.{statement}"]
    assert index in plan, plan


@pytest.mark.parametrize("statement", ["_SUBSCRIBERS", "_LISTED", "_LISTED_BACK", "_AFFILIATES_AFTER"])
async def test_a_page_of_relations_is_read_in_its_order(database_url: str, statement: str) -> None:
    plan = (await plans(database_url))[f"pubsub_relations.{statement}"]
    assert "Sort" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan
