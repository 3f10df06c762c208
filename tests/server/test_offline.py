"""Messages that waited, to a real client that reads slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import slixmpp

from tests.waiting import until
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.offline import Message, Offline

from .bystanders import bystanders
from .managed_client import ManagedClient
from .running import PASSWORD, RunningServer

MESSAGES = 10_000
BODY = "x" * 800


def client(server: RunningServer, address: str) -> Any:
    made: Any = slixmpp.ClientXMPP(address, PASSWORD)
    made.ca_certs = server.certificate
    return made


async def online(made: Any, port: int) -> None:
    started = asyncio.Event()
    made.add_event_handler("session_start", lambda _: started.set())
    made.connect("127.0.0.1", port)
    async with asyncio.timeout(20):
        await started.wait()


async def test_ten_thousand_messages_wait_for_a_slow_reader_live_ones_behind_them_and_nobody_else_waits(
    server: RunningServer,
) -> None:
    romeo_jid, juliet_jid = await server.account("romeo"), await server.account("juliet")
    sender = JID.parse(f"{romeo_jid}/orchard")
    offline = server.store.offline
    await offline.keep(
        [Message(juliet_jid, number + 1, sender, stanza(number), number, 2**60) for number in range(MESSAGES)]
    )
    juliet = client(server, "juliet@localhost/balcony")
    came: list[str] = []
    juliet.add_event_handler("message", lambda message: came.append(message["id"]))
    await online(juliet, server.port)
    juliet.transport.pause_reading()
    juliet.send_presence()
    core = server.app.core
    await until(lambda: _account(core, juliet_jid).available() != [])
    romeo = client(server, str(sender))
    await online(romeo, server.port)
    romeo.send_message(mto="juliet@localhost", mbody="live", mtype="chat", msubject=None)
    session = _account(core, juliet_jid).available()[0]
    await until(lambda: session._held is not None)  # type: ignore[attr-defined]
    assert max(connection._size for connection in server.app._shared.connections) <= 200_000, "it takes memory"
    assert await offline.count(juliet_jid) > MESSAGES / 4, "the server took it for delivered"
    async with (await bystanders(server)).undisturbed():
        juliet.transport.resume_reading()
        await until(lambda: len(came) == MESSAGES + 1)
    assert came[:-1] == [str(number) for number in range(MESSAGES)]
    await until_empty(server, juliet_jid)
    await romeo.disconnect()
    await juliet.disconnect()


async def until_empty(server: RunningServer, jid: JID) -> None:
    async with asyncio.timeout(20):
        while await server.store.offline.count(jid):
            await asyncio.sleep(0.05)


def _account(core: Any, jid: JID) -> Any:
    account = core.accounts.get(jid)
    assert account is not None
    return account


def stanza(number: int) -> bytes:
    return (
        f"<message xmlns='jabber:client' from='romeo@localhost/orchard' to='juliet@localhost' id='{number}'>"
        f"<body>{BODY}</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2024-01-01T00:00:00Z'/></message>"
    ).encode()


async def test_who_comes_while_the_inbox_is_read_for_another_device_gets_it_too_before_what_is_new(
    people: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say("juliet@localhost", "1", "2")
    await romeo.handled(3)
    load, read, goes = Offline.load, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any, **more: Any) -> Any:
        read.set()
        await goes.wait()
        return await load(*arguments, **more)

    monkeypatch.setattr(Offline, "load", slow)
    laptop = await ManagedClient.enable(people, "juliet", "laptop")
    laptop.answers = False  # nobody knows whether it has them
    async with asyncio.timeout(20):
        await read.wait()
    phone = await ManagedClient.enable(people, "juliet", "phone")
    await romeo.say("juliet@localhost", "3")
    await romeo.handled(4)
    goes.set()
    assert await phone.messages(3) == ["1", "2", "3"]
    assert await laptop.messages(3) == ["1", "2", "3"]
