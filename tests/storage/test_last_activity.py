from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET
from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage import lazy
from xmpp_server.storage.last_activity import LastActivity
from xmpp_server.storage.store import Store


async def test_nothing_is_known_of_who_was_never_there(store: Store, romeo: JID) -> None:
    assert await store.last_activity.get(romeo) is None


async def test_the_last_activity_is_known_at_once_and_written_later(
    store: Store, romeo: JID, database_url: str
) -> None:
    store.last_activity.put(romeo, 1)
    store.last_activity.put(romeo, 2, "Gone to Mantua")
    assert await store.last_activity.get(romeo) == LastActivity(2, "Gone to Mantua")
    assert await query(database_url, "SELECT at FROM last_activity") == []
    await store.database.lazy.flush()
    assert await query(database_url, "SELECT at, status FROM last_activity") == [(2, "Gone to Mantua")]
    assert await store.last_activity.get(romeo) == LastActivity(2, "Gone to Mantua")
    store.last_activity.put(romeo, 3)
    await store.database.lazy.flush()
    assert await store.last_activity.get(romeo) == LastActivity(3, "")


async def test_what_waits_is_written_by_itself(
    store: Store, romeo: JID, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "_DELAY", 0.0)
    store.last_activity.put(romeo, 1)
    async with asyncio.timeout(10):
        while not await query(database_url, "SELECT at FROM last_activity"):
            await asyncio.sleep(0.001)
    store.last_activity.put(romeo, 2)
    async with asyncio.timeout(10):
        while await query(database_url, "SELECT at FROM last_activity") != [(2,)]:
            await asyncio.sleep(0.001)


async def test_who_does_not_exist_is_left_alone_and_harms_nobody(store: Store, romeo: JID) -> None:
    store.last_activity.put(JULIET, 1)
    store.last_activity.put(romeo, 2)
    await store.database.lazy.flush()
    assert await store.last_activity.get(JULIET) is None
    assert await store.last_activity.get(romeo) == LastActivity(2, "")


async def test_values_that_wait_are_bounded_and_the_newest_stay(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "_MOST", 3)
    for number in range(10):
        store.last_activity.put(JID.parse(f"c{number}@capulet.example"), number)
    store.last_activity.put(romeo, 10)
    assert len(store.database.lazy) == 3
    await store.database.lazy.flush()
    assert await store.last_activity.get(romeo) == LastActivity(10, "")
    assert len(store.database.lazy) == 0
