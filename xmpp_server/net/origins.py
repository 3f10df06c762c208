"""Which pages may have their visitors' browsers connect here."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs

from xmpp_server.util.http import Request


def may_connect(request: Request, origins: Collection[str]) -> bool:
    """Whether the page that asks is one of ours, or of these origins; `*`: of all. Who is no browser names none."""
    origin = request.headers.get(hdrs.ORIGIN, "")
    return not origin or "*" in origins or origin in origins or origin.partition("://")[2] == request.host
