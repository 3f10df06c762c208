"""What a connection sees of its WebSocket, where the socket is slow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import WSMsgType

from xmpp_server.net.websocket import _Transport


class Socket:
    """A WebSocket whose first message has to wait."""

    prepared = True

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed = False
        self.room = asyncio.Event()

    async def send_frame(self, message: bytes, kind: WSMsgType) -> None:
        self.heard.append(message)
        await self.room.wait()

    async def close(self) -> None:
        self.closed = True


class Connection:
    """Whether it may write."""

    paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False


def made() -> tuple[_Transport, Socket, Connection]:
    socket, connection = Socket(), Connection()
    request = SimpleNamespace(transport=None, address="")
    return _Transport(cast(Any, socket), cast(Any, request), cast(Any, connection)), socket, connection


async def test_last_words_are_said_also_between_the_end_of_what_was_sent_and_its_being_told() -> None:
    transport, socket, connection = made()
    transport.send([b"a"])
    assert connection.paused
    task = transport._task
    assert task is not None
    socket.room.set()
    while not task.done():
        await asyncio.sleep(0)
    assert transport._task is task  # its end is told in the next turn
    transport.send([b"b"])
    transport.write_eof()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (socket.heard, socket.closed, connection.paused) == ([b"a", b"b"], True, False)


async def test_what_is_sent_meanwhile_goes_out_in_its_order() -> None:
    transport, socket, connection = made()
    transport.send([b"a"])
    transport.send([b"b", b"c"])
    assert socket.heard == [b"a"]
    socket.room.set()
    for _ in range(4):
        await asyncio.sleep(0)
    assert (socket.heard, socket.closed, connection.paused) == ([b"a", b"b", b"c"], False, False)
