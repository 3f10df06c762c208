"""Personal eventing: what contacts, strangers and one's own clients see of an account's nodes."""

from __future__ import annotations

import asyncio
from xml.sax.saxutils import quoteattr

import pytest

from xmpp_server.protocol.element import Element
from xmpp_server.routing.host import Interests

from .conftest import HOSTS, MakeWorld
from .world import Client, World

NS = "http://jabber.org/protocol/pubsub"
OWNER = f"{NS}#owner"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def options(**values: str) -> str:
    fields = "".join(f"<field var='pubsub#{key}'><value>{value}</value></field>" for key, value in values.items())
    form_type = f"<field var='FORM_TYPE' type='hidden'><value>{NS}#publish-options</value></field>"
    return f"<publish-options><x xmlns='jabber:x:data' type='submit'>{form_type}{fields}</x></publish-options>"


async def publish(client: Client, node: str, *ids: str, more: str = "", to: str = "") -> Element:
    items = "".join(f"<item id='{id}'><x xmlns='x:y'>{id}</x></item>" for id in ids)
    payload = f"<pubsub xmlns='{NS}'><publish node='{node}'>{items}</publish>{more}</pubsub>"
    return await client.request("set", payload, to)


async def items(client: Client, node: str, to: str) -> list[str]:
    answer = await client.request("get", f"<pubsub xmlns='{NS}'><items node='{node}'/></pubsub>", to)
    assert answer.get("type") == "result", answer
    return [item.get("id") for item in next(iter(next(iter(answer))))]


def condition(answer: Element) -> tuple[str, ...]:
    assert answer.get("type") == "error", answer
    error = next(child for child in answer if child.name == "error")
    return tuple(child.name for child in error if child.name != "text")


def wants(client: Client, *nodes: str) -> None:
    client.session.interests = frozenset(nodes)


async def test_contacts_get_what_their_clients_want_to_be_told_of_and_nothing_else(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    stranger = await world.login("paris@localhost/street")
    for client in (juliet, stranger):
        wants(client, "tune")
    answer = await publish(romeo, "tune", "current")
    assert answer.get("type") == "result"
    await publish(romeo, "mood", "current")
    await juliet.receives(
        f"<message type='headline' from='romeo@localhost'><event xmlns='{NS}#event'>"
        "<items node='tune'><item id='current'><x xmlns='x:y'>current</x></item></items></event></message>"
    )
    await juliet.receives_nothing()
    await stranger.receives_nothing()


async def test_a_client_that_becomes_available_gets_the_last_items_with_two_queries(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    await publish(romeo, "tune", "current")
    juliet = await world.login("juliet@localhost/balcony")
    wants(juliet, "tune")
    await world.core.router.hosts["localhost"].hooks.interests_known.run(Interests(juliet.session))
    await juliet.receives(f"<message from='romeo@localhost'><event xmlns='{NS}#event'/></message>")


async def test_a_node_for_contacts_is_not_for_strangers_and_an_open_one_is_for_all(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    paris = await world.login("paris@localhost/street")
    await publish(romeo, "tune", "current")
    await publish(romeo, "open", "current", more=options(access_model="open"))
    get = f"<pubsub xmlns='{NS}'><items node='tune'/></pubsub>"
    refused = await paris.request("get", get, "romeo@localhost")
    assert condition(refused) == ("not-authorized", "presence-subscription-required")
    assert await items(paris, "open", "romeo@localhost") == ["current"]


async def test_keys_are_open_even_where_a_client_made_them_for_contacts_only(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    paris = await world.login("paris@localhost/street")
    await publish(romeo, "eu.siacs.conversations.axolotl.devicelist", "current")
    await publish(romeo, "eu.siacs.conversations.axolotl.bundles:1", "current", more=options(access_model="presence"))
    for node in ("eu.siacs.conversations.axolotl.devicelist", "eu.siacs.conversations.axolotl.bundles:1"):
        assert await items(paris, node, "romeo@localhost") == ["current"]


async def test_publish_options_are_preconditions_of_a_node_that_is_there(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    assert (await publish(romeo, "n", "1", more=options(access_model="whitelist", max_items="max"))).get("type") == (
        "result"
    )
    await publish(romeo, "n", "2", more=options(access_model="whitelist", max_items="max"))
    assert await items(romeo, "n", "romeo@localhost") == ["1", "2"]
    refused = await publish(romeo, "n", "3", more=options(access_model="open"))
    assert condition(refused) == ("conflict", "precondition-not-met")
    assert await items(romeo, "n", "romeo@localhost") == ["1", "2"]


async def test_nobody_else_publishes_and_what_is_not_there_has_the_legacy_code(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    paris = await world.login("paris@localhost/street")
    assert condition(await publish(paris, "n", "1", to="romeo@localhost")) == ("forbidden",)
    missing = await romeo.request("get", f"<pubsub xmlns='{NS}'><items node='none'/></pubsub>")
    assert condition(missing) == ("item-not-found",)
    assert next(child for child in missing if child.name == "error").get("code") == "404"


async def test_items_are_retracted_purged_and_deleted_with_notifications(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    wants(romeo, "n")
    await publish(romeo, "n", "1", "2", more=options(max_items="10"))
    romeo.forget("message")
    await romeo.request("set", f"<pubsub xmlns='{NS}'><retract node='n' notify='1'><item id='1'/></retract></pubsub>")
    await romeo.receives(
        f"<message><event xmlns='{NS}#event'><items node='n'><retract id='1'/></items></event></message>"
    )
    await romeo.request("set", f"<pubsub xmlns='{OWNER}'><purge node='n'/></pubsub>")
    await romeo.receives(f"<message><event xmlns='{NS}#event'><purge node='n'/></event></message>")
    await romeo.request("set", f"<pubsub xmlns='{OWNER}'><delete node='n'/></pubsub>")
    await romeo.receives(f"<message><event xmlns='{NS}#event'><delete node='n'/></event></message>")


async def test_the_oldest_items_go_and_limits_are_kept(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.pep]\nitems = 2\nnodes = 1\nitem_bytes = 100\npublishes_per_minute = 5")
    romeo = await world.login("romeo@localhost/orchard")
    for id in ("1", "2", "3"):
        await publish(romeo, "n", id, more=options(max_items="max"))
    assert await items(romeo, "n", "romeo@localhost") == ["2", "3"]
    assert condition(await publish(romeo, "m", "1")) == ("resource-constraint",)
    assert condition(await publish(romeo, "n", "x" * 101)) == ("not-acceptable", "payload-too-big")
    assert condition(await publish(romeo, "n", "4")) == ("policy-violation",)


async def test_an_account_says_that_it_does_personal_eventing(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "romeo@localhost")
    query = next(iter(answer))
    assert ("pubsub", "pep") in {(child.get("category"), child.get("type")) for child in query}
    assert {f"{NS}#publish-options", f"{NS}#config-node-max", f"{NS}#persistent-items", f"{NS}#multi-items"} <= {
        child.get("var") for child in query
    }


async def test_who_begins_to_see_the_presence_of_somebody_gets_the_last_items(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    wants(juliet, "tune")
    await publish(romeo, "tune", "current")
    await publish(romeo, "mood", "current")
    juliet.send("<presence to='romeo@localhost' type='subscribe'/>")
    await world.settle()
    juliet.send("<presence to='romeo@localhost' type='subscribed'/>")  # which is for nothing
    await world.settle()
    juliet.inbox.clear()
    romeo.send("<presence to='juliet@localhost' type='subscribed'/>")
    await world.settle()
    told = [stanza for stanza in juliet.inbox if stanza.name == "message"]
    assert len(told) == 1
    assert b"<items node='tune'><item id='current'>" in told[0].to_bytes()
    assert not [stanza for stanza in romeo.inbox if stanza.name == "message"]


async def test_a_large_last_item_comes_whole(world: World) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    big = "x" * 50_000
    await romeo.request(
        "set",
        f"<pubsub xmlns='{NS}'><publish node='tune'><item id='1'><x xmlns='x:y'>{big}</x></item></publish></pubsub>",
    )
    juliet = await world.login("juliet@localhost/balcony")
    wants(juliet, "tune")
    await world.core.router.hosts["localhost"].hooks.interests_known.run(Interests(juliet.session))
    await juliet.receives(
        f"<message from='romeo@localhost'><event xmlns='{NS}#event'><items node='tune'><item id='1'>"
        f"<x xmlns='x:y'>{big}</x></item></items></event></message>"
    )


@pytest.mark.parametrize("id", ["<&>'\"", " blank ", "ünïcödé 🤖", "a/b@c", "%_\\", "\t\n", "null", "-1"])
async def test_ids_and_names_may_have_any_characters(world: World, id: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    wants(romeo, id)
    quoted = quoteattr(id, {"\t": "&#9;", "\n": "&#10;"})
    publish_ = f"<publish node={quoted}><item id={quoted}><x xmlns='x:y'/></item></publish>"
    assert (await romeo.request("set", f"<pubsub xmlns='{NS}'>{publish_}</pubsub>")).get("type") == "result"
    message = await romeo.receives(f"<message><event xmlns='{NS}#event'/></message>")
    event = message.child(f"{NS}#event", "event")
    assert event is not None
    told = next(iter(event))
    assert (told.get("node"), next(iter(told)).get("id")) == (id, id)
    for asked in (f"<items node={quoted}/>", f"<items node={quoted}><item id={quoted}/></items>"):
        answer = await romeo.request("get", f"<pubsub xmlns='{NS}'>{asked}</pubsub>")
        assert [each.get("id") for each in next(iter(next(iter(answer))))] == [id]
    retract = f"<retract node={quoted}><item id={quoted}/></retract>"
    assert (await romeo.request("set", f"<pubsub xmlns='{NS}'>{retract}</pubsub>")).get("type") == "result"


async def test_of_two_who_make_a_node_at_once_one_has_his_way_and_the_other_is_told(world: World) -> None:
    """§7.1.5: what a publication asks of its node holds for the node that it goes to, whenever that was made."""
    clients = [await world.login(f"romeo@localhost/{number}") for number in range(6)]
    models = ["open", "whitelist"] * 3
    answers = await asyncio.gather(
        *(
            publish(client, "n", str(k), more=options(access_model=models[k], max_items="9"))
            for k, client in enumerate(clients)
        )
    )
    here = await world.core.router.hosts["localhost"].pep.access_model(clients[0].session.account.jid, "n")
    for model, answer in zip(models, answers, strict=True):
        if model == here:
            assert answer.get("type") == "result"
        else:
            assert condition(answer) == ("conflict", "precondition-not-met")
    assert len(await items(clients[0], "n", "")) == 3


@pytest.mark.parametrize(
    ("node", "reader"),
    [
        ("urn:xmpp:openpgp:0:public-keys", "stranger"),  # XEP-0373 §4.1
        ("urn:xmpp:openpgp:0:public-keys:1357B01865B2503C18453D208CAC2A9678548E35", "stranger"),
        ("urn:xmpp:omemo:2:devices", "stranger"),
        ("urn:xmpp:omemo:2:bundles", "stranger"),
        ("http://jabber.org/protocol/nick", "contact"),  # XEP-0172 §4.3
        ("urn:xmpp:vcard4", "contact"),  # XEP-0292 §3
        ("urn:xmpp:openpgp:0:secret-key", "owner"),  # XEP-0373 §5.1
        ("urn:xmpp:mds:displayed:0", "owner"),
        ("urn:xmpp:bookmarks:1", "owner"),
        ("storage:bookmarks", "owner"),
    ],
)
async def test_what_a_client_publishes_without_a_word_is_read_by_those_whom_it_is_for(
    world: World, node: str, reader: str
) -> None:
    await world.subscribe("romeo@localhost", "juliet@localhost")
    clients = {
        "stranger": await world.login("paris@localhost/street"),
        "contact": await world.login("juliet@localhost/balcony"),
        "owner": await world.login("romeo@localhost/orchard"),
    }
    for client in clients.values():
        wants(client, node)
    await publish(clients["owner"], node, "current")
    may = list(clients)[list(clients).index(reader) :]
    for name, client in clients.items():
        request = f"<pubsub xmlns='{NS}'><items node='{node}'/></pubsub>"
        assert ((await client.request("get", request, "romeo@localhost")).get("type") == "result") == (name in may)
        query = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
        found = next(iter(await client.request("get", query, "romeo@localhost")))
        # XEP-0030 §8: a stranger discovers nothing
        assert (node in {each.get("node") for each in found}) == (name in may and name != "stranger")
        told = [stanza for stanza in client.inbox if stanza.name == "message"]
        assert bool(told) == (name in may and name != "stranger"), name
