"""The host-meta files, by which web clients find where to connect.

XEP: 0156 (1.4.0) complete
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from xmpp_server.protocol.host_meta import jrd, xrd
from xmpp_server.util.http import Request, Route, Routes

_PATH: Final = "/.well-known/host-meta"


def serve(routes: Routes, links_of: Callable[[str], Sequence[tuple[str, str]]]) -> None:
    """Serve the files, in both forms, to pages of any origin. `links_of` tells relations and URLs for the host of a
    request."""

    def links(request: Request) -> Sequence[tuple[str, str]]:
        return links_of(request.domain)

    async def xml(request: Request) -> web.StreamResponse:
        return web.Response(body=xrd(links(request)), content_type="application/xrd+xml")

    async def json(request: Request) -> web.StreamResponse:
        return web.Response(body=jrd(links(request)), content_type="application/json")

    routes.add(Route(_PATH, {"GET": xml}, cross_origin=()))
    routes.add(Route(f"{_PATH}.json", {"GET": json}, cross_origin=()))
