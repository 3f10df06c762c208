"""Invitations: an account by a client's token (XEP-0445), and by the page of the invitation."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID

from .conftest import LogIn, MakeServer
from .raw_client import RawClient
from .running import ADDRESS, RunningServer

TOKEN: Final = "a-token-that-nobody-guesses"
SOON: Final = time.time_ns() // 1000 + 3_600_000_000
NS: Final = "jabber:iq:register"
PASSWORD: Final = "Calliope und mehr"
BILL: Final = JID.parse("bill@localhost")


class Browser:
    """Gets pages and sends forms, over TLS if not told otherwise."""

    def __init__(self, http: aiohttp.ClientSession, server: RunningServer) -> None:
        self._http = http
        self._server = server
        self._ssl = ssl.create_default_context(cafile=str(server.certificate))
        self._ssl.check_hostname = False
        self.status = 0
        self.headers: dict[str, str] = {}

    async def open(
        self, path: str, form: dict[str, str] | bytes | None = None, *, tls: bool = True, **more: str
    ) -> str:
        scheme, port = ("https", self._server.https_port) if tls else ("http", self._server.http_port)
        url = f"{scheme}://{ADDRESS}:{port}{path}"
        method = "GET" if form is None else "POST"
        headers = {"Host": "localhost"} | more
        async with self._http.request(method, url, data=form, headers=headers, ssl=self._ssl) as answer:
            self.status, self.headers = answer.status, dict(answer.headers)
            return await answer.text()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def browser(http: aiohttp.ClientSession, server: RunningServer) -> Browser:
    return Browser(http, server)


async def invite(server: RunningServer, **more: object) -> str:
    await server.store.invitations.add(TOKEN, "localhost", **({"expires": SOON} | more))  # type: ignore[arg-type]
    return f"/invite/{TOKEN}"


async def newcomer(server: RunningServer) -> RawClient:
    """A client that is about to register."""
    return await RawClient.open(server)


async def ask(client: RawClient, payload: str, type: str = "set") -> str:
    """The condition of the error; empty if there is none."""
    await client.send(f"<iq type='{type}' id='r' to='localhost'>{payload}</iq>")
    error = (await client.read()).child(ns.CLIENT, "error")
    return "" if error is None else next(child.name for child in error if isinstance(child, Element))


def preauth(token: str = TOKEN) -> str:
    return f"<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>"


def register(name: str) -> str:
    return f"<query xmlns='{NS}'><username>{name}</username><password>{PASSWORD}</password></query>"


# -- XEP-0445


async def test_a_client_with_a_token_registers_where_nobody_else_may(server: RunningServer) -> None:
    await invite(server)
    client = await newcomer(server)
    assert {child.ns for child in client.features if child.name == "register"} == {
        "urn:xmpp:ibr-token:0",
        "http://jabber.org/features/iq-register",
    }
    assert await ask(client, register("bill")) == "service-unavailable"
    assert await ask(client, preauth("wrong")) == "item-not-found"
    assert await ask(client, preauth()) == ""
    assert await ask(client, register("bill")) == ""
    assert await server.store.accounts.exists(BILL)
    assert await ask(await newcomer(server), preauth()) == "item-not-found"


async def test_a_token_whose_account_was_not_made_yet_is_good_for_another_client(server: RunningServer) -> None:
    """§4"""
    await invite(server)
    first, second = await newcomer(server), await newcomer(server)
    assert await ask(first, preauth()) == ""
    assert await ask(second, preauth()) == ""
    assert await ask(second, register("bill")) == ""
    assert await ask(first, register("ben")) == "item-not-found"


async def test_who_is_invited_by_a_name_gets_that_one_and_nobody_else_does(make_server: MakeServer) -> None:
    server = await make_server("[modules.register]\nopen = true")
    await invite(server, localpart="bill")
    assert await ask(await newcomer(server), register("bill")) == "conflict"
    client = await newcomer(server)
    assert await ask(client, preauth()) == ""
    assert await ask(client, register("ben")) == "not-acceptable"
    assert await ask(client, register("Bill")) == ""


async def test_a_token_is_asked_for_whole(server: RunningServer) -> None:
    client = await newcomer(server)
    assert await ask(client, "<preauth xmlns='urn:xmpp:pars:0'/>") == "bad-request"


async def test_nobody_tries_tokens_for_ever(server: RunningServer) -> None:
    client = await newcomer(server)
    outcomes = [await ask(client, preauth(str(number))) for number in range(21)]
    assert outcomes == ["item-not-found"] * 20 + ["resource-constraint"]


async def test_inviter_and_newcomer_are_contacts_from_the_start(
    server: RunningServer, browser: Browser, log_in: LogIn
) -> None:
    """XEP-0401 §4.2"""
    romeo = await log_in("romeo@localhost/orchard")
    path = await invite(server, contact=JID.parse("romeo@localhost"))
    page = await browser.open(path)
    assert "romeo@localhost</b> invites you" in page
    assert f"xmpp:romeo@localhost?roster;preauth={TOKEN};ibr=y" in page
    await browser.open(path, {"name": "bill", "password": PASSWORD})
    assert browser.status == 201
    await until(lambda: romeo.client_roster["bill@localhost"]["subscription"] == "both")
    roster = await server.store.rosters.load(BILL)
    assert [(str(jid), item.subscription) for jid, item in roster.items.items()] == [("romeo@localhost", "both")]


# -- pages


async def test_the_start_page_tells_where_one_is_and_loads_nothing_from_elsewhere(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    server = await make_server("[modules.start_page]\ntext = 'Run by <us>'")
    browser = Browser(http, server)
    page = await browser.open("/")
    assert browser.status == 200
    assert "name@localhost" in page
    assert "Run by &lt;us&gt;" in page
    assert "If you have an invitation" in page
    assert "default-src 'none'" in browser.headers["Content-Security-Policy"]
    assert browser.headers["Referrer-Policy"] == "no-referrer"
    assert re.findall(r'(?:src|href)="(?!https://[a-z.-]+/")([^"]*)"', page) == ["data:,", "start.css"]
    assert "<script" not in page
    assert "system-ui" in await browser.open("/start.css")


async def test_where_everybody_may_make_an_account_it_says_so(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    server = await make_server("[modules.register]\nopen = true")
    assert "Everybody may have one" in await Browser(http, server).open("/")


async def test_other_names_lead_to_the_first_host(server: RunningServer, browser: Browser) -> None:
    for host in ("203.0.113.5:5281", "[2001:db8::1]:5281", "a b", "]", "[", "LOCALHOST:x"):
        assert "name@localhost" in await browser.open("/", Host=host)
    await browser.open("/.well-known/host-meta", Host="]a:b[")
    assert browser.status == 200


async def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    await browser.open("/nothing")
    assert browser.status == 404
    await browser.open("/", {"a": "b"})
    assert browser.status == 405


async def test_an_account_is_made_on_the_page_and_logs_in(
    server: RunningServer, browser: Browser, log_in: LogIn
) -> None:
    path = await invite(server)
    page = await browser.open(path)
    assert f"xmpp:localhost?register;preauth={TOKEN}" in page
    assert "<svg" in page
    page = await browser.open(path, {"name": "Bill", "password": PASSWORD})
    assert browser.status == 201
    assert "bill@localhost" in page
    assert (await log_in("bill@localhost/x", password=PASSWORD)).boundjid.bare == "bill@localhost"
    await browser.open(path)
    assert browser.status == 404


@pytest.mark.parametrize(
    ("name", "password", "status", "text"),
    [
        ("romeo", PASSWORD, 409, "The username is taken."),
        ("admin", PASSWORD, 409, "The username is taken."),
        ("a b", PASSWORD, 400, "contains what it may not"),
        ("<b>", PASSWORD, 400, "contains what it may not"),
        ("bill", "", 400, "are needed"),
        ("bill", "\x07" * 8, 400, "cannot be used"),
    ],
)
async def test_what_cannot_be_an_account_is_said_and_the_name_stays_in_its_field(
    server: RunningServer, browser: Browser, name: str, password: str, status: int, text: str
) -> None:
    await server.account("romeo")
    path = await invite(server)
    page = await browser.open(path, {"name": name, "password": password})
    assert browser.status == status
    assert f'role="alert" id="error">{text}' in page or text in page
    assert f'value="{name.replace("<", "&lt;").replace(">", "&gt;")}"' in page
    assert not await server.store.accounts.exists(BILL)


async def test_without_tls_no_password_is_taken(server: RunningServer, browser: Browser) -> None:
    path = await invite(server)
    assert "<form" not in await browser.open(path, tls=False)
    await browser.open(path, {"name": "bill", "password": PASSWORD}, tls=False)
    assert browser.status == 403


async def test_the_operator_may_leave_accounts_to_apps(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[modules.start_page]\naccounts = false")
    browser = Browser(http, server)
    path = await invite(server)
    assert "<form" not in await browser.open(path)
    await browser.open(path, {"name": "bill", "password": PASSWORD})
    assert browser.status == 403


async def test_one_to_a_contact_alone_makes_no_account_on_the_page(server: RunningServer, browser: Browser) -> None:
    path = await invite(server, contact=JID.parse("romeo@localhost"), contact_only=True)
    page = await browser.open(path)
    assert "romeo@localhost</b> invites you to chat" in page
    assert f'href="xmpp:romeo@localhost?roster;preauth={TOKEN}"' in page
    assert "<form" not in page
    await browser.open(path, {"name": "bill", "password": PASSWORD})
    assert browser.status == 403
    assert await ask(await newcomer(server), preauth()) == "item-not-found"


async def test_other_forms_are_refused(server: RunningServer, browser: Browser) -> None:
    path = await invite(server)
    await browser.open(path, {"name": "bill", "password": "x" * 5000})
    assert browser.status == 400
    await browser.open(path, {"name": "bill", "password": PASSWORD}, **{"Content-Type": "text/plain"})
    assert browser.status == 400
    form = "application/x-www-form-urlencoded; charset=none"
    for body in (b"name=\xff&password=" + PASSWORD.encode(), b"a=b&" * 11, b""):
        await browser.open(path, body, **{"Content-Type": form})
        assert browser.status == 400
    assert not await server.store.accounts.exists(BILL)


async def test_nobody_tries_names_for_ever(server: RunningServer, browser: Browser) -> None:
    """An invitation is not to tell which names are taken."""
    path = await invite(server)
    await server.account("romeo")
    statuses = []
    for _ in range(21):
        await browser.open(path, {"name": "romeo", "password": PASSWORD})
        statuses.append(browser.status)
    assert statuses == [409] * 20 + [429]
    assert not await server.store.accounts.exists(BILL)


async def test_nobody_looks_for_invitations_for_ever(browser: Browser) -> None:
    statuses = []
    for number in range(21):
        await browser.open(f"/invite/{number}")
        statuses.append(browser.status)
    assert statuses == [404] * 20 + [429]
