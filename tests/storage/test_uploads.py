"""What accounts uploaded, but for the bytes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import QuotaExceeded
from xmpp_server.storage.store import Store
from xmpp_server.storage.uploads import DAY, NEVER, Upload


def slot(account: JID, id: str = "a", at: int = 1000, purpose: str = "message") -> Upload:
    return Upload(account, id, f"https://a.example/{id}", "image/png", purpose, 40, at, expires_at=at + 300)


async def test_a_slot_is_filled_once_and_found(store: Store, romeo: JID) -> None:
    await store.uploads.reserve(slot(romeo), quota=0)
    assert await store.uploads.find("a") == slot(romeo)
    assert await store.uploads.fill(slot(romeo), sha256=b"digest", now=1100, expires=NEVER)
    assert not await store.uploads.fill(slot(romeo), sha256=b"other", now=1200, expires=NEVER)
    filled = replace(slot(romeo), sha256=b"digest", uploaded_at=1100, expires_at=NEVER)
    assert await store.uploads.find("a") == filled
    assert await store.uploads.find("b") is None


async def test_what_was_asked_for_in_a_day_counts_for_the_quota_and_the_error_tells_until_when(
    store: Store, romeo: JID
) -> None:
    await store.uploads.reserve(slot(romeo, "a"), quota=100)
    await store.uploads.reserve(slot(romeo, "b", 2000), quota=100)
    with pytest.raises(QuotaExceeded, match=str(1000 + DAY)):
        await store.uploads.reserve(slot(romeo, "c", 3000), quota=100)
    await store.uploads.reserve(slot(romeo, "c", 1000 + DAY), quota=100)


async def test_who_comes_again_at_the_time_that_was_told_has_room(store: Store, romeo: JID) -> None:
    """What leaves the day first need not be enough."""
    for id, at, size in (("a", 1000, 10), ("b", 2000, 70), ("c", 3000, 10), ("d", 3000, 10)):
        await store.uploads.reserve(replace(slot(romeo, id, at), size=size), quota=100)
    for size, at in ((5, 1000), (10, 1000), (11, 2000), (80, 2000), (81, 3000), (100, 3000)):
        with pytest.raises(QuotaExceeded, match=f"^{at + DAY}$"):
            await store.uploads.reserve(replace(slot(romeo, "e", 4000), size=size), quota=100)
        with pytest.raises(QuotaExceeded):
            await store.uploads.reserve(replace(slot(romeo, "e", at + DAY - 1), size=size), quota=100)
    await store.uploads.reserve(replace(slot(romeo, "e", 2000 + DAY), size=80), quota=100)


async def test_a_file_that_expired_is_gone_and_its_slot_a_day_later(store: Store, romeo: JID) -> None:
    await store.uploads.reserve(slot(romeo, "a"), quota=0)
    await store.uploads.reserve(slot(romeo, "b", 2000), quota=0)
    await store.uploads.fill(slot(romeo, "b", 2000), sha256=b"x", now=2100, expires=5000)
    assert await store.uploads.gone(now=4999) == []
    gone = await store.uploads.gone(now=5000)
    assert [upload.id for upload in gone] == ["b"]
    await store.uploads.removed(gone, now=5000)
    emptied = await store.uploads.find("b")
    assert emptied is not None
    assert (emptied.sha256, emptied.uploaded_at, emptied.expires_at) == (None, None, 5000)
    assert [upload.id for upload in await store.uploads.gone(now=4999 + DAY)] == ["a"]
    gone = await store.uploads.gone(now=5000 + DAY)
    assert [upload.id for upload in gone] == ["a", "b"]
    await store.uploads.removed(gone, now=5000 + DAY)
    assert await store.uploads.gone(now=NEVER) == []


async def test_what_was_removed_in_the_last_day_still_counts_for_the_quota(store: Store, romeo: JID) -> None:
    await store.uploads.reserve(slot(romeo, "a"), quota=60)
    await store.uploads.fill(slot(romeo, "a"), sha256=b"x", now=1100, expires=1200)
    await store.uploads.removed(await store.uploads.gone(now=1200), now=1200)
    with pytest.raises(QuotaExceeded):
        await store.uploads.reserve(slot(romeo, "b", 2000), quota=60)


async def test_a_file_that_came_while_its_slot_was_being_removed_keeps_its_row(store: Store, romeo: JID) -> None:
    await store.uploads.reserve(slot(romeo), quota=0)
    gone = await store.uploads.gone(now=1300 + DAY)
    assert await store.uploads.fill(slot(romeo), sha256=b"x", now=1100, expires=NEVER)
    await store.uploads.removed(gone, now=1300 + DAY)
    assert await store.uploads.find("a") is not None


async def test_the_files_of_an_account_expire_with_it_also_if_another_takes_its_name(store: Store, romeo: JID) -> None:
    at = time.time_ns() // 1000
    for id in ("a", "b"):
        await store.uploads.reserve(slot(romeo, id, at), quota=0)
    await store.uploads.fill(slot(romeo, "a"), sha256=b"x", now=at, expires=NEVER)
    await store.accounts.delete(romeo)
    assert await store.uploads.find("a") is None
    assert not await store.uploads.fill(slot(romeo, "b"), sha256=b"x", now=at, expires=NEVER)
    await store.accounts.create(romeo, {})
    for id in ("a", "b"):
        assert await store.uploads.find(id) is None
        assert not await store.uploads.fill(slot(romeo, id), sha256=b"x", now=at, expires=NEVER)
    now = time.time_ns() // 1000
    assert [upload.id for upload in await store.uploads.gone(now=now)] == ["a"]


async def test_a_new_picture_of_a_profile_lets_the_former_expire(store: Store, romeo: JID) -> None:
    for id, purpose in (("a", "profile"), ("b", "message"), ("c", "profile")):
        upload, alone = slot(romeo, id, purpose=purpose), purpose == "profile"
        await store.uploads.reserve(upload, quota=0)
        assert await store.uploads.fill(upload, sha256=b"x", now=1100, expires=NEVER, alone=alone)
    assert [upload.id for upload in await store.uploads.gone(now=5000)] == ["a"]


async def test_an_older_picture_of_a_profile_that_is_noted_late_is_gone_and_the_newer_stays(
    store: Store, romeo: JID
) -> None:
    """Nobody tells that a file is in a bucket: it is noted when it is asked for, or before its slot is forgotten."""
    for id in ("older", "newer"):
        await store.uploads.reserve(slot(romeo, id, purpose="profile"), quota=0)
    for id, came in (("newer", 2000), ("older", 1500)):
        upload = slot(romeo, id, purpose="profile")
        assert await store.uploads.fill(upload, sha256=b"", now=came, expires=NEVER, alone=True)
    assert [upload.id for upload in await store.uploads.gone(now=5000)] == ["older"]
