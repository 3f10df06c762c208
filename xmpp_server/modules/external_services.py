"""Where clients find services outside of XMPP, such as STUN and TURN for calls, with credentials that expire.

XEP: 0215 (1.0.0) partial: changes are not pushed
"""

from __future__ import annotations

import hmac
import time
from base64 import b64encode
from typing import Annotated, Final, Literal

import msgspec

from xmpp_server.module import Module, iq_get
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.host import Host
from xmpp_server.routing.iq import Request, Target

_NS: Final = "urn:xmpp:extdisco:2"
_PORTS: Final = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}  # RFC 8489 §8.1, RFC 8656 §3.1


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service. `host` is that of the XMPP domain if it is empty, `port` that of STUN and TURN if it is 0. With
    `secret` (coturn's static-auth-secret) each user gets credentials of his own, that expire; `username` and `password`
    are the same for all."""

    type: Annotated[str, msgspec.Meta(min_length=1)]
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    transport: Literal["udp", "tcp"] = "udp"
    name: str = ""
    username: str = ""
    password: str = ""
    secret: str = ""

    @property
    def restricted(self) -> bool:
        """Whether it wants credentials."""
        return bool(self.secret or self.username or self.password)

    @property
    def at(self) -> int:
        """The port; 0 where it is not known."""
        return self.port or _PORTS.get(self.type, 0)


class ExternalServicesOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is offered to the users of this server."""

    services: tuple[Service, ...] = ()
    """The services, each a table `[[modules.external_services.services]]` with `type` (`stun`, `stuns`, `turn`, `turns`
    or another), and as needed `host` (without it the domain), `port`, `transport` (`udp` or `tcp`), `name`, `username`
    and `password`, or `secret`: what coturn has as `static-auth-secret`, of which passwords are made that expire."""
    seconds: Annotated[int, msgspec.Meta(ge=60)] = 86_400
    """How long credentials that are made with a secret are good for."""


class ExternalServices(Module):
    """Answers accounts of this server, and nobody else."""

    name = "external_services"
    features = (_NS,)
    Options = ExternalServicesOptions

    def __init__(self, host: Host, options: ExternalServicesOptions) -> None:
        self._host = host
        self.options = options

    @iq_get(_NS, "services", Target.HOST)
    def services(self, request: Request) -> Element:
        """§3.1, §3.2: all, or those of a type. That the answer repeats the type stands in an example only, and other
        servers do not."""
        account = _account(request)
        wanted = request.payload.get("type")
        found = [service for service in self.options.services if wanted in ("", service.type)]
        return Element(_NS, "services", {}, [self._element(service, account) for service in found])

    @iq_get(_NS, "credentials", Target.HOST)
    def credentials(self, request: Request) -> Element:
        """§3.3: for one service that is known already; one that wants none is answered as it is."""
        account = _account(request)
        wanted = request.payload.child(_NS, "service")
        if wanted is None or not wanted.get("host") or not wanted.get("type"):
            raise StanzaError("bad-request", "a service has a host and a type")
        asked = (wanted.get("type"), wanted.get("host"))
        port = wanted.get("port")
        found = [
            service
            for service in self.options.services
            if (service.type, self._where(service)) == asked and port in ("", str(service.at))
        ]
        if not found:
            raise StanzaError("item-not-found", "such a service is not known")
        return Element(_NS, "credentials", {}, [self._element(service, account) for service in found])

    def _where(self, service: Service) -> str:
        return service.host or self._host.domain

    def _element(self, service: Service, account: JID) -> Element:
        attrs = {"type": service.type, "host": self._where(service)}
        if service.at:
            attrs["port"] = str(service.at)
        attrs["transport"] = service.transport
        if service.name:
            attrs["name"] = service.name
        if service.secret:
            expires = int(time.time()) + self.options.seconds
            attrs["username"], attrs["password"] = temporary(service.secret, account, expires)
            attrs["expires"] = format_time(expires * 1_000_000)
        elif service.restricted:
            attrs["username"], attrs["password"] = service.username, service.password
        if service.restricted:
            attrs["restricted"] = "1"
        return Element(_NS, "service", attrs)


def temporary(secret: str, account: JID, expires: int) -> tuple[str, str]:
    """Username and password that TURN servers who know the secret accept until `expires` (seconds since 1970), by
    draft-uberti-behave-turn-rest §2.2.

    A user has the same name each time, so that the service can limit him; his address is not told to it.
    """
    key = secret.encode()
    user = hmac.digest(key, f"user {account}".encode(), "sha256")[:12].hex()
    username = f"{expires}:{user}"
    return username, b64encode(hmac.digest(key, username.encode(), "sha1")).decode()


def _account(request: Request) -> JID:
    if request.session is None:
        raise StanzaError("forbidden", "services are for accounts of this server")
    return request.session.account.jid
