"""Starts servers that kill themselves at a point around a commit, chosen by the test. Nothing of this is in the server:
the points are wrapped around its classes here.

    python -m tests.chaos.launch serve --config …

For each line on standard input it forks a server, for half of the work of a start is importing, and prints its process
id. The line is JSON: names for its environment. {"CHAOS_POINT": "after COMMIT", "CHAOS_COUNT": "17"}: it is killed when
it passes the point for the 17th time. `amid COMMIT` is some time after the statement has begun. {"CHAOS_SYNCHRONOUS":
"OFF"}: SQLite does not sync, which must be found out.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any, Final

import components  # noqa: F401 - what every server needs is imported once
import xmpp_server.app.server
import xmpp_server.cli.commands
import xmpp_server.modules  # noqa: F401
from xmpp_server.cli import main
from xmpp_server.net.connection import Connection
from xmpp_server.storage import sqlite
from xmpp_server.storage.batch import Unit
from xmpp_server.storage.postgresql import PostgreSQLTransaction
from xmpp_server.storage.sqlite import SQLiteTransaction

POINTS: Final = (
    "before BEGIN",
    "after BEGIN",
    "after a statement",
    "before COMMIT",
    "amid COMMIT",
    "after COMMIT",
    "before the writers know",
    "after a writer knows",
    "before bytes leave",
    "after bytes left",
)
_LONGEST_COMMIT: Final = 0.004  # seconds


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    def dying() -> None:
        time.sleep(random.random() * _LONGEST_COMMIT)
        _die()

    threading.Thread(target=dying).start()


class _Point:
    """Kills at the so manieth passage of the point of this name, if it is the one."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._left = count

    def passed(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            if name.startswith("amid"):
                _die_soon()
            else:
                _die()


def _arm(point: _Point) -> None:
    for kind in (SQLiteTransaction, PostgreSQLTransaction):
        _arm_transaction(kind, point)
    _around(Unit, "settle", point, "before the writers know", "after a writer knows")
    _around(Connection, "flush", point, "before bytes leave", "after bytes left")


def _arm_transaction(kind: Any, point: _Point) -> None:
    control = kind.control
    for name in ("run", "many"):
        _arm_statement(kind, name, point)

    async def watched(self: Any, command: str) -> None:
        point.passed(f"before {command}")
        point.passed(f"amid {command}")
        await control(self, command)
        point.passed(f"after {command}")

    kind.control = watched


def _arm_statement(kind: Any, name: str, point: _Point) -> None:
    method = getattr(kind, name)

    async def watched(self: Any, *arguments: Any, **values: Any) -> Any:
        result = await method(self, *arguments, **values)
        point.passed("after a statement")
        return result

    setattr(kind, name, watched)


def _around(kind: Any, name: str, point: _Point, before: str, after: str) -> None:
    method = getattr(kind, name)

    def watched(self: Any) -> Any:
        point.passed(before)
        result = method(self)
        point.passed(after)
        return result

    setattr(kind, name, watched)


def _serve(names: dict[str, str]) -> None:
    """In the fork: be the server."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(names)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)  # the log
    if "LD_PRELOAD" in os.environ:
        ctypes.CDLL(None).chaos_begin()
    if "CHAOS_POINT" in os.environ:
        _arm(_Point(os.environ["CHAOS_POINT"], int(os.environ["CHAOS_COUNT"])))
    if "CHAOS_SYNCHRONOUS" in os.environ:
        pragma = f"PRAGMA synchronous={os.environ['CHAOS_SYNCHRONOUS']}"
        sqlite._PRAGMAS = (*sqlite._PRAGMAS, pragma)  # type: ignore[misc]
    sys.exit(main())


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _serve(json.loads(line))
        print(pid, flush=True)
