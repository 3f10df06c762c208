"""Fixtures of the scenarios: who sends what, and who sees what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from tests.databases import Servers, servers

from .world import World

__all__ = ["servers"]

HOSTS = """
[hosts."localhost"]
[hosts."capulet.example"]
"""
MakeWorld = Callable[[str], Awaitable[World]]


@pytest_asyncio.fixture
async def make_world(servers: Servers, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Makes the server with the configuration (TOML) that the test is about, once in a test."""
    worlds: list[World] = []

    async def make(configuration: str) -> World:
        worlds.append(await World.open(await servers.sqlite(tmp_path / "world.db"), configuration))
        return worlds[0]

    yield make
    for world in worlds:
        await world.close()


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    """A server for `localhost` and `capulet.example`, with default options."""
    return await make_world(HOSTS)
