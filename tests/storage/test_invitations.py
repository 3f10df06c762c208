"""Invitations: each counts for as many accounts as it is for, and no longer than its time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import AccountExists, NoSuchAccount, NoSuchInvitation, QuotaExceeded
from xmpp_server.storage.invitations import DAY
from xmpp_server.storage.store import Store

HOST = "montague.example"
SOON = time.time_ns() // 1000 + 3_600_000_000


def account(name: str) -> JID:
    return JID.parse(f"{name}@{HOST}")


async def test_a_token_finds_its_invitation_at_its_host(store: Store, database_url: str) -> None:
    await store.invitations.add("token", HOST, expires=SOON, contact=account("romeo"))
    found = await store.invitations.find("token", HOST)
    assert found is not None
    assert (found.localpart, found.contact, found.uses, found.expires_at) == ("", f"romeo@{HOST}", 1, SOON)
    assert await store.invitations.find("other", HOST) is None
    assert await store.invitations.find("token", "capulet.example") is None
    assert b"token" not in (await query(database_url, "SELECT digest FROM invitations"))[0][0]


async def test_an_invitation_is_used_with_the_account_that_is_made_or_not_at_all(store: Store, romeo: JID) -> None:
    await store.invitations.add("token", HOST, expires=SOON)
    found = await store.invitations.find("token", HOST)
    assert found is not None
    with pytest.raises(AccountExists):
        await store.invitations.redeem(found, romeo, {})
    await store.invitations.redeem(found, account("bill"), {})
    assert await store.accounts.exists(account("bill"))
    assert await store.invitations.find("token", HOST) is None
    with pytest.raises(NoSuchInvitation):
        await store.invitations.redeem(found, account("ben"), {})
    assert not await store.accounts.exists(account("ben"))


async def test_of_many_at_the_same_time_as_many_get_an_account_as_are_invited(store: Store) -> None:
    await store.invitations.add("token", HOST, expires=SOON, uses=3)
    found = await store.invitations.find("token", HOST)
    assert found is not None
    tries = [store.invitations.redeem(found, account(f"a{number}"), {}) for number in range(8)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is None] == [None] * 3
    assert all(outcome is None or isinstance(outcome, NoSuchInvitation) for outcome in outcomes)


async def test_a_name_is_kept_free_for_who_is_invited_by_it(store: Store) -> None:
    await store.invitations.add("token", HOST, expires=SOON, localpart="juliet")
    assert await store.invitations.is_reserved(account("juliet"))
    assert not await store.invitations.is_reserved(account("bill"))
    with pytest.raises(AccountExists):
        await store.invitations.add("another", HOST, expires=SOON, localpart="juliet")


async def test_what_has_expired_is_found_no_more_and_goes_with_the_next_one(store: Store, database_url: str) -> None:
    await store.invitations.add("old", HOST, expires=1, localpart="juliet")
    assert await store.invitations.find("old", HOST) is None
    assert not await store.invitations.is_reserved(account("juliet"))
    await store.invitations.add("new", HOST, expires=SOON, localpart="juliet")
    assert await query(database_url, "SELECT count(*) FROM invitations") == [(1,)]


async def test_an_account_makes_so_many_in_a_day_and_they_go_with_it(
    store: Store, romeo: JID, database_url: str
) -> None:
    for number in range(2):
        await store.invitations.add(f"t{number}", HOST, expires=SOON, contact=romeo, inviter=romeo, per_day=2)
    with pytest.raises(QuotaExceeded):
        await store.invitations.add("t2", HOST, expires=SOON, contact=romeo, inviter=romeo, per_day=2)
    await store.invitations.add("t3", HOST, expires=SOON, contact=romeo, inviter=romeo)
    await store.invitations.add("operator", HOST, expires=SOON)
    assert await store.accounts.delete(romeo)
    assert await query(database_url, "SELECT count(*) FROM invitations") == [(1,)]
    with pytest.raises(NoSuchAccount):
        await store.invitations.add("t4", HOST, expires=SOON, inviter=romeo, per_day=2)


async def test_what_was_made_longer_ago_counts_no_more(
    store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    await store.invitations.add("old", HOST, expires=SOON + 2 * DAY, inviter=romeo, per_day=1)
    monkeypatch.setattr(time, "time_ns", lambda: now + 1000 * DAY + 10**9)
    await store.invitations.add("new", HOST, expires=SOON + 2 * DAY, inviter=romeo, per_day=1)


async def test_one_to_a_contact_alone_says_so(store: Store, romeo: JID) -> None:
    await store.invitations.add("token", HOST, expires=SOON, contact=romeo, contact_only=True)
    await store.invitations.add("other", HOST, expires=SOON, contact=romeo)
    found = [await store.invitations.find(token, HOST) for token in ("token", "other")]
    assert [each is not None and each.contact_only for each in found] == [True, False]
