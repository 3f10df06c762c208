"""Searching for rooms (XEP-0433)."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element

from .conftest import MakeWorld
from .rooms import configure, enter
from .world import Client, World

SERVICE = "conference.localhost"
NS = "urn:xmpp:channel-search:0:search"
ERROR = "urn:xmpp:channel-search:0:error"
RSM = "http://jabber.org/protocol/rsm"
BY_USERS = "{urn:xmpp:channel-search:0:order}nusers"


def submission(page: str = "", **fields: str) -> str:
    values = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in fields.items())
    return f"<search xmlns='{NS}'>{page}<x xmlns='jabber:x:data' type='submit'>{values}</x></search>"


async def search(client: Client, page: str = "", **fields: str) -> Element:
    return await client.request("get", submission(page, **fields), SERVICE)


def rooms(answer: Element) -> list[str]:
    result = answer.child(NS, "result")
    assert result is not None, answer
    return [item.get("address").partition("@")[0] for item in result if item.name == "item"]


def condition(answer: Element) -> tuple[str, str, str]:
    """Type, condition and the condition of the application."""
    error = answer.child("jabber:client", "error")
    assert error is not None
    own = next(child for child in error if child.ns == ERROR)
    return error.get("type"), next(iter(error)).name, own.name


@pytest.fixture
async def crone(world: World) -> Client:
    crone = await world.login("crone@localhost/desktop")
    for room, fields in {
        "heath": {"roomname": "A Blasted Heath", "roomdesc": "Thunder and lightning"},
        "cave": {"roomname": "A Dark Cave", "roomdesc": "Double, double, toil and trouble", "lang": "en"},
        "court": {"roomname": "Court", "membersonly": "1", "whois": "anyone"},
        "secret": {"roomname": "A Dark Secret", "publicroom": "0"},
    }.items():
        await enter(crone, "firstwitch", room=f"{room}@{SERVICE}")
        await configure(crone, f"{room}@{SERVICE}", persistentroom="1", **fields)
    crone.inbox.clear()
    return crone


async def test_the_form_has_all_fields_with_their_defaults(crone: Client) -> None:
    answer = await crone.request("get", f"<search xmlns='{NS}'/>", SERVICE)
    (form,) = next(iter(answer))
    assert {field.get("var"): (field.get("type"), field.child_text("jabber:x:data", "value")) for field in form} == {
        "FORM_TYPE": ("hidden", "urn:xmpp:channel-search:0:search-params"),
        "q": ("text-single", ""),
        "all": ("boolean", ""),
        "sinname": ("boolean", "1"),
        "sindescription": ("boolean", "1"),
        "sinaddress": ("boolean", "1"),
        "types": ("list-multi", "xep-0045"),
        "key": ("list-single", "{urn:xmpp:channel-search:0:order}address"),
    }
    info = await crone.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", SERVICE)
    assert NS in {child.get("var") for child in next(iter(info))}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"q": "dark"}, ["cave"]),
        ({"q": "TROUBLE cave"}, ["cave"]),
        ({"q": "dark lightning"}, []),
        ({"q": "heath", "sinname": "0"}, ["heath"]),
        ({"q": "heath", "sinname": "0", "sinaddress": "false"}, []),
        ({"q": "thunder", "sindescription": "0"}, []),
        ({"q": "xyzzy"}, []),
        ({"q": "dark", "types": "xep-0369"}, []),
        ({"q": "dark", "donotknow": "x"}, ["cave"]),
        ({"all": "1"}, ["cave", "court", "heath"]),
    ],
)
async def test_rooms_that_are_listed_are_found_by_their_words(
    crone: Client, fields: dict[str, str], found: list[str]
) -> None:
    assert rooms(await search(crone, **fields)) == found


async def test_a_room_is_described(crone: Client) -> None:
    (result,) = await search(crone, q="double")
    cave = next(iter(result))
    assert {child.name: child.text for child in cave} == {
        "name": "A Dark Cave",
        "description": "Double, double, toil and trouble",
        "language": "en",
        "nusers": "1",
        "service-type": "xep-0045",
        "is-open": "true",
        "anonymity-mode": "muc_semianonymous",
    }
    (result,) = await search(crone, q="court")
    court = {child.name: child.text for child in next(iter(result))}
    assert court["is-open"] == "false"
    assert court["anonymity-mode"] == "{urn:xmpp:channel-search:0:anonymity}none"


async def test_the_fullest_room_comes_first_if_so_asked(world: World, crone: Client) -> None:
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch", room=f"heath@{SERVICE}")
    assert rooms(await search(crone, all="1", key=BY_USERS)) == ["heath", "cave", "court"]


async def test_results_come_in_pages(crone: Client) -> None:
    """XEP-0059"""
    first = await search(crone, f"<set xmlns='{RSM}'><max>2</max></set>", all="1")
    assert rooms(first) == ["cave", "court"]
    page = next(iter(first)).child(RSM, "set")
    assert page is not None
    assert page.child_text(RSM, "count") == "3"
    last = page.child_text(RSM, "last")
    assert rooms(await search(crone, f"<set xmlns='{RSM}'><max>2</max><after>{last}</after></set>", all="1")) == [
        "heath"
    ]
    assert rooms(await search(crone, f"<set xmlns='{RSM}'><max>1</max><before>{last}</before></set>", all="1")) == [
        "cave"
    ]
    assert rooms(await search(crone, f"<set xmlns='{RSM}'><max>1</max><before/></set>", all="1")) == ["heath"]
    gone = await search(crone, f"<set xmlns='{RSM}'><after>x@{SERVICE}</after></set>", all="1")
    assert gone.get("type") == "error"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("cancel", "bad-request", "no-search-conditions")),
        ({"q": "dark", "all": "1"}, ("modify", "bad-request", "conflicting-fields")),
        ({"q": "dark", "key": "size"}, ("modify", "feature-not-implemented", "invalid-sort-key")),
        ({"q": " a "}, ("modify", "bad-request", "invalid-search-terms")),
        ({"q": "word " * 100}, ("modify", "bad-request", "invalid-search-terms")),
    ],
)
async def test_a_search_that_makes_no_sense_is_told_why(
    crone: Client, fields: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert condition(await search(crone, **fields)) == expected


async def test_who_searches_too_often_is_told_when_to_come_back(make_world: MakeWorld) -> None:
    world = await make_world("[components.muc]\nsearches_per_minute = 1\n")
    hag = await world.login("hag66@localhost/pda")
    assert rooms(await search(hag, all="1")) == []
    assert condition(await search(hag, all="1")) == ("wait", "resource-constraint", "rate-limit")


async def test_an_operator_turns_the_search_off(make_world: MakeWorld) -> None:
    world = await make_world("[components.muc]\nsearches_per_minute = 0\n")
    hag = await world.login("hag66@localhost/pda")
    assert (await search(hag, all="1")).get("type") == "error"
    info = await hag.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", SERVICE)
    assert NS not in {child.get("var") for child in next(iter(info))}
