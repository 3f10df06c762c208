"""What going online asks the database for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

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
