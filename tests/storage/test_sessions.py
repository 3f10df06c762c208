from __future__ import annotations

from tests.storage.conftest import JULIET
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.sessions import SavedSession
from xmpp_server.storage.store import Store

KEY, OTHER = b"k" * 32, b"o" * 32


async def test_the_last_count_of_each_stream_is_kept(store: Store, romeo: JID) -> None:
    assert await store.sessions.handled(romeo, KEY) is None
    await store.sessions.write([SavedSession(romeo, KEY, 3, 10), SavedSession(romeo, OTHER, 2**40, 10)])
    await store.sessions.write([SavedSession(romeo, KEY, 5, 11)])
    assert await store.sessions.handled(romeo, KEY) == 5
    assert await store.sessions.handled(romeo, OTHER) == 2**40


async def test_another_accounts_stream_is_not_found(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {}, created=1)
    await store.sessions.write([SavedSession(romeo, KEY, 3, 10)])
    assert await store.sessions.handled(JULIET, KEY) is None


async def test_a_stream_of_no_account_spoils_nothing_for_the_others(store: Store, romeo: JID) -> None:
    await store.sessions.write([SavedSession(JULIET, KEY, 3, 10), SavedSession(romeo, KEY, 4, 10)])
    assert await store.sessions.handled(JULIET, KEY) is None
    assert await store.sessions.handled(romeo, KEY) == 4


async def test_streams_that_ended_are_forgotten(store: Store, romeo: JID) -> None:
    await store.sessions.write([SavedSession(romeo, KEY, 3, 10), SavedSession(romeo, OTHER, 4, 10)])
    await store.sessions.write([], [(romeo, KEY)])
    assert await store.sessions.handled(romeo, KEY) is None
    assert await store.sessions.handled(romeo, OTHER) == 4


async def test_a_state_is_taken_once(store: Store, romeo: JID) -> None:
    saved = SavedSession(romeo, KEY, 3, 10, b"state")
    await store.sessions.write([saved, SavedSession(romeo, OTHER, 4, 10)])
    assert await store.sessions.take() == [saved]
    assert await store.sessions.take() == []
    assert await store.sessions.handled(romeo, KEY) == 3


async def test_a_count_that_is_saved_later_makes_an_old_state_void(store: Store, romeo: JID) -> None:
    await store.sessions.write([SavedSession(romeo, KEY, 3, 10, b"state")])
    await store.sessions.write([SavedSession(romeo, KEY, 4, 11)])
    assert await store.sessions.take() == []


async def test_old_streams_are_purged_a_few_at_a_time(store: Store, romeo: JID) -> None:
    await store.sessions.write([SavedSession(romeo, bytes([n]) * 32, n, n) for n in range(5)])
    assert await store.sessions.purge(before=3, limit=3) == 3
    assert await store.sessions.purge(before=3, limit=3) == 1
    assert await store.sessions.handled(romeo, b"\4" * 32) == 4


async def test_with_the_account_its_streams_go(store: Store, romeo: JID) -> None:
    await store.sessions.write([SavedSession(romeo, KEY, 3, 10)])
    await store.accounts.delete(romeo)
    await store.accounts.create(romeo, {}, created=2)
    assert await store.sessions.handled(romeo, KEY) is None
