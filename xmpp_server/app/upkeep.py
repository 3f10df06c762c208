"""What is done now and then: expired messages are removed, a batch at a time, so that nobody waits behind it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.offline import Offline

_log = structlog.get_logger()

_EVERY: Final = 3600  # seconds
_BATCH: Final = 1000
_PAUSE: Final = 0.1  # seconds between two batches


async def upkeep(offline: Offline) -> None:
    """Go on until cancelled."""
    while True:
        try:
            await purge(offline, now=time.time_ns() // 1000)
        except StorageError as error:
            _log.warning("purge_failed", error=str(error))
        await asyncio.sleep(_EVERY)


async def purge(offline: Offline, *, now: int, batch: int = _BATCH, pause: float = _PAUSE) -> int:
    """Remove every message that has expired; how many there were. Raises StorageError."""
    removed = 0
    while True:
        count = await offline.purge(now=now, limit=batch)
        removed += count
        if count < batch:
            return removed
        await asyncio.sleep(pause)
