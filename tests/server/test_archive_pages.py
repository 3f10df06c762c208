"""Pages of archives (XEP-0313) over sockets, to clients that count with the server (XEP-0198)."""

from __future__ import annotations

import pytest

from tests.server.conftest import MakeServer
from tests.server.managed_client import SM, ManagedClient
from tests.server.raw_client import stanza_error
from tests.server.running import RunningServer
from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

MESSAGES = 6
LAST = f"<iq type='get' id='last' to='localhost'><query xmlns='{ns.DISCO_INFO}'/></iq>"
"""It waits its turn, as a ping does not."""


@pytest.fixture
async def people(make_server: MakeServer) -> RunningServer:
    """Clients may send as fast as they like."""
    server = await make_server("[limits]\nbytes_per_second = 0\n")
    for name in ("romeo", "juliet"):
        await server.account(name)
    return server


async def with_large_messages(server: RunningServer) -> ManagedClient:
    """Somebody in whose archive a page is far more than is sent without an acknowledgement."""
    romeo = await ManagedClient.enable(server, "romeo", "orchard")
    for number in range(MESSAGES):
        await romeo.send(
            f"<message to='juliet@localhost' type='chat' id='{number}'><body>{number}{'x' * 40_000}</body></message>"
        )
    await romeo.handled(MESSAGES)
    return romeo


def query(id: str) -> str:
    return f"<iq type='set' id='{id}'><query xmlns='{ns.MAM}'/></iq>"


def number(message: Element) -> str:
    result = message.child(ns.MAM, "result")
    assert result is not None
    forwarded = result.child(ns.FORWARD, "forwarded")
    assert forwarded is not None
    original = forwarded.child(ns.CLIENT, "message")
    assert original is not None
    return original.get("id")


async def page(client: ManagedClient, id: str) -> list[str]:
    """The results up to the answer of this id."""
    numbers = []
    while (element := await client.read()).name != "iq" or element.get("id") != id:
        if element.name == "message":
            numbers.append(number(element))
    assert element.get("type") == "result", element
    return numbers


async def test_a_page_of_any_size_reaches_a_client_that_acknowledges(people: RunningServer) -> None:
    """The acknowledgements that its pace depends on are read while it is sent."""
    romeo = await with_large_messages(people)
    await romeo.send(query("page"))
    assert await page(romeo, "page") == [str(each) for each in range(MESSAGES)]


async def test_what_was_sent_behind_a_query_does_not_keep_its_page_back(people: RunningServer) -> None:
    """Several queries, requests and acknowledgements are under way at a time; pages follow one another."""
    romeo = await with_large_messages(people)
    await romeo.send(query("one") + query("two") + LAST)
    came: list[str] = []
    while not came or came[-1] != "two":
        element = await romeo.read()
        came.append(element.get("id") if element.name == "iq" else number(element))
    assert came.index("last") < came.index("one")
    came.remove("last")
    numbers = [str(each) for each in range(MESSAGES)]
    assert came == [*numbers, "one", *numbers, "two"]


async def test_queries_that_wait_are_bounded(people: RunningServer) -> None:
    romeo = await with_large_messages(people)
    romeo.answers = False
    count = 40
    await romeo.send("".join(map(query, map(str, range(count)))) + LAST)
    errors = []
    while (element := await romeo.read()).get("id") != "last":
        if element.name == "iq":
            errors.append(stanza_error(element))
    assert errors == ["resource-constraint"] * 20
    romeo.answers = True
    await romeo.send(f"<a xmlns='{SM}' h='{romeo.h}'/>")
    assert await page(romeo, "19")


async def test_a_client_that_comes_back_has_an_answer_to_each_query(people: RunningServer) -> None:
    """They were handled, and so it does not send them again: the page goes on, or the client is to ask once more."""
    romeo = await with_large_messages(people)
    romeo.answers = False
    await romeo.send(query("one") + query("two") + LAST)
    await romeo.read_until("iq", id="last")
    await romeo.handled(MESSAGES + 4)
    romeo.abort()
    await until(lambda: any(session.hibernates for user in people.users for session in user.sessions.values()))
    romeo.answers = True
    again = await romeo.resume(people)
    assert again.answer.name == "resumed"
    answers = [await again.read_until("iq", id=id) for id in ("one", "two")]
    assert all(each.get("type") == "result" or stanza_error(each) == "resource-constraint" for each in answers)
    await again.send(query("three"))
    assert await page(again, "three") == [str(each) for each in range(MESSAGES)]
