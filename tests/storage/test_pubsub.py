from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET, ROMEO
from tests.storage.raw import query
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.pubsub import IDS, NewNode, NodeExists, NoSuchItem, OfSomebodyElse, Storing, TooManyNodes
from xmpp_server.storage.pubsub_last_items import INTERESTS, SMALL, LastItem
from xmpp_server.storage.pubsub_links import Links
from xmpp_server.storage.pubsub_relations import BEHIND, NoSuchNode, Relations, TooManyRelations
from xmpp_server.storage.pubsub_tables import Item, Subscription
from xmpp_server.storage.roster import RosterItem
from xmpp_server.storage.store import Store

SERVICE = JID.parse("pubsub.montague.example")


def item(id: str, payload: bytes = b"<x xmlns='x:y'/>") -> Item:
    return Item(id, payload, ROMEO, 5)


def new(creator: JID = ROMEO, most: int = 9) -> NewNode:
    return NewNode(b"{}", creator, most)


async def publish(
    store: Store, owner: JID, node: str, *items: Item, keep: int = 9, since: int = 0, own: bool = False
) -> None:
    storing = Storing(keep, since, own, new(items[0].publisher))
    await store.pubsub.publish(owner, node, items, items[0].publisher, lambda row: storing)


async def ids(store: Store, owner: JID, node: str) -> list[str]:
    return [entry.id for entry in await store.pubsub.contents(owner, node)]


async def test_a_node_is_made_once_and_its_creator_owns_it(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", new(most=1))
    with pytest.raises(NodeExists):
        await store.pubsub.create(romeo, "n", new(most=1))
    with pytest.raises(TooManyNodes):
        await store.pubsub.create(romeo, "m", new(most=1))
    row = await store.pubsub.node(romeo, "n", JULIET)
    assert row is not None
    assert row.affiliations == {romeo: "owner"}
    assert await store.pubsub.node(romeo, "m", romeo) is None


async def test_nobody_who_does_not_exist_has_nodes_but_a_service_has(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await publish(store, ROMEO, "n", item("1"))
    with pytest.raises(NoSuchNode):
        await store.pubsub.publish(SERVICE, "n", [item("1")], ROMEO, lambda row: Storing(1))
    await store.pubsub.create(SERVICE, "n", new())
    await publish(store, SERVICE, "n", item("1"))
    assert await ids(store, SERVICE, "n") == ["1"]


async def test_items_are_replaced_by_their_ids_and_the_oldest_go(store: Store, romeo: JID) -> None:
    await publish(store, romeo, "n", item("1"), item("2"), item("3"), keep=3)
    await publish(store, romeo, "n", item("1", b"<new xmlns='x:y'/>"), keep=3)
    assert await ids(store, romeo, "n") == ["2", "3", "1"]
    assert [each.payload for each in await store.pubsub.named(romeo, "n", ["1"])] == [b"<new xmlns='x:y'/>"]
    await publish(store, romeo, "n", item("4"), keep=2)
    assert await ids(store, romeo, "n") == ["1", "4"]
    await publish(store, romeo, "n", item("5"), keep=0)
    assert await ids(store, romeo, "n") == ["1", "4"]
    with pytest.raises(NoSuchItem):
        await store.pubsub.retract(romeo, "n", ["4", "9"])
    assert await ids(store, romeo, "n") == ["1", "4"]
    await store.pubsub.retract(romeo, "n", ["4", "4"])
    await store.pubsub.purge(romeo, "n")
    assert await ids(store, romeo, "n") == []


async def test_items_are_found_by_their_ids_in_the_order_of_the_ids(store: Store, romeo: JID) -> None:
    many = [str(number) for number in range(IDS + 5)]
    await publish(store, romeo, "n", *map(item, many), keep=99)
    backwards = many[::-1]
    found = await store.pubsub.named(romeo, "n", [*backwards, "none", backwards[0]])
    assert [each.id for each in found] == backwards
    await store.pubsub.retract(romeo, "n", many)
    assert await ids(store, romeo, "n") == []


async def test_a_part_of_the_items_is_read_by_their_places(store: Store, romeo: JID) -> None:
    await publish(store, romeo, "n", item("1"), item("2", b"x" * 5), item("3"))
    first, second, third = await store.pubsub.contents(romeo, "n")
    assert (second.id, second.octets, second.at) == ("2", 5, 5)
    found = await store.pubsub.between(romeo, "n", first.n, second.n)
    assert [each.id for each in found] == ["1", "2"]
    assert [each.n for each in await store.pubsub.newest(romeo, "n")] == [third.n]


async def test_items_that_are_too_old_go(store: Store, romeo: JID) -> None:
    await publish(store, romeo, "n", Item("old", b"", romeo, 5), Item("new", b"", romeo, 10))
    await publish(store, romeo, "n", Item("newest", b"", romeo, 11), since=6)
    assert await ids(store, romeo, "n") == ["new", "newest"]
    await store.pubsub.expire(romeo, "n", 11)
    assert await ids(store, romeo, "n") == ["newest"]


async def test_items_of_others_are_not_replaced_and_not_retracted(store: Store, romeo: JID) -> None:
    await publish(store, romeo, "n", item("1"))
    juliets = Item("1", b"", JULIET, 5)
    with pytest.raises(OfSomebodyElse):
        await publish(store, romeo, "n", juliets, own=True)
    with pytest.raises(OfSomebodyElse):
        await store.pubsub.retract(romeo, "n", ["1"], JULIET)
    await publish(store, romeo, "n", juliets)
    await store.pubsub.retract(romeo, "n", ["1"], JULIET)
    assert await ids(store, romeo, "n") == []


async def test_what_is_refused_by_the_node_changes_nothing(store: Store, romeo: JID) -> None:
    def refuse(row: object) -> Storing:
        raise PermissionError

    await publish(store, romeo, "n", item("1"))
    with pytest.raises(PermissionError):
        await store.pubsub.publish(romeo, "n", [item("2")], JULIET, refuse)
    assert await ids(store, romeo, "n") == ["1"]


async def test_many_who_publish_at_once_take_turns(store: Store, romeo: JID, database_url: str) -> None:
    other = await Store.open(database_url)  # another process
    await store.pubsub.create(romeo, "n", new())
    try:
        await asyncio.gather(
            *(publish(each, romeo, "n", item(f"{number}"), keep=10) for number, each in enumerate([store, other] * 20))
        )
    finally:
        await other.close()
    assert [entry.n for entry in await store.pubsub.contents(romeo, "n")] == list(range(31, 41))


async def test_a_change_sees_what_is_there_and_owners_are_always_seen(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", new())
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations((), {JULIET: "member"}, 9))
    before = await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations((), {JULIET: "owner"}, 9))
    assert before.affiliations == {romeo: "owner", JULIET: "member"}
    assert await store.pubsub.affiliates(romeo, "n") == sorted([(romeo, "owner"), (JULIET, "owner")], key=str)
    await store.pubsub.relate(romeo, "n", romeo, lambda row: Relations((), {romeo: "none"}))
    assert await store.pubsub.affiliates(romeo, "n") == [(JULIET, "owner")]
    assert await store.pubsub.affiliations(romeo, JULIET) == [("n", "owner")]
    with pytest.raises(NoSuchNode):
        await store.pubsub.relate(romeo, "m", JULIET, lambda row: Relations())


async def test_subscriptions_and_affiliations_have_a_limit(store: Store, romeo: JID) -> None:
    def put(*subscriptions: Subscription) -> Relations:
        return Relations(subscriptions, most=1)

    await store.pubsub.create(romeo, "n", new())
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: put(Subscription(JULIET, "a")))
    pending = Subscription(JULIET, "a", "pending", b"{}")
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: put(pending))
    with pytest.raises(TooManyRelations):
        await store.pubsub.relate(romeo, "n", romeo, lambda row: put(Subscription(romeo, "b")))
    with pytest.raises(TooManyRelations):
        await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations((), {JULIET: "member"}, 1))
    assert await store.pubsub.subscriptions(romeo, JULIET) == [("n", pending)]
    assert await store.pubsub.pending(romeo, romeo) == ["n"]
    assert await store.pubsub.pending(romeo, JULIET) == []
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([each.ended() for each in row.subscriptions]))
    assert await store.pubsub.count_subscribers(romeo, "n") == 0


async def test_an_address_has_the_subscriptions_of_its_resources_alone(store: Store, romeo: JID) -> None:
    def put(jid: JID) -> Relations:
        return Relations([Subscription(jid, "x")], most=9)

    await store.pubsub.create(romeo, "n", new())
    addresses = [JID.parse(text) for text in ("a@b", "a@b/c", "a@b/d", "a@b-c/d", "a@b.c", "a@b0")]
    for jid in addresses:
        await store.pubsub.relate(romeo, "n", jid.bare, lambda row, jid=jid: put(jid))  # type: ignore[misc]
    row = await store.pubsub.node(romeo, "n", addresses[0])
    assert row is not None
    assert {each.jid for each in row.subscriptions} == set(addresses[:3])
    assert [each.jid for _, each in await store.pubsub.subscriptions(romeo, addresses[0])] == addresses[:3]
    first = await store.pubsub.subscribers(romeo, "n", "", 4)
    rest = await store.pubsub.subscribers(romeo, "n", str(first[-1].jid), 4)
    assert {each.jid for each in (*first, *rest)} == set(addresses)


async def test_an_address_has_several_subscriptions_which_end_one_by_one(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", new())
    first, second = Subscription(JULIET, "a"), Subscription(JULIET, "b", "pending", b"{}")
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([first], most=1))
    with pytest.raises(TooManyRelations):
        await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([second], most=1))
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([second], most=2))
    row = await store.pubsub.node(romeo, "n", JULIET)
    assert row is not None
    assert row.subscriptions == [first, second]
    assert await store.pubsub.subscriptions(romeo, JULIET) == [("n", first), ("n", second)]
    assert await store.pubsub.waiting(romeo, "n", 9) == [second]
    assert await store.pubsub.count_subscribers(romeo, "n") == 2
    await store.pubsub.relate(
        romeo, "n", JULIET, lambda row: Relations([first.ended(), Subscription(JULIET, "x").ended()])
    )
    assert await store.pubsub.subscriptions(romeo, JULIET) == [("n", second)]


async def test_one_that_ends_leaves_its_room_to_another(store: Store, romeo: JID) -> None:
    await store.pubsub.create(romeo, "n", new())
    first, second = Subscription(JULIET, "a"), Subscription(JULIET, "b")
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([first], most=1))
    await store.pubsub.relate(romeo, "n", JULIET, lambda row: Relations([second, first.ended()], most=1))
    other = Subscription(romeo, "c")
    with pytest.raises(TooManyRelations):
        await store.pubsub.relate(romeo, "n", romeo, lambda row: Relations([other, first.ended()], most=1))
    assert await store.pubsub.subscriptions(romeo, JULIET) == [("n", second)]


async def several(store: Store, owner: JID) -> list[Subscription]:
    """Subscriptions by address and SubID, three of each."""
    await store.pubsub.create(owner, "n", new())
    there = [Subscription(JID.parse(f"{name}@x.example"), f"{number}") for name in "abc" for number in range(3)]
    for each in there[::-1]:
        await store.pubsub.relate(owner, "n", each.jid, lambda row, each=each: Relations([each], most=99))  # type: ignore[misc]
    return there


@pytest.mark.parametrize("limit", [4, 5, 8, 9, 10])
async def test_all_subscriptions_of_an_address_come_at_once(store: Store, romeo: JID, limit: int) -> None:
    there = await several(store, romeo)
    found: list[Subscription] = []
    after = ""
    while some := await store.pubsub.subscribers(romeo, "n", after, limit):
        assert not {each.jid for each in some} & {each.jid for each in found}
        found += some
        after = str(some[-1].jid)
    assert found == there


async def test_a_page_may_begin_and_end_between_two_of_one_address(store: Store, romeo: JID) -> None:
    there = await several(store, romeo)
    for limit in (1, 2, 4):
        found: list[Subscription] = []
        place = ("", "")
        while some := (await store.pubsub.subscribers_page(romeo, "n", place, None, limit))[0]:
            found += some
            place = (str(some[-1].jid), some[-1].subid)
        assert found == there
        place, found = ("", ""), []
        while some := (await store.pubsub.subscribers_page(romeo, "n", None, place, limit))[0]:
            found = [*some, *found]
            place = (str(some[0].jid), some[0].subid)
        assert found == there
    behind = (str(there[0].jid), BEHIND)
    assert await store.pubsub.subscribers_page(romeo, "n", behind, None, 2) == (there[3:5], 9)
    before = (str(there[3].jid), "")
    assert await store.pubsub.subscribers_page(romeo, "n", None, before, 2) == (there[1:3], 9)


async def test_nodes_go_with_all_that_hangs_on_them_and_with_their_account(
    store: Store, romeo: JID, database_url: str
) -> None:
    subscribed = Relations([Subscription(JULIET, "a")], most=1)
    for node in ("n", "m"):
        await publish(store, romeo, node, item("1"))
        await store.pubsub.relate(romeo, node, JULIET, lambda row: subscribed)
    assert await store.pubsub.delete(romeo, "n")
    assert not await store.pubsub.delete(romeo, "n")
    await store.accounts.delete(romeo)
    for table in ("nodes", "items", "subscriptions", "affiliations"):
        assert await query(database_url, f"SELECT count(*) FROM pubsub_{table}") == [(0,)]


async def last_items(store: Store, viewer: JID, interests: list[str]) -> list[LastItem]:
    return [last async for some in store.pubsub.last_items(viewer, interests) for last in some]


async def test_large_last_items_come_without_their_payload(store: Store, romeo: JID) -> None:
    await publish(store, romeo, "small", item("1", b"x" * SMALL))
    await publish(store, romeo, "large", item("1", b"x" * (SMALL + 1)))
    found = {last.node: last for last in await last_items(store, romeo.with_resource("orchard"), ["small", "large"])}
    assert (found["small"].is_large, len(found["small"].item.payload)) == (False, SMALL)
    assert (found["large"].is_large, found["large"].item.payload) == (True, b"")


async def test_last_items_are_those_of_oneself_and_of_who_shows_its_presence(store: Store, romeo: JID) -> None:
    await store.accounts.create(JULIET, {})
    nodes = [f"n{number}" for number in range(INTERESTS + 1)]
    for owner in (romeo, JULIET):
        for node in (nodes[0], nodes[-1], "other"):
            for id in ("1", "2"):
                storing = Storing(2, create=new(owner, 99))
                await store.pubsub.publish(owner, node, [item(id)], owner, lambda row, storing=storing: storing)  # type: ignore[misc]
    viewer = romeo.with_resource("orchard")
    own = [(romeo, nodes[0], "2"), (romeo, nodes[-1], "2")]
    found = await last_items(store, viewer, nodes)
    assert [(last.owner, last.node, last.item.id) for last in found] == own
    await store.rosters.put(JULIET, RosterItem(romeo, subscription="from", groups=("Friends",)))
    found = await last_items(store, viewer, nodes)
    others = [(last.node, last.item.id, last.groups) for last in found if last.owner == JULIET]
    assert others == [(nodes[0], "2", ("Friends",)), (nodes[-1], "2", ("Friends",))]
    await store.blocking.add(JULIET, [romeo])
    assert [last.owner for last in await last_items(store, viewer, nodes)] == [romeo, romeo]


# -- collections (XEP-0248)


async def test_what_is_in_collections_goes_with_either_node(store: Store) -> None:
    pubsub = store.pubsub
    for node in ("top", "blogs"):
        await pubsub.create(SERVICE, node, new())
    await pubsub.create(SERVICE, "news", new(), Links((("top", "news"), ("blogs", "news"))))
    await pubsub.link(SERVICE, Links((("top", "blogs"), ("top", "blogs"))))
    assert set(await pubsub.links(SERVICE)) == {("top", "news"), ("blogs", "news"), ("top", "blogs")}
    assert await pubsub.links(ROMEO) == []
    await pubsub.delete(SERVICE, "blogs")
    assert await pubsub.links(SERVICE) == [("top", "news")]
    await pubsub.delete(SERVICE, "news")
    assert await pubsub.links(SERVICE) == []


async def test_a_node_and_its_place_are_made_and_changed_together(store: Store) -> None:
    pubsub = store.pubsub
    for node in ("top", "blogs"):
        await pubsub.create(SERVICE, node, new())
    with pytest.raises(NodeExists):
        await pubsub.create(SERVICE, "blogs", new(), Links((("top", "blogs"),)))
    assert await pubsub.links(SERVICE) == []
    links = Links((("top", "blogs"),))
    await pubsub.configure(SERVICE, "blogs", ROMEO, lambda row: (row.config, Storing(1)), links)
    assert await pubsub.links(SERVICE) == [("top", "blogs")]
    await pubsub.configure(SERVICE, "blogs", ROMEO, lambda row: (row.config, Storing(1)), Links(removed=links.added))
    assert await pubsub.links(SERVICE) == []
