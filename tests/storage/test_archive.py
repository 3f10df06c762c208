from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query
from tests.waiting import until
from xmpp_server.app.upkeep import Periods, purge_archives
from xmpp_server.protocol.archive_preferences import Preferences
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import LAST, ArchivedMessage, Found, Matching
from xmpp_server.storage.archive_writer import is_refused
from xmpp_server.storage.batch import Unit
from xmpp_server.storage.errors import DatabaseClosed, NoSuchAccount, Unavailable
from xmpp_server.storage.store import Store

DAY = 86_400_000_000
BALCONY = JULIET.with_resource("balcony")


async def add(store: Store, *numbers: int, account: JID = ROMEO, peer: JID = BALCONY, mark: int | None = None) -> None:
    """Messages whose number is also their time and their text."""
    await asyncio.gather(
        *(
            store.archive.add(account, number, str(number).encode(), at=number, peer=peer, mark=mark)
            for number in numbers
        )
    )


async def numbers(store: Store, matching: Matching, *, limit: int = 100, backwards: bool = False) -> list[int]:
    found = await store.archive.page(ROMEO, matching, limit=limit, backwards=backwards)
    loaded = await store.archive.load(ROMEO, matching, found[0].n, found[-1].n) if found else []
    assert [each.n for each in loaded] == [each.n for each in found]
    return [each.n for each in found]


async def test_a_message_comes_back_as_it_was_added(store: Store, romeo: JID) -> None:
    stanza = bytes(range(256)) * 300
    await store.archive.add(romeo, 7, stanza, at=5, peer=BALCONY)
    assert await store.archive.page(romeo, Matching(), limit=1) == [Found(7, 5, len(stanza))]
    assert await store.archive.load(romeo, Matching(), 7, 7) == [ArchivedMessage(7, 5, stanza)]
    assert await store.archive.each(romeo, [7, 8]) == [ArchivedMessage(7, 5, stanza)]
    assert await store.archive.page(JULIET, Matching(), limit=1) == []


async def test_numbers_go_up_and_are_not_below_the_clock(store: Store) -> None:
    before = time.time_ns() // 1000
    first = store.archive.number(0)
    assert first >= before
    given = [store.archive.number(0) for _ in range(1000)]
    assert given == sorted(set(given))
    assert store.archive.number(2**60) == 2**60 + 1


async def test_many_at_once_are_all_there(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    await asyncio.gather(add(store, *range(1, 500)), add(store, *range(1, 300), account=JULIET))
    assert await store.archive.count(romeo, Matching(), 1000) == 499
    assert await store.archive.count(JULIET, Matching(), 1000) == 299


async def test_one_account_that_is_gone_harms_no_other(store: Store, romeo: JID) -> None:
    nobody = JID.parse("nobody@montague.example")
    commits = [
        store.archive.add(account, number, b"x", at=number, peer=BALCONY)
        for number in (1, 2)
        for account in (romeo, nobody)
    ]
    refused = await commits[-1]
    assert all(commit.done() for commit in commits)
    assert [is_refused(account, n, refused) for n in (1, 2) for account in (romeo, nobody)] == [False, True] * 2
    assert await numbers(store, Matching()) == [1, 2]


async def test_it_is_committed_when_it_is_done(store: Store, romeo: JID, database_url: str) -> None:
    await store.archive.add(romeo, 1, b"x", at=1, peer=BALCONY)
    assert await query(database_url, "SELECT n FROM archive") == [(1,)]


async def test_who_does_not_wait_any_more_harms_nobody(store: Store, romeo: JID) -> None:
    first = store.archive.add(romeo, 1, b"x", at=1, peer=BALCONY)
    second = store.archive.add(romeo, 2, b"x", at=2, peer=BALCONY)
    waiting = asyncio.ensure_future(asyncio.wait_for(first, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await second
    assert await numbers(store, Matching()) == [1, 2]


async def test_a_closed_database_says_so(store: Store, romeo: JID) -> None:
    await store.close()
    with pytest.raises(DatabaseClosed):
        await store.archive.add(romeo, 1, b"x", at=1, peer=BALCONY)


@pytest.mark.parametrize(
    ("matching", "expected"),
    [
        (Matching(), [1, 2, 3, 4, 5, 6]),
        (Matching(low=2), [3, 4, 5, 6]),
        (Matching(high=3), [1, 2]),
        (Matching(start=2, end=4), [2, 3, 4]),
        (Matching(start=-(2**60)), [1, 2, 3, 4, 5, 6]),
        (Matching(end=2**60), [1, 2, 3, 4, 5, 6]),
        (Matching(JULIET), [1, 2, 4]),
        (Matching(JULIET, low=1, high=4), [2]),
        (Matching(JULIET, start=3), [4]),
        (Matching(BALCONY), [1, 4]),
        (Matching(BALCONY, low=1), [4]),
        (Matching(JULIET.with_resource("b")), []),
        (Matching(JID.parse("nurse@capulet.example")), [3]),
        (Matching(JID.parse("zoe@capulet.example")), [5]),
        (Matching(JID.parse("capulet.example")), []),
    ],
)
async def test_pages_hold_what_matches(store: Store, romeo: JID, matching: Matching, expected: list[int]) -> None:
    await store.accounts.create(JULIET, {})
    await add(store, 3, account=JULIET)
    await add(store, 1, 4)
    await add(store, 2, peer=JULIET)
    await add(store, 3, peer=JID.parse("nurse@capulet.example/kitchen"))
    await add(store, 5, peer=JID.parse("zoe@capulet.example"))
    await add(store, 6, peer=JID.parse("aaron@capulet.example/x"))
    assert await numbers(store, matching) == expected
    assert await numbers(store, matching, limit=2) == expected[:2]
    assert await numbers(store, matching, limit=2, backwards=True) == expected[-2:]
    assert await store.archive.count(romeo, matching, 10) == len(expected)
    picked = await store.archive.pick(romeo, [6, 1, 2, 3, 4, 5, 1], matching)
    assert picked is not None
    assert [found.n for found in picked] == expected
    offset = await store.archive.page(romeo, matching, limit=2, offset=1)
    assert [found.n for found in offset] == expected[1:3]


async def test_more_than_can_be_counted_quickly_is_not_counted(store: Store, romeo: JID) -> None:
    await add(store, *range(1, 7))
    assert await store.archive.count(romeo, Matching(), 6) == 6
    assert await store.archive.count(romeo, Matching(), 5) is None


async def test_times_hold_also_where_the_clock_was_turned_back(store: Store, romeo: JID) -> None:
    hour = 3600_000_000
    for n, at in ((10 * hour, 10 * hour), (10 * hour + 1, 9 * hour + 1), (10 * hour + 2, 9 * hour + 2)):
        await store.archive.add(romeo, n, b"x", at=at, peer=BALCONY)
    assert await numbers(store, Matching(end=9 * hour + 1)) == [10 * hour + 1]
    assert await numbers(store, Matching(start=9 * hour + 2)) == [10 * hour, 10 * hour + 2]


async def test_ends_and_last(store: Store, romeo: JID) -> None:
    assert await store.archive.ends(romeo) is None
    assert await store.archive.last(romeo) == 0
    await add(store, 3, 5, 9)
    assert await store.archive.ends(romeo) == ((3, 3), (9, 9))
    assert await store.archive.last(romeo) == 9
    assert await store.archive.has(romeo, [3, 9])
    assert not await store.archive.has(romeo, [3, 4])
    assert not await store.archive.has(JULIET, [3])
    assert await store.archive.pick(romeo, [3, 4], Matching()) is None


async def test_the_marked_are_found_newest_first_and_entombed_with_what_retracts_them(store: Store, romeo: JID) -> None:
    await add(store, *range(1, 21), mark=-7)
    await add(store, 21, mark=-6)
    await add(store, 22)
    marked = await store.archive.marked(romeo, -7)
    assert [n for n, _ in marked] == list(range(20, 12, -1))
    assert marked[0] == (20, b"20")
    assert await store.archive.marked(romeo, 0) == []
    await store.archive.add(romeo, 23, b"retract", at=23, peer=BALCONY, entombed=[(20, b"gone")])
    assert await store.archive.each(romeo, [20]) == [ArchivedMessage(20, 20, b"gone")]
    assert (await store.archive.marked(romeo, -7))[:2] == [(20, b"gone"), (19, b"19")]  # it may be sent again


async def test_the_oldest_go_first_and_only_those(store: Store, romeo: JID) -> None:
    """XEP-0313 §3.2: no holes"""
    await add(store, *range(1, 101))
    assert await store.archive.purge(romeo, before=50, limit=20) == 20
    assert (await numbers(store, Matching()))[0] == 21
    assert await store.archive.purge(romeo, before=50, limit=1000) == 29
    assert (await numbers(store, Matching()))[0] == 50
    assert await store.archive.purge(romeo, before=50, limit=1000) == 0


async def test_all_accounts_of_a_host_are_purged_in_batches_and_no_others(store: Store, romeo: JID) -> None:
    others = [JID.parse(f"user{number:03}@montague.example") for number in range(205)]
    for jid in (*others, JULIET):
        await store.accounts.create(jid, {})
    for jid in (romeo, *others[::3], JULIET):
        await add(store, 1, 2, 3, account=jid)
    assert len(await store.retention.kept(romeo.domain, before=3)) == 70
    assert await purge_archives(store, romeo.domain, Periods(1), now=DAY + 3, batch=7, pause=0) == 2 * 70
    assert await store.retention.kept(romeo.domain, before=3) == []
    assert await numbers(store, Matching()) == [3]
    assert await store.archive.count(JULIET, Matching(), 10) == 3


async def test_an_account_is_kept_for_its_own_days_or_those_of_its_kind_or_those_of_all(
    store: Store, romeo: JID
) -> None:
    """Each has a message of every day from 1 to 9, and it is the start of the tenth."""
    left = {"plain": 3, "bot": 2, "guest": 1, "archivist": 9, "own": 4, "always": 9, "unknown": 3}
    for name in left:
        jid = JID.parse(f"{name}@montague.example")
        await store.accounts.create(jid, {})
        await store.retention.set_kind(jid, {"plain": "", "own": "bot", "always": "guest"}.get(name, name))
        await add(store, *(day * DAY for day in range(1, 10)), account=jid)
    await store.retention.set_days(JID.parse("own@montague.example"), 4)
    await store.retention.set_days(JID.parse("always@montague.example"), 0)
    periods = Periods(3, {"bot": 2, "guest": 1, "archivist": 0})
    await purge_archives(store, romeo.domain, periods, now=10 * DAY, batch=2, pause=0)
    for name, count in left.items():
        assert await store.archive.count(JID.parse(f"{name}@montague.example"), Matching(), 10) == count, name
    await store.retention.set_days(JID.parse("own@montague.example"), None)
    await purge_archives(store, romeo.domain, periods, now=10 * DAY, pause=0)
    assert await store.archive.count(JID.parse("own@montague.example"), Matching(), 10) == 2


async def test_days_of_its_own_count_where_all_others_are_kept_for_ever(store: Store, romeo: JID) -> None:
    await add(store, DAY, 2 * DAY)
    assert await purge_archives(store, romeo.domain, Periods(0), now=9 * DAY, pause=0) == 0
    await store.retention.set_days(romeo, 7)
    assert await purge_archives(store, romeo.domain, Periods(0), now=9 * DAY, pause=0) == 1
    with pytest.raises(NoSuchAccount):
        await store.retention.set_days(JULIET, 7)
    with pytest.raises(NoSuchAccount):
        await store.retention.set_kind(JULIET, "bot")


async def test_everything_goes_with_the_account(store: Store, romeo: JID, database_url: str) -> None:
    await add(store, 1, 2)
    await store.archive_preferences.save(romeo, Preferences("never"))
    await store.accounts.delete(romeo)
    assert await query(database_url, "SELECT n FROM archive") == []
    assert await store.archive_preferences.load(romeo) is None
    assert await store.archive.page(romeo, Matching(high=LAST), limit=5) == []


async def test_preferences_come_back_as_they_were_saved(store: Store, romeo: JID) -> None:
    assert await store.archive_preferences.load(romeo) is None
    for chosen in (
        Preferences("never", (JULIET, BALCONY), (JID.parse("mönch@kloster.example/ß"),)),
        Preferences("roster"),
    ):
        await store.archive_preferences.save(romeo, chosen)
        assert await store.archive_preferences.load(romeo) == chosen
    with pytest.raises(NoSuchAccount):
        await store.archive_preferences.save(JULIET, Preferences())


# -- a database that is away


async def test_what_cannot_be_committed_is_tried_again_and_what_comes_later_stays_behind_it(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.storage.patience._PAUSES", (0.01,))
    commit = store.database._driver.commit
    outcomes = ["fails", "fails", "nobody knows", "commits"]
    done: list[int] = []

    async def sometimes(units: Sequence[Unit]) -> None:
        outcome = outcomes.pop(0) if outcomes else "commits"
        if outcome != "fails":
            await commit(units)
        if outcome != "commits":
            for unit in units:
                unit.error = Unavailable("away")

    monkeypatch.setattr(store.database._driver, "commit", sometimes)
    first = store.archive.add(romeo, 1, b"x", at=1, peer=BALCONY)
    first.add_done_callback(lambda _: done.append(1))
    await until(lambda: len(outcomes) < 4)  # it is being written
    second = store.archive.add(romeo, 2, b"x", at=2, peer=BALCONY)
    second.add_done_callback(lambda _: done.append(2))
    assert second is not first
    assert await second == ()
    assert done == [1, 2]
    assert await numbers(store, Matching()) == [1, 2]
    assert outcomes == []


async def test_what_waits_for_a_database_has_a_bound(store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_server.storage.archive_writer._MOST", 5_000)
    commits = [store.archive.add(romeo, n, b"x" * 500, at=n, peer=BALCONY) for n in range(1, 7)]
    with pytest.raises(Unavailable):
        store.archive.add(romeo, 7, b"x", at=7, peer=BALCONY)
    await commits[-1]
    await store.archive.add(romeo, 8, b"x", at=8, peer=BALCONY)
    assert await numbers(store, Matching()) == [1, 2, 3, 4, 5, 6, 8]


async def test_the_end_of_the_server_is_told_to_those_who_wait(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.storage.patience._PAUSES", (0.01,))

    async def away(units: Sequence[Unit]) -> None:
        for unit in units:
            unit.error = Unavailable("away")

    monkeypatch.setattr(store.database._driver, "commit", away)
    commit = store.archive.add(romeo, 1, b"x", at=1, peer=BALCONY)
    await asyncio.sleep(0.02)
    await store.close()
    with pytest.raises(DatabaseClosed):
        await commit
