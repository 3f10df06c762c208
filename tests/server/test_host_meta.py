"""XEP-0156: web clients find where to connect."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import aiohttp
import pytest

from tests.server.conftest import MakeServer
from tests.server.running import ADDRESS, RunningServer

WEBSOCKET = "urn:xmpp:alt-connections:websocket"
BOSH = "urn:xmpp:alt-connections:xbosh"


async def get(server: RunningServer, path: str) -> tuple[dict[str, str], bytes]:
    async with aiohttp.ClientSession() as http:
        headers = {"Host": "localhost", "Origin": "https://chat.example"}
        async with http.get(f"http://{ADDRESS}:{server.http_port}{path}", headers=headers) as answer:
            assert answer.status == 200
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
