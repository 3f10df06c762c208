from __future__ import annotations

import asyncio

from xmpp_server.storage.store import Store


async def test_a_secret_is_random_and_stays_the_same(store: Store, database_url: str) -> None:
    secret = await store.secrets.get("a.example", "salt")
    assert len(secret) == 32
    assert len(await store.secrets.get("a.example", "longer", 64)) == 64
    await store.close()
    again = await Store.open(database_url)
    assert await again.secrets.get("a.example", "salt") == secret
    await again.close()


async def test_hosts_and_names_have_secrets_of_their_own(store: Store) -> None:
    secrets = [await store.secrets.get(host, name) for host in ("", "a.example", "b.example") for name in ("x", "y")]
    assert len(set(secrets)) == 6


async def test_all_who_ask_at_the_same_time_get_one_secret(store: Store, database_url: str) -> None:
    other = await Store.open(database_url)
    asked = [each.secrets.get("a.example", "salt") for each in (store, other) * 10]
    assert len(set(await asyncio.gather(*asked))) == 1
    await other.close()
