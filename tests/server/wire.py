"""The people of `tests/scenarios` on a real server, of whatever make, with a component of ours outside of it.

What was sent is handled when a question to the component, and one to the server behind it, are answered: all streams
keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, cast

from components.muc import Muc
from tests.scenarios.world import Client, World
from tests.server.raw_client import Closed, Listening, RawClient
from tests.waiting import until
from xmpp_server.app.outside import Outside
from xmpp_server.protocol.jid import JID

_MECHANISM: Final = "SCRAM-SHA-1"  # which all servers have
_INFO: Final = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Wire:
    """A server, the component outside of it, and the clients; stands for a `World`. `account` makes an account where
    there is none."""

    def __init__(self, server: Listening, outside: Outside, account: Callable[[str], Awaitable[object]]) -> None:
        self.server = server
        self.clients: list[WireClient] = []
        self._outside = outside
        self._account = account

    async def login(self, address: str, presence: str = "<presence/>") -> Client:
        """As `World` has it."""
        jid = JID.parse(address)
        await self._account(str(jid.bare))
        raw = await RawClient.login(
            self.server, jid.localpart, domain=jid.domain, resource=jid.resource, mechanism=_MECHANISM, tls="none"
        )
        client = WireClient(self, raw)
        self.clients.append(client)
        client.send(presence)
        await self.settle()
        client.forget("presence")
        for other in self.clients:
            other.forget("presence", sender=client.jid)
        return client

    async def settle(self) -> None:
        """As `World` has it."""
        for _ in range(2):  # what comes back to the component from clients that are gone is handled in the second
            await self._ask_all(self._outside.domain)
            await until(self._is_idle)
        await self._ask_all(self._outside.domain)
        await self._ask_all()

    def _is_idle(self) -> bool:
        muc = self._outside.component
        assert isinstance(muc, Muc)
        busy = any(live.users or live._pending for live in muc._live.values())
        return self._outside.port.is_idle and not busy and not muc._loading

    async def _ask_all(self, domain: str = "") -> None:
        """The component, or each client its own server."""
        asked = (client.ask(domain) for client in self.clients if not client.closed)
        await asyncio.gather(*asked)

    async def close(self) -> None:
        """End all."""
        for client in self.clients:
            await client.disconnect()


class WireClient(Client):
    """Somebody's device, on a socket."""

    def __init__(self, world: Wire, raw: RawClient) -> None:
        super().__init__(cast(World, world))
        self._raw = raw
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @property
    def jid(self) -> str:
        return str(self._raw.jid)

    def send(self, xml: str | bytes) -> None:
        self._raw.writer.write(xml.encode() if isinstance(xml, str) else xml)

    async def ask(self, domain: str) -> None:
        """A question that is answered when everything before it was handled; to the own server, if to nobody."""
        id = f"settled-{len(self._asked)}"
        answered = self._asked[id] = asyncio.get_running_loop().create_future()
        self.send(f"<iq type='get' id='{id}' to='{domain or JID.parse(self.jid).domain}'>{_INFO}</iq>")
        async with asyncio.timeout(20):
            await answered

    async def disconnect(self) -> None:
        if not self.closed:
            self.closed = True
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
            with suppress(ConnectionError):
                await self._raw.leave()
            await self._world.settle()

    async def _read(self) -> None:
        while True:
            try:
                element = await self._raw.read()
            except TimeoutError:
                continue
            except Closed:
                self.closed = True
                return
            answered = self._asked.get(element.get("id")) if element.name == "iq" else None
            if answered is None:
                self.inbox.append(element)
            elif not answered.done():
                answered.set_result(None)
