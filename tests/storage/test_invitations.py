"""Invitations: each counts for as many accounts as it is for, and no longer than its time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import AccountExists, NoSuchInvitation
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
