"""A raw client that counts as XEP-0198 wants it.

juliet = await ManagedClient.enable(server, "juliet", "balcony")    # logged in, available, may resume
await juliet.message()                                              # the next message; `h` counts all that came
juliet.abort()                                                      # the network is gone
again = await juliet.resume(server)                                 # another connection; `again.answer` is what it got
"""

from __future__ import annotations

from typing import Final, Self

from tests.server.raw_client import RawClient
from tests.server.running import RunningServer
from xmpp_server.protocol.element import Element

SM: Final = "urn:xmpp:sm:3"
_STANZAS: Final = ("message", "presence", "iq")


class ManagedClient(RawClient):
    """`h` counts what came, `id` is that of the stream; `answers` says whether requests for acknowledgement are
    answered as they come."""

    id = ""
    h = 0
    name = ""
    answers = True
    counts = False

    @classmethod
    async def enable(
        cls,
        server: RunningServer,
        name: str,
        resource: str,
        attributes: str = "resume='true'",
        *,
        ns: str = SM,
        available: bool = True,
    ) -> Self:
        """A new session of this account, with stream management."""
        client = await cls.login(server, name, resource=resource)
        client.name = name
        await client.send(f"<enable xmlns='{ns}' {attributes}/>")
        answer = await client.read()
        assert (answer.ns, answer.name) == (ns, "enabled"), answer
        client.id = answer.get("id")
        client.answer = answer
        client.counts = True
        if available:
            await client.send("<presence/>")
            await client.read_until("presence", **{"from": str(client.jid)})
        return client

    answer = Element("", "")
    """`<enabled/>`, `<resumed/>` or `<failed/>`."""

    @classmethod
    async def authenticated(cls, server: RunningServer, name: str) -> Self:
        """A stream on which bind or resume is next."""
        client = await cls.open(server)
        assert (await client.authenticate(name)).name == "success"
        await client.open_stream()
        client.name = name
        return client

    async def resume(self, server: RunningServer, *, h: int | None = None, id: str = "", name: str = "") -> Self:
        """Ask for the session of this client over another connection."""
        client = await self.authenticated(server, name or self.name)
        client.jid, client.h, client.answers = self.jid, self.h if h is None else h, self.answers
        client.id = id or self.id
        client.counts = True
        await client.send(f"<resume xmlns='{SM}' h='{client.h}' previd='{client.id}'/>")
        client.answer = await client.read()
        return client

    async def read(self) -> Element:
        while True:
            element = await super().read()
            if self.counts and element.name in _STANZAS:
                self.h += 1
            if element.ns == SM and element.name == "r":
                if self.answers:
                    await self.send(f"<a xmlns='{SM}' h='{self.h}'/>")
                continue
            return element

    async def message(self) -> str:
        """The body of the next message."""
        return (await self.read_until("message")).child_text("jabber:client", "body")

    async def messages(self, count: int) -> list[str]:
        """The bodies of the next messages."""
        return [await self.message() for _ in range(count)]

    async def say(self, to: str, *bodies: str) -> None:
        """Send chat messages."""
        await self.send("".join(f"<message to='{to}' type='chat' id='{b}'><body>{b}</body></message>" for b in bodies))

    async def handled(self, at_least: int = 0) -> int:
        """Ask how much the server has handled, until it is so much."""
        await self.send(f"<r xmlns='{SM}'/>")
        while True:
            h = int((await self.read_until("a")).get("h"))
            if h >= at_least:
                return h

    @property
    def condition(self) -> str:
        """Of the `<failed/>` that answered."""
        assert (self.answer.ns, self.answer.name) == (SM, "failed"), self.answer
        return next(iter(self.answer)).name
