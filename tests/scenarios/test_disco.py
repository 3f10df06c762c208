"""XEP-0030 and XEP-0115, the server's side."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Identity, Info

from .conftest import HOSTS, MakeWorld
from .world import COMPONENTS, World

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
ITEMS = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def node(kind: str, name: str) -> str:
    return f"<query xmlns='http://jabber.org/protocol/disco#{kind}' node='{name}'/>"


async def test_the_host_is_a_server_for_instant_messaging(world: World) -> None:
    """§3.1: at least one identity, and the feature of disco itself"""
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' to='localhost' id='info1'>{INFO}</iq>")
    await romeo.receives("""
        <iq type='result' from='localhost' to='romeo@localhost/orchard' id='info1'>
          <query xmlns='http://jabber.org/protocol/disco#info'>
            <identity category='server' type='im'/>
            <feature var='http://jabber.org/protocol/disco#info'/>
            <feature var='http://jabber.org/protocol/disco#items'/>
            <feature var='http://jabber.org/protocol/caps'/>
            <feature var='jabber:iq:version'/>
            <feature var='jabber:iq:last'/>
            <feature var='urn:xmpp:time'/>
            <feature var='urn:xmpp:ping'/>
            <feature var='urn:xmpp:carbons:2'/>
            <feature var='urn:xmpp:carbons:rules:0'/>
            <feature var='urn:xmpp:sid:0'/>
            <feature var='urn:xmpp:delay'/>
          </query>
        </iq>""")


async def test_no_feature_is_named_twice(world: World) -> None:
    """XEP-0115 §5.4 3.4: clients take such an answer for ill-formed"""
    romeo = await world.login("romeo@localhost/orchard")
    for to in ("localhost", "romeo@localhost"):
        (query,) = await romeo.request("get", INFO, to)
        features = Info.parse(query).features
        assert list(features) == sorted(set(features))


async def test_the_own_account_is_registered_and_tells_its_features(world: World) -> None:
    """§3.1: the server answers for the bare address, which is also meant when 'to' is absent"""
    romeo = await world.login("romeo@localhost/orchard")
    for to in ("", "romeo@localhost"):
        answer = await romeo.request("get", INFO, to)
        assert answer.get("from") == "romeo@localhost"
        (query,) = answer
        info = Info.parse(query)
        assert info.identities[0] == Identity("account", "registered")
        assert {ns.DISCO_INFO, ns.DISCO_ITEMS, ns.STANZA_ID} <= set(info.features)


@pytest.mark.parametrize(("subscription", "told"), [("none", False), ("to", True), ("from", False), ("both", True)])
async def test_an_account_is_told_to_those_who_may_see_its_presence(
    world: World, subscription: str, told: bool
) -> None:
    """§8 rule 1.2: the account has the asker in its roster with `from` or `both`, so the asker has `to` or `both`"""
    await world.subscribe("romeo@localhost", "juliet@capulet.example", subscription)  # type: ignore[arg-type]
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", INFO, "juliet@capulet.example")
    assert answer.get("type") == ("result" if told else "error")
    assert (b"service-unavailable" in answer.to_bytes()) is not told


async def test_a_subscription_that_is_being_taken_away_counts_no_more(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    await world.subscribe("romeo@localhost", "juliet@localhost")
    await world.subscribe("juliet@localhost", "romeo@localhost")
    romeo.send("<presence type='unsubscribed' to='juliet@localhost'/>")
    answer = await juliet.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "romeo@localhost")
    assert answer.get("type") == "error"


async def test_who_may_not_know_cannot_tell_whether_an_account_exists(world: World) -> None:
    """§8 rules 1.1 and 2.1, for info and items, with a node and without one"""
    await world.login("juliet@capulet.example/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    for payload in (INFO, ITEMS, node("info", "any"), node("items", "any")):
        answers = []
        for to in ("juliet@capulet.example", "nobody@capulet.example"):
            answer = await romeo.request("get", payload, to)
            answer.attrs = {"type": answer.get("type")}
            answers.append(answer.to_bytes())
        assert answers[0] == answers[1]
        assert b"balcony" not in answers[0]


async def test_items_of_an_account_are_none_to_who_may_not_know(world: World) -> None:
    """§8 rule 2: an empty result, no error"""
    await world.login("juliet@capulet.example/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", ITEMS, "juliet@capulet.example")
    assert answer.get("type") == "result"
    (query,) = answer
    assert not query.children


async def test_items_of_an_account_are_its_available_resources(world: World) -> None:
    """§4.1, example 11"""
    await world.subscribe("romeo@localhost", "juliet@capulet.example")
    await world.login("juliet@capulet.example/balcony")
    await world.login("juliet@capulet.example/chamber")
    await world.connect("juliet@capulet.example/hidden")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' to='juliet@capulet.example' id='items2'>{ITEMS}</iq>")
    answer = await romeo.receives("""
        <iq type='result' from='juliet@capulet.example' to='romeo@localhost/orchard' id='items2'>
          <query xmlns='http://jabber.org/protocol/disco#items'>
            <item jid='juliet@capulet.example/balcony'/>
            <item jid='juliet@capulet.example/chamber'/>
          </query>
        </iq>""")
    assert b"hidden" not in answer.to_bytes()


async def test_a_host_without_services_has_no_items_and_says_so_without_an_error(make_world: MakeWorld) -> None:
    """§4.1, §7"""
    disabled = "".join(f"[components.{name}]\nenabled = false\n" for name in COMPONENTS)
    world = await make_world(HOSTS + disabled)
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", ITEMS, "localhost")
    assert answer.get("type") == "result"
    (query,) = answer
    assert not query.children


@pytest.mark.parametrize("to", ["localhost", "romeo@localhost"])
@pytest.mark.parametrize("kind", ["info", "items"])
async def test_an_unknown_node_is_not_found(world: World, kind: str, to: str) -> None:
    """§7"""
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' to='{to}' id='info3'>{node(kind, 'no&amp;where')}</iq>")
    await romeo.receives(f"""
        <iq type='error' from='{to}' id='info3'>
          <error type='cancel' code='404'><item-not-found xmlns='{STANZAS}'/></error>
        </iq>""")


async def test_info_cannot_be_set(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("set", INFO, "localhost")
    assert b"service-unavailable" in answer.to_bytes()


async def test_a_request_to_a_resource_is_the_clients_to_answer(world: World) -> None:
    """§3.1, example 6"""
    await world.subscribe("romeo@localhost", "juliet@capulet.example")
    juliet = await world.login("juliet@capulet.example/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' to='juliet@capulet.example/balcony' id='info4'>{INFO}</iq>")
    await juliet.receives(f"<iq type='get' from='romeo@localhost/orchard' id='info4'>{INFO}</iq>")


# -- capabilities


async def caps_of(world: World, domain: str = "localhost") -> Caps:
    c = (await world.features(domain)).child(ns.CAPS, "c")
    assert c is not None
    caps = Caps.parse(c)
    assert caps is not None
    return caps


async def test_the_stream_features_carry_the_hash_of_what_the_host_answers(make_world: MakeWorld) -> None:
    """XEP-0115 §6.3: also with a form in the answer"""
    world = await make_world('[modules.contact]\nabuse = ["mailto:abuse@localhost"]')
    romeo = await world.login("romeo@localhost/orchard")
    caps = await caps_of(world)
    (query,) = await romeo.request("get", INFO, "localhost")
    assert Info.parse(query).forms
    assert caps.verifies(Info.parse(query))


async def test_the_node_of_the_hash_is_answered_with_the_same_info(world: World) -> None:
    """XEP-0115 §6.2; the node comes back (XEP-0030 §3.2)"""
    romeo = await world.login("romeo@localhost/orchard")
    caps = await caps_of(world)
    (plain,) = await romeo.request("get", INFO, "localhost")
    (query,) = await romeo.request("get", node("info", caps.disco_node), "localhost")
    assert query.attrs.pop("node") == caps.disco_node
    assert query.to_bytes() == plain.to_bytes()
    items = await romeo.request("get", node("items", caps.disco_node), "localhost")
    assert items.get("type") == "result"


async def test_the_hash_belongs_to_the_host_and_to_no_account(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    caps = await caps_of(world)
    answer = await romeo.request("get", node("info", caps.disco_node), "romeo@localhost")
    assert b"item-not-found" in answer.to_bytes()


async def test_who_has_not_authenticated_gets_no_hash(world: World) -> None:
    features = await world.features(authenticated=False)
    assert features.child(ns.CAPS, "c") is None


async def test_when_features_change_there_is_another_hash_and_the_old_node_is_gone(make_world: MakeWorld) -> None:
    """XEP-0115 §3: capabilities may change"""
    world = await make_world("")
    romeo = await world.login("romeo@localhost/orchard")
    before = await caps_of(world)
    world.reconfigure("[modules.ping]\nenabled = false")
    after = await caps_of(world)
    assert after.ver != before.ver
    (query,) = await romeo.request("get", INFO, "localhost")
    assert "urn:xmpp:ping" not in Info.parse(query).features
    assert after.verifies(Info.parse(query))
    answer = await romeo.request("get", node("info", before.disco_node), "localhost")
    assert b"item-not-found" in answer.to_bytes()
