"""The host-meta files, by which web clients find where to connect.

XEP: 0156 (1.4.0) complete
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from xmpp_server.protocol.host_meta import WEBSOCKET, jrd, xrd
from xmpp_server.util.http import Request, Route, Routes

_PATH: Final = "/.well-known/host-meta"


def serve(routes: Routes, websocket: Callable[[str], str]) -> None:
    """Serve the files, in both forms, to pages of any origin. `websocket` tells the `wss:` URL for a host of the
    request; empty: none."""

    def links(request: Request) -> list[tuple[str, str]]:
        url = websocket(request.url.host or "")
        return [(WEBSOCKET, url)] if url else []

    async def xml(request: Request) -> web.StreamResponse:
        return web.Response(body=xrd(links(request)), content_type="application/xrd+xml")

    async def json(request: Request) -> web.StreamResponse:
        return web.Response(body=jrd(links(request)), content_type="application/json")

    routes.add(Route(_PATH, {"GET": xml}, cross_origin=()))
    routes.add(Route(f"{_PATH}.json", {"GET": json}, cross_origin=()))
