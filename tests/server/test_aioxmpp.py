"""The second independent client, aioxmpp, and slixmpp talk to each other.

aioxmpp needs an environment of its own, which `make test` makes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from .conftest import LogIn
from .person import DEADLINE
from .running import ADDRESS, PASSWORD, RunningServer

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"
SCRIPT: Final = Path(__file__).with_name("aioxmpp_client.py")
PYTHON: Final = Path(__file__).parents[2] / ".venvs/aioxmpp/bin/python"


class Aioxmpp:
    """A running client. Events that a test passes over are forgotten."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, server: RunningServer, address: str, password: str, tls: str) -> Aioxmpp:
        port = server.direct_tls_port if tls == "direct" else server.port
        process = await asyncio.create_subprocess_exec(
            *(PYTHON, SCRIPT, address, ADDRESS, str(port), tls, server.certificate),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        client = cls(process)
        client.tell(password=password)
        return client

    def tell(self, **command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def do(self, what: str, **command: str) -> None:
        """Let it do this, and wait until it has."""
        self.tell(do=what, **command)
        await self.next("done", what=what)

    async def next(self, event: str, *, seconds: float = DEADLINE, **wanted: str) -> dict[str, Any]:
        """The next event of this name and with these values."""
        assert self.process.stdout is not None
        passed_over: list[str] = []
        async with asyncio.timeout(seconds):
            while line := await self.process.stdout.readline():
                came: dict[str, Any] = json.loads(line)
                if came["event"] == event and wanted.items() <= came.items():
                    return came
                passed_over.append(line.decode())
        raise AssertionError(f"ended without {event} {wanted}, after {passed_over}")

    async def leave(self) -> None:
        """Log out, and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            await self.process.wait()


Start = Callable[..., Awaitable[Aioxmpp]]


@pytest_asyncio.fixture
async def aioxmpp(server: RunningServer) -> AsyncIterator[Start]:
    """Starts a client of an account, which is made."""
    clients: list[Aioxmpp] = []

    async def start(address: str, tls: str = "starttls") -> Aioxmpp:
        await server.account(address.partition("/")[0])
        clients.append(await Aioxmpp.start(server, address, PASSWORD, tls))
        return clients[-1]

    yield start
    for client in clients:
        if client.process.returncode is None:
            await client.leave()


@pytest.mark.parametrize("tls", ["starttls", "direct"])
async def test_aioxmpp_logs_in_and_asks_the_server(aioxmpp: Start, tls: str) -> None:
    juliet = await aioxmpp(f"{JULIET}/balcony", tls)
    await juliet.next("online", jid=f"{JULIET}/balcony")
    await juliet.do("ping", to="localhost")
    juliet.tell(do="disco", to="localhost")
    assert "urn:xmpp:carbons:2" in (await juliet.next("info"))["features"]


async def test_aioxmpp_and_slixmpp_add_each_other_and_talk(aioxmpp: Start, log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await aioxmpp(f"{JULIET}/balcony")
    await juliet.next("online")
    await juliet.do("subscribe", to=ROMEO, name="Romeo")
    await romeo.next("presence_subscribe", lambda request: request["from"] == JULIET)
    romeo.send_presence(pto=JULIET, ptype="subscribed")
    await juliet.next("available", jid=f"{ROMEO}/orchard")
    romeo.send_presence_subscription(JULIET)
    await juliet.next("subscribe", jid=ROMEO)
    await juliet.do("approve", to=ROMEO)
    await romeo.next("presence_available", lambda presence: presence["from"] == f"{JULIET}/balcony")
    await juliet.do("show", show="away")
    await romeo.next("presence_away")

    await juliet.do("send", to=f"{ROMEO}/orchard", body="Art thou not Romeo, and a Montague?")
    message = await romeo.next("message")
    assert message["body"] == "Art thou not Romeo, and a Montague?"
    await juliet.next("receipt", body="Art thou not Romeo, and a Montague?")
    answer = romeo.make_message(message["from"], "Neither, fair saint, if either thee dislike.", mtype="chat")
    answer["request_receipt"] = True
    answer.send()
    await juliet.next("message", sender=f"{ROMEO}/orchard", body="Neither, fair saint, if either thee dislike.")
    assert (await romeo.next("receipt_received"))["receipt"] == answer["id"]

    await juliet.do("block", to=ROMEO)
    romeo.send_message(JULIET, "Juliet?", mtype="chat")
    assert (await romeo.next("message_error"))["error"]["condition"] == "service-unavailable"
    await juliet.leave()


async def test_aioxmpp_gets_what_waited_and_copies_of_the_other_device(
    server: RunningServer, aioxmpp: Start, log_in: LogIn
) -> None:
    await server.account(JULIET)
    romeo = await log_in(f"{ROMEO}/orchard")
    romeo.send_message(JULIET, "But, soft!", mtype="chat")
    await romeo.sees_nothing_more("message_error")
    juliet = await Aioxmpp.start(server, f"{JULIET}/balcony", PASSWORD, "starttls")
    waited = await juliet.next("message", body="But, soft!")
    assert waited["delay"]
    await juliet.do("enable carbons")
    phone = await log_in(f"{JULIET}/phone")
    phone.send_message(ROMEO, "O Romeo, Romeo!", mtype="chat")
    await juliet.next("copy", sender=f"{JULIET}/phone", to=ROMEO, body="O Romeo, Romeo!")
    await juliet.leave()
