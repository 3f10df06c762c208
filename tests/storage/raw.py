"""A look at a database past the repositories."""

from __future__ import annotations

import sqlite3
from typing import Any

import asyncpg


async def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement on a connection of its own; its rows."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            rows = connection.execute(sql).fetchall()
            connection.commit()
        finally:
            connection.close()
        return rows
    postgres = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await postgres.fetch(sql)]
    finally:
        await postgres.close()


async def tables(url: str) -> set[str]:
    """The names of all tables."""
    if url.startswith("sqlite"):
        return {row[0] for row in await query(url, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {row[0] for row in await query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
