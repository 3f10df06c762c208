"""Every option: its name, type, bounds, default and what it is for.

The text below a field is its documentation, from which config/xmpp-server.toml and docs/configuration.md are generated.
Options of modules stand in the modules, in the same form.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from xmpp_server.protocol.jid import JID, InvalidJID

from .reader import OptionError

RESTART: Final = msgspec.Meta(extra={"restart": True})
"""Marks an option whose change takes effect at the next start only."""

Count = Annotated[int, msgspec.Meta(ge=1)]
CountOrNone = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


def _check_addresses(addresses: tuple[str, ...]) -> None:
    for address in addresses:
        try:
            ip_address(address)
        except ValueError:
            raise OptionError("addresses", f"expected IP addresses, got {address!r}") from None


class Server(msgspec.Struct, frozen=True):
    """What is the server's as a whole."""

    data: Annotated[str, RESTART] = "data"
    """The folder of everything that the server keeps. A relative path starts at the folder that the server
    is started in."""
    conflict: Literal["replace", "refuse", "rename"] = "replace"
    """What becomes of a client whose resource is in use already: the older session ends, the new one is refused, or it
    gets another resource (RFC 6120 §7.7.2.2)."""


class Log(msgspec.Struct, frozen=True):
    """What is written to standard error. Neither secrets nor the content of messages ever are."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written."""
    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for programs: one object on each line."""


class Database(msgspec.Struct, frozen=True):
    """Where accounts, rosters and messages are kept."""

    url: Annotated[str, RESTART] = "sqlite:///xmpp-server.sqlite"
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`. A relative FILE lies in the data folder."""

    def __post_init__(self) -> None:
        # The text of the URL is not repeated: it may hold a password.
        if not self.url.startswith(("sqlite:///", "postgresql://", "postgresql+asyncpg://")) or ":memory:" in self.url:
            raise OptionError("url", "expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


class Listener(msgspec.Struct, frozen=True):
    """One kind of port."""

    enabled: bool = True
    """Whether to listen at all."""
    port: Port = 0
    """The TCP port; 0 takes any that is free, and the log says which."""
    addresses: tuple[str, ...] = ()
    """Other addresses than those of `[listen]`."""

    def __post_init__(self) -> None:
        _check_addresses(self.addresses)


class C2S(Listener, frozen=True):
    """Clients, with STARTTLS (RFC 6120 §5)."""

    port: Port = 5222
    """The TCP port; 0 takes any that is free, and the log says which."""


class DirectTls(Listener, frozen=True):
    """Clients, with TLS from the first byte (XEP-0368)."""

    port: Port = 5223
    """The TCP port; 0 takes any that is free, and the log says which."""


class HttpPort(Listener, frozen=True):
    """HTTP without encryption, for a proxy in front of the server that has it."""

    port: Port = 5280
    """The TCP port; 0 takes any that is free, and the log says which."""
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    """The addresses to listen on; empty: those of `[listen]`."""


class HttpsPort(Listener, frozen=True):
    """HTTP with TLS, by the certificates of the hosts."""

    port: Port = 5281
    """The TCP port; 0 takes any that is free, and the log says which."""


class ComponentPort(Listener, frozen=True):
    """Components outside of the server (XEP-0114), those of `[outside]`. The protocol has no encryption: listen where
    nobody else can read."""

    enabled: bool = False
    """Whether to listen at all."""
    port: Port = 5347
    """The TCP port; 0 takes any that is free, and the log says which."""
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    """The addresses to listen on; empty: those of `[listen]`."""


class Listen(msgspec.Struct, frozen=True):
    """Where the server is reached."""

    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    """The addresses to listen on: `0.0.0.0` and `::` for all of the machine's, so that others can connect."""
    c2s: C2S = C2S()
    direct_tls: DirectTls = DirectTls()
    http: HttpPort = HttpPort()
    https: HttpsPort = HttpsPort()
    components: ComponentPort = ComponentPort()

    def __post_init__(self) -> None:
        if not self.addresses:
            raise OptionError("addresses", "expected at least one address")
        _check_addresses(self.addresses)


class Tls(msgspec.Struct, frozen=True):
    """Encryption of connections: TLS 1.2 or 1.3."""

    certificates: str = "certificates"
    """The folder with `HOST.crt` (PEM, the host's certificate first) and `HOST.key` for each host that names no files
    of its own. A relative path starts at the data folder."""
    self_signed: bool = True
    """Make a certificate for a host that has none. Clients ask their users whether to trust it."""
    starttls: Literal["required", "optional"] = "required"
    """Whether a client has to encrypt before it logs in. `optional` is for tests on the machine itself."""


class Http(msgspec.Struct, frozen=True):
    """The HTTP server: uploads, and what web clients use."""

    url: str = ""
    """How it is reached from outside, such as `https://chat.example`: without a path, or with that under which a proxy
    passes on what comes. Empty: `https://HOST:PORT` of `[listen.https]`, for each host."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies that tell the truth in `X-Forwarded-For` and `X-Forwarded-Proto`."""
    connections: Count = 10_000
    """Connections in all."""
    connections_per_address: Count = 100
    """Connections from one IPv4 address or one IPv6 network of 64 bits; behind a proxy, requests at the same time."""
    websocket: Annotated[str, RESTART, msgspec.Meta(pattern="^(/.*)?$")] = "/xmpp-websocket"
    """The path of XMPP over WebSocket (RFC 7395); empty: it is not served."""
    bosh: Annotated[str, RESTART, msgspec.Meta(pattern="^(/.*)?$")] = "/http-bind"
    """The path of XMPP over BOSH (XEP-0124); empty: it is not served."""
    bosh_wait_seconds: Seconds = 60
    """How long a request of BOSH is held at most while there is nothing to say."""
    bosh_inactivity_seconds: Seconds = 60
    """How long a client of BOSH may make no request; one that polls, twice as long."""
    origins: tuple[str, ...] = ("*",)
    """Of which pages clients may connect over WebSocket and BOSH, such as `https://chat.example`, besides the
    server's own; `*`: of all. Programs that are no browsers name none, and may."""
    idle_seconds: Seconds = 75
    """How long a connection may take for a request's headers, or do nothing between two requests."""
    header_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8190
    """Bytes of a request's first line, and of each of its headers."""
    body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1_048_576
    """Bytes of a request's body, where the feature has no limit of its own."""

    def __post_init__(self) -> None:
        url = urlsplit(self.url)
        if self.url and (url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment):
            raise OptionError("url", f"expected a URL such as https://chat.example, got {self.url!r}")
        for proxy in self.proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise OptionError("proxies", f"expected IP addresses or networks, got {proxy!r}") from None
        if self.bosh and self.bosh == self.websocket:
            raise OptionError("bosh", f"expected another path than that of websocket, got {self.bosh!r}")
        for option, path in (("websocket", self.websocket), ("bosh", self.bosh)):
            if path.startswith("/.well-known/"):  # RFC 8615 §3: names there are registered; host-meta is ours
                raise OptionError(option, f"expected a path outside of /.well-known/, got {path!r}")


class Limits(msgspec.Struct, frozen=True):
    """What a stranger, a client and an account may use at most. 0 stands for no limit where it is allowed."""

    connections: Count = 50_000
    """Connections in all."""
    connections_per_address: Count = 1_000
    """Connections from one IPv4 address or one IPv6 network of 64 bits."""
    login_seconds: Seconds = 30
    """How long a connection may take to log in."""
    stanza_bytes_before_login: Annotated[int, msgspec.Meta(ge=10_000)] = 16_384
    """Bytes of one top-level element before login (RFC 6120 §13.12: 10000 at least)."""
    stanza_bytes: Annotated[int, msgspec.Meta(ge=10_000)] = 262_144
    """Bytes of one top-level element after login."""
    depth: Annotated[int, msgspec.Meta(ge=8, le=250)] = 64  # what writes elements calls itself for each level
    """How deep elements may be nested in a top-level element."""
    attributes: Annotated[int, msgspec.Meta(ge=16)] = 64
    """Attributes of one element, declarations of namespaces included."""
    bytes_per_second: CountOrNone = 65_536
    """Bytes that one session may send in the long run; what is above is read later."""
    bytes_burst: Count = 2_097_152
    """Bytes that one session may send at once."""
    outbox_bytes: Annotated[int, msgspec.Meta(ge=262_144)] = 4_194_304
    """Bytes that may wait for a client that does not read; with more, its connection ends."""
    keepalive_seconds: Seconds = 240
    """After so long without traffic the server writes a space, to notice a dead connection (RFC 6120 §4.6.1); over
    WebSocket it sends a ping then, and after 50 seconds at the latest (RFC 7395 §3.8)."""
    sessions_per_account: Count = 50
    """Clients of one account that are connected at the same time."""
    roster_items: Count = 10_000
    """Contacts of one account."""


class Sasl(msgspec.Struct, frozen=True):
    """Logging in."""

    iterations: Annotated[int, msgspec.Meta(ge=10_000)] = 10_000
    """Iterations of SCRAM for passwords that are set from now on (RFC 7677 §4)."""
    attempts: Count = 5
    """Failed logins on one connection before it is closed."""
    free_guesses: CountOrNone = 3
    """Wrong passwords for one account, or from one address, after which answers are held back, longer with each one
    more; 0: never."""
    plain_without_tls: bool = False
    """Offer PLAIN on connections that are not encrypted, so that passwords can be read on the way. For tests only."""


class Outside(msgspec.Struct, frozen=True):
    """A component outside of the server, by its domain (XEP-0114): a transport, a bot, somebody's own service. It
    connects to the port of `[listen.components]`."""

    secret: str = ""
    """What it proves itself by: text that nobody can guess, of 16 characters at least; empty: nobody connects."""
    title: str = ""
    """Its name in the host's list of services; empty: it is not listed."""


class ModuleConfig(msgspec.Struct, frozen=True):
    """A module or a component at one host: whether it is in use, and its options."""

    enabled: bool
    options: Any


class Host(msgspec.Struct, frozen=True):
    """A domain that the server serves. Without any the server serves `localhost`.

    A section `[hosts."DOMAIN".modules.NAME]` or `[hosts."DOMAIN".components.NAME]` changes options of a module or a
    component for this host alone.
    """

    certificate: str = ""
    """The file of the certificate's chain (PEM); without it the folder of `[tls]` is looked in."""
    key: str = ""
    """The file of the certificate's key (PEM)."""
    admins: tuple[str, ...] = ()
    """The accounts that may administrate the host: names at the host, or whole addresses."""
    modules: dict[str, Any] = {}
    components: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.certificate and not self.key:
            raise OptionError("certificate", "expected together with key")
        if self.key and not self.certificate:
            raise OptionError("key", "expected together with certificate")
        for admin in self.admins:
            try:
                JID.parse(admin)
            except InvalidJID:
                raise OptionError("admins", f"expected addresses of accounts, got {admin!r}") from None


class Options(msgspec.Struct, frozen=True):
    """The whole file."""

    server: Server = Server()
    log: Log = Log()
    database: Database = Database()
    listen: Annotated[Listen, RESTART] = Listen()
    tls: Tls = Tls()
    limits: Limits = Limits()
    sasl: Sasl = Sasl()
    http: Http = Http()
    modules: dict[str, Any] = {}
    components: dict[str, Any] = {}
    outside: dict[str, Outside] = {}
    hosts: dict[str, Host] = {}
