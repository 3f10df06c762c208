"""What is done now and then: expired messages are removed, a batch at a time, so that nobody waits behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.offline import Offline
from xmpp_server.storage.retention import KeptArchive
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


@dataclass(frozen=True, slots=True)
class Periods:
    """For how many days the archives of a host's accounts are kept: of all, and of each kind; 0: for ever."""

    days: int
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def shortest(self) -> int:
        """0: all are kept for ever."""
        return min((days for days in (self.days, *self.kinds.values()) if days), default=0)

    def of(self, kept: KeptArchive) -> int:
        """What holds for an account: its own days, else those of its kind, else those of all."""
        return self.kinds.get(kept.kind, self.days) if kept.days is None else kept.days


async def upkeep(store: Store, periods: Callable[[], Mapping[str, Periods]]) -> None:
    """Go on until cancelled. `periods` tells for each host how long archives are kept."""
    while True:
        now = time.time_ns() // 1000
        try:
            await purge(store.offline, now=now)
            await purge_sessions(store.sessions, before=now - _SESSION_DAYS * _DAY)
            for host, period in periods().items():
                await purge_archives(store, host, period, now=now)
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
    store: Store, host: str, periods: Periods, *, now: int, batch: int = _BATCH, pause: float = _PAUSE
) -> int:
    """Remove every archived message of this host's accounts that is older than it may become, the oldest of an account
    first, so that no archive ever has a gap (XEP-0313 §3.2); how many there were. Raises StorageError."""
    removed = since_pause = 0
    last = None
    earliest = now - periods.shortest * _DAY if periods.shortest else 0
    while page := await store.retention.kept(host, before=earliest, after=last):
        for kept in page:
            days = periods.of(kept)
            count = batch if days else 0
            while count == batch:
                count = await store.archive.purge(kept.account, before=now - days * _DAY, limit=batch)
                removed += count
                since_pause += count
                if since_pause >= batch:
                    since_pause = 0
                    await asyncio.sleep(pause)
        last = page[-1].account
    return removed
