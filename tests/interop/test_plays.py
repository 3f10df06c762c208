"""Plays of the language of scansion (who sends what, who sees what), such as Prosody's in its folder `spec/scansion`.

They belong to others and are not kept here: `make plays PLAYS=FOLDER`. Each has a server with fresh data.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
RUNNER: Final = Path(__file__).with_name("scansion.py")
PLAYS: Final = sorted(Path(os.environ["PLAYS"]).glob("*.scs"))
DEADLINE: Final = 20.0

# Plays by name that cannot pass, and why.
WITHOUT: Final = {
    "issue978-multi": "of no specification: two items for two sessions of one nickname; here the newest one is shown",
    "muc_nickname_robotface": "wants Prosody's words, and an error from the address that is malformed",
    "tombstones": "of no specification: a removed account stays known as removed; here nothing is left of it",
}


def expected(play: Path) -> bool:
    return not any(fnmatchcase(play.stem, pattern) for pattern in WITHOUT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def port(tmp_path: Path, database_url: str) -> Iterator[int]:
    """Of the server as `bench/start.sh` starts it."""
    port = free_port()
    started = subprocess.run(
        [ROOT / "bench/start.sh", tmp_path / "server", str(port)],
        env={**os.environ, "DATABASE_URL": database_url, "MAM": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    pid = int(started.stdout.split()[-1])
    yield port
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + DEADLINE
    while _runs(pid):
        assert time.monotonic() < end, "the server does not stop"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("play", list(filter(expected, PLAYS)), ids=lambda play: play.stem)
def test_the_play_is_performed_as_it_is_written(port: int, play: Path) -> None:
    command = [sys.executable, RUNNER, play, "--port", str(port), "--accounts", "ibr", "--json", "-"]
    run = subprocess.run([*command, "--replace", "Prosody=xmpp-server"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    summary: dict[str, Any] = json.loads(run.stdout[run.stdout.index("{") :])
    assert summary["passed"] == summary["total"] == 1
