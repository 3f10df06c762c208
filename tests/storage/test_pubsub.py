from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.pubsub import INTERESTS, Item, NodeExists, NoSuchNode, Subscription, TooManyNodes
from xmpp_server.storage.roster import RosterItem
from xmpp_server.storage.store import Store

SERVICE = JID.parse("pubsub.montague.example")


def item(id: str, payload: bytes = b"<x xmlns='x:y'/>") -> Item:
    return Item(id, payload, ROMEO, 5)


async def ids(store: Store, owner: JID, node: str, limit: int = 1000) -> list[str]:
    return [item.id for item in await store.pubsub.items(owner, node, limit)]


async def test_a_node_is_made_once_and_its_creator_owns_it(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", b"{}", romeo, most=1)
    with pytest.raises(NodeExists):
        await store.pubsub.create(romeo, "n", b"{}", romeo, most=1)
    with pytest.raises(TooManyNodes):
        await store.pubsub.create(romeo, "m", b"{}", romeo, most=1)
    row = await store.pubsub.node(romeo, "n")
    assert row is not None
    assert row.affiliations == {romeo: "owner"}
    assert await store.pubsub.node(romeo, "m") is None


async def test_nobody_who_does_not_exist_has_nodes_but_a_service_has(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.pubsub.publish(ROMEO, "n", [item("1")], keep=1, create=(b"{}", ROMEO, 9))
    with pytest.raises(NoSuchNode):
        await store.pubsub.publish(SERVICE, "n", [item("1")], keep=1)
    await store.pubsub.create(SERVICE, "n", b"{}", ROMEO, most=9)
    await store.pubsub.publish(SERVICE, "n", [item("1")], keep=1)
    assert await ids(store, SERVICE, "n") == ["1"]


async def test_items_are_replaced_by_their_ids_and_the_oldest_go(store: Store, romeo: JID) -> None:
    await store.pubsub.publish(romeo, "n", [item("1"), item("2"), item("3")], keep=3, create=(b"{}", romeo, 9))
    await store.pubsub.publish(romeo, "n", [item("1", b"<new xmlns='x:y'/>")], keep=3)
    assert await ids(store, romeo, "n") == ["1", "3", "2"]
    assert (await store.pubsub.item(romeo, "n", "1")).payload == b"<new xmlns='x:y'/>"  # type: ignore[union-attr]
    await store.pubsub.publish(romeo, "n", [item("4")], keep=2)
    assert await ids(store, romeo, "n") == ["4", "1"]
    await store.pubsub.publish(romeo, "n", [item("5")], keep=0)
    assert await ids(store, romeo, "n") == ["4", "1"]
    assert await store.pubsub.retract(romeo, "n", ["4", "9"]) == ["4"]
    await store.pubsub.purge(romeo, "n")
    assert await ids(store, romeo, "n") == []


async def test_many_who_publish_at_once_take_turns(store: Store, romeo: JID, database_url: str) -> None:
    other = await Store.open(database_url)  # another process
    await store.pubsub.create(romeo, "n", b"{}", romeo, most=9)
    try:
        await asyncio.gather(
            *(
                each.pubsub.publish(romeo, "n", [item(f"{number}")], keep=10)
                for number, each in enumerate([store, other] * 20)
            )
        )
    finally:
        await other.close()
    assert len(await ids(store, romeo, "n")) == 10
    numbers = [found.n for found in await store.pubsub.items(romeo, "n", 10)]
    assert numbers == list(range(40, 30, -1))


async def test_a_node_always_has_an_owner(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", b"{}", romeo, most=9)
    assert not await store.pubsub.affiliate(romeo, "n", {romeo: "none"})
    assert await store.pubsub.affiliate(romeo, "n", {JULIET: "owner", romeo: "none"})
    row = await store.pubsub.node(romeo, "n")
    assert row is not None
    assert row.affiliations == {JULIET: "owner"}
    assert await store.pubsub.affiliations(romeo, JULIET) == [("n", "owner")]


async def test_subscriptions_have_a_limit(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", b"{}", romeo, most=9)
    assert await store.pubsub.subscribe(romeo, "n", Subscription(JULIET, "a"), most=1)
    assert await store.pubsub.subscribe(romeo, "n", Subscription(JULIET, "a", "pending"), most=1)
    assert not await store.pubsub.subscribe(romeo, "n", Subscription(romeo, "b"), most=1)
    assert await store.pubsub.subscriptions(romeo) == [("n", Subscription(JULIET, "a", "pending"))]
    assert await store.pubsub.unsubscribe(romeo, "n", JULIET)
    assert not await store.pubsub.unsubscribe(romeo, "n", JULIET)


async def test_nodes_go_with_all_that_hangs_on_them_and_with_their_account(
    store: Store, romeo: JID, database_url: str
) -> None:
    for node in ("n", "m"):
        await store.pubsub.publish(romeo, node, [item("1")], keep=1, create=(b"{}", romeo, 9))
        await store.pubsub.subscribe(romeo, node, Subscription(JULIET, "a"), most=1)
    assert await store.pubsub.delete(romeo, "n")
    assert not await store.pubsub.delete(romeo, "n")
    await store.accounts.delete(romeo)
    for table in ("nodes", "items", "subscriptions", "affiliations"):
        assert await query(database_url, f"SELECT count(*) FROM pubsub_{table}") == [(0,)]


async def test_last_items_are_those_of_oneself_and_of_who_shows_its_presence(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    nodes = [f"n{number}" for number in range(INTERESTS + 1)]
    for owner in (romeo, JULIET):
        for node in (nodes[0], nodes[-1], "other"):
            for id in ("1", "2"):
                await store.pubsub.publish(owner, node, [item(id)], keep=2, create=(b"{}", owner, 99))
    viewer = romeo.with_resource("orchard")
    own = [(romeo, nodes[0], "2"), (romeo, nodes[-1], "2")]
    found = await store.pubsub.last_items(viewer, nodes)
    assert [(last.owner, last.node, last.item.id) for last in found] == own
    await store.rosters.put(JULIET, RosterItem(romeo, subscription="from", groups=("Friends",)))
    found = await store.pubsub.last_items(viewer, nodes)
    others = [(last.node, last.item.id, last.groups) for last in found if last.owner == JULIET]
    assert others == [(nodes[0], "2", ("Friends",)), (nodes[-1], "2", ("Friends",))]
    await store.blocking.add(JULIET, [romeo])
    assert [last.owner for last in await store.pubsub.last_items(viewer, nodes)] == [romeo, romeo]
