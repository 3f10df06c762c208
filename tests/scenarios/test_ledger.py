"""What becomes of messages whose receivers do not acknowledge them, as people see it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from tests.waiting import until
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.effects import Effect
from xmpp_server.routing.ledger import Ledger
from xmpp_server.storage.errors import Unavailable
from xmpp_server.storage.offline import Message

from .conftest import HOSTS, MakeWorld
from .world import Client, World

JULIET = JID.parse("juliet@localhost")
CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"
NO_ARCHIVE = "[modules.archive]\nenabled = false\n"


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(HOSTS + NO_ARCHIVE)


def say(text: str, to: str = "juliet@localhost", more: str = "") -> str:
    return f"<message to='{to}' type='chat' id='{text}'><body>{text}</body>{more}</message>"


def texts(client: Client) -> list[str]:
    return [stanza.child_text("jabber:client", "body") for stanza in client.inbox if stanza.name == "message"]


async def effect(client: Client, xml: str) -> Effect:
    """Send a message, and return what it brings about."""
    left: list[Effect | None] = []
    receive = client.session.receive

    async def noting(stanza: Stanza) -> Effect | None:
        left.append(await receive(stanza))
        return left[-1]

    client.session = _Noting(client.session, noting)  # type: ignore[assignment]
    client.send(xml)
    while client.worker is not None:
        await client.worker
    await client.session.inbound.rest(60)
    client.session = client.session._session  # type: ignore[attr-defined]
    (brought,) = left
    assert brought is not None
    return brought


class _Noting:
    def __init__(self, session: object, receive: object) -> None:
        self._session = session
        self.receive = receive

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


def due(ledger: Ledger) -> None:
    """The deadline is over."""
    ledger._admit()
    ledger._tick()
    ledger._tick()


async def test_online_chat_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")

    async def keep(messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
        raise AssertionError("a write")

    monkeypatch.setattr(world.store.offline, "keep", keep)
    brought = await effect(romeo, say("Hi"))
    await asyncio.sleep(0)
    assert brought.done
    due(world.core.ledger)
    await world.settle()
    assert texts(juliet) == ["Hi"]


async def test_a_stalled_client_gets_its_messages_over_its_next_connection(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    stalled = await world.login("juliet@localhost/balcony")
    stalled.stalled = True
    brought = [await effect(romeo, say(str(number))) for number in range(5)]
    assert not any(each.done for each in brought)
    due(world.core.ledger)
    await world.settle()
    assert all(each.done for each in brought)
    assert await world.store.offline.count(JULIET) == 5
    await stalled.disconnect()
    juliet = await world.login("juliet@localhost/balcony")
    assert texts(juliet) == ["0", "1", "2", "3", "4"]
    await world.settle()
    assert await world.store.offline.count(JULIET) == 0


async def test_what_a_stalled_client_takes_after_all_leaves_the_inbox(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    romeo.send(say("1"))
    await world.settle()
    due(world.core.ledger)
    await world.settle()
    assert await world.store.offline.count(JULIET) == 1
    juliet.go_on()
    await world.settle()
    assert await world.store.offline.count(JULIET) == 0
    assert texts(juliet) == ["1"]


async def test_a_message_that_falls_to_the_inbox_comes_before_later_live_ones(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    stalled = await world.login("juliet@localhost/balcony")
    stalled.stalled = True
    romeo.send(say("1") + say("2"))
    await world.settle()
    phone = await world.login("juliet@localhost/phone")
    romeo.send(say("3"))
    await world.settle()
    assert texts(phone) == ["1", "2", "3"]
    await stalled.disconnect()
    romeo.send(say("4"))
    await world.settle()
    assert texts(phone) == ["1", "2", "3", "4"]
    assert await world.store.offline.count(JULIET) == 0


async def test_a_private_message_is_not_shared_while_its_receiver_is_there(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    stalled = await world.login("juliet@localhost/balcony")
    stalled.stalled = True
    romeo.send(say("secret", "juliet@localhost/balcony", "<private xmlns='urn:xmpp:carbons:2'/>"))
    await world.settle()
    phone = await world.login("juliet@localhost/phone")
    assert texts(phone) == []
    await stalled.disconnect()
    await world.settle()
    assert texts(phone) == ["secret"]


async def test_a_carbon_counts_like_the_message(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    balcony = await world.login("juliet@localhost/balcony")
    phone = await world.login("juliet@localhost/phone")
    await phone.request("set", CARBONS)
    phone.stalled = True
    brought = await effect(romeo, say("Hi", "juliet@localhost/balcony"))
    assert not brought.done
    phone.go_on()
    assert brought.done
    balcony.stalled = True
    brought = await effect(romeo, say("Ho", "juliet@localhost/balcony"))
    await balcony.disconnect()
    assert brought.done
    await world.settle()
    assert await world.store.offline.count(JULIET) == 0, "the phone has it"


async def test_what_is_not_kept_is_answered_when_nobody_got_it(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    romeo.send(say("1", more="<no-store xmlns='urn:xmpp:hints'/>"))
    romeo.send(
        "<message to='juliet@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    await world.settle()
    due(world.core.ledger)
    await world.settle()
    assert await world.store.offline.count(JULIET) == 0
    await juliet.disconnect()
    romeo.forget("presence")
    await romeo.receives("<message type='error' id='1'><error type='cancel'/></message>")
    await romeo.receives_nothing()


async def test_the_sender_is_told_when_the_account_is_deleted_meanwhile(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    brought = await effect(romeo, say("1"))
    await world.store.accounts.delete(JULIET)
    due(world.core.ledger)
    await world.settle()
    assert not brought.done, "she may still take it"
    await juliet.disconnect()
    await world.settle()
    romeo.forget("presence")
    await romeo.receives("<message type='error' id='1'/>")
    assert brought.done


async def test_one_account_that_is_deleted_harms_no_other(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await world.account("nurse@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    first = await effect(romeo, say("1"))
    await world.store.accounts.delete(JULIET)
    second = await effect(romeo, say("2", "nurse@localhost"))
    due(world.core.ledger)
    await world.settle()
    assert not first.done
    assert second.done
    assert await world.store.offline.count(JID.parse("nurse@localhost")) == 1


class _Away:
    """A database that is away for messages until it returns."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = True
        write = world.store.offline.keep

        async def keep(messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
            if self.away:
                raise Unavailable("away")
            return await write(messages)

        monkeypatch.setattr(world.store.offline, "keep", keep)


async def test_while_the_database_is_away_only_its_own_bytes_pause_a_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.routing.ledger._PAUSES", (0.01,))
    await world.account("nurse@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    tybalt = await world.login("tybalt@localhost/street")
    juliet = await world.login("juliet@localhost/balcony")
    romeo.session.budget.most = 5_000
    database = _Away(world, monkeypatch)
    for number in range(20):
        romeo.send(say(str(number), "nurse@localhost"))
    await until(lambda: romeo.session.budget.used > 5_000)
    assert romeo.session.budget.used < 8_000, "it is read on"
    tybalt.send(say("online", "juliet@localhost"))
    while tybalt.worker is not None:
        await tybalt.worker
    assert texts(juliet) == ["online"]
    database.away = False
    await world.settle()
    assert await world.store.offline.count(JID.parse("nurse@localhost")) == 20
    nurse = await world.login("nurse@localhost/hall")
    assert texts(nurse) == [str(number) for number in range(20)]
    assert romeo.session.budget.used == 0


async def test_beyond_all_bounds_the_sender_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.account("nurse@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    world.core.ledger.size = 65_000_000
    romeo.send(say("1", "nurse@localhost"))
    await romeo.receives("<message type='error'><error type='wait'/></message>")
    world.core.ledger.size = 0


async def test_the_end_of_the_server_writes_what_is_in_flight(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    brought = await effect(romeo, say("1"))
    await world.core.ledger.close()
    assert brought.done
    assert await world.store.offline.count(JULIET) == 1


async def test_a_host_that_keeps_nothing_answers_what_nobody_got(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + NO_ARCHIVE + "[modules.offline]\nenabled = false\n")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    romeo.send(say("1"))
    await juliet.disconnect()
    await world.settle()
    romeo.forget("presence")
    await romeo.receives("<message type='error' id='1'/>")
