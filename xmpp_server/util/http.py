"""What features serve over HTTP: routes by path, and the requests that come for them. `net/http.py` has the sockets.

routes.add(Route("/upload/", {"GET": self.download, "PUT": self.upload}, below=True, cross_origin=("Content-Type",)))

async def download(self, request: Request) -> web.StreamResponse:
    file = request.rest
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web

from .domains import ascii_domain

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PREFLIGHT_SECONDS: Final = "86400"  # for how long a browser need not ask again


class Request(web.BaseRequest):
    """A request, and who makes it: behind a proxy that is trusted, as the proxy tells it."""

    address: str = ""
    """The client's address."""
    key: str = ""
    """Whose address it is, for limits (`util.limits.address_key`)."""
    secure: bool = False
    """Whether the client speaks TLS, to us or to the proxy."""
    route: Route | None = None
    rest: str = ""
    """What follows the route's path, as it was sent: percent-encoded, and nobody has looked at it."""

    @property
    def domain(self) -> str:
        """The domain in the URL, without a port, whatever it is."""
        host = self.headers.get(hdrs.HOST, "").lower()
        return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]

    async def accept_body(self) -> None:
        """Tell a client that asked first that it may send its body (RFC 9110 §10.1.1); whoever reads one calls this."""
        if self.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and self.version >= (1, 1):
            await self.writer.write(_CONTINUE)
            self.writer.output_size = 0

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        headers = response.headers
        headers[hdrs.SERVER] = "xmpp-server"
        headers.setdefault("X-Content-Type-Options", "nosniff")
        if self.route is not None:
            for name, value in self.route.headers.items():
                headers.setdefault(name, value)


Handler = Callable[[Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A path, or with `below` all paths that begin with it, and what answers there by method. HEAD goes to GET where
    nothing else stands for it, OPTIONS is answered for the route.

    `host` is the domain in the URL; empty: any. `cross_origin`: pages of any origin may use it, and send these headers
    (CORS); None: no others. No cookies are used anywhere, so no origin gains anything that a program does not have.
    """

    path: str
    handlers: Mapping[str, Handler]
    below: bool = False
    host: str = ""
    cross_origin: tuple[str, ...] | None = None
    exposed: tuple[str, ...] = ()
    """Headers of answers that pages of other origins may read."""
    headers: Mapping[str, str] = field(init=False)
    """What every answer carries."""

    def __post_init__(self) -> None:
        headers: dict[str, str] = {}
        if self.cross_origin is not None:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
            if self.exposed:
                headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(self.exposed)
        object.__setattr__(self, "headers", headers)

    @property
    def methods(self) -> tuple[str, ...]:
        """All that may be asked for."""
        head = ("HEAD",) if "GET" in self.handlers and "HEAD" not in self.handlers else ()
        return (*self.handlers, *head, "OPTIONS")

    def handler(self, method: str) -> Handler | None:
        """What answers this method."""
        if method == "OPTIONS" and method not in self.handlers:
            return self._options
        return self.handlers.get(method) or (self.handlers.get("GET") if method == "HEAD" else None)

    async def _options(self, request: Request) -> web.StreamResponse:
        methods = ", ".join(self.methods)
        headers = {hdrs.ALLOW: methods}
        if self.cross_origin is not None:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = methods
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ", ".join(self.cross_origin)
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _PREFLIGHT_SECONDS
        return web.Response(status=204, headers=headers)


class Routes:
    """All routes: those of a host before those of any, a whole path before one that begins so, long before short."""

    def __init__(self) -> None:
        self._whole: dict[tuple[str, str], Route] = {}
        self._below: list[Route] = []

    def add(self, route: Route) -> None:
        """Serve this too; raises ValueError if something else stands there, or the path is none."""
        if not route.path.startswith("/"):
            raise ValueError(f"{route.path!r}: a path begins with /")
        place = (route.host, route.path)
        if not route.below:
            if place in self._whole:
                raise ValueError(f"{route.path} is served twice")
            self._whole[place] = route
            return
        if any((other.host, other.path) == place for other in self._below):
            raise ValueError(f"{route.path} is served twice")
        self._below.append(route)
        self._below.sort(key=lambda other: (not other.host, -len(other.path)))

    def remove(self, route: Route) -> None:
        """Serve this no more."""
        if route.below:
            self._below.remove(route)
        else:
            del self._whole[route.host, route.path]

    def find(self, host: str, path: str) -> tuple[Route, str] | None:
        """The route for a path at a host, with what follows the route's path."""
        if route := self._whole.get((host, path)) or self._whole.get(("", path)):
            return route, ""
        for route in self._below:
            if path.startswith(route.path) and route.host in ("", host):
                return route, path[len(route.path) :]
        return None

    async def answer(self, host: str, request: Request) -> web.StreamResponse:
        """What the route for the request's path at this host answers."""
        found = self.find(host, request.rel_url.raw_path)
        if found is None:
            return text(404, "There is nothing here.")
        request.route, request.rest = found
        handler = request.route.handler(request.method)
        if handler is None:
            return text(405, "This cannot be done here.", Allow=", ".join(request.route.methods))
        return await handler(request)


@dataclass(slots=True)
class Site:
    """How what is served is reached, and where files may be kept."""

    routes: Routes
    data: Path
    base: str = ""
    """The URL from outside, without a slash at its end; empty: that of the HTTPS port."""
    port: int = 0
    """The HTTPS port that is listened on; 0: none."""
    addresses: tuple[str, ...] = ()
    """What is listened on where nothing else is asked for."""

    def url(self, host: str) -> str:
        """The URL that paths are appended to."""
        return self.base or f"https://{host if host.startswith('[') else ascii_domain(host)}:{self.port}"


def text(status: int, line: str, **headers: Any) -> web.Response:
    """A short answer for people, as errors are."""
    return web.Response(status=status, text=line + "\n", headers=headers)
