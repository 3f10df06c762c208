"""No answer grows with a node: items, subscriptions, affiliations and nodes come in pages (XEP-0059)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.pubsub import pages
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import Subscription

from .conftest import MakeWorld
from .pubsub import ADMINS, SERVICE, affiliate, ask, create, refused, subscribe, subscription
from .test_pep import NS, OWNER, publish
from .world import Client, World

RSM = "http://jabber.org/protocol/rsm"
ITEMS = "http://jabber.org/protocol/disco#items"
HOST = JID.parse(SERVICE)


@pytest_asyncio.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS)


def page(**values: str) -> str:
    return f"<set xmlns='{RSM}'>{''.join(f'<{name}>{value}</{name}>' for name, value in values.items())}</set>"


def said(answer: Element) -> tuple[str, str, str] | None:
    """First, last and count of a page."""
    found = answer.child(RSM, "set")
    return (
        None
        if found is None
        else (found.child_text(RSM, "first"), found.child_text(RSM, "last"), found.child_text(RSM, "count"))
    )


async def filled(world: World, size: int, state: str = "subscribed") -> Client:
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    jids = [JID.parse(f"s{number:05}@remote.example") for number in range(size)]
    change = Relations([Subscription(jid, "x", state) for jid in jids], dict.fromkeys(jids, "member"), most=10**6)
    await world.store.pubsub.relate(HOST, "news", jids[0], lambda row: change)
    return admin


async def test_items_by_their_ids_come_as_far_as_they_make_a_page(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin)
    for number in range(8):
        item = f"<item id='{number}'><x xmlns='x:y'>{'x' * 200_000}</x></item>"
        await ask(admin, "set", f"<publish node='news'>{item}</publish>")
    wanted = "".join(f"<item id='{number}'/>" for number in (7, 6, 5, 4, 3, 2, 1, 0))
    answer = await ask(admin, "get", f"<items node='news'>{wanted}</items>")
    assert [each.get("id") for each in next(iter(answer))] == ["7", "6", "5", "4", "3"]
    assert said(answer) == ("7", "3", "8")
    rest = await ask(admin, "get", "<items node='news'><item id='2'/><item id='1'/><item id='0'/></items>")
    assert [each.get("id") for each in next(iter(rest))] == ["2", "1", "0"]
    assert said(rest) is None


async def test_many_long_names_make_a_page_full_too(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    await create(admin, max_items="max")
    for start in range(0, 900, 100):
        batch = "".join(
            f"<item id='{number:0512}'><x xmlns='x:y'>{'x' * 1000}</x></item>" for number in range(start, start + 100)
        )
        await ask(admin, "set", f"<publish node='news'>{batch}</publish>")
        world.core.components.running[SERVICE].engine._pace.clear()  # type: ignore[attr-defined]
    answer = await ask(admin, "get", "<items node='news'/>")
    assert len(answer.to_bytes()) < 1_200_000
    assert said(answer) is not None


@pytest.mark.parametrize(("list_", "name"), [("subscriptions", "subscription"), ("affiliations", "affiliation")])
async def test_an_owner_reads_a_long_list_in_pages(world: World, list_: str, name: str) -> None:
    admin = await filled(world, 1200)
    found: list[str] = []
    request = f"<{list_} node='news'/>"
    first = answer = await ask(admin, "get", request, ns=OWNER)
    while entries := list(next(iter(answer))):
        assert len(entries) <= pages.LISTED
        found += [entry.get("jid") for entry in entries]
        answer = await ask(admin, "get", request + page(after=found[-1]), ns=OWNER)
    assert found == sorted(found)
    assert sum(jid.startswith("s") for jid in found) == 1200
    about = said(first)
    assert about is not None
    assert about[2] == str(len(found))
    answer = await ask(admin, "get", request + page(max="2", before=""), ns=OWNER)
    assert [entry.get("jid") for entry in next(iter(answer))] == found[-2:]
    answer = await ask(admin, "get", request + page(max="2", before=found[-2]), ns=OWNER)
    assert [entry.get("jid") for entry in next(iter(answer))] == found[-4:-2]
    answer = await ask(admin, "get", request + page(max="0"), ns=OWNER)
    assert (list(next(iter(answer))), said(answer)) == ([], ("", "", str(len(found))))
    assert await refused(admin, "get", request + page(max="2", index="3"), ns=OWNER) == ("feature-not-implemented",)


async def test_who_waits_for_approval_is_not_among_the_subscribers(world: World) -> None:
    """§8.8.1.2"""
    admin = await filled(world, 3, "pending")
    await subscribe(admin)
    answer = await ask(admin, "get", "<subscriptions node='news'/>", ns=OWNER)
    assert [entry.get("jid") for entry in next(iter(answer))] == [admin.jid]
    assert said(answer) is None


async def test_a_subscriber_reads_his_own_lists_in_pages(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    juliet = await world.login("juliet@localhost/balcony")
    for node in ("a", "b", "c"):
        await create(admin, node)
        await subscribe(juliet, node)
        await affiliate(admin, "juliet@localhost", "member", node)
    for list_ in ("subscriptions", "affiliations"):
        answer = await ask(juliet, "get", f"<{list_}/>{page(max='2')}")
        assert [entry.get("node") for entry in next(iter(answer))] == ["a", "b"]
        about = said(answer)
        assert about is not None
        answer = await ask(juliet, "get", f"<{list_}/>{page(max='2', after=about[1])}")
        assert [entry.get("node") for entry in next(iter(answer))] == ["c"]
        assert said(await ask(juliet, "get", f"<{list_}/>")) is None


async def test_nodes_and_items_of_a_service_are_discovered_in_pages(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    for node in ("a", "b", "c"):
        await create(admin, node)
    await publish(admin, "a", "1", "2", "3", to=SERVICE)
    for node, name, expected in (("", "node", ["b", "c"]), (" node='a'", "name", ["2", "3"])):
        after = "a" if not node else "1"
        query = f"<query xmlns='{ITEMS}'{node}>{page(max='5', after=after)}</query>"
        answer = next(iter(await admin.request("get", query, SERVICE)))
        assert [each.get(name) for each in answer if each.name == "item"] == expected
        assert said(answer) == (*(expected[0], expected[-1]), "3")


async def test_one_account_does_not_fill_a_node_with_its_resources(world: World) -> None:
    admin = await world.login("admin@localhost/desk")
    juliet = await world.login("juliet@localhost/balcony")
    await create(admin)
    for number in range(50):
        await ask(juliet, "set", subscription(juliet, jid=f"juliet@localhost/{number}"))
    request = subscription(juliet, jid="juliet@localhost/one-more")
    assert await refused(juliet, "set", request) == ("policy-violation", "too-many-subscriptions")
    await ask(juliet, "set", subscription(juliet, jid="juliet@localhost/7"))


async def test_an_owner_is_asked_for_so_many_at_once(world: World) -> None:
    admin = await filled(world, 150, "pending")
    form = "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#node'><value>news</value></field></x>"
    command = f"<command xmlns='http://jabber.org/protocol/commands' node='{NS}#get-pending'>{form}</command>"
    assert (await admin.request("set", command, SERVICE)).get("type") == "result"
    await world.settle()
    assert sum(stanza.name == "message" for stanza in admin.inbox) == 100
