"""Plays of our own over TCP and TLS."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.interop import scansion
from tests.plays import PLAYS

from .running import RunningServer

_RUNNER: Final = Path(scansion.__file__)
_DEADLINE: Final = 60.0


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.stem)
async def test_the_play_is_performed_as_it_is_written(server: RunningServer, play: Path) -> None:
    cast = scansion.Script(str(play), play.read_text()).cast.values()
    for address, password in {(one.bare, one.props["password"]) for one in cast}:
        await server.account(address, password)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_RUNNER), str(play), "--port", str(server.port), "--accounts", "none"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_DEADLINE):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
