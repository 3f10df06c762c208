"""What web clients use: WebSocket, BOSH, the files that tell where both are; and the pages of modules."""

from __future__ import annotations

from aiohttp import web

from xmpp_server.config import Config
from xmpp_server.net import host_meta
from xmpp_server.net.bosh import Bosh
from xmpp_server.net.c2s import Clients
from xmpp_server.net.websocket import WebSocket
from xmpp_server.protocol.host_meta import BOSH, WEBSOCKET
from xmpp_server.stream.bosh import Settings
from xmpp_server.util.http import Request, Route, Site


class WebClients:
    """Puts the routes there that the configuration asks for."""

    def __init__(self, clients: Clients, site: Site, config: Config) -> None:
        options = config.options.http
        self._hosts = clients.router.hosts
        self._site = site
        self._config = config
        self._websocket = WebSocket(clients, options.origins)
        self._bosh = Bosh(
            clients, _settings(config), options.origins, lambda host: self._secure_url(host, options.bosh)
        )
        self._paths = {WEBSOCKET: options.websocket, BOSH: options.bosh}
        if options.websocket:
            site.routes.add(Route(options.websocket, {"GET": self._websocket.serve}))
        if options.bosh:
            site.routes.add(Route(options.bosh, {"POST": self._bosh.serve}, cross_origin=("Content-Type",)))
        if options.websocket or options.bosh:
            host_meta.serve(site.routes, self._links)
        site.routes.add(Route("/", {"GET": self._page, "POST": self._page}, below=True))

    def reconfigure(self, config: Config) -> None:
        """Take new options; what is bound to a path stays there."""
        self._config = config
        self._websocket.origins = self._bosh.origins = config.options.http.origins
        self._bosh.settings = _settings(config)

    async def _page(self, request: Request) -> web.StreamResponse:
        """What modules serve under their host's name; under any other, such as an address, the first one's."""
        host = self._hosts.get(request.domain) or next(iter(self._hosts.values()))
        return await host.web.answer("", request)

    def _links(self, host: str) -> list[tuple[str, str]]:
        """Relations and URLs, as web clients of this host find them (XEP-0156 §3)."""
        urls = {relation: self._secure_url(host, path) for relation, path in self._paths.items() if path}
        if WEBSOCKET in urls:
            urls[WEBSOCKET] = urls[WEBSOCKET].replace("https:", "wss:", 1)
        return [(relation, url) for relation, url in urls.items() if url]

    def _secure_url(self, host: str, path: str) -> str:
        """Where clients of this host find a path; empty if there is no TLS, which they need (XEP-0156 §3.2)."""
        if not self._site.base and not self._site.port:
            return ""
        domain = host if host in self._config.hosts else next(iter(self._config.hosts))
        url = self._site.url(domain) + path
        return url if url.startswith("https:") else ""


def _settings(config: Config) -> Settings:
    options = config.options.http
    return Settings(wait=options.bosh_wait_seconds, inactivity=options.bosh_inactivity_seconds)
