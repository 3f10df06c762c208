from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.databases import bare_url, database_url, servers
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.store import Store

__all__ = ["bare_url", "database_url", "romeo", "servers", "store"]

ROMEO = JID.parse("romeo@montague.example")
JULIET = JID.parse("juliet@capulet.example")


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store without accounts."""
    store = await Store.open(database_url)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def romeo(store: Store) -> JID:
    """The address of an account that exists."""
    await store.accounts.create(ROMEO, {}, created=1)
    return ROMEO
