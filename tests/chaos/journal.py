"""What happened, line by line with its time, for whoever looks for the reason of a failure."""

from __future__ import annotations

import time
from pathlib import Path


class Journal:
    """A file that begins anew when all before was found to be right."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")

    def note(self, who: str, what: str) -> None:
        """Something that somebody did, or that came to them."""
        self._file.write(f"{time.time():.4f} {who} {what}\n")

    def begin(self) -> None:
        """Forget what was noted."""
        self._file.seek(0)
        self._file.truncate()

    def flush(self) -> None:
        self._file.flush()
