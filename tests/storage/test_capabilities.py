from __future__ import annotations

from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.capabilities import DAY
from xmpp_server.storage.store import Store

HOST = JID.parse("localhost")
PSI = Caps("http://psi-im.org", "q07IKJEyjvHSyhy//CH0CxmKi8w=")


async def test_what_a_hash_stands_for_is_known_of_every_client_that_advertises_it(store: Store) -> None:
    assert await store.capabilities.load(HOST, PSI, 1) is None
    await store.capabilities.save(HOST, PSI, b"<query/>", 1, most=10)
    assert await store.capabilities.load(HOST, Caps("http://other.example", PSI.ver), 2) == b"<query/>"
    assert await store.capabilities.load(HOST, Caps(PSI.node, PSI.ver, "sha-256"), 2) is None


async def test_hashes_that_nobody_shows_any_more_go_first(store: Store) -> None:
    for n in range(3):
        await store.capabilities.save(HOST, Caps("n", f"ver{n}"), b"<query/>", n + 1, most=3)
    assert await store.capabilities.load(HOST, Caps("n", "ver0"), 2 * DAY) is not None  # it is still in use
    await store.capabilities.save(HOST, Caps("n", "ver3"), b"<query/>", 2 * DAY + 1, most=3)
    known = [await store.capabilities.load(HOST, Caps("n", f"ver{n}"), 2 * DAY) is not None for n in range(4)]
    assert known == [True, False, True, True]


async def test_a_host_keeps_its_own(store: Store) -> None:
    await store.capabilities.save(HOST, PSI, b"<query/>", 1, most=1)
    other = JID.parse("capulet.example")
    assert await store.capabilities.load(other, PSI, 1) is None
    for n in range(2):
        await store.capabilities.save(other, Caps("n", f"ver{n}"), b"<query/>", n + 1, most=1)
    assert await store.capabilities.load(HOST, PSI, 1) is not None
