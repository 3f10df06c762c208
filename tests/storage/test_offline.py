from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount, QuotaExceeded
from xmpp_server.storage.offline import OfflineMessage
from xmpp_server.storage.store import Store

SENDER = JULIET.with_resource("balcony")


async def _store(store: Store, number: int, *, expires: int = 1_000_000, quota: int = 1000) -> int:
    body = f"<message><body>{number}</body></message>".encode()
    return await store.offline.store(ROMEO, SENDER, body, received=number, expires=expires, quota=quota)


async def test_a_message_comes_back_as_it_was_stored(store: Store, romeo: JID) -> None:
    stanza = bytes(range(256)) * 300
    id_ = await store.offline.store(romeo, SENDER, stanza, received=5, expires=9, quota=1)
    assert await store.offline.load(romeo, now=8) == [OfflineMessage(id_, SENDER, stanza, 5, 9)]
    assert await store.offline.load(JULIET, now=8) == []


async def test_messages_are_loaded_in_pages_in_the_order_in_which_they_were_stored(store: Store, romeo: JID) -> None:
    await asyncio.gather(*(_store(store, number) for number in range(250)))
    seen: list[int] = []
    after = 0
    while page := await store.offline.load(romeo, now=0, after=after, limit=100):
        assert len(page) <= 100
        seen += [message.received for message in page]
        after = page[-1].id
    assert seen == list(range(250))


async def test_a_full_inbox_refuses_and_takes_again_when_there_is_room(store: Store, romeo: JID) -> None:
    ids = [await _store(store, number, quota=3) for number in range(3)]
    with pytest.raises(QuotaExceeded):
        await _store(store, 3, quota=3)
    await store.offline.delete(romeo, ids[:1])
    await _store(store, 4, quota=3)
    assert [message.received for message in await store.offline.load(romeo, now=0)] == [1, 2, 4]


async def test_a_quota_holds_for_messages_that_come_at_the_same_time(store: Store, romeo: JID) -> None:
    outcomes = await asyncio.gather(*(_store(store, n, quota=10) for n in range(30)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int] * 10 + [QuotaExceeded] * 20
    assert await store.offline.count(romeo) == 10


async def test_an_id_is_never_used_again(store: Store, romeo: JID) -> None:
    first = await _store(store, 1)
    await store.offline.delete(romeo, [first])
    second = await _store(store, 2)
    assert second > first
    await store.offline.delete(romeo, [first])
    assert await store.offline.count(romeo) == 1


async def test_what_has_expired_is_not_loaded_and_is_removed_in_portions(store: Store, romeo: JID) -> None:
    for number in range(5):
        await _store(store, number, expires=100 + number)
    assert [message.received for message in await store.offline.load(romeo, now=102)] == [3, 4]
    assert await store.offline.count(romeo) == 5
    assert await store.offline.purge(now=102, limit=2) == 2
    assert await store.offline.purge(now=102, limit=2) == 1
    assert await store.offline.purge(now=102, limit=2) == 0
    assert await store.offline.count(romeo) == 2


async def test_a_message_for_nobody_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await _store(store, 1)


async def test_a_message_for_one_who_is_deleted_at_the_same_time_harms_no_other(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    outcomes = await asyncio.gather(
        _store(store, 1),
        store.accounts.delete(romeo),
        _store(store, 2),
        store.offline.store(JULIET, SENDER, b"<message/>", received=1, expires=2, quota=1),
        return_exceptions=True,
    )
    assert outcomes[1] is True
    assert isinstance(outcomes[2], NoSuchAccount)
    assert await store.offline.count(JULIET) == 1
    assert await store.offline.count(romeo) == 0


async def test_deleting_nothing_or_what_is_gone_is_no_error(store: Store, romeo: JID) -> None:
    await store.offline.delete(romeo, [])
    await store.offline.delete(romeo, [1, 2, 3])
