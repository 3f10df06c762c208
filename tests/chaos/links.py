"""A TCP proxy whose links can be stalled and cut, and whose clients can vanish.

links = await Links.open(server_port)        # clients connect to `links.port`
link.stall()                                 # nothing goes either way, and nobody notices
link.ended()                                 # both ends see a reset
link.vanish()                                # the client's only: the server learns nothing
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Self, cast

from tests.server.running import ADDRESS

_MOST_BACKLOG: Final = 4096


class End(asyncio.Protocol):
    """One end of a link."""

    transport: asyncio.Transport

    def __init__(self, link: Link) -> None:
        self._link = link
        self.other: End | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if self._link.stalled:
            self.transport.pause_reading()

    def join(self, other: End) -> None:
        """What comes here goes there."""
        self.other = other
        for data in self._early:
            other.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self._link.stalled:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._link.lost(self)


class Link:
    """A connection to the proxy, and the one from there to the server."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self.stalled = False
        self.vanished = False
        self.client = End(self)
        self.server: End | None = None

    async def connect(self, port: int) -> None:
        self._links.open_links.append(self)
        try:
            _, end = await asyncio.get_running_loop().create_connection(lambda: End(self), ADDRESS, port)
        except OSError:
            self.ended()
            return
        self.server = end
        if self.client.transport.is_closing():
            self.ended()
            return
        self.client.join(end)
        end.join(self.client)

    def ends(self) -> Iterable[End]:
        return (self.client,) if self.server is None else (self.client, self.server)

    def stall(self) -> None:
        """Nothing is read any more, and so soon nothing can be sent."""
        self.stalled = True
        for end in self.ends():
            end.transport.pause_reading()

    def go_on(self) -> None:
        self.stalled = False
        for end in self.ends():
            end.transport.resume_reading()

    def vanish(self) -> None:
        """The client's network is gone: the server is not told, and what it sends is lost."""
        self.vanished = True
        self.stall()
        self.client.transport.abort()

    def lost(self, end: End) -> None:
        """This end is gone."""
        if not (self.vanished and end is self.client):
            self.ended()

    def ended(self) -> None:
        """One end is gone: so is the other."""
        if self in self._links.open_links:
            self._links.open_links.remove(self)
        for end in self.ends():
            end.transport.abort()


class Links:
    """All links to a server. Made by `open`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.open_links: list[Link] = []
        self.port = 0

    @classmethod
    async def open(cls, target: int) -> Self:
        """A proxy to this port."""
        links = cls(target)
        links._server = await asyncio.get_running_loop().create_server(links._accept, ADDRESS, 0, backlog=_MOST_BACKLOG)
        links.port = links._server.sockets[0].getsockname()[1]
        return links

    _server: asyncio.Server

    def _accept(self) -> End:
        link = Link(self)
        task = asyncio.get_running_loop().create_task(link.connect(self._target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return link.client

    def heal(self) -> None:
        """No link is stalled any more."""
        for link in list(self.open_links):
            if link.stalled and not link.vanished:
                link.go_on()

    def close(self) -> None:
        self._server.close()
        for link in list(self.open_links):
            link.ended()
