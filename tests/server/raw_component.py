"""A component at the level of bytes (XEP-0114)."""

from __future__ import annotations

import hashlib
from typing import Final, Self

from tests.server.raw_client import RawClient
from tests.server.running import RunningServer
from xmpp_server.protocol.element import Element

DOMAIN: Final = "plays.localhost"
SECRET: Final = "the cauldron boils"
OUTSIDE: Final = f"""
[listen.components]
enabled = true
port = 0
addresses = ["127.0.0.1"]
[outside."{DOMAIN}"]
secret = "{SECRET}"
title = "Plays"
"""
HEADER: Final = (
    "<?xml version='1.0'?><stream:stream to='{to}' xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class RawComponent(RawClient):
    """One connection of a component."""

    @classmethod
    async def at(cls, server: RunningServer, domain: str = DOMAIN) -> Self:
        """A connection on which nothing but the header was sent."""
        component = await cls.connect(server, domain, port=server.component_port)
        await component.send(HEADER.format(to=domain))
        return component

    @classmethod
    async def establish(cls, server: RunningServer, domain: str = DOMAIN) -> Self:
        """A component whose stanzas go both ways."""
        component = await cls.at(server, domain)
        answer = await component.prove(SECRET)
        assert answer.name == "handshake", answer
        return component

    async def prove(self, secret: str) -> Element:
        """Send the handshake; what the answer is."""
        while "id" not in self.header:
            await self._read_more()
        digest = hashlib.sha1(f"{self.header['id']}{secret}".encode()).hexdigest()
        await self.send(f"<handshake>{digest}</handshake>")
        return await self.read()
