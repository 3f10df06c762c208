"""What is done now and then: expired messages are removed, a batch at a time, so that nobody waits behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from xmpp_server.storage.archive import Archive
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.offline import Offline
from xmpp_server.storage.sessions import Sessions
from xmpp_server.storage.store import Store

_log = structlog.get_logger()

_EVERY: Final = 3600  # seconds
_SCRUB_EVERY: Final = 30
"""Seconds after which what was delivered and deleted is gone from the files too."""
_BATCH: Final = 1000
_PAUSE: Final = 0.1  # seconds between two batches
_DAY: Final = 86_400_000_000  # microseconds
_SESSION_DAYS: Final = 7
"""For how long a client may ask how much of a session that is gone was handled (XEP-0198 §5)."""


async def upkeep(store: Store, archived_days: Callable[[], Mapping[str, int]]) -> None:
    """Go on until cancelled. `archived_days` tells how long the messages of each host stay in archives; 0: for ever."""
    while True:
        now = time.time_ns() // 1000
        try:
            await purge(store.offline, now=now)
            await purge_sessions(store.sessions, before=now - _SESSION_DAYS * _DAY)
            for host, days in archived_days().items():
                if days:
                    await purge_archives(store.archive, host, before=now - days * _DAY)
        except StorageError as error:
            _log.warning("purge_failed", error=str(error))
        await asyncio.sleep(_EVERY)


async def scrub(store: Store) -> None:
    """Go on until cancelled: what was deleted goes from the files of the database (`Database.scrub`)."""
    while True:
        await asyncio.sleep(_SCRUB_EVERY)
        try:
            await store.database.scrub()
        except StorageError as error:
            _log.warning("scrub_failed", error=str(error))


async def purge(offline: Offline, *, now: int, batch: int = _BATCH, pause: float = _PAUSE) -> int:
    """Remove every message that has expired; how many there were. Raises StorageError."""
    removed = 0
    while True:
        count = await offline.purge(now=now, limit=batch)
        removed += count
        if count < batch:
            return removed
        await asyncio.sleep(pause)


async def purge_sessions(sessions: Sessions, *, before: int, batch: int = _BATCH, pause: float = _PAUSE) -> None:
    """Forget the streams whose count was saved before this time. Raises StorageError."""
    count = batch
    while count == batch:
        count = await sessions.purge(before=before, limit=batch)
        await asyncio.sleep(pause)


async def purge_archives(
    archive: Archive, host: str, *, before: int, batch: int = _BATCH, pause: float = _PAUSE
) -> int:
    """Remove every archived message of this host's accounts that came before this time, the oldest of an account first,
    so that no archive ever has a gap (XEP-0313 §3.2); how many there were. Raises StorageError."""
    removed = since_pause = 0
    last = None
    while accounts := await archive.outdated(host, before=before, after=last):
        for account in accounts:
            count = batch
            while count == batch:
                count = await archive.purge(account, before=before, limit=batch)
                removed += count
                since_pause += count
                if since_pause >= batch:
                    since_pause = 0
                    await asyncio.sleep(pause)
        last = accounts[-1]
    return removed
