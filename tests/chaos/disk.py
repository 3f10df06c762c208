"""A disk for a database that can lose what was not synced, and be full: `disk.c` notes every write.

disk = Disk(folder, database)              # compiled by `cc`, for Linux
Server(…, environment=disk.environment())  # the server writes through it
disk.fill(); disk.free()                   # no file grows meanwhile
disk.lose(chance)                          # after the kill: what was not synced is gone, or some of it

For SQLite. PostgreSQL's can only be full: `PostgreSQL(folder, disk.environment(notes=False))`.

`python -m tests.chaos.disk` shows that it loses what it has to lose, and nothing else.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

POINTS: Final = ("before write", "amid write", "after write", "before sync", "after sync")
_SOURCE: Final = Path(__file__).with_name("disk.c")
_NOTE: Final = struct.Struct("=5q")
_SECTOR: Final = 512  # bytes that a disk writes wholly or not at all

Loss = Literal["all", "some"]


class _Note(NamedTuple):
    """A write to a file, or a change of its size."""

    truncates: bool
    offset: int
    old: bytes
    new: bytes
    old_size: int


class Disk:
    """What the database at this path is written to: SQLite's file, or PostgreSQL's folder. Its own files
    are in `folder`."""

    def __init__(self, folder: Path, database: Path) -> None:
        self._database = database.resolve()
        self._undo = folder / "undo"
        self._undo.mkdir()
        self._full = folder / "full"
        self._library = folder / "disk.so"
        command = ("cc", "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl", "-lpthread")
        subprocess.run(command, check=True)

    def environment(self, *, notes: bool = True) -> dict[str, str]:
        """For a process that writes through it; without notes nothing can be lost. CHAOS_DISK_POINT and
        CHAOS_DISK_COUNT: to be killed when it passes one of the POINTS for the so manieth time."""
        return {
            "LD_PRELOAD": str(self._library),
            "CHAOS_FILES": str(self._database),
            "CHAOS_FULL": str(self._full),
            **({"CHAOS_UNDO": str(self._undo)} if notes else {}),
        }

    def fill(self) -> None:
        """It is full."""
        self._full.touch()

    def free(self) -> None:
        """There is room again."""
        self._full.unlink(missing_ok=True)

    def lose(self, chance: random.Random | None = None) -> int:
        """What was not synced when the process was killed is gone; with `chance` some of it only, in any order and by
        sectors, as a disk writes. Returns how many writes there were."""
        count = 0
        for undo in self._undo.iterdir():
            notes = list(_notes(undo.read_bytes()))
            file = self._database.with_name(undo.name)
            if notes and file.exists():
                _undo(file, notes, chance)
                count += len(notes)
            undo.unlink()
        return count


def _notes(data: bytes) -> Iterator[_Note]:
    """A note that was cut short by the kill is left out: its write was not begun."""
    at = 0
    while at + _NOTE.size <= len(data):
        truncates, offset, old, new, size = _NOTE.unpack_from(data, at)
        at += _NOTE.size
        if at + old + new > len(data):
            return
        yield _Note(bool(truncates), offset, data[at : at + old], data[at + old : at + old + new], size)
        at += old + new


def _undo(path: Path, notes: list[_Note], chance: random.Random | None) -> None:
    with path.open("r+b", buffering=0) as file:
        for note in reversed(notes):
            file.seek(note.offset)
            file.write(note.old)
            file.truncate(note.old_size)
        for note in notes if chance is not None else ():
            assert chance is not None
            if chance.random() < 0.5:
                continue
            if note.truncates:
                file.truncate(note.offset)
                continue
            whole = len(note.new)
            file.seek(note.offset)
            file.write(note.new[: whole if chance.random() < 0.7 else chance.randrange(whole + 1) // _SECTOR * _SECTOR])


# -- whether it does what it says

_WRITER: Final = """
import os, sqlite3, sys
path, synchronous = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute(f"PRAGMA synchronous={synchronous}")
for number in range(100):
    connection.execute("INSERT INTO t VALUES (?)", (number,))
os.kill(os.getpid(), 9)
"""


def kept(synchronous: str, loss: Loss = "all") -> int:
    """Of 100 rows that are committed one by one before a kill, how many are there after it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = folder / "rows.sqlite"
        connection = sqlite3.connect(database)
        connection.execute("CREATE TABLE t (number)")
        connection.commit()
        connection.close()
        disk = Disk(folder, database)
        environment = {**os.environ, **disk.environment()}
        ended = subprocess.run([sys.executable, "-c", _WRITER, database, synchronous], env=environment, check=False)
        assert ended.returncode == -signal.SIGKILL, ended
        disk.lose(random.Random("some") if loss == "some" else None)
        connection = sqlite3.connect(database)
        (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        return int(count)


def proves() -> str:
    """What it loses of 100 rows; raises AssertionError if it cannot tell who syncs from who does not."""
    synced, some, lost = kept("FULL"), kept("FULL", "some"), kept("OFF")
    assert synced == some == 100, f"it loses what was synced: {synced}, {some}"
    assert lost == 0, f"it keeps what was not synced: {lost}"
    return f"of 100 rows {synced} are left with synchronous=FULL, and {lost} with OFF"


if __name__ == "__main__":
    print(proves())
