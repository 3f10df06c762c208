"""A page that speaks BOSH (XEP-0124) by aiohttp's client.

page = Page(http, server)
body = await page.create()                       # features
body = await page.ask("<presence xmlns='jabber:client'/>")
await page.bind("romeo")                         # all the way from creation
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from tests.server.running import ADDRESS, PASSWORD, RunningServer
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element, parse

DEADLINE: Final = 20.0
_CREATE: Final = {"to": "localhost", "ver": "1.6", "wait": "60", "hold": "1", "xml:lang": "en", "xmpp:version": "1.0"}


class Page:
    """One session. `answer` is the last response as aiohttp has it."""

    def __init__(self, http: aiohttp.ClientSession, server: RunningServer, *, tls: bool = True) -> None:
        scheme, port = ("https", server.https_port) if tls else ("http", server.http_port)
        self.url = f"{scheme}://{ADDRESS}:{port}/http-bind"
        self.sid = ""
        self.rid = 1_000_000
        self.headers: dict[str, str] = {}
        self.answer: aiohttp.ClientResponse
        self._http = http
        self._ssl = ssl.create_default_context(cafile=str(server.certificate))
        self._ssl.check_hostname = False

    async def post(self, data: str | bytes | AsyncIterator[bytes]) -> Element | None:
        """The answer to any body; None if it is no XML."""
        async with (
            asyncio.timeout(DEADLINE),
            self._http.post(self.url, data=data, headers=self.headers, ssl=self._ssl) as self.answer,
        ):
            body = await self.answer.read()
        return parse(body, "") if body.startswith(b"<body") else None

    def request(self, content: str = "", /, **attrs: str) -> str:
        """The next request."""
        attrs = {"rid": str(self.rid), "xmlns": ns.BOSH, "xmlns:xmpp": ns.XBOSH} | attrs
        if self.sid:
            attrs.setdefault("sid", self.sid)
        self.rid += 1
        return (
            f"<body {' '.join(f'{name}={chr(39)}{value}{chr(39)}' for name, value in attrs.items())}>{content}</body>"
        )

    async def ask(self, content: str = "", /, **attrs: str) -> Element:
        """The answer to the next request."""
        body = await self.post(self.request(content, **attrs))
        assert body is not None
        assert (body.ns, body.name) == (ns.BOSH, "body")
        return body

    async def create(self, **attrs: str) -> Element:
        """A new session."""
        body = await self.ask(**(_CREATE | attrs))
        self.sid = body.get("sid")
        return body

    async def log_in(self, name: str, **attrs: str) -> None:
        """A session of this account, whose stream was restarted."""
        await self.create(**attrs)
        plain = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        body = await self.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{plain}</auth>")
        assert [child.name for child in body] == ["success"]
        body = await self.ask(**{"to": "localhost", "xmpp:restart": "true"})
        assert body.child(ns.STREAMS, "features") is not None

    async def bind(self, name: str, **attrs: str) -> str:
        """A session of this account with a resource; returns its address."""
        await self.log_in(name, **attrs)
        body = await self.ask(f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
        (answer,) = body
        assert (answer.ns, answer.get("type")) == (ns.CLIENT, "result")
        bound = answer.child(ns.BIND, "bind")
        assert bound is not None
        return bound.child_text(ns.BIND, "jid")
