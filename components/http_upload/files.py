"""Where the bytes are: a folder (`folder.py`), or a bucket of S3 (`bucket.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, Final, Protocol, TypeVar

CHUNK: Final = 131_072  # octets that are in memory for one transfer

T = TypeVar("T")


class FilesError(Exception):
    """Bytes cannot be kept, read or removed now; the text says why, for the log. `full`: there is no room for them."""

    def __init__(self, reason: str, *, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


class Files(Protocol):
    """Files by their ids, which are letters, digits, `-` and `_`. Methods raise FilesError."""

    async def open(self) -> None:
        """Make it ready for use. What an earlier process left unfinished is gone then, or goes with `sweep`."""
        ...

    async def close(self) -> None:
        """Nothing is asked for any more."""
        ...

    async def sweep(self) -> None:
        """Remove what is left of writes that failed, and could not be removed at once."""
        ...

    async def write(self, id: str, size: int, chunks: AsyncIterator[bytes]) -> bytes:
        """Keep a file of `size` octets, durably; its SHA-256. It is there as a whole or not at all: whatever ends the
        chunks early, and is raised, leaves nothing. Nobody else writes this id meanwhile."""
        ...

    def read(self, id: str, start: int, size: int) -> AsyncGenerator[bytes, None]:
        """A part of a file, a chunk at a time."""
        ...

    async def delete(self, id: str) -> None:
        """Remove a file; one that is not there is none."""
        ...


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end, also if whoever waits is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
