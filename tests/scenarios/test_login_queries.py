"""What going online asks the database for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from xmpp_server.protocol.element import Element
from xmpp_server.routing.pep import Pep

from .pep import login_with, presence_with
from .world import World


@pytest.fixture
def count_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Tells how many reads there were since it was asked last."""
    reads: list[object] = []
    read = world.store.database.read

    def counted(work: Callable[..., Awaitable[Any]]) -> Awaitable[Any]:
        reads.append(work)
        return read(work)

    monkeypatch.setattr(world.store.database, "read", counted)

    def count() -> int:
        number = len(reads)
        reads.clear()
        return number

    return count


@pytest.mark.parametrize("contacts_are_online", [False, True])
async def test_it_takes_no_more_queries_with_many_contacts_than_with_one(
    world: World, count_reads: Callable[[], int], contacts_are_online: bool
) -> None:
    for user, contacts in (("romeo", 1), ("juliet", 60)):
        for number in range(contacts):
            await world.subscribe(f"{user}@localhost", f"contact{number}@localhost")
            if contacts_are_online and number % 2 == 0:
                await world.login(f"contact{number}@localhost/home")
    count_reads()
    await world.login("romeo@localhost/orchard")
    few = count_reads()
    await world.login("juliet@localhost/balcony")
    assert 0 < count_reads() <= few + 1  # one for all who are away together, if anybody is


async def test_it_takes_no_more_queries_for_the_nodes_of_many_contacts(
    world: World, count_reads: Callable[[], int]
) -> None:
    """Two for the last items of all nodes of all contacts (XEP-0163 §4.3.4)."""
    nodes = [f"urn:example:{number}" for number in range(5)]
    for contacts, user in ((1, "romeo"), (200, "juliet")):
        for number in range(contacts):
            contact = await world.account(f"contact{number}@localhost")
            await world.subscribe(f"{user}@localhost", str(contact))
            for node in nodes if user == "romeo" or number else ():
                await pep(world).publish(contact, node, "1", Element("x:y", "x"), {})
    counts = []
    for user in ("romeo", "romeo", "juliet"):  # the first is asked what it can do
        await world.settle()
        count_reads()
        client = await login_with(world, f"{user}@localhost/{len(counts)}", *nodes)
        counts.append(count_reads())
        await client.disconnect()
    assert 0 < counts[2] <= counts[1]
    late = await world.connect("juliet@localhost/late")
    late.send(presence_with(*nodes))
    await world.settle()
    late.forget("presence")
    assert sum(stanza.name == "message" for stanza in late.inbox) == 200 * len(nodes)


def pep(world: World) -> Pep:
    found = world.core.router.hosts["localhost"].pep
    assert found is not None
    return found
