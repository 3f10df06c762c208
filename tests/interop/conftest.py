"""The whole server of `tests/server`, for programs of the distribution."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from tests.server.conftest import database_url, make_server, pytest_asyncio_loop_factories, server, servers

from .terminal import Terminal

__all__ = ["database_url", "make_server", "pytest_asyncio_loop_factories", "server", "servers"]

collect_ignore = [] if os.environ.get("PLAYS") else ["test_plays.py"]

OpenTerminal = Callable[..., Awaitable[Terminal]]


@pytest_asyncio.fixture
async def open_terminal(tmp_path: Path) -> AsyncIterator[OpenTerminal]:
    """Runs a program in a terminal of its own, with a home folder of this name that outlasts it."""
    terminals: list[Terminal] = []

    async def make(name: str, *command: str) -> Terminal:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        terminals.append(Terminal(home / f"tmux-{len(terminals)}", home))
        await terminals[-1].run(*command)
        return terminals[-1]

    yield make
    await asyncio.gather(*(terminal.close() for terminal in terminals))
