"""Clients that are gone at any moment: nothing of them stays, and nothing of what they said before is lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import HEADER, STARTTLS, RawClient
from tests.server.running import ADDRESS, PASSWORD, RunningServer
from tests.unit.sasl_client import ScramClient
from xmpp_server.protocol import ns

SETTLE = 10.0  # seconds
MOMENTS = (0.0, 0.001, 0.005)  # seconds after which a client hangs up
BIND = f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'><resource>orchard</resource></bind></iq>"
PLAIN = f"\0romeo\0{PASSWORD}"


async def forgotten(server: RunningServer, tasks: int, connections: int = 2, users: int = 2) -> None:
    """Wait until the server holds no more than these."""
    async with asyncio.timeout(SETTLE):
        while len(server.connections) > connections or len(server.users) > users or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)
    places = server.app._shared.places
    assert (places._sum, sum(places._taken.values())) == (connections, connections)


class Steps:
    """A client's way to be online, one step at a time."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server

    async def connect(self) -> None:
        self.client = await RawClient.connect(self.server, "localhost")

    async def header(self) -> None:
        await self.client.send(HEADER.format(to="localhost"))

    async def features(self) -> None:
        await self.client.read()

    async def starttls(self) -> None:
        await self.client.send(STARTTLS)

    async def secure(self) -> None:
        await self.client.read()
        await self.client.start_tls()
        await self.client.open_stream()

    async def auth(self) -> None:
        self.scram = ScramClient("sha256", "romeo", PASSWORD)
        self.challenge = await self.client.sasl("auth", self.scram.first(), "SCRAM-SHA-256")

    async def abort(self) -> None:
        await self.client.sasl("abort", b"")

    async def wrong(self) -> None:
        await self.client.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AHJvbWVvAHdyb25n</auth>")

    async def right(self) -> None:
        await self.client.read()
        assert (await self.client.authenticate("romeo", mechanism="PLAIN")).name == "success"

    async def header_again(self) -> None:
        await self.client.send(HEADER.format(to="localhost"))

    async def bind(self) -> None:
        await self.client.read()
        await self.client.send(BIND)

    async def bound(self) -> None:
        await self.client.read()

    async def roster(self) -> None:
        await self.client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")

    async def presence(self) -> None:
        await self.client.send("<presence/>")

    async def add(self) -> None:
        item = "<item jid='juliet@localhost'/>"
        await self.client.send(f"<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>")

    async def subscribe(self) -> None:
        await self.client.send("<presence to='juliet@localhost' type='subscribe'/>")

    async def messages(self) -> None:
        await self.client.send("<message to='juliet@localhost'><body>hello</body></message>" * 20)

    async def close(self) -> None:
        await self.client.send("</stream:stream>")


STEPS = [name for name in vars(Steps) if not name.startswith("_")]


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_client_that_is_gone_at_any_step_leaves_nothing_behind(server: RunningServer, how: str) -> None:
    for name in ("romeo", "juliet"):
        await server.account(name)
    pair = await bystanders(server)
    await pair.chat()
    async with pair.undisturbed():
        tasks = len(asyncio.all_tasks())

        async def cut(last: int, moment: float) -> None:
            steps = Steps(server)
            for key in ("romeo@localhost", ADDRESS):  # else wrong passwords would make all that follows slow
                server.app._clients.guesses.succeeded(key)
            for name in STEPS[: last + 1]:
                await getattr(steps, name)()
            await asyncio.sleep(moment)
            if how == "end":
                steps.client.writer.write_eof()
                await steps.client.gone()
            steps.client.abort()

        for last in range(len(STEPS)):
            for moment in MOMENTS:
                await cut(last, moment)
        await forgotten(server, tasks)
        client = await RawClient.login(server, "romeo")
        client.abort()
        await forgotten(server, tasks)


async def test_many_clients_of_one_resource_at_once_leave_one(server: RunningServer) -> None:
    await server.account("romeo")
    await server.account("juliet")
    pair = await bystanders(server)
    tasks = len(asyncio.all_tasks())
    async with pair.undisturbed():
        clients = [await RawClient.open(server) for _ in range(10)]
        for client in clients:
            assert (await client.authenticate("romeo")).name == "success"
            await client.open_stream()
        for client in clients:
            await client.send(BIND + "<presence/><presence to='juliet@localhost'/>")
        done = await asyncio.gather(*(outcome(client) for client in clients))
        assert sorted(done) == ["bound", *["conflict"] * 9]
        account = next(user for user in server.users if user.jid.localpart == "romeo")
        assert len(account.sessions) == 1
        survivor = clients[done.index("bound")]
        await survivor.send("<message to='romeo@localhost/orchard' id='alone'/>")
        assert (await survivor.read_until("message")).get("id") == "alone"
    for client in clients:
        client.abort()
    await forgotten(server, tasks)


async def outcome(client: RawClient) -> str:
    """Whether the client stays bound, or why its stream ended."""
    await client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    try:
        async with asyncio.timeout(2):
            return (await client.ended())[1]
    except TimeoutError:
        return "bound"


@pytest.mark.parametrize("end", ["", "</stream:stream>"])
@pytest.mark.parametrize("tls", ["starttls", "none"])
async def test_what_was_said_before_the_end_counts(make_server: MakeServer, tls: str, end: str) -> None:
    server = await make_server("[tls]\nstarttls = 'optional'")
    for name in ("romeo", "juliet"):
        await server.account(name)
    romeo = await RawClient.login(server, "romeo", tls=tls)  # type: ignore[arg-type]
    message = "<message to='juliet@localhost' id='{}'><body>hello</body></message>"
    await romeo.send("".join(message.format(number) for number in range(20)) + end)
    romeo.writer.write_eof()
    await romeo.gone()
    romeo.abort()
    async with asyncio.timeout(SETTLE):
        while server.users:
            await asyncio.sleep(0.01)
    juliet = await RawClient.login(server, "juliet")
    await juliet.send("<presence/>")
    for number in range(20):
        assert (await juliet.read_until("message")).get("id") == str(number)
