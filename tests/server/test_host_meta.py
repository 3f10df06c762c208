"""XEP-0156: web clients find where to connect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import aiohttp
import pytest
import pytest_asyncio

from tests.server.bosh_client import Page
from tests.server.conftest import MakeServer
from tests.server.running import ADDRESS, RunningServer
from tests.server.test_websocket import Tab

WEBSOCKET = "urn:xmpp:alt-connections:websocket"
BOSH = "urn:xmpp:alt-connections:xbosh"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(
    server: RunningServer, path: str, host: str = "localhost", status: int = 200
) -> tuple[dict[str, str], bytes]:
    async with aiohttp.ClientSession() as http:
        headers = {"Host": host, "Origin": "https://chat.example"}
        async with http.get(f"http://{ADDRESS}:{server.http_port}{path}", headers=headers) as answer:
            assert answer.status == status
            return dict(answer.headers), await answer.read()


async def test_both_forms_name_websocket_and_bosh_to_pages_of_any_origin(server: RunningServer) -> None:
    links = [
        {"rel": WEBSOCKET, "href": f"wss://localhost:{server.https_port}/xmpp-websocket"},
        {"rel": BOSH, "href": f"https://localhost:{server.https_port}/http-bind"},
    ]
    headers, xml = await get(server, "/.well-known/host-meta")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert [dict(link.attrib) for link in ElementTree.fromstring(xml)] == links
    headers, text = await get(server, "/.well-known/host-meta.json")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert json.loads(text) == {"links": links}


@pytest.mark.parametrize("url", ["https://chat.example", "https://chat.example/im/"])
async def test_the_address_from_outside_is_the_operators(make_server: MakeServer, url: str) -> None:
    server = await make_server(f"[http]\nurl = '{url}'")
    _, text = await get(server, "/.well-known/host-meta.json")
    websocket, bosh = (link["href"] for link in json.loads(text)["links"])
    assert websocket == f"wss{url.removeprefix('https').rstrip('/')}/xmpp-websocket"
    assert bosh == f"{url.rstrip('/')}/http-bind"


async def test_what_has_no_tls_is_not_named(make_server: MakeServer) -> None:
    """§3.2"""
    server = await make_server("[http]\nurl = 'http://chat.example'")
    _, text = await get(server, "/.well-known/host-meta.json")
    assert json.loads(text) == {"links": []}


async def test_each_host_names_itself(make_server: MakeServer) -> None:
    """§3: links are those of the domain that was asked."""
    server = await make_server('[hosts."localhost"]\n[hosts."b.example"]')
    for asked, named in (("b.example", "b.example"), ("localhost", "localhost"), ("unknown.example", "localhost")):
        _, text = await get(server, "/.well-known/host-meta.json", asked)
        assert [link["href"] for link in json.loads(text)["links"]] == [
            f"wss://{named}:{server.https_port}/xmpp-websocket",
            f"https://{named}:{server.https_port}/http-bind",
        ]


async def test_paths_are_the_operators(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    server = await make_server("[http]\nwebsocket = '/ws'\nbosh = '/chat/bosh'")
    _, text = await get(server, "/.well-known/host-meta.json")
    websocket, bosh = (link["href"] for link in json.loads(text)["links"])
    assert (websocket, bosh) == (
        f"wss://localhost:{server.https_port}/ws",
        f"https://localhost:{server.https_port}/chat/bosh",
    )
    await (await Tab.connect(http, server, "/ws")).open()
    page = Page(http, server)
    page.url = page.url.replace("/http-bind", "/chat/bosh")
    assert (await page.create()).get("sid")
    for path in ("/xmpp-websocket", "/http-bind"):
        await get(server, path, status=404)


async def test_what_has_no_path_is_neither_served_nor_named(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    server = await make_server("[http]\nwebsocket = ''")
    _, text = await get(server, "/.well-known/host-meta.json")
    assert [link["rel"] for link in json.loads(text)["links"]] == [BOSH]
    assert (await Page(http, server).create()).get("sid")
    await get(server, "/xmpp-websocket", status=404)
    await server.stop()
    server = await make_server("[http]\nwebsocket = ''\nbosh = ''")
    for path in ("/.well-known/host-meta", "/.well-known/host-meta.json", "/xmpp-websocket", "/http-bind"):
        await get(server, path, status=404)
