"""Messages that wait for the commit of their archives while the database is slow or away (design of the ledger)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.lingering import Lingering
from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.effects import Effect
from xmpp_server.storage.archive import Matching
from xmpp_server.storage.batch import Unit
from xmpp_server.storage.errors import Unavailable

from .world import Client, World

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"
PING = "<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>"


class Away:
    """A database that commits nothing until it returns."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = True
        self.attempts = 0
        monkeypatch.setattr("xmpp_server.storage.patience._PAUSES", (0.01,))
        driver = world.store.database._driver
        commit = driver.commit

        async def attempt(units: Sequence[Unit]) -> None:
            self.attempts += 1
            if not self.away:
                await commit(units)
                return
            for unit in units:
                unit.error = Unavailable("away")

        monkeypatch.setattr(driver, "commit", attempt)


async def couple(world: World) -> tuple[Client, Client]:
    """Romeo and Juliet, who have talked before."""
    romeo, juliet = await world.login(f"{ROMEO}/orchard"), await world.login(f"{JULIET}/balcony")
    romeo.send(say("before"))
    await world.settle()
    assert texts(juliet) == ["before"]
    return romeo, juliet


def say(*bodies: str, to: str = JULIET) -> str:
    return "".join(f"<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>" for body in bodies)


def texts(client: Client) -> list[str]:
    """The messages that came since the last time."""
    came = [stanza.child_text(ns.CLIENT, "body") for stanza in client.inbox if stanza.name == "message"]
    client.forget("message")
    return came


def answers(client: Client) -> list[str]:
    return [stanza.get("id") for stanza in client.inbox if stanza.name == "iq"]


async def read(client: Client) -> None:
    """Return when all that the client sent was read."""
    while client.worker is not None:
        await client.worker


async def test_messages_wait_for_the_database_and_arrive_once_in_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo, juliet = await couple(world)
    database = Away(world, monkeypatch)
    romeo.send(say("1", "2"))
    await until(lambda: database.attempts > 2)
    romeo.send(say("3"))
    await read(romeo)
    assert texts(juliet) == []
    assert not romeo.inbox, "nobody is told that it failed, for it did not"
    database.away = False
    await world.settle()
    assert texts(juliet) == ["1", "2", "3"]
    assert not romeo.inbox
    assert len(await world.store.archive.page(juliet.session.account.jid, Matching(), limit=10)) == 4


async def test_what_waits_is_not_handled_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    romeo, juliet = await couple(world)
    database = Away(world, monkeypatch)
    left: list[Effect | None] = []
    receive = romeo.session.receive

    async def noting(stanza: Stanza) -> Effect | None:
        left.append(await receive(stanza))
        return left[-1]

    monkeypatch.setattr(type(romeo.session), "receive", lambda self, stanza: noting(stanza))
    romeo.send(say("1"))
    await read(romeo)
    (effect,) = left
    assert effect is not None
    assert not effect.done
    database.away = False
    await world.settle()
    assert texts(juliet) == ["1"]
    assert effect.done


async def test_pings_and_requests_to_the_server_are_answered_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo, juliet = await couple(world)
    database = Away(world, monkeypatch)
    romeo.send(say("1") + PING.format("ping"))
    romeo.send(f"<iq type='get' id='disco' to='localhost'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    await until(lambda: len(answers(romeo)) == 2)
    assert answers(romeo) == ["ping", "disco"]
    assert texts(juliet) == []
    database.away = False
    await world.settle()
    assert texts(juliet) == ["1"]


async def test_what_order_demands_waits_and_the_session_is_read_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6120 §10.1: what goes to the same entity stays behind, whatever it is; a ping to the server does not"""
    romeo, juliet = await couple(world)
    await world.subscribe(ROMEO, JULIET)
    database = Away(world, monkeypatch)
    romeo.send(say("1"))
    romeo.send(f"<presence to='{JULIET}/balcony' id='2'/>")
    romeo.send(f"<iq to='{JULIET}/balcony' type='get' id='3'><query xmlns='urn:x'/></iq>")
    romeo.send(say("4") + PING.format("ping"))
    await until(lambda: answers(romeo) == ["ping"])
    assert not juliet.inbox
    database.away = False
    await world.settle()
    assert [stanza.get("id") for stanza in juliet.inbox] == ["1", "2", "3", "4"]


async def test_only_its_own_octets_pause_a_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    romeo, juliet = await couple(world)
    tybalt = await world.login("tybalt@localhost/street")
    romeo.session.budget.most = 5_000
    database = Away(world, monkeypatch)
    for number in range(30):
        romeo.send(say(str(number)))
    await until(lambda: romeo.session.budget.used > 5_000)
    assert romeo.worker is not None, "it is read on"
    assert romeo.session.budget.used < 6_000
    tybalt.send(PING.format("ping"))
    await read(tybalt)
    assert answers(tybalt) == ["ping"]
    database.away = False
    await world.settle()
    assert texts(juliet) == [str(number) for number in range(30)]
    assert romeo.session.budget.used == 0


async def test_somebody_who_is_not_in_memory_does_not_keep_the_sender_from_being_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo, _ = await couple(world)
    await world.account("nurse@localhost")
    load, away = world.store.login_state, True

    async def login_state(jid: object) -> object:
        if away:
            raise Unavailable("away")
        return await load(jid)  # type: ignore[arg-type]

    monkeypatch.setattr("xmpp_server.storage.patience._PAUSES", (0.01,))
    monkeypatch.setattr(world.store, "login_state", login_state)
    romeo.send(say("1", "2", to="nurse@localhost") + PING.format("ping"))
    await until(lambda: answers(romeo) == ["ping"])
    away = False
    await world.settle()
    nurse = await world.login("nurse@localhost/hall")
    assert texts(nurse) == ["1", "2"]
    assert [stanza.name for stanza in romeo.inbox] == ["iq"]


async def test_beyond_all_bounds_the_sender_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    romeo, juliet = await couple(world)
    world.store.archive._writer.size = 65_000_000
    romeo.send(say("1"))
    await romeo.receives("<message type='error' id='1'><error type='wait'/></message>")
    world.store.archive._writer.size = 0
    romeo.send(say("2"))
    await world.settle()
    assert texts(juliet) == ["2"]


async def test_what_a_client_sent_before_it_left_is_handled_when_the_database_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo, juliet = await couple(world)
    database = Away(world, monkeypatch)
    romeo.send(say("1", "2"))
    await read(romeo)
    monkeypatch.setattr("xmpp_server.session.binding._REST", 0.01)
    await world.core.binder.unbind(romeo.session)
    database.away = False
    await world.settle()
    juliet.forget("presence")
    assert texts(juliet) == ["1", "2"]


async def test_what_comes_from_several_people_is_delivered_in_the_order_of_its_ids(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """after a crash a client asks for what is behind the last id that it saw"""
    romeo, juliet = await couple(world)
    tybalt = await world.login("tybalt@localhost/street")
    tybalt.send(say("before"))
    await world.settle()
    texts(juliet)
    first = Lingering(monkeypatch)
    romeo.send(say("1"))
    await first.committed.wait()
    tybalt.send(say("2"))
    await read(tybalt)
    await world.store.archive.settled()
    for _ in range(10):
        await asyncio.sleep(0)
    assert texts(juliet) == []
    first.goes.set()
    await world.settle()
    assert texts(juliet) == ["1", "2"]


async def test_a_copy_of_what_is_sent_comes_behind_what_came_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo, juliet = await couple(world)
    phone = await world.login(f"{JULIET}/phone")
    await phone.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    await world.settle()
    phone.inbox.clear()
    first = Lingering(monkeypatch)
    romeo.send(say("1"))
    await first.committed.wait()
    juliet.send(say("2", to=ROMEO))
    await read(juliet)
    await world.store.archive.settled()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not [stanza for stanza in phone.inbox if stanza.name == "message"]
    first.goes.set()
    await world.settle()
    came = [stanza for stanza in phone.inbox if stanza.name == "message"]
    assert [stanza.child("urn:xmpp:carbons:2", "sent") is not None for stanza in came] == [False, True]
