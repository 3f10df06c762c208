from __future__ import annotations

from xmpp_server.protocol.caps import Caps
from xmpp_server.storage.capabilities import DAY
from xmpp_server.storage.store import Store

PSI = Caps("http://psi-im.org", "q07IKJEyjvHSyhy//CH0CxmKi8w=")


async def test_what_a_hash_stands_for_is_known_of_every_client_that_advertises_it(store: Store) -> None:
    assert await store.capabilities.load(PSI, 1) is None
    await store.capabilities.save(PSI, b"<query/>", 1, most=10)
    assert await store.capabilities.load(Caps("http://other.example", PSI.ver), 2) == b"<query/>"
    assert await store.capabilities.load(Caps(PSI.node, PSI.ver, "sha-256"), 2) is None


async def test_hashes_that_nobody_shows_any_more_go_first(store: Store) -> None:
    for n in range(3):
        await store.capabilities.save(Caps("n", f"ver{n}"), b"<query/>", n + 1, most=3)
    assert await store.capabilities.load(Caps("n", "ver0"), 2 * DAY) is not None  # it is still in use
    await store.capabilities.save(Caps("n", "ver3"), b"<query/>", 2 * DAY + 1, most=3)
    known = [await store.capabilities.load(Caps("n", f"ver{n}"), 2 * DAY) is not None for n in range(4)]
    assert known == [True, False, True, True]
