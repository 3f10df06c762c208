from __future__ import annotations

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount, QuotaExceeded
from xmpp_server.storage.store import Store

ENOUGH = {"most": 10, "octets": 1000}


async def test_each_name_has_one_element(store: Store, romeo: JID) -> None:
    assert await store.private_xml.load(romeo, "prefs\nexodus") is None
    await store.private_xml.save(romeo, {"prefs\nexodus": b"<a/>", "prefs\npsi": b"<b/>"}, **ENOUGH)
    await store.private_xml.save(romeo, {"prefs\nexodus": b"<c/>"}, **ENOUGH)
    assert await store.private_xml.load(romeo, "prefs\nexodus") == b"<c/>"
    assert await store.private_xml.load(romeo, "prefs\npsi") == b"<b/>"


async def test_others_have_their_own(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    await store.private_xml.save(romeo, {"a": b"<a/>"}, **ENOUGH)
    assert await store.private_xml.load(JULIET, "a") is None


async def test_too_many_are_refused_and_what_there_was_stays(store: Store, romeo: JID) -> None:
    await store.private_xml.save(romeo, {"a": b"<a/>", "b": b"<b/>"}, most=2, octets=1000)
    with pytest.raises(QuotaExceeded):
        await store.private_xml.save(romeo, {"a": b"<other/>", "c": b"<c/>"}, most=2, octets=1000)
    assert await store.private_xml.load(romeo, "a") == b"<a/>"
    assert await store.private_xml.load(romeo, "c") is None
    await store.private_xml.save(romeo, {"a": b"<other/>"}, most=2, octets=1000)


async def test_too_much_is_refused_and_what_is_replaced_does_not_count(store: Store, romeo: JID) -> None:
    await store.private_xml.save(romeo, {"a": b"x" * 80}, most=10, octets=100)
    with pytest.raises(QuotaExceeded):
        await store.private_xml.save(romeo, {"b": b"x" * 21}, most=10, octets=100)
    await store.private_xml.save(romeo, {"a": b"y" * 100}, most=10, octets=100)


async def test_nobody_stores_nothing(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.private_xml.save(ROMEO, {"a": b"<a/>"}, **ENOUGH)
