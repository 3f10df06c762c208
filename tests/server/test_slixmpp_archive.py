"""Somebody with slixmpp reads what was said, by XEP-0313, from a whole server on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from .conftest import LogIn, MakeServer
from .person import DEADLINE, Person
from .running import RunningServer

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"


async def talk(log_in: LogIn, count: int) -> tuple[Person, Person]:
    """Romeo says so many things to Juliet, who has read all of them."""
    romeo, juliet = await log_in(f"{ROMEO}/orchard"), await log_in(f"{JULIET}/balcony")
    for person in (romeo, juliet):
        person.register_plugin("xep_0313")
        person.register_plugin("xep_0441")
    for number in range(count):
        romeo.send_message(mto=JULIET, mbody=str(number), mtype="chat")
    for number in range(count):
        assert (await juliet.next("message"))["body"] == str(number)
    return romeo, juliet


async def read(person: Person, **more: Any) -> list[Any]:
    """All results of a query, page by page."""
    async with asyncio.timeout(DEADLINE):
        return [result async for result in person.plugin["xep_0313"].iterate(**more)]


def bodies(results: list[Any]) -> list[str]:
    return [result["mam_result"]["forwarded"]["stanza"]["body"] for result in results]


async def test_both_read_their_archives_page_by_page(log_in: LogIn) -> None:
    said = [str(number) for number in range(27)]
    for person in await talk(log_in, len(said)):
        results = await read(person, rsm={"max": 10})
        assert bodies(results) == said
        assert len({result["mam_result"]["id"] for result in results}) == len(said)
        first = results[0]["mam_result"]["forwarded"]
        assert first["stanza"]["from"] == f"{ROMEO}/orchard"
        assert abs(first["delay"]["stamp"] - datetime.now(UTC)) < timedelta(minutes=5)
        assert bodies(await read(person, reverse=True, rsm={"max": 10}, total=10)) == said[:-11:-1]


async def test_who_missed_something_reads_it_later(log_in: LogIn) -> None:
    romeo, juliet = await talk(log_in, 3)
    known = (await read(juliet))[-1]["mam_result"]["id"]
    await juliet.disconnect()
    for body in ("missed", "too"):
        romeo.send_message(mto=JULIET, mbody=body, mtype="chat")
    await romeo.plugin["xep_0199"].ping("localhost", timeout=DEADLINE)
    again = await log_in(f"{JULIET}/chamber", online=False)
    again.register_plugin("xep_0313")
    assert bodies(await read(again, rsm={"after": known, "max": 10})) == ["missed", "too"]


async def test_a_query_is_narrowed_by_person_and_time(log_in: LogIn) -> None:
    romeo, _ = await talk(log_in, 3)
    romeo.send_message(mto="nurse@localhost", mbody="to the nurse", mtype="chat")
    await romeo.next("message_error")
    assert bodies(await read(romeo, with_jid=JULIET)) == ["0", "1", "2"]
    assert bodies(await read(romeo, with_jid="nurse@localhost")) == ["to the nurse"]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await read(romeo, start=later) == []
    assert len(await read(romeo, end=later)) == 4


async def test_metadata_form_and_preferences(log_in: LogIn) -> None:
    romeo, _ = await talk(log_in, 2)
    ids = [result["mam_result"]["id"] for result in await read(romeo)]
    metadata = (await romeo.plugin["xep_0313"].get_archive_metadata(timeout=DEADLINE))["mam_metadata"]
    assert [metadata["start"]["id"], metadata["end"]["id"]] == ids
    fields = await romeo.plugin["xep_0313"].get_fields(timeout=DEADLINE)
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields())
    changed = await romeo.plugin["xep_0441"].set_preferences(default="always", never={JULIET}, timeout=DEADLINE)
    assert [str(jid) for jid in changed["mam_prefs"]["never"]] == [JULIET]
    romeo.send_message(mto=JULIET, mbody="off the record", mtype="chat")
    await romeo.plugin["xep_0199"].ping("localhost", timeout=DEADLINE)
    assert len(await read(romeo)) == 2


async def test_nobody_reads_anothers(log_in: LogIn) -> None:
    romeo, _ = await talk(log_in, 1)
    with pytest.raises(IqError) as refused:
        await romeo.plugin["xep_0313"].retrieve(jid=JULIET, timeout=DEADLINE)
    assert refused.value.condition == "forbidden"


async def test_the_archive_survives_a_restart(log_in: LogIn, make_server: MakeServer, server: RunningServer) -> None:
    romeo, juliet = await talk(log_in, 3)
    ids = [result["mam_result"]["id"] for result in await read(juliet)]
    for person in (romeo, juliet):
        await person.disconnect()
    await server.stop()
    again = Person(await make_server(), f"{JULIET}/balcony")
    again.register_plugin("xep_0313")
    await again.log_in()
    results = await read(again)
    assert bodies(results) == ["0", "1", "2"]
    assert [result["mam_result"]["id"] for result in results] == ids
    await again.disconnect()
