"""XEP-0049"""

from __future__ import annotations

import pytest

from .conftest import HOSTS, MakeWorld
from .world import World

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def query(*elements: str) -> str:
    return f"<query xmlns='jabber:iq:private'>{''.join(elements)}</query>"


PREFS = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>"
EMPTY = "<exodus xmlns='exodus:prefs'/>"


async def test_what_is_stored_comes_back_to_every_client_of_the_user(world: World) -> None:
    """§2.3"""
    orchard = await world.login("romeo@localhost/orchard")
    street = await world.login("romeo@localhost/street")
    assert (await orchard.request("set", query(PREFS))).get("type") == "result"
    street.send(f"<iq type='get' id='1002'>{query(EMPTY)}</iq>")
    await street.receives(f"<iq type='result' id='1002'>{query(PREFS)}</iq>")
    await orchard.receives_nothing()


async def test_what_was_never_stored_is_empty(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' id='1'>{query(EMPTY)}</iq>")
    await romeo.receives(f"<iq type='result' id='1'>{query(EMPTY)}</iq>")


async def test_several_elements_are_stored_at_once(world: World) -> None:
    """§2.3: a set may contain several"""
    romeo = await world.login("romeo@localhost/orchard")
    await romeo.request("set", query(PREFS, "<psi xmlns='psi:prefs'>x</psi>"))
    answer = await romeo.request("get", query("<psi xmlns='psi:prefs'/>"))
    assert b"<psi xmlns='psi:prefs'>x</psi>" in answer.to_bytes()
    assert b"Hamlet" in (await romeo.request("get", query(EMPTY))).to_bytes()


@pytest.mark.parametrize("type", ["get", "set"])
async def test_others_are_forbidden_whether_the_account_exists_or_not(world: World, type: str) -> None:
    """§2.3, §4"""
    await world.subscribe("juliet@localhost", "romeo@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    for to in ("romeo@localhost", "nobody@localhost"):
        answer = await juliet.request(type, query(PREFS), to)
        assert b"<forbidden" in answer.to_bytes()


@pytest.mark.parametrize(
    ("type", "content", "condition"),
    [
        ("get", "", "bad-request"),
        ("set", "", "not-acceptable"),
        ("get", f"{EMPTY}<psi xmlns='psi:prefs'/>", "bad-request"),
        ("set", "<mine>no namespace of its own</mine>", "not-acceptable"),
        ("set", f"<a xmlns='urn:{'x' * 1000}'/>", "not-acceptable"),
        ("get", f"<a xmlns='urn:{'x' * 1000}'/>", "not-acceptable"),
    ],
)
async def test_bad_requests_are_refused(world: World, type: str, content: str, condition: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request(type, query(content))
    assert f"<{condition} xmlns='{STANZAS}'/>".encode() in answer.to_bytes()


async def test_what_is_too_much_is_refused(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.private_xml]\noctets = 100\nelements = 2")
    romeo = await world.login("romeo@localhost/orchard")
    assert (await romeo.request("set", query(PREFS))).get("type") == "result"
    large = await romeo.request("set", query(f"<psi xmlns='psi:prefs'>{'x' * 100}</psi>"))
    assert b"<resource-constraint" in large.to_bytes()
    many = await romeo.request("set", query("<a xmlns='a'/>", "<b xmlns='b'/>"))
    assert b"<resource-constraint" in many.to_bytes()
    assert b"Hamlet" in (await romeo.request("get", query(EMPTY))).to_bytes()
