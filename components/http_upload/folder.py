"""Files in a folder: written beside their place and put there in one step, so that none is ever there in part."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from .files import CHUNK, FilesError

_PART: Final = ".part"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")

_writing: Final[set[Path]] = set()
"""What this process writes to now: hosts have one folder together, and one can start while others are at work."""


class Folder:
    """Files by their ids (`files.Files`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        """Make the folder, and remove what a crash left in it."""

        def work() -> None:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in self._path.glob(f"*{_PART}"):
                if part not in _writing:
                    part.unlink(missing_ok=True)

        await _do(work)

    async def close(self) -> None:
        """There is nothing to close."""

    async def sweep(self) -> None:
        """There is nothing to sweep: what fails is removed at once, or after a crash by `open`."""

    async def write(self, id: str, size: int, chunks: AsyncIterator[bytes]) -> bytes:
        """Keep a file, durably; its SHA-256. Whatever ends the chunks early leaves nothing."""
        part = self._path / f"{id}{_PART}"
        digest = hashlib.sha256()
        file = _begin(part)

        def append(chunk: bytes) -> None:
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view) :]

        def finish() -> None:
            os.fsync(file)
            os.replace(part, self._path / id)
            self._sync()

        try:
            async for chunk in chunks:
                # not to be cancelled in the middle: the thread would write to a file that is closed
                await _do(append, chunk)
            await _do(finish)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
            _writing.discard(part)
        return digest.digest()

    async def read(self, id: str, start: int, size: int) -> AsyncGenerator[bytes, None]:
        """A part of a file, a chunk at a time."""
        file = _open(self._path / id, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while size > 0:
                wanted = min(CHUNK, size)
                if not (chunk := _read_now(file, wanted, start)) and not (
                    chunk := await _do(os.pread, file, wanted, start)
                ):
                    raise FilesError("the file is shorter than it was")
                start += len(chunk)
                size -= len(chunk)
                yield chunk
        finally:
            os.close(file)

    async def delete(self, id: str) -> None:
        """Remove a file; one that is not there is none."""
        await _do(lambda: (self._path / id).unlink(missing_ok=True))

    def _sync(self) -> None:
        """A new name in the folder outlives a loss of power."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _begin(part: Path) -> int:
    """A file to write to, which nobody removes before it is done."""
    _writing.add(part)
    try:
        return _open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    except FilesError:
        _writing.discard(part)
        raise


def _open(path: Path, flags: int) -> int:
    """Not in a thread: nobody would close it if whoever waits is cancelled."""
    with _telling():
        return os.open(path, flags, 0o600)


def _read_now(file: int, size: int, start: int) -> bytes:
    """What there is of it in the system's cache; empty: nothing, it is to be waited for. A thread would cost more than
    all the rest of a download."""
    buffer = bytearray(size)
    try:
        return bytes(memoryview(buffer)[: os.preadv(file, [buffer], start, os.RWF_NOWAIT)])
    except OSError:  # EAGAIN; or the file system does not know of this, and what is wrong shows when it is waited for
        return b""


async def _do(work: Callable[..., T], *arguments: Any) -> T:
    """Do it in a thread, to its end, also if whoever waits is cancelled meanwhile: what it uses is closed then. Raises
    FilesError."""
    done = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    with _telling():
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            raise


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FilesError(error.strerror or str(error), full=error.errno in _FULL) from error
