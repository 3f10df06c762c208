from __future__ import annotations

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.login import LoginState
from xmpp_server.storage.offline import Message
from xmpp_server.storage.roster import Roster, RosterItem
from xmpp_server.storage.store import Store


async def test_a_new_account_goes_online_with_nothing(store: Store, romeo: JID) -> None:
    assert await store.login_state(romeo) == LoginState(Roster(0, {}), frozenset(), 0, "")


async def test_who_does_not_exist_has_no_state(store: Store) -> None:
    assert await store.login_state(ROMEO) is None


async def test_an_account_goes_online_with_what_its_repositories_hold(store: Store, romeo: JID) -> None:
    waiting = JID.parse("nurse@capulet.example")
    removed = JID.parse("rosaline@capulet.example")
    await store.rosters.put(romeo, RosterItem(JULIET, "Juliet", "both", groups=("a", "b")))
    await store.rosters.put(romeo, RosterItem(waiting, pending_in=b"<presence/>", listed=False))
    await store.rosters.put(romeo, RosterItem(removed))
    await store.rosters.remove(romeo, removed)
    blocked = frozenset({JID.parse("x.example"), JID.parse("y@x.example/z")})
    await store.blocking.add(romeo, blocked)
    for number in range(3):
        await store.offline.keep([Message(romeo, number + 1, JULIET, b"<message/>", number, 9)])
    await store.accounts.create(JULIET, {})
    await store.rosters.put(JULIET, RosterItem(romeo))
    await store.blocking.add(JULIET, [romeo])
    await store.vcards.save(romeo, b"<vCard/>", "00ff")
    state = await store.login_state(romeo)
    assert state == LoginState(await store.rosters.load(romeo), blocked, 3, "00ff")
    assert state.roster.version == 4
    assert set(state.roster.items) == {JULIET, waiting}


async def test_going_online_takes_one_query(store: Store, romeo: JID, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        await store.rosters.put(romeo, RosterItem(JID.parse(f"c{number}@capulet.example"), subscription="both"))
    queries = []
    read = store.database.all

    async def counted(*arguments: object, **values: object) -> object:
        queries.append(arguments)
        return await read(*arguments, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(store.database, "all", counted)
    assert await store.login_state(romeo) is not None
    assert len(queries) == 1
