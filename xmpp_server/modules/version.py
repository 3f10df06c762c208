"""The server's name and version.

XEP: 0092 (1.1) complete
"""

from __future__ import annotations

import platform

import msgspec

from xmpp_server import __version__
from xmpp_server.module import Module, iq_get
from xmpp_server.protocol.element import Element
from xmpp_server.routing.iq import Request, Target

_NS = "jabber:iq:version"


class VersionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told."""

    os: bool = False
    """Tell the operating system too; this helps attackers as well."""


class Version(Module):
    """Answers for the host."""

    name = "version"
    features = (_NS,)
    Options = VersionOptions

    def __init__(self, options: VersionOptions) -> None:
        self.options = options

    @iq_get(_NS, "query", Target.HOST)
    def version(self, request: Request) -> Element:
        """Name, version and, if it is to be told, operating system."""
        answer = Element(_NS, "query").add(
            Element(_NS, "name", children=["xmpp-server"]),
            Element(_NS, "version", children=[__version__]),
        )
        if self.options.os:
            answer.add(Element(_NS, "os", children=[f"{platform.system()} {platform.release()}"]))
        return answer
