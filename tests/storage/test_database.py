from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from sqlalchemy import bindparam, select, text

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage import database as database_module
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.blocking import blocks
from xmpp_server.storage.counters import next_value
from xmpp_server.storage.database import LARGE, Database
from xmpp_server.storage.errors import DatabaseClosed, NoSuchAccount, StorageError, Unavailable
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.store import Store
from xmpp_server.storage.transaction import Transaction
from xmpp_server.util.tasks import run_eagerly

BLOCK = Statement(blocks.insert().values(account=bindparam("account"), jid=bindparam("jid")))
BLOCKED = Statement(select(blocks.c.jid).where(blocks.c.account == bindparam("account")).order_by(blocks.c.jid))
NONSENSE = Statement(text("SELECT nothing FROM nowhere"))


async def _block(store: Store, jid: str, *, then: Exception | None = None) -> str:
    async def work(transaction: Transaction) -> str:
        await transaction.run(BLOCK, account=str(ROMEO), jid=jid)
        if then is not None:
            raise then
        return jid

    return await store.database.write(work)


async def _blocked(store: Store) -> list[str]:
    return [row[0] for row in await store.database.all(BLOCKED, account=str(ROMEO))]


def _commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches from now on."""
    sizes: list[int] = []
    driver = store.database._driver
    commit = driver.commit

    async def counted(units: list[object]) -> None:
        sizes.append(len(units))
        await commit(units)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "commit", counted)
    return sizes


async def test_what_many_write_at_the_same_time_is_committed_in_few_transactions(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = _commits(store, monkeypatch)
    names = [f"c{number:03}" for number in range(2 * LARGE + 1)]
    assert await asyncio.gather(*(_block(store, name) for name in names)) == names
    assert sizes == [LARGE, LARGE, 1]
    assert await _blocked(store) == names


async def test_a_single_write_waits_for_nobody(store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _commits(store, monkeypatch)
    monkeypatch.setattr(database_module, "WINDOW", 3600.0)
    for number in range(3):
        await _block(store, f"c{number}")
    assert sizes == [1, 1, 1]


async def test_what_is_written_is_seen_from_outside_as_soon_as_the_writer_is_told(
    store: Store, romeo: JID, database_url: str
) -> None:
    await _block(store, "a")
    assert await query(database_url, "SELECT jid FROM blocks") == [("a",)]


async def test_writes_of_one_caller_take_effect_in_their_order(store: Store, romeo: JID) -> None:
    seen: list[int] = []

    async def write(number: int) -> None:
        async def work(transaction: Transaction) -> int:
            count = len(await transaction.all(BLOCKED, account=str(ROMEO)))
            await transaction.run(BLOCK, account=str(ROMEO), jid=f"c{number:03}")
            return count

        seen.append(await store.database.write(work))

    await asyncio.gather(*(write(number) for number in range(300)))
    assert seen == list(range(300))


@pytest.mark.parametrize("place", [0, 1, 9])
async def test_an_error_undoes_what_its_own_unit_wrote_and_nothing_else(store: Store, romeo: JID, place: int) -> None:
    error = KeyError("mine")
    units = [_block(store, f"c{number}", then=error if number == place else None) for number in range(10)]
    outcomes = await asyncio.gather(*units, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == [error]
    assert await _blocked(store) == [f"c{number}" for number in range(10) if number != place]


async def test_an_error_of_the_database_is_the_error_of_one_unit_alone(store: Store, romeo: JID) -> None:
    outcomes = await asyncio.gather(
        *(_block(store, jid) for jid in ("a", "b", "a", "c")),  # the second "a" is a duplicate
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [str, str, StorageError, str]
    assert await _blocked(store) == ["a", "b", "c"]


async def test_an_error_before_anything_was_written_costs_the_others_no_second_run(store: Store, romeo: JID) -> None:
    runs = 0

    async def counted(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.run(BLOCK, account=str(ROMEO), jid="a")

    async def refused(transaction: Transaction) -> None:
        await transaction.all(BLOCKED, account=str(ROMEO))
        raise KeyError("refused")

    await asyncio.gather(store.database.write(counted), store.database.write(refused), return_exceptions=True)
    assert runs == 1
    assert await _blocked(store) == ["a"]


async def test_every_unit_may_fail_and_the_next_batch_works(store: Store, romeo: JID) -> None:
    units = [_block(store, f"c{number}", then=KeyError(number)) for number in range(5)]
    outcomes = await asyncio.gather(*units, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KeyError] * 5
    await _block(store, "a")
    assert await _blocked(store) == ["a"]


async def test_a_row_without_an_account_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await _block(store, "a")


async def test_a_caller_who_is_cancelled_harms_no_other(store: Store, romeo: JID) -> None:
    first = asyncio.create_task(_block(store, "a"))
    second = asyncio.create_task(_block(store, "b"))
    third = asyncio.create_task(_block(store, "c"))
    await asyncio.sleep(0)  # all have asked, nothing has begun
    second.cancel()
    assert await first == "a"
    assert await third == "c"
    assert second.cancelled()
    assert await _blocked(store) == ["a", "c"]


async def test_a_caller_who_is_cancelled_while_it_is_committed_leaves_the_writer_working(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = store.database._driver
    commit = driver.commit
    begun = asyncio.Event()

    async def slow(units: list[object]) -> None:
        begun.set()
        await commit(units)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "commit", slow)
    task = asyncio.create_task(_block(store, "a"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _block(store, "b")
    assert await _blocked(store) == ["a", "b"]


async def test_a_reader_who_is_cancelled_leaves_the_database_working(store: Store, romeo: JID) -> None:
    tasks = [asyncio.create_task(store.accounts.exists(romeo)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    assert await asyncio.gather(*tasks[1::2]) == [True] * 10
    assert await store.accounts.exists(romeo)


async def test_callers_that_are_no_task_are_answered(store: Store, romeo: JID) -> None:
    answers: list[bool] = []

    async def ask() -> None:
        answers.append(await store.accounts.exists(romeo))

    for _ in range(2):  # on new connections, and on used ones
        running = [run_eagerly(ask()) for _ in range(20)]
        await asyncio.gather(*(task for task in running if task is not None))
    assert answers == [True] * 40


async def test_readers_who_are_cancelled_at_any_moment_give_their_connections_back(store: Store, romeo: JID) -> None:
    for moments in range(30):
        tasks = [asyncio.create_task(store.accounts.exists(romeo)) for _ in range(12)]
        for _ in range(moments):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10):
        assert all(await asyncio.gather(*(store.accounts.exists(romeo) for _ in range(50))))


async def test_an_error_of_a_reader_is_ours_and_the_next_read_works(store: Store, romeo: JID) -> None:
    with pytest.raises(StorageError):
        await store.database.all(NONSENSE)
    with pytest.raises(ZeroDivisionError):
        await store.database.read(_divides_by_zero)
    assert await store.accounts.exists(romeo)


async def test_closing_commits_what_waits(store: Store, romeo: JID, database_url: str) -> None:
    tasks = [asyncio.create_task(_block(store, f"c{number:03}")) for number in range(500)]
    store.last_activity.put(romeo, 7)
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    assert len(await query(database_url, "SELECT jid FROM blocks")) == 500
    assert await query(database_url, "SELECT at FROM last_activity") == [(7,)]


async def test_a_closed_database_refuses_everything(store: Store, romeo: JID) -> None:
    await store.close()
    await store.close()
    with pytest.raises(DatabaseClosed):
        await store.accounts.exists(romeo)
    with pytest.raises(DatabaseClosed):
        await store.rosters.load(romeo)
    with pytest.raises(DatabaseClosed):
        await store.accounts.create(JULIET, {})


async def test_writes_that_wait_for_a_slow_database_are_bounded(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "MOST_WAITING", 10)
    outcomes = await asyncio.gather(*(_block(store, f"c{number}") for number in range(15)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str] * 10 + [Unavailable] * 5


async def test_two_servers_write_to_one_database(store: Store, romeo: JID, database_url: str) -> None:
    other = await Store.open(database_url)
    try:
        writes = [
            _block(each, f"{name}{number:03}") for number in range(100) for name, each in (("a", store), ("b", other))
        ]
        await asyncio.gather(*writes)
        versions = await asyncio.gather(
            *(each.secrets.get("montague.example", "salt") for each in (store, other) for _ in range(5))
        )
        assert len(set(versions)) == 1
    finally:
        await other.close()
    assert len(await _blocked(store)) == 200


async def test_writers_who_want_the_same_rows_in_different_order_all_get_them(
    store: Store, romeo: JID, database_url: str
) -> None:
    await store.accounts.create(JULIET, {})
    if database_url.startswith("postgresql"):
        await query(database_url, "ALTER SYSTEM SET deadlock_timeout = '5ms'")
        await query(database_url, "SELECT pg_reload_conf()")
    other = await Store.open(database_url)

    async def count(store: Store, *order: JID) -> None:
        async def work(transaction: Transaction) -> None:
            for account in order:
                await next_value(transaction, account, "report")

        await store.database.write(work)

    await asyncio.gather(
        *(
            count(each, *order)
            for _ in range(30)
            for each, order in ((store, (ROMEO, JULIET)), (other, (JULIET, ROMEO)))
        )
    )
    await other.close()
    assert sorted(await query(database_url, "SELECT account, value FROM counters")) == [
        (str(JULIET), 60),
        (str(ROMEO), 60),
    ]


async def test_values_of_every_type_come_back_as_they_were(store: Store) -> None:
    jid = JID.parse("ümläut@example.org")
    await store.accounts.create(jid, {}, created=2**62)
    statement = Statement(select(accounts.c.account, accounts.c.created, accounts.c.last_login))
    assert [tuple(row) for row in await store.database.all(statement)] == [(str(jid), 2**62, None)]


async def test_opening_and_closing_leaves_nothing_behind(database_url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        database = await Database.open(database_url)
        await database.close()
        del database
        gc.collect()


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "nonsense", "sqlite+aiosqlite:///x"]
)
async def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        await Database.open(url)


async def _divides_by_zero(transaction: Transaction) -> float:
    return 1 / 0
