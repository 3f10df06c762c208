"""Files in a folder: written beside their place and put there in one step, so that none is ever there in part."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

CHUNK: Final = 131_072  # octets that are in memory for one transfer
_PART: Final = ".part"

T = TypeVar("T")


class Folder:
    """The files by their ids. Methods raise OSError: the disk is full, or worse."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make the folder, and remove what a crash left in it. Nothing may be written meanwhile."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in self._path.glob(f"*{_PART}"):
            part.unlink(missing_ok=True)

    async def write(self, id: str, chunks: AsyncIterator[bytes]) -> bytes:
        """Keep a file, durably; its SHA-256. Whatever ends the chunks early leaves nothing."""
        part = self._path / f"{id}{_PART}"
        digest = hashlib.sha256()
        file = await asyncio.to_thread(os.open, part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

        def append(chunk: bytes) -> None:
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view) :]

        def finish() -> None:
            os.fsync(file)
            os.replace(part, self._path / id)

        try:
            async for chunk in chunks:
                # not to be cancelled in the middle: the thread would write to a file that is closed
                await _whole(asyncio.to_thread(append, chunk))
            await _whole(asyncio.to_thread(finish))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return digest.digest()

    async def read(self, id: str, start: int, size: int) -> AsyncIterator[bytes]:
        """A part of a file, a chunk at a time."""
        file = await asyncio.to_thread(os.open, self._path / id, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while size > 0 and (chunk := await _whole(asyncio.to_thread(os.pread, file, min(CHUNK, size), start))):
                start += len(chunk)
                size -= len(chunk)
                yield chunk
        finally:
            os.close(file)

    async def delete(self, id: str) -> None:
        """Remove a file; one that is not there is none."""
        await asyncio.to_thread((self._path / id).unlink, missing_ok=True)


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end, also if whoever waits is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
