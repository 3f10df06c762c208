"""What a client sends again, because it did not learn that the server has it, reaches nobody twice."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from tests.waiting import until
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account
from xmpp_server.routing.effects import Effect
from xmpp_server.routing.resends import Beginnings, is_same
from xmpp_server.session.session import Session
from xmpp_server.storage.archive import Matching
from xmpp_server.storage.offline import Message, OfflineMessage

from .conftest import HOSTS, MakeWorld
from .world import Client, World

JULIET = JID.parse("juliet@localhost")
ROMEO = JID.parse("romeo@localhost")
DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"


@pytest.fixture(params=["archive", "no archive"])
async def world(request: pytest.FixtureRequest, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(Session, "is_managed", True)
    off = "[modules.archive]\nenabled = false\n" if request.param == "no archive" else ""
    return await make_world(HOSTS + off)


def say(text: str, origin: str = "o1", to: str = "juliet@localhost", more: str = "", id: str = "") -> str:
    origin_id = f"<origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>" if origin else ""
    return f"<message to='{to}' type='chat' id='{id or origin}'><body>{text}</body>{origin_id}{more}</message>"


def texts(client: Client) -> list[str]:
    return [stanza.child_text("jabber:client", "body") for stanza in client.inbox if stanza.name == "message"]


@pytest.mark.parametrize("more", ["", DELAY])
async def test_what_was_delivered_is_not_delivered_again(world: World, more: str) -> None:
    """XEP-0198 §5 asks for a delay on what is sent again"""
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    phone = await world.login("romeo@localhost/phone")
    await phone.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.send(say("Hi"))
    await world.settle()
    await romeo.disconnect()
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi", more=more))
    await romeo.receives_nothing()
    assert texts(juliet) == ["Hi"]
    phone.forget("presence")
    assert len(phone.inbox) == 1, "one copy"


async def test_what_waits_is_kept_once(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi") + say("Hi", more=DELAY))
    await romeo.receives_nothing()
    assert await world.store.offline.count(JULIET) == 1


async def test_what_comes_again_stands_when_the_first_one_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    garden = await world.login("romeo@localhost/garden")
    keep, goes = world.store.offline.keep, asyncio.Event()

    async def slow(messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
        await goes.wait()
        return await keep(messages)

    monkeypatch.setattr(world.store.offline, "keep", slow)
    effects: list[Effect] = []
    receive = Session.receive

    async def noting(session: Session, stanza: Stanza) -> Effect | None:
        effect = await receive(session, stanza)
        assert effect is not None
        effects.append(effect)
        return effect

    monkeypatch.setattr(Session, "receive", noting)
    romeo.send(say("Hi"))
    garden.send(say("Hi", more=DELAY))
    while working := [client.worker for client in (romeo, garden) if client.worker is not None]:
        await asyncio.gather(*working)
    assert [effect.done for effect in effects] == [False, False]
    goes.set()
    await world.settle()
    assert [effect.done for effect in effects] == [True, True]
    assert await world.store.offline.count(JULIET) == 1


@pytest.mark.parametrize(
    "second",
    [
        say("Ho"),
        say("Hi", origin="o2"),
        say("Hi", origin="", id="o1"),
        say("Hi", to="nurse@localhost"),
    ],
)
async def test_what_differs_is_another_message(world: World, second: str) -> None:
    """an id alone says nothing: simple clients count from 1"""
    juliet = await world.login("juliet@localhost/balcony")
    nurse = await world.login("nurse@localhost/hall")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi") + second)
    await world.settle()
    assert len(texts(juliet)) + len(texts(nurse)) == 2


async def test_somebody_elses_message_is_another_one(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    tybalt = await world.login("tybalt@localhost/street")
    romeo.send(say("Hi"))
    await world.settle()
    tybalt.send(say("Hi"))
    await world.settle()
    assert texts(juliet) == ["Hi", "Hi"]


async def test_what_was_refused_may_come_again(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi"))
    await romeo.receives("<message type='error'/>")
    juliet = await world.login("juliet@localhost/balcony")
    romeo.send(say("Hi"))
    await romeo.receives_nothing()
    assert texts(juliet) == ["Hi"]


async def test_only_so_many_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_server.routing.resends._REMEMBERED", 3)
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(9):
        romeo.send(say(str(number), f"o{number}"))
    romeo.send(say("5", "o5") + say("8", "o8") + say("0", "o0"))
    await world.settle()
    assert texts(juliet) == [*map(str, range(9)), "0"]
    resends = world.core.resends
    assert len(resends._known) + len(resends._older) <= 8


def test_what_is_of_quite_another_size_is_not_even_read() -> None:
    """Many small messages that claim to be a large one would cost much."""
    message = Stanza.build("message", type="chat", id="1")
    assert not is_same(b"no message" * 1000, message)
    assert is_same(message.to_bytes("jabber:client"), message)


def crash(world: World) -> None:
    """What is known from memory alone is gone."""
    world.core.resends._known.clear()
    world.core.resends._older.clear()
    world.core.ledger._started = world.core.ledger.newest + 1
    if (archive := world.core.modules["localhost"].get("archive")) is not None:
        archive._books.clear()  # type: ignore[attr-defined]
    for account in world.core.accounts:
        for session in account.sessions.values():
            session.beginnings = Beginnings()


@pytest.mark.parametrize("more", ["", DELAY])
@pytest.mark.parametrize("first", ["delivered", "waits"])
async def test_what_a_crash_made_us_forget_has_the_same_id_when_it_comes_again(
    world: World, first: str, more: str
) -> None:
    """so its receiver shows it once (XEP-0359 §3), and no archive has it twice"""
    await world.account("juliet@localhost")
    if first == "delivered":
        juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi") + say("Ho", origin="o2"))
    await world.settle()
    crash(world)
    romeo.send(say("Hi", more=more) + say("Ho", origin="o2", more=more))
    await world.settle()
    if first == "waits":
        juliet = await world.login("juliet@localhost/balcony")
        await world.settle()
    ids = [
        (child.get("by"), child.get("id"))
        for stanza in juliet.inbox
        for child in stanza
        if child.name == "stanza-id" and stanza.name == "message"
    ]
    assert len(ids) == (2 if first == "waits" else 4)
    assert ids[:2] == ids[-2:]
    assert len(set(ids)) == 2
    assert {by for by, _ in ids} == {"juliet@localhost"}
    ends = await world.store.archive.page(JULIET, Matching(), limit=10)
    assert len(ends) in (0, 2)


@pytest.mark.parametrize("more", ["", DELAY])
async def test_what_waits_and_is_sent_again_after_a_crash_waits_once_and_in_its_order(world: World, more: str) -> None:
    """a device may have acknowledged the beginning of what was sent first, and shows it once: the rest goes on"""
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1") + say("2", "o2") + say("3", "o3"))
    await world.settle()
    first, *_ = await world.store.offline.load(JULIET, now=0)
    await world.store.offline.delete([(JULIET, first.id)])
    crash(world)
    romeo.send(say("1", more=more) + say("2", "o2") + say("3", "o3", more=more) + say("4", "o4"))
    await world.settle()
    assert await world.store.offline.count(JULIET) == 4
    juliet = await world.login("juliet@localhost/balcony")
    assert sorted(texts(juliet)) == ["1", "2", "3", "4"]
    assert [text for text in texts(juliet) if text != "1"] == ["2", "3", "4"]


@pytest.mark.parametrize("more", ["", DELAY])
async def test_what_waits_keeps_its_place_when_the_next_crash_comes_before_all_of_it_is_sent_again(
    world: World, more: str
) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1") + say("2", "o2") + say("3", "o3"))
    await world.settle()
    crash(world)
    romeo.send(say("1", more=more))
    await world.settle()
    crash(world)
    romeo.send(say("2", "o2", more=more))
    await world.settle()
    assert await world.store.offline.count(JULIET) == 3
    juliet = await world.login("juliet@localhost/balcony")
    assert texts(juliet) == ["1", "2", "3"]


@pytest.mark.parametrize("more", ["", DELAY])
async def test_so_it_does_when_somebody_has_it_again_and_has_not_acknowledged_it(world: World, more: str) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1") + say("2", "o2"))
    await world.settle()
    before = [message.id for message in await world.store.offline.load(JULIET, now=0)]
    crash(world)
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.stalled = True
    juliet.send("<presence/>")
    await world.settle()
    romeo.send(say("1", more=more))
    await world.settle()
    await world.core.ledger.settled(account(world))
    await world.settle()
    assert [message.id for message in await world.store.offline.load(JULIET, now=0)] == before


async def test_what_is_handed_over_is_in_its_order_although_it_is_sent_again_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """the copy that is held back would come behind its younger ones"""
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1") + say("2", "o2"))
    await world.settle()
    crash(world)
    load, begun, goes = world.store.offline.load, asyncio.Event(), asyncio.Event()

    async def slow(account: JID, *, now: int, after: int = 0, limit: int = 100) -> Sequence[OfflineMessage]:
        begun.set()
        await goes.wait()
        return await load(account, now=now, after=after, limit=limit)

    monkeypatch.setattr(world.store.offline, "load", slow)
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send("<presence/>")
    await begun.wait()
    romeo.send(say("1", more=DELAY))
    while romeo.worker is not None:
        await romeo.worker
    try:
        await until(lambda: is_taken_up(account(world)), seconds=10)
    finally:
        goes.set()
    await world.settle()
    shown = texts(juliet)
    assert shown[:2] == ["1", "2"]
    assert set(shown[2:]) <= {"1"}, "the same once more, which its id tells"
    assert await world.store.offline.count(JULIET) == 0


def account(world: World) -> Account:
    juliet = world.core.accounts.get(JULIET)
    assert juliet is not None
    return juliet


def is_taken_up(account: Account) -> bool:
    """Whether what was sent again has its old row."""
    return account.line is not None and any(entry.row != entry.id for entry in account.line.rows.values())


async def test_nothing_goes_by_what_is_looked_for_because_it_may_be_sent_again(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    crash(world)  # the archives are not known yet
    romeo.send("".join(say(str(number), f"o{number}", more=DELAY if number % 2 else "") for number in range(10)))
    await world.settle()
    assert texts(juliet) == [str(number) for number in range(10)]
    rows = await world.store.archive.page(JULIET, Matching(), limit=20)
    assert len(rows) in (0, 10)


@pytest.mark.parametrize("more", ["", DELAY])
async def test_an_id_alone_makes_no_message_the_same(world: World, more: str) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("Hi"))
    await world.settle()
    crash(world)
    romeo.send(say("Ho", more=more))
    await world.settle()
    ids = {child.get("id") for stanza in juliet.inbox for child in stanza if child.name == "stanza-id"}
    assert len(ids) == 2


async def test_what_reached_the_archive_of_its_sender_alone_is_not_new(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "is_managed", True)
    world = await make_world(HOSTS)
    await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1", "o1") + say("2", "o2"))
    await world.settle()
    crash(world)
    await world.store.archive.purge(JULIET, before=2**60, limit=10)
    romeo.send(say("1", "o1") + say("2", "o2"))
    await world.settle()
    for account in (JULIET, ROMEO):
        assert len(await world.store.archive.page(account, Matching(), limit=9)) == 2, account


async def test_after_a_crash_what_a_session_says_first_to_each_is_looked_for(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old it is, and also without a `<delay/>`; until something is new."""
    monkeypatch.setattr(Session, "is_managed", True)
    world = await make_world(HOSTS)
    juliet = await world.login("juliet@localhost/balcony")
    nurse = await world.login("nurse@localhost/chamber")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(4):
        romeo.send(say(str(number), f"o{number}") + say(str(number), f"n{number}", "nurse@localhost"))
    await world.settle()
    crash(world)
    for number in (0, 1, 9, 3):
        romeo.send(say(str(number), f"o{number}"))
    romeo.send(say("0", "n0", "nurse@localhost"))
    await world.settle()

    def once(client: Client) -> list[bool]:
        ids = [child.get("id") for stanza in client.inbox for child in stanza if child.name == "stanza-id"]
        return [ids.count(id) == 1 for id in ids]

    assert once(juliet) == [False, False, True, True, False, False, True, True]
    assert once(nurse) == [False, True, True, True, False]


async def test_what_is_the_same_as_something_old_is_another_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """of a bot, say, that counts from one again at every start and says the same first"""
    juliet = await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("all is well", "1"))
    await world.settle()
    crash(world)
    monkeypatch.setattr("xmpp_server.modules.archive.SENT_AGAIN", 0)
    romeo.send(say("all is well", "1"))
    await world.settle()
    ids = [child.get("id") for stanza in juliet.inbox for child in stanza if child.name == "stanza-id"]
    assert len(set(ids)) == (2 if "archive" in world.core.modules["localhost"] else 1)


async def test_what_is_sent_again_after_it_was_retracted_stays_retracted(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "is_managed", True)
    world = await make_world(HOSTS)
    await world.login("juliet@localhost/balcony")
    romeo = await world.login("romeo@localhost/orchard")
    both = say("oops", "o1") + say("", "o2", more="<retract xmlns='urn:xmpp:message-retract:1' id='o1'/>")
    for _ in range(2):
        romeo.send(both)
        await world.settle()
        crash(world)
    for account in (JULIET, ROMEO):
        page = await world.store.archive.page(account, Matching(), limit=9)
        kept = await world.store.archive.each(account, [found.n for found in page])
        assert len(kept) == 2, account
        assert not any(b"oops" in message.stanza for message in kept)
