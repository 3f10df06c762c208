from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace
from sqlalchemy import bindparam, func, select

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.counters import set_value
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.roster import REMOVALS_KEPT, Roster, RosterItem, roster
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.store import Store
from xmpp_server.storage.transaction import Transaction

WAITING = RosterItem(JULIET, pending_in=b"<presence type='subscribe'/>", listed=False)


async def test_a_roster_that_was_never_changed_is_empty_and_has_version_0(store: Store, romeo: JID) -> None:
    assert await store.rosters.load(romeo) == Roster(0, {})


async def test_an_item_comes_back_as_it_was_put_with_its_version(store: Store, romeo: JID) -> None:
    item = RosterItem(
        JULIET, "Jül <&> 'iet'", "to", True, True, b"<presence/>\x00", ("Friends", "", 'a"b', "café, 1"), 77
    )
    assert await store.rosters.put(romeo, item) == 1
    assert await store.rosters.load(romeo) == Roster(1, {JULIET: replace(item, version=1)})


async def test_versions_count_up_by_one_for_each_account(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    assert await store.rosters.put(romeo, RosterItem(JULIET)) == 1
    assert await store.rosters.put(romeo, RosterItem(JULIET, "Juliet")) == 2
    assert await store.rosters.put(JULIET, RosterItem(romeo)) == 1
    assert await store.rosters.remove(romeo, JULIET) == 3
    assert await store.rosters.put(romeo, RosterItem(JULIET)) == 4


async def test_a_removed_contact_is_gone_and_removing_it_again_changes_nothing(store: Store, romeo: JID) -> None:
    await store.rosters.put(romeo, RosterItem(JULIET, pending_in=b"<presence/>"))
    assert await store.rosters.remove(romeo, JULIET) == 2
    assert await store.rosters.load(romeo) == Roster(2, {})
    assert await store.rosters.remove(romeo, JULIET) == 2
    assert await store.rosters.remove(romeo, ROMEO) == 2


async def test_a_request_that_waits_is_kept_and_is_no_change_that_is_told(store: Store, romeo: JID) -> None:
    assert await store.rosters.put(romeo, WAITING) == 1
    assert await store.rosters.load(romeo) == Roster(1, {JULIET: WAITING})
    assert await store.rosters.changes_since(romeo, 0) == []
    assert await store.rosters.remove(romeo, JULIET) == 1
    assert await store.rosters.load(romeo) == Roster(1, {})


async def test_a_request_of_somebody_who_was_removed_leaves_the_removal_known(store: Store, romeo: JID) -> None:
    await store.rosters.put(romeo, RosterItem(JULIET))
    await store.rosters.remove(romeo, JULIET)
    assert await store.rosters.put(romeo, WAITING) == 3
    assert (await store.rosters.load(romeo)).items[JULIET].pending_in == WAITING.pending_in
    assert await store.rosters.changes_since(romeo, 1) == [replace(WAITING, version=2)]
    assert await store.rosters.remove(romeo, JULIET) == 3
    assert (await store.rosters.load(romeo)).items == {}
    assert await store.rosters.changes_since(romeo, 1) == [RosterItem(JULIET, listed=False, version=2)]


async def test_an_item_that_is_no_longer_listed_counts_as_removed(store: Store, romeo: JID) -> None:
    await store.rosters.put(romeo, RosterItem(JULIET, "Juliet"))
    assert await store.rosters.put(romeo, WAITING) == 2
    assert await store.rosters.changes_since(romeo, 1) == [replace(WAITING, version=2)]


async def test_changes_are_told_in_their_order_each_contact_once(store: Store, romeo: JID) -> None:
    a, b, c = (JID.parse(f"{name}@capulet.example") for name in "abc")
    for jid in (a, b, c):
        await store.rosters.put(romeo, RosterItem(jid))
    await store.rosters.put(romeo, RosterItem(a, "A"))
    await store.rosters.remove(romeo, b)
    changes = await store.rosters.changes_since(romeo, 2)
    assert changes == [RosterItem(c, version=3), RosterItem(a, "A", version=4), RosterItem(b, version=5, listed=False)]
    assert await store.rosters.changes_since(romeo, 5) == []


async def test_a_version_that_never_was_has_no_changes(store: Store, romeo: JID) -> None:
    await store.rosters.put(romeo, RosterItem(JULIET))
    assert await store.rosters.changes_since(romeo, 2) is None
    assert await store.rosters.changes_since(romeo, -1) is None


async def test_old_removals_are_forgotten_and_versions_before_them_are_not_answered(store: Store, romeo: JID) -> None:
    contacts = [JID.parse(f"c{number}@capulet.example") for number in range(2 * REMOVALS_KEPT)]
    for jid in contacts:
        await store.rosters.put(romeo, RosterItem(jid))
    for jid in contacts:
        version = await store.rosters.remove(romeo, jid)
    assert await store.rosters.changes_since(romeo, 1) is None
    recent = await store.rosters.changes_since(romeo, version - REMOVALS_KEPT)
    assert recent is not None
    assert [(item.jid, item.listed) for item in recent] == [(jid, False) for jid in contacts[-REMOVALS_KEPT:]]
    rows = await store.database.all(_count(), account=str(romeo))
    assert REMOVALS_KEPT <= rows[0][0] < REMOVALS_KEPT + 64


async def test_everybody_who_has_an_address_in_the_roster_is_found_with_the_subscription(
    store: Store, romeo: JID
) -> None:
    others = {JID.parse(f"{name}@capulet.example"): name for name in ("none", "to", "from", "both")}
    for account, subscription in others.items():
        await store.accounts.create(account, {})
        await store.rosters.put(account, RosterItem(romeo, subscription=subscription))  # type: ignore[arg-type]
    await store.accounts.create(JULIET, {})
    await store.rosters.put(JULIET, replace(WAITING, jid=romeo))
    assert await store.rosters.subscriptions_to(romeo) == others
    assert await store.rosters.subscriptions_to(JULIET) == {}


async def test_a_contact_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.rosters.put(ROMEO, RosterItem(JULIET))
    with pytest.raises(NoSuchAccount):
        await store.rosters.put(ROMEO, WAITING)
    assert await store.rosters.remove(ROMEO, JULIET) == 0


async def test_changes_at_the_same_time_get_versions_of_their_own(store: Store, romeo: JID) -> None:
    items = [RosterItem(JID.parse(f"c{number}@capulet.example")) for number in range(100)]
    assert await asyncio.gather(*(store.rosters.put(romeo, item) for item in items)) == list(range(1, 101))
    assert len((await store.rosters.load(romeo)).items) == 100


async def test_a_roster_of_10000_is_loaded_and_its_changes_are_found(store: Store, romeo: JID) -> None:
    jids = [JID.parse(f"c{number}@capulet.example") for number in range(10_000)]
    columns = {"account": str(romeo), "subscription": "both", "ask": False, "approved": False, "groups": ""}
    rows = [
        columns | {"jid": str(jid), "name": f"Name {number}", "listed": True, "pending_in": None, "version": number}
        for number, jid in enumerate(jids)
    ]

    async def work(transaction: Transaction) -> None:
        await transaction.many(Statement(roster.insert()), rows)
        await set_value(transaction, romeo, "roster", 9_999)

    await store.database.write(work)
    started = time.process_time()
    loaded = await store.rosters.load(romeo)
    assert time.process_time() - started < 1
    assert loaded.version == 9_999
    assert len(loaded.items) == 10_000
    state = await store.login_state(romeo)
    assert state is not None
    assert state.roster == loaded
    changes = await store.rosters.changes_since(romeo, 9_990)
    assert changes is not None
    assert [item.jid for item in changes] == jids[9_991:]


def _count() -> Statement:
    return Statement(select(func.count()).select_from(roster).where(roster.c.account == bindparam("account")))
