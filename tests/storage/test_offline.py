from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.retraction import RETRACT, mark
from xmpp_server.protocol.stanza import Child, Stanza
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.offline import Message, OfflineMessage
from xmpp_server.storage.postgresql import PostgreSQLTransaction
from xmpp_server.storage.sqlite import SQLiteTransaction
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.store import Store
from xmpp_server.storage.transaction import Transaction

SENDER = JULIET.with_resource("balcony")


def message(number: int, *, account: JID = ROMEO, expires: int = 1_000_000, quota: int | None = None) -> Message:
    return Message(account, number, SENDER, f"<message id='{number}'/>".encode(), number, expires, quota)


async def ids(store: Store, account: JID = ROMEO, now: int = 0) -> list[int]:
    return [message.id for message in await store.offline.load(account, now=now)]


async def test_a_message_comes_back_as_it_was_kept(store: Store, romeo: JID) -> None:
    stanza = bytes(range(256)) * 300
    assert not await store.offline.keep([Message(romeo, 7, SENDER, stanza, 5, 9, quota=1)])
    assert await store.offline.load(romeo, now=8) == [OfflineMessage(7, SENDER, stanza, 5, 9)]
    assert await store.offline.load(JULIET, now=8) == []


async def test_messages_are_loaded_in_pages_in_the_order_of_their_ids(store: Store, romeo: JID) -> None:
    numbers = [*range(100, 250), *range(100)]
    await asyncio.gather(*(store.offline.keep([message(number)]) for number in numbers))
    seen: list[int] = []
    after = -1
    while page := await store.offline.load(romeo, now=0, after=after, limit=100):
        assert len(page) <= 100
        seen += [message.received for message in page]
        after = page[-1].id
    assert seen == list(range(250))


async def test_what_is_kept_once_more_stands_there_once(store: Store, romeo: JID) -> None:
    await store.offline.keep([message(1), message(2)])
    await store.offline.keep([message(2), message(3)])
    assert await ids(store) == [1, 2, 3]


async def test_a_full_inbox_refuses_and_takes_again_when_there_is_room(store: Store, romeo: JID) -> None:
    assert not await store.offline.keep([message(number, quota=3) for number in range(1, 4)])
    assert await store.offline.keep([message(4, quota=3)]) == {(romeo, 4)}
    await store.offline.delete([(romeo, 1)])
    assert not await store.offline.keep([message(5, quota=3)])
    assert await ids(store) == [2, 3, 5]


async def test_each_message_has_a_quota_of_its_own(store: Store, romeo: JID) -> None:
    messages = [message(1), message(2, quota=1), message(3, quota=2), message(4, quota=0), message(5)]
    assert await store.offline.keep(messages) == {(romeo, 2), (romeo, 4)}
    assert await ids(store) == [1, 3, 5]


async def test_a_quota_holds_for_messages_that_come_at_the_same_time(store: Store, romeo: JID) -> None:
    refused = await asyncio.gather(*(store.offline.keep([message(n, quota=10)]) for n in range(1, 31)))
    assert [len(each) for each in refused] == [0] * 10 + [1] * 20
    assert await store.offline.count(romeo) == 10


async def test_messages_for_many_are_kept_together(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    await store.offline.keep([message(1), message(1, account=JULIET), message(2), message(2, account=JULIET, quota=5)])
    assert (await ids(store), await ids(store, JULIET)) == ([1, 2], [1, 2])
    await store.offline.delete([(romeo, 1), (JULIET, 2)])
    assert (await ids(store), await ids(store, JULIET)) == ([2], [1])


async def test_what_has_expired_is_not_loaded_and_is_removed_in_portions(store: Store, romeo: JID) -> None:
    await store.offline.keep([message(number, expires=100 + number) for number in range(1, 6)])
    assert await ids(store, now=103) == [4, 5]
    assert await store.offline.count(romeo) == 5
    assert await store.offline.purge(now=103, limit=2) == 2
    assert await store.offline.purge(now=103, limit=2) == 1
    assert await store.offline.purge(now=103, limit=2) == 0
    assert await store.offline.count(romeo) == 2


async def test_a_message_for_nobody_is_refused_and_nothing_is_kept_with_it(store: Store, romeo: JID) -> None:
    with pytest.raises(NoSuchAccount):
        await store.offline.keep([message(1), message(1, account=JULIET)])
    assert await ids(store) == []


async def test_a_message_for_one_who_is_deleted_at_the_same_time_harms_no_other(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    outcomes = await asyncio.gather(
        store.offline.keep([message(1)]),
        store.accounts.delete(romeo),
        store.offline.keep([message(2)]),
        store.offline.keep([message(3, account=JULIET)]),
        return_exceptions=True,
    )
    assert outcomes[1] is True
    assert isinstance(outcomes[2], NoSuchAccount)
    assert await store.offline.count(JULIET) == 1
    assert await store.offline.count(romeo) == 0


async def test_deleting_nothing_or_what_is_gone_is_no_error(store: Store, romeo: JID) -> None:
    await store.offline.delete([])
    await store.offline.delete([(romeo, 1), (romeo, 2), (JULIET, 3)])


async def test_a_retraction_makes_a_tombstone_of_what_it_retracts_and_of_nothing_else(store: Store, romeo: JID) -> None:
    """XEP-0424 §4, §5"""
    before = [
        said(romeo, 1, JULIET, "m1", "mine"),
        said(romeo, 2, JID.parse("nurse@capulet.example"), "m1", "another's"),
        said(romeo, 3, JULIET, "m2", "another"),
    ]
    await store.offline.keep(before)
    await store.offline.keep([retracting(romeo, 4, JULIET, "m1")])
    waiting = await store.offline.load(romeo, now=0)
    assert [message.id for message in waiting] == [1, 2, 3, 4]
    assert [b"<retracted" in message.stanza for message in waiting] == [True, False, False, False]
    assert b"mine" not in waiting[0].stanza
    assert b"<delay" in waiting[0].stanza


async def test_a_retraction_that_is_refused_retracts_nothing(store: Store, romeo: JID) -> None:
    await store.offline.keep([said(romeo, 1, JULIET, "m1", "mine")])
    refused = await store.offline.keep([replace(retracting(romeo, 2, JULIET, "m1"), quota=1)])
    assert refused == {(romeo, 2)}
    (message,) = await store.offline.load(romeo, now=0)
    assert b"mine" in message.stanza


async def test_what_is_written_together_with_its_retraction_is_a_tombstone(store: Store, romeo: JID) -> None:
    await store.offline.keep([said(romeo, 1, JULIET, "m1", "mine"), retracting(romeo, 2, JULIET, "m1")])
    first, _ = await store.offline.load(romeo, now=0)
    assert b"mine" not in first.stanza


def said(account: JID, id: int, sender: JID, stanza_id: str, body: str) -> Message:
    stanza = (
        f"<message xmlns='jabber:client' from='{sender}/x' to='{account}' id='{stanza_id}'><body>{body}</body>"
        "<delay xmlns='urn:xmpp:delay' from='montague.example' stamp='2024-01-01T00:00:00Z'/></message>"
    )
    return Message(account, id, sender, stanza.encode(), id, 2**60, mark=mark(sender, stanza_id))


def retracting(account: JID, id: int, sender: JID, retracted: str) -> Message:
    payload = f"<retract xmlns='urn:xmpp:message-retract:1' id='{retracted}'/>".encode()
    child = Child(RETRACT, ["id", retracted], 0, len(payload))
    retraction = Stanza("message", sender.with_resource("y"), account, "chat", "r1", "", None, (child,), payload)
    return Message(account, id, sender, b"<message xmlns='jabber:client'/>", id, 2**60, retraction=retraction)


async def test_who_waits_is_counted_again_when_the_quota_seems_to_be_reached(store: Store, romeo: JID) -> None:
    """what went meanwhile makes room; what is known of one quota is no number for a larger one"""
    assert await store.offline.keep([message(1, quota=3)]) == set()
    assert await store.offline.keep([message(2, quota=3), message(3, quota=3), message(4, quota=3)]) == {(romeo, 4)}
    await store.offline.delete([(romeo, 1)])
    assert await store.offline.keep([message(5, quota=3), message(6, quota=3)]) == {(romeo, 6)}
    assert await store.offline.keep([message(7, quota=1)]) == {(romeo, 7)}
    assert await store.offline.keep([message(8, quota=4), message(9, quota=4)]) == {(romeo, 9)}
    assert await store.offline.count(romeo) == 4


async def test_those_who_wait_are_not_counted_for_each_message(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = 0
    one = Transaction.one

    async def counting(self: Transaction, statement: Statement, /, **values: object) -> object:
        nonlocal counted
        counted += "count" in statement.sqlite.sql
        return await one(self, statement, **values)

    for kind in (SQLiteTransaction, PostgreSQLTransaction):
        monkeypatch.setattr(kind, "one", counting)
    for number in range(1, 20):
        assert await store.offline.keep([message(number, quota=1000)]) == set()
    assert counted == 1
