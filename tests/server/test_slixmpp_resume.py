"""Two people with slixmpp and stream management, whose network and whose server go away in the middle of a talk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from .conftest import MakeServer
from .person import Person
from .running import ADDRESS, RunningServer

ROMEO = "romeo@localhost/orchard"
JULIET = "juliet@localhost/balcony"


class Managed(Person):
    """A person who resumes."""

    def __init__(self, server: RunningServer, address: str) -> None:
        super().__init__(server, address)
        self.register_plugin("xep_0198")
        for event in ("sm_enabled", "session_resumed", "sm_failed"):
            self.add_event_handler(event, self.came[event].put_nowait)

    def say(self, to: str, *bodies: str) -> None:
        for body in bodies:
            self.send_message(mto=to, mbody=body, mtype="chat")

    async def hears(self, *bodies: str) -> None:
        """The next messages are these, and nothing more comes."""
        assert [(await self.next("message"))["body"] for _ in bodies] == list(bodies)
        await self.sees_nothing_more("message")

    async def resume(self, server: RunningServer) -> None:
        """Connect again, and have the session back."""
        self._server = server
        self.ca_certs = server.certificate
        self.connect(ADDRESS, server.port)
        await self.next("session_resumed")


@pytest_asyncio.fixture
async def people(server: RunningServer) -> AsyncIterator[list[Managed]]:
    """Romeo and Juliet, online."""
    people: list[Managed] = []
    for address in (ROMEO, JULIET):
        await server.account(address.partition("/")[0])
        person = Managed(server, address)
        people.append(person)
        await person.log_in()
        await person.next("sm_enabled")
        await person.come_online()
    yield people
    for person in people:
        if person.transport is not None:
            person.transport.abort()


async def cut(person: Any) -> None:
    """The network is gone."""
    person.transport.abort()
    await person.next("disconnected")


async def test_when_the_network_goes_away_each_hears_everything_once(
    server: RunningServer, people: list[Managed]
) -> None:
    romeo, juliet = people
    romeo.say(JULIET, "1", "2")
    await juliet.hears("1", "2")
    await cut(juliet)
    romeo.say(JULIET, "3", "4")
    await romeo.plugin["xep_0199"].send_ping("localhost")
    await juliet.resume(server)
    await juliet.hears("3", "4")
    juliet.say(ROMEO, "5")
    await romeo.hears("5")
    await cut(romeo)
    juliet.say(ROMEO, "6")
    await romeo.resume(server)
    await romeo.hears("6")
    romeo.say(JULIET, "7")
    await juliet.hears("7")


async def test_when_the_server_is_restarted_each_hears_everything_once(
    server: RunningServer, people: list[Managed], make_server: MakeServer
) -> None:
    romeo, juliet = people
    romeo.say(JULIET, "1")
    await juliet.hears("1")
    await cut(juliet)
    romeo.say(JULIET, "2", "3")
    await romeo.plugin["xep_0199"].send_ping("localhost")
    await server.stop()
    again = await make_server()
    await juliet.resume(again)
    await romeo.resume(again)
    await juliet.hears("2", "3")
    juliet.say(ROMEO, "4")
    await romeo.hears("4")
