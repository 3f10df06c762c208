from __future__ import annotations

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.store import Store

KINDS = [JID.parse(text) for text in ("spam@x.example", "x.example", "spam@x.example/r", "x.example/r")]


async def test_a_blocklist_is_empty_until_somebody_is_blocked(store: Store, romeo: JID) -> None:
    assert await store.blocking.load(romeo) == frozenset()


async def test_addresses_of_every_kind_can_be_blocked_once_or_more(store: Store, romeo: JID) -> None:
    await store.blocking.add(romeo, KINDS[:3])
    await store.blocking.add(romeo, KINDS)
    assert await store.blocking.load(romeo) == frozenset(KINDS)


async def test_unblocking_some_leaves_the_others_blocked(store: Store, romeo: JID) -> None:
    await store.blocking.add(romeo, KINDS)
    await store.blocking.remove(romeo, [KINDS[0], JULIET])
    assert await store.blocking.load(romeo) == frozenset(KINDS[1:])


async def test_unblocking_all_leaves_the_lists_of_others(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    await store.blocking.add(JULIET, KINDS)
    await store.blocking.add(romeo, KINDS)
    await store.blocking.clear(romeo)
    assert await store.blocking.load(romeo) == frozenset()
    assert await store.blocking.load(JULIET) == frozenset(KINDS)


async def test_a_blocklist_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.blocking.add(ROMEO, KINDS)
