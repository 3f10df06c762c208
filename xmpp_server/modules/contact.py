"""Whom to turn to about this server: addresses by purpose in its disco#info.

XEP: 0157 (1.1.1) complete
"""

from __future__ import annotations

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.routing.host import DiscoInfo, Host

_SERVER_INFO = "http://jabber.org/network/serverinfo"


class ContactOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """URIs (`mailto:`, `xmpp:`, `https:`) by purpose."""

    abuse: tuple[str, ...] = ()
    """Where to report abuse."""
    admin: tuple[str, ...] = ()
    """Who runs the server."""
    feedback: tuple[str, ...] = ()
    """Where to say what is good and bad about the service."""
    sales: tuple[str, ...] = ()
    """Who sells the service."""
    security: tuple[str, ...] = ()
    """Where to report weaknesses."""
    status: tuple[str, ...] = ()
    """Where to read whether the service is up."""
    support: tuple[str, ...] = ()
    """Who helps users."""


class Contact(Module):
    """Adds the form, less the purposes for which there is nobody; without any, no form."""

    name = "contact"
    Options = ContactOptions

    def __init__(self, host: Host, options: ContactOptions) -> None:
        self._host = host
        self.options = options

    @on("disco_info")
    def info(self, info: DiscoInfo) -> None:
        """The server's extended information (XEP-0128)."""
        if info.to != self._host.jid or info.node:
            return
        addresses: dict[str, tuple[str, ...]] = msgspec.structs.asdict(self.options)
        fields = [Field(f"{purpose}-addresses", uris, "list-multi") for purpose, uris in addresses.items() if uris]
        if fields:
            info.forms.append(Form.of("result", _SERVER_INFO, *fields))
