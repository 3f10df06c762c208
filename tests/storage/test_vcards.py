from __future__ import annotations

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.store import Store

VCARD = "<vCard xmlns='vcard-temp'><FN>Roméo</FN></vCard>".encode()


async def test_there_is_no_vcard_until_one_is_saved(store: Store, romeo: JID) -> None:
    assert await store.vcards.load(romeo) is None
    assert await store.vcards.photo(romeo) == ""


async def test_a_vcard_takes_the_place_of_the_one_before(store: Store, romeo: JID) -> None:
    await store.vcards.save(romeo, b"<vCard xmlns='vcard-temp'/>", "00ff")
    assert await store.vcards.photo(romeo) == "00ff"
    await store.vcards.save(romeo, VCARD, "")
    assert await store.vcards.load(romeo) == VCARD
    assert await store.vcards.photo(romeo) == ""


async def test_a_vcard_goes_with_its_account_and_nobody_elses(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    for account in (romeo, JULIET):
        await store.vcards.save(account, VCARD, "")
    await store.accounts.delete(romeo)
    assert await store.vcards.load(romeo) is None
    assert await store.vcards.load(JULIET) == VCARD


async def test_nobody_has_no_vcard(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.vcards.save(ROMEO, VCARD, "")
