"""Two who chat while a third misbehaves on the same server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.server.raw_client import RawClient
from tests.server.running import RunningServer

QUICK: Final = 3.0
"""Seconds for a message and its answer. It takes about a millisecond; the rest is for a machine that has much to do."""
_PAUSE: Final = 0.01  # seconds between two messages


class Bystanders:
    """`slowest` is how long the slowest message and its answer took, in seconds."""

    def __init__(self, one: RawClient, other: RawClient) -> None:
        self.one = one
        self.other = other
        self.slowest = 0.0
        self.count = 0

    async def chat(self) -> None:
        """A message and its answer."""
        clock = asyncio.get_running_loop().time
        before = clock()
        for sender, receiver in ((self.one, self.other), (self.other, self.one)):
            self.count += 1
            await sender.send(
                f"<message to='{receiver.jid}' type='chat' id='b{self.count}'><body>hello</body></message>"
            )
            assert (await receiver.read()).get("id") == f"b{self.count}"
        self.slowest = max(self.slowest, clock() - before)

    async def _chat_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.chat()
            await asyncio.sleep(_PAUSE)

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """They chat for the length of the block, and notice nothing of what goes on in there."""
        await self.chat()
        self.slowest = 0.0
        stop = asyncio.Event()
        task = asyncio.create_task(self._chat_on(stop))
        try:
            yield
        finally:
            stop.set()
            await task
        assert self.slowest < QUICK


async def bystanders(server: RunningServer) -> Bystanders:
    """Two accounts of their own, logged in."""
    clients = []
    for name in ("benvolio", "mercutio"):
        await server.account(name)
        clients.append(await RawClient.login(server, name))
    return Bystanders(*clients)
