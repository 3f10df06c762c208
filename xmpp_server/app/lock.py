"""One server for a data folder: the lock that the server holds, and that tells the command line who serves."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = "xmpp-server.pid"


class DataLock:
    """Held from start to stop; the system lets go of it if the process dies."""

    def __init__(self, data: Path) -> None:
        """Take the lock; raises OSError if another server has it."""
        self._file = os.open(data / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise OSError(f"another server, process {owner or 'unknown'}, uses the data in {data}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another server have the data."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def serving_process(data: Path) -> int | None:
    """The process that serves this data folder; None if none does."""
    with suppress(OSError, ValueError), open(data / _FILE, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read(32))
    return None
