from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query, tables
from xmpp_server.protocol.archive_preferences import Preferences
from xmpp_server.protocol.credentials import Credentials, Hash, Verifier
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import AccountEntry
from xmpp_server.storage.errors import AccountExists, NoSuchAccount
from xmpp_server.storage.offline import Message
from xmpp_server.storage.pubsub import NewNode, Storing
from xmpp_server.storage.pubsub_links import Links
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import Item, Subscription
from xmpp_server.storage.reports import Report
from xmpp_server.storage.roster import RosterItem
from xmpp_server.storage.sessions import SavedSession
from xmpp_server.storage.store import Store

VERIFIERS: dict[Hash, Verifier] = {
    "sha1": Verifier(b"salt", 10_000, b"stored" * 3, b"server" * 3),
    "sha256": Verifier(b"\x00\xff", 10_000, b"\x01" * 32, b"\x02" * 32),
    "sha512": Verifier(b"pepper", 20_000, b"\x03" * 64, b"\x04" * 64),
}


async def test_what_an_account_was_created_with_is_what_it_authenticates_with(store: Store) -> None:
    await store.accounts.create(ROMEO, VERIFIERS)
    assert await store.accounts.credentials(ROMEO) == Credentials(VERIFIERS)
    assert await store.accounts.exists(ROMEO)


async def test_who_does_not_exist_has_no_credentials(store: Store) -> None:
    assert await store.accounts.credentials(ROMEO) is None
    assert not await store.accounts.exists(ROMEO)


async def test_an_account_without_verifiers_exists_and_cannot_authenticate(store: Store) -> None:
    await store.accounts.create(ROMEO, {})
    assert await store.accounts.credentials(ROMEO) == Credentials({})


async def test_a_name_is_given_once_and_the_second_try_changes_nothing(store: Store) -> None:
    await store.accounts.create(ROMEO, VERIFIERS)
    with pytest.raises(AccountExists):
        await store.accounts.create(ROMEO, {"sha1": Verifier(b"x", 1, b"x", b"x")})
    assert await store.accounts.credentials(ROMEO) == Credentials(VERIFIERS)


async def test_of_many_who_want_one_name_at_the_same_time_one_gets_it(store: Store) -> None:
    tries = [store.accounts.create(ROMEO, {"sha1": Verifier(b"salt", n, b"", b"")}) for n in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AccountExists"] * 19 + ["NoneType"]
    credentials = await store.accounts.credentials(ROMEO)
    assert credentials is not None
    assert credentials.verifiers["sha1"].iterations == outcomes.index(None)


async def test_new_verifiers_replace_all_old_ones(store: Store) -> None:
    await store.accounts.create(ROMEO, VERIFIERS)
    await store.accounts.set_verifiers(ROMEO, {"sha256": VERIFIERS["sha256"]})
    assert await store.accounts.credentials(ROMEO) == Credentials({"sha256": VERIFIERS["sha256"]})


async def test_a_disabled_account_keeps_its_verifiers_and_can_be_enabled_again(store: Store) -> None:
    await store.accounts.create(ROMEO, VERIFIERS)
    await store.accounts.set_disabled(ROMEO, True)
    assert await store.accounts.credentials(ROMEO) == Credentials(VERIFIERS, disabled=True)
    await store.accounts.set_disabled(ROMEO, False)
    assert await store.accounts.credentials(ROMEO) == Credentials(VERIFIERS)


async def test_who_does_not_exist_can_neither_be_disabled_nor_get_verifiers_nor_be_deleted(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.accounts.set_disabled(ROMEO, True)
    with pytest.raises(NoSuchAccount):
        await store.accounts.set_verifiers(ROMEO, VERIFIERS)
    assert not await store.accounts.delete(ROMEO)


async def test_the_accounts_of_a_host_are_listed_in_pages_ordered_by_address(store: Store) -> None:
    names = ["b", "a", "ä", "z", "a.b", "a-b", "a_b"]
    for number, name in enumerate(names):
        await store.accounts.create(JID.of(name, "montague.example"), {}, created=number)
    await store.accounts.create(JULIET, {})
    ordered = sorted(names, key=lambda name: f"{name}@".encode())
    assert [entry.account.localpart for entry in await store.accounts.list("montague.example")] == ordered
    first = await store.accounts.list("montague.example", limit=4)
    second = await store.accounts.list("montague.example", limit=4, after=first[-1].account)
    assert [entry.account.localpart for entry in (*first, *second)] == ordered
    assert await store.accounts.list("nobody.example") == []


async def test_a_list_tells_when_an_account_was_created_and_last_logged_in(store: Store) -> None:
    await store.accounts.create(ROMEO, {}, created=1_700_000_000_000_000, disabled=True)
    assert await store.accounts.list(ROMEO.domain) == [AccountEntry(ROMEO, 1_700_000_000_000_000, None, True)]
    store.accounts.logged_in(ROMEO, 1_700_000_000_000_001)
    store.accounts.logged_in(ROMEO, 1_700_000_000_000_002)
    await store.database.lazy.flush()
    (entry,) = await store.accounts.list(ROMEO.domain)
    assert entry.last_login == 1_700_000_000_000_002


async def test_a_deleted_account_leaves_no_row_in_any_table_and_others_keep_theirs(
    store: Store, database_url: str
) -> None:
    for account, other in ((ROMEO, JULIET), (JULIET, ROMEO)):
        await store.accounts.create(account, VERIFIERS)
        await store.rosters.put(account, RosterItem(other, "name", "both", groups=("friends",)))
        await store.rosters.put(account, RosterItem(JID.parse("x@x.example"), pending_in=b"<presence/>", listed=False))
        await store.offline.keep([Message(account, 1, other, b"<message/>", 1, 2)])
        await store.blocking.add(account, [other])
        store.last_activity.put(account, 1, "gone")
        await store.reports.add(account, Report(other, "urn:xmpp:reporting:spam", 1))
        await store.archive.add(account, 1, b"<message/>", at=1, peer=other)
        await store.archive_preferences.save(account, Preferences())
        await store.sessions.write([SavedSession(account, b"key", 1, 2)])
        await store.vcards.save(account, b"<vCard/>", "00ff")
        await store.private_xml.save(account, {"a": b"<a/>"}, most=1, octets=100)
        new, subscription = NewNode(b"{}", account, 1), Subscription(other, "1")
        await store.pubsub.create(account, "n", new)
        await store.pubsub.publish(
            account, "n", [Item("1", b"", other)], account, lambda row, new=new: Storing(1, 0, False, new)
        )
        await store.pubsub.link(account, Links((("n", "n"),)))
        await store.pubsub.relate(account, "n", other, lambda row, one=subscription: Relations([one], {}, most=1))
    await store.database.lazy.flush()
    before = await _owners(database_url)
    owned = {table for table, rows in before.items() if rows}
    assert owned == set(before), "a table without a row here is not tested"
    assert await store.accounts.delete(ROMEO)
    after = await _owners(database_url)
    for table, accounts in after.items():
        assert set(accounts) == {str(JULIET)}, table
        assert accounts.count(str(JULIET)) == before[table].count(str(JULIET)), table
    await store.accounts.create(ROMEO, {})
    state = await store.login_state(ROMEO)
    assert state is not None
    assert (state.roster.version, state.roster.items, state.blocked, state.newest) == (0, {}, frozenset(), 0)


async def _owners(url: str) -> dict[str, list[str]]:
    """The owner of each row of each table, but of those that belong to the server or to rooms, and of uploads, which
    go when their bytes have gone."""
    others = {"alembic_version", "secrets", "capabilities", "invitations", "uploads"}
    owned = {table for table in await tables(url) - others if not table.startswith("room")}
    found = {}
    for table in owned:
        owner = "owner" if table.startswith("pubsub_") else "account"
        found[table] = [row[0] for row in await query(url, f"SELECT {owner} FROM {table}")]
    return found
