"""Clients over BOSH (XEP-0124, XEP-0206), on the whole server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.server.bosh_client import Page
from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient
from tests.server.running import ADDRESS, RunningServer
from tests.waiting import until
from xmpp_server.net import bosh
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

MESSAGE = "<message xmlns='jabber:client' to='{to}'><body>{body}</body></message>"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def ended(body: Element) -> str:
    assert body.get("type") == "terminate"
    return body.get("condition")


async def test_a_page_logs_in_and_chats_with_who_is_connected_otherwise(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    juliet = await RawClient.login(people, "juliet", resource="balcony")
    romeo = Page(http, people)
    await romeo.bind("romeo")
    held = asyncio.create_task(romeo.ask(MESSAGE.format(to="juliet@localhost/balcony", body="a &amp; b")))
    message = await juliet.read()
    assert message.child_text(ns.CLIENT, "body") == "a & b"
    assert not held.done()
    await juliet.send(MESSAGE.format(to=message.get("from"), body="c"))
    (answer,) = await held
    assert (answer.ns, answer.child_text(ns.CLIENT, "body")) == (ns.CLIENT, "c")
    assert ended(await romeo.ask(type="terminate")) == ""
    await until(lambda: len(people.connections) == 1)


async def test_terms_are_told_at_the_start(server: RunningServer, http: aiohttp.ClientSession) -> None:
    page = Page(http, server)
    body = await page.create(wait="5")
    assert (body.get("wait"), body.get("hold"), body.get("requests"), body.get("inactivity")) == ("5", "1", "2", "60")
    assert page.answer.content_type == "text/xml"
    assert page.answer.charset == "utf-8"
    assert len(page.sid) >= 24
    features = body.child(ns.STREAMS, "features")
    assert features is not None
    assert features.child(ns.TLS, "starttls") is None


async def test_what_arrives_while_no_request_waits_goes_out_with_the_next(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    juliet = await RawClient.login(people, "juliet")
    romeo = Page(http, people)
    await romeo.bind("romeo")
    await romeo.ask("<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    for body in ("1", "2"):
        await juliet.send(MESSAGE.format(to="romeo@localhost", body=body))
    await juliet.send("<iq xmlns='jabber:client' type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>")
    await juliet.read()
    body = await romeo.ask("<presence xmlns='jabber:client'/>")
    said = [child.child_text(ns.CLIENT, "body") for child in body if child.name == "message"]
    while len(said) < 2:
        said += [child.child_text(ns.CLIENT, "body") for child in await romeo.ask() if child.name == "message"]
    assert said == ["1", "2"]


async def test_a_session_is_resumed_by_another_one_which_hears_what_was_missed(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    romeo = Page(http, people)
    jid = await romeo.bind("romeo")
    (enabled,) = await romeo.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    juliet = await RawClient.login(people, "juliet")
    await juliet.send(MESSAGE.format(to=jid, body="before"))
    (message,) = await romeo.ask()
    assert message.child_text(ns.CLIENT, "body") == "before"
    assert ended(await romeo.ask(rid="1", sid=romeo.sid)) == "item-not-found"  # the link is cut
    await juliet.send(MESSAGE.format(to=jid, body="meanwhile"))
    again = Page(http, people)
    await again.log_in("romeo")
    heard = list(await again.ask(f"<resume xmlns='urn:xmpp:sm:3' previd='{enabled.get('id')}' h='0'/>"))
    while sum(child.name == "message" for child in heard) < 2:
        heard += await again.ask()
    assert heard[0].name == "resumed"
    said = [child.child_text(ns.CLIENT, "body") for child in heard if child.name == "message"]
    assert said == ["before", "meanwhile"]


async def test_a_request_whose_answer_was_lost_gets_it_again(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    """§14.3"""
    romeo = Page(http, people)
    await romeo.bind("romeo")
    request = romeo.request("<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    first = await romeo.post(request)
    assert first is not None
    assert first.to_bytes() == (await romeo.post(request)).to_bytes()  # type: ignore[union-attr]


async def test_a_client_that_goes_away_while_it_waits_may_ask_again(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    juliet = await RawClient.login(people, "juliet")
    romeo = Page(http, people)
    await romeo.bind("romeo")
    request = romeo.request("<presence xmlns='jabber:client'/>")
    await romeo.post(request)
    request = romeo.request()
    held = asyncio.create_task(romeo.post(request))
    connection = next(iter(people.app._web._bosh.connections.values()))
    await until(lambda: connection.http.can_say)
    held.cancel()
    await until(lambda: not connection.http.can_say)
    await juliet.send(MESSAGE.format(to="romeo@localhost", body="kept"))
    body = await romeo.post(request)
    assert body is not None
    assert [child.child_text(ns.CLIENT, "body") for child in body] == ["kept"]


async def test_nothing_is_lost_or_twice_where_requests_cross_and_links_break(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    """Two requests at a time, of which many are cut off and made again (§14.2, §14.3), while messages go both ways."""
    juliet = await RawClient.login(people, "juliet", resource="balcony")
    romeo = Page(http, people)
    await romeo.bind("romeo")
    await romeo.ask("<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    chance = random.Random(7)
    got: list[str] = []
    count = 60

    async def insist(request: str) -> None:
        while True:
            asked = asyncio.create_task(romeo.post(request))
            if chance.random() < 0.3:
                await asyncio.wait([asked], timeout=chance.random() / 50)
                if not asked.done():
                    asked.cancel()
                    continue
            body = await asked
            assert body is not None
            if body.get("type") == "error":
                continue
            got.extend(child.child_text(ns.CLIENT, "body") for child in body if child.name == "message")
            return

    async def answers() -> list[str]:
        heard = []
        for _ in range(count):
            message = await juliet.read()
            heard.append(message.child_text(ns.CLIENT, "body"))
            await juliet.send(MESSAGE.format(to=message.get("from"), body=heard[-1]))
        return heard

    listening = asyncio.create_task(answers())
    waiting: list[asyncio.Task[None]] = []
    for number in range(count):
        waiting = [task for task in waiting if not task.done()]
        if len(waiting) == 2:
            await waiting.pop(0)
        content = MESSAGE.format(to="juliet@localhost/balcony", body=number)
        waiting.append(asyncio.create_task(insist(romeo.request(content))))
    assert await listening == [str(number) for number in range(count)]
    while len(got) < count:
        waiting = [task for task in waiting if not task.done()]
        if not waiting:
            waiting.append(asyncio.create_task(insist(romeo.request())))
        await waiting.pop(0)
    assert sorted(got, key=int) == [str(number) for number in range(count)]


async def test_a_client_that_falls_silent_is_gone(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    """§10"""
    server = await make_server("[http]\nbosh_inactivity_seconds = 1")
    await server.account("romeo")
    romeo = Page(http, server)
    await romeo.bind("romeo")
    await until(lambda: not server.connections)
    assert ended(await romeo.ask()) == "item-not-found"


async def test_a_request_is_held_no_longer_than_agreed(people: RunningServer, http: aiohttp.ClientSession) -> None:
    romeo = Page(http, people)
    await romeo.bind("romeo", wait="1")
    body = await romeo.ask()
    assert (body.attrs, body.children) == ({}, [])


async def test_who_waits_is_told_that_the_server_stops(people: RunningServer, http: aiohttp.ClientSession) -> None:
    romeo = Page(http, people)
    await romeo.bind("romeo")
    held = asyncio.create_task(romeo.ask())
    connection = next(iter(people.app._web._bosh.connections.values()))
    await until(lambda: connection.http.can_say)
    await people.stop()
    assert ended(await held) == "system-shutdown"


# -- bad input


async def test_an_error_of_the_stream_is_told_with_its_condition(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    """XEP-0206 §2"""
    page = Page(http, server)
    await page.create()
    body = await page.ask("<!-- -->")
    assert ended(body) == "remote-stream-error"
    error = body.child(ns.STREAMS, "error")
    assert error is not None
    assert error.child(ns.STREAM_ERRORS, "restricted-xml") is not None


async def test_a_host_that_is_not_served_is_unknown(server: RunningServer, http: aiohttp.ClientSession) -> None:
    body = await Page(http, server).create(to="example.org")
    assert ended(body) == "host-unknown"
    assert body.children == []


@pytest.mark.parametrize(
    "data", ["", "a", "<body/>", "<!DOCTYPE a>", "<body xmlns='http://jabber.org/protocol/httpbind'/>"]
)
async def test_what_is_no_request_is_bad(server: RunningServer, http: aiohttp.ClientSession, data: str) -> None:
    body = await Page(http, server).post(data)
    assert body is not None
    assert ended(body) == "bad-request"
    assert not server.connections


async def test_two_bodies_make_no_session_and_lose_nothing_silently(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    """§6: a request is one `<body/>`."""
    page = Page(http, people)
    two = page.request(to="localhost") + page.request(MESSAGE.format(to="juliet@localhost", body="lost"))
    body = await page.post(two)
    assert body is not None
    assert ended(body) == "bad-request"
    assert not people.connections
    await page.bind("romeo")
    body = await page.post(page.request() + MESSAGE.format(to="juliet@localhost", body="lost"))
    assert body is not None
    assert ended(body) == "bad-request"


async def test_a_session_that_nobody_has_is_not_found(server: RunningServer, http: aiohttp.ClientSession) -> None:
    page = Page(http, server)
    assert ended(await page.ask(sid="guessed")) == "item-not-found"
    assert page.answer.status == 200


async def test_clients_of_the_first_versions_are_told_by_status(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    """§17.1"""
    page = Page(http, server)
    body = await page.ask(to="localhost", **{"xmpp:version": "1.0"})
    page.sid = body.get("sid")
    await page.ask(rid="5")
    assert page.answer.status == 404


async def test_before_the_login_bodies_are_small(people: RunningServer, http: aiohttp.ClientSession) -> None:
    settings = people.app.config.options.limits
    big = "x" * (settings.stanza_bytes_before_login + 1)
    page = Page(http, people)
    await page.create()
    assert ended(await page.ask(MESSAGE.format(to="juliet@localhost", body=big))) == "policy-violation"
    romeo = Page(http, people)
    await romeo.bind("romeo")
    juliet = await RawClient.login(people, "juliet", resource="balcony")
    held = asyncio.create_task(romeo.ask(MESSAGE.format(to="juliet@localhost/balcony", body=big)))
    assert (await juliet.read()).child_text(ns.CLIENT, "body") == big
    held.cancel()
    much = "x" * (settings.stanza_bytes + settings.stanza_bytes_before_login)
    assert ended(await romeo.ask(MESSAGE.format(to="juliet@localhost", body=much))) == "policy-violation"


async def test_a_body_that_is_too_large_ends_the_session_that_it_is_said_to_end(
    people: RunningServer, http: aiohttp.ClientSession
) -> None:
    """§17.2: also for the request that waits; a stranger's ends nothing."""
    settings = people.app.config.options.limits
    romeo = Page(http, people)
    await romeo.bind("romeo")
    held = asyncio.create_task(romeo.ask())
    connection = next(iter(people.app._web._bosh.connections.values()))
    await until(lambda: connection.http.can_say)
    much = "x" * (settings.stanza_bytes + settings.stanza_bytes_before_login)
    assert ended(await Page(http, people).ask(much, sid="guessed")) == "policy-violation"
    await romeo.post(romeo.request(much)[:-1])
    assert ended(await held) == "policy-violation"
    await until(lambda: not people.connections)
    assert ended(await romeo.ask()) == "item-not-found"


async def test_without_tls_nobodys_session_is_ended(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[tls]\nstarttls = 'optional'")
    page, plain = Page(http, server), Page(http, server, tls=False)
    await page.create()
    much = "x" * (server.app.config.options.limits.stanza_bytes_before_login + 1)
    assert ended(await plain.ask(much, sid=page.sid)) == "policy-violation"
    assert ended(await page.ask(type="terminate")) == ""


async def test_one_address_has_so_many_sessions(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[limits]\nconnections_per_address = 2")
    for _ in range(2):
        await Page(http, server).create()
    assert ended(await Page(http, server).create()) == "policy-violation"
    assert len(server.connections) == 2


async def test_behind_a_proxy_its_clients_are_counted(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server(f"[limits]\nconnections_per_address = 1\n[http]\nproxies = ['{ADDRESS}']")
    pages = [Page(http, server) for _ in range(3)]
    for page, client in zip(pages, ("192.0.2.1", "192.0.2.2", "192.0.2.2"), strict=True):
        page.headers["X-Forwarded-For"] = client
    for page in pages[:2]:
        assert (await page.create()).get("sid")
    assert ended(await pages[2].create()) == "policy-violation"
    assert sorted(connection.address for connection in server.connections) == ["192.0.2.1", "192.0.2.2"]


async def test_a_body_that_trickles_is_cut_off(
    server: RunningServer, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time that a session may be silent for; whoever has no session has nothing else to be cut off by."""
    assert server.app.config.options.http.bosh_inactivity_seconds > bosh._BODY_SECONDS
    monkeypatch.setattr(bosh, "_BODY_SECONDS", 0.5)
    clock = asyncio.get_running_loop().time

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    started = clock()
    body = await Page(http, server).post(trickle())
    assert body is not None
    assert ended(body) == "bad-request"
    assert clock() - started >= 0.5


async def test_who_does_not_log_in_is_told_so_and_goes(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[limits]\nlogin_seconds = 1")
    page = Page(http, server)
    await page.create()
    body = await page.ask()
    assert ended(body) == "remote-stream-error"
    await until(lambda: not server.connections)


async def test_without_tls_one_is_told_where_it_is(server: RunningServer, http: aiohttp.ClientSession) -> None:
    page = Page(http, server, tls=False)
    page.headers["Host"] = "localhost"
    body = await page.create()
    assert ended(body) == "see-other-uri"
    assert body.child_text(ns.BOSH, "uri") == f"https://localhost:{server.https_port}/http-bind"


async def test_a_session_with_tls_is_never_used_without(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[tls]\nstarttls = 'optional'")
    page = Page(http, server)
    await page.create()
    plain = Page(http, server, tls=False)
    plain.rid, plain.sid = page.rid, page.sid
    assert ended(await plain.ask()) == "item-not-found"


async def test_pages_of_other_origins_are_turned_away(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[http]\norigins = ['https://chat.example']")
    page = Page(http, server)
    page.headers["Origin"] = "https://chat.example"
    await page.create()
    assert page.answer.headers["Access-Control-Allow-Origin"] == "*"
    page = Page(http, server)
    page.headers["Origin"] = f"https://{ADDRESS}:{server.https_port}"  # our own
    assert (await page.create()).get("sid")
    for origin in ("https://evil.example", f"https://{ADDRESS}", "null"):
        page = Page(http, server)
        page.headers["Origin"] = origin
        assert await page.post(page.request(to="localhost")) is None
        assert page.answer.status == 403


async def test_answers_are_no_pages_whatever_type_is_asked_for(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    page = Page(http, server)
    await page.create(content="text/html; charset=utf-16&#10;X-More: 1")
    assert (page.answer.content_type, page.answer.charset) == ("text/html", "utf-8")
    assert "X-More" not in page.answer.headers
    assert "sandbox" in page.answer.headers["Content-Security-Policy"]
    assert page.answer.headers["X-Content-Type-Options"] == "nosniff"
