"""A message that stands in its archive and has not gone on yet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from xmpp_server.modules import archive
from xmpp_server.storage.archive_writer import Key


class Lingering:
    """The first message whose archive is `committed` goes on only when it `goes`, or after 20 seconds, for a test that
    fails; others go on at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.committed = asyncio.Event()
        self.goes = asyncio.Event()
        self._settled = archive._settled
        monkeypatch.setattr(archive, "_settled", self._wait)

    async def _wait(self, commit: asyncio.Future[Any]) -> Collection[Key]:
        refused = await self._settled(commit)
        if not self.committed.is_set():
            self.committed.set()
            asyncio.get_running_loop().call_later(20, self.goes.set)
            await self.goes.wait()
        return refused
