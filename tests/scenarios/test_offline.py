"""XEP-0160: who was away gets what was sent, in order, once, before anything newer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

import pytest

from xmpp_server.app.upkeep import purge
from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.offline import Message

from .conftest import HOSTS, MakeWorld
from .world import Client, World

DELAY = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>"
JULIET = JID.parse("juliet@localhost")


def say(text: str, to: str = "juliet@localhost", type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{text}'><body>{text}</body></message>"


def texts(client: Client) -> list[str]:
    return [stanza.child_text("jabber:client", "body") for stanza in client.inbox if stanza.name == "message"]


async def refused(client: Client, condition: str = "service-unavailable") -> Element:
    error = await client.receives("<message type='error'/>")
    child = error.child("jabber:client", "error")
    assert child is not None
    assert next(iter(child)).name == condition
    return error


async def test_the_host_says_that_it_keeps_messages(world: World) -> None:
    assert "msgoffline" in world.core.router.hosts["localhost"].features


@pytest.mark.parametrize("type", ["chat", "normal"])
async def test_a_message_waits_for_the_first_available_presence(world: World, type: str) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    before = time.time_ns() // 1000
    romeo.send(say("blessed night", type=type))
    await romeo.receives_nothing()
    juliet = await world.connect("juliet@localhost/balcony")
    await juliet.receives_nothing()
    juliet.send("<presence/>")
    await juliet.receives("<presence/>")
    message = await juliet.receives(
        f"<message from='romeo@localhost/orchard' to='juliet@localhost' type='{type}'>"
        f"<body>blessed night</body>{DELAY}</message>"
    )
    delay = message.child("urn:xmpp:delay", "delay")
    assert delay is not None
    assert before <= parse_time(delay.get("stamp")) <= time.time_ns() // 1000


async def test_what_was_delivered_is_gone(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("once"))
    juliet = await world.login("juliet@localhost/balcony")
    assert texts(juliet) == ["once"]
    assert await world.store.offline.count(JULIET) == 0
    phone = await world.login("juliet@localhost/phone")
    await phone.receives_nothing()


async def test_a_negative_priority_gets_nothing_and_a_change_to_zero_gets_all(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1"))
    juliet = await world.login("juliet@localhost/balcony", "<presence><priority>-1</priority></presence>")
    await juliet.receives_nothing()
    romeo.send(say("2"))
    await juliet.receives_nothing()
    juliet.send("<presence><priority>0</priority></presence>")
    await world.settle()
    assert texts(juliet) == ["1", "2"]


async def test_a_message_to_a_resource_that_is_gone_waits_as_it_is(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("chat", "juliet@localhost/gone"))
    await world.settle()
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.receives(f"<message to='juliet@localhost/gone'><body>chat</body>{DELAY}</message>")


async def test_hundreds_of_messages_come_in_order_and_live_ones_after_them(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(230):
        romeo.send(say(str(number)))
    await world.settle()
    assert await world.store.offline.count(JULIET) == 230
    juliet = await world.connect("juliet@localhost/balcony")
    full, reads = asyncio.Event(), asyncio.Event()

    async def drained() -> bool:
        full.set()
        await reads.wait()
        return not juliet.closed

    juliet.drained = drained  # type: ignore[method-assign]
    juliet.send("<presence/>")
    await full.wait()
    assert 0 < len(texts(juliet)) < 230, "everything at once"
    for number in range(230, 235):
        romeo.send(say(str(number)))
    romeo.send("<presence to='juliet@localhost/balcony'/>")
    while romeo.worker is not None:
        await romeo.worker
    assert len(texts(juliet)) < 230
    assert juliet.inbox[-1].get("from") == "romeo@localhost/orchard", "presence does not wait"
    reads.set()
    await world.settle()
    assert texts(juliet) == [str(number) for number in range(235)]
    assert await world.store.offline.count(JULIET) == 0
    romeo.send(say("live"))
    await world.settle()
    assert texts(juliet)[-1] == "live"


async def test_what_a_session_did_not_take_goes_to_the_next_one(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(130):
        romeo.send(say(str(number)))
    await world.settle()
    balcony = await world.connect("juliet@localhost/balcony")
    full, goes = asyncio.Event(), asyncio.Event()

    async def drained() -> bool:
        full.set()
        await goes.wait()
        return False

    balcony.drained = drained  # type: ignore[method-assign]
    balcony.stalled = True
    balcony.send("<presence/>")
    await full.wait()
    romeo.send(say("130"))  # the session holds it back, and never gets it
    while romeo.worker is not None:
        await romeo.worker
    balcony.closed = True
    goes.set()
    await world.core.binder.unbind(balcony.session)
    await world.settle()
    assert await world.store.offline.count(JULIET) == 131
    phone = await world.login("juliet@localhost/phone")
    assert texts(phone) == [str(number) for number in range(131)]
    assert await world.store.offline.count(JULIET) == 0


async def test_what_does_not_fit_behind_a_slow_session_is_kept_and_follows_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmpp_server.session.session._MOST_HELD", 2_000)
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(10):
        romeo.send(say(str(number)))
    await world.settle()
    juliet = await world.connect("juliet@localhost/balcony")
    full, reads = asyncio.Event(), asyncio.Event()

    async def drained() -> bool:
        full.set()
        await reads.wait()
        return True

    juliet.drained = drained  # type: ignore[method-assign]
    juliet.send("<presence/>")
    await full.wait()
    for number in range(10, 40):
        romeo.send(say(str(number)))
    while romeo.worker is not None:
        await romeo.worker
    assert 0 < await world.store.offline.count(JULIET) < 40
    reads.set()
    await world.settle()
    assert texts(juliet) == [str(number) for number in range(40)]
    await romeo.receives_nothing()


async def test_messages_on_their_way_into_the_database_are_not_overtaken(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.connect("juliet@localhost/balcony")
    waiting = world.store.offline
    write, started, goes = waiting.keep, asyncio.Event(), asyncio.Event()

    async def slow(messages: Sequence[Message]) -> Collection[tuple[JID, int]]:
        started.set()
        await goes.wait()
        return await write(messages)

    waiting.keep = slow  # type: ignore[method-assign]
    nurse = await world.login("nurse@localhost/hall")
    romeo.send(say("1"))
    await started.wait()
    juliet.send("<presence/>")
    while juliet.worker is not None:
        await juliet.worker
    nurse.send(say("2"))
    while nurse.worker is not None:
        await nurse.worker
    goes.set()
    await world.settle()
    assert texts(juliet) == ["1", "2"]


async def test_what_somebody_sent_who_is_blocked_by_now_is_not_delivered(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    nurse = await world.login("nurse@localhost/hall")
    romeo.send(say("1"))
    nurse.send(say("2"))
    await world.settle()
    juliet = await world.connect("juliet@localhost/balcony")
    await juliet.request("set", "<block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block>")
    juliet.send("<presence/>")
    await world.settle()
    assert texts(juliet) == ["2"]
    assert await world.store.offline.count(JULIET) == 0


async def test_two_resources_that_come_at_once_do_not_both_get_it(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    for number in range(120):
        romeo.send(say(str(number)))
    await world.settle()
    balcony = await world.connect("juliet@localhost/balcony")
    phone = await world.connect("juliet@localhost/phone")
    balcony.send("<presence/>")
    phone.send("<presence/>")
    await world.settle()
    assert sorted(texts(balcony) + texts(phone), key=int) == [str(number) for number in range(120)]


async def test_a_chat_state_alone_is_dropped_without_a_word(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(
        "<message to='juliet@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    await romeo.receives_nothing()
    assert await world.store.offline.count(JULIET) == 0


@pytest.mark.parametrize(
    "message",
    [
        say("1", type="groupchat"),
        "<message to='juliet@localhost' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
        "<message to='juliet@localhost' type='chat'/>",
        say("1", "nobody@localhost"),
    ],
)
async def test_what_is_not_kept_is_answered(world: World, message: str) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(message)
    await refused(romeo)
    assert await world.store.offline.count(JULIET) == 0


@pytest.mark.parametrize("type", ["headline", "error"])
async def test_headlines_and_errors_are_dropped(world: World, type: str) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<message to='juliet@localhost' type='{type}'><body>x</body></message>")
    await romeo.receives_nothing()
    assert await world.store.offline.count(JULIET) == 0


async def test_beyond_the_quota_the_sender_is_told_and_what_was_accepted_stays(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.offline]\nquota = 4\nstrangers = 2\n")
    await world.subscribe("romeo@localhost", "juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    tybalt = await world.login("tybalt@localhost/street")
    for number in range(2):
        tybalt.send(say(f"t{number}"))
    await tybalt.receives_nothing()
    tybalt.send(say("t2"))
    await refused(tybalt)
    for number in range(2):
        romeo.send(say(f"r{number}"))
    await romeo.receives_nothing()
    romeo.send(say("r2"))
    await refused(romeo)
    juliet = await world.login("juliet@localhost/balcony")
    assert texts(juliet) == ["t0", "t1", "r0", "r1"]
    await juliet.disconnect()
    romeo.inbox.clear()
    romeo.send(say("r3"))
    await romeo.receives_nothing()


async def test_what_is_older_than_its_days_is_not_delivered_any_more(world: World) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("kept"))
    await world.settle()
    now = time.time_ns() // 1000
    days_30 = 30 * 86_400_000_000
    (waiting,) = await world.store.offline.load(JULIET, now=now)
    assert waiting.expires == waiting.received + days_30
    jid = JID.parse("romeo@localhost")
    await world.store.offline.keep([Message(JULIET, 1, jid, b"<late/>", now - days_30, now)])
    juliet = await world.login("juliet@localhost/balcony")
    assert texts(juliet) == ["kept"]
    await juliet.receives("<message/>")
    await juliet.receives_nothing()
    assert await world.store.offline.purge(now=now) == 1


async def test_all_that_has_expired_is_removed_in_batches(world: World) -> None:
    jid = await world.account("juliet@localhost")
    for number in range(25):
        await world.store.offline.keep([Message(jid, number, jid, b"<late/>", number, number + 1)])
    assert await purge(world.store.offline, now=20, batch=7, pause=0) == 20
    assert await world.store.offline.count(jid) == 5


async def test_nobody_asks_the_database_for_an_account_for_which_nothing_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.account("juliet@localhost")

    async def load(*args: object, **options: object) -> None:
        raise AssertionError("a query")

    monkeypatch.setattr(world.store.offline, "load", load)
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence><show>away</show></presence>")
    await juliet.receives("<presence><show>away</show></presence>")


async def test_after_the_database_failed_what_waits_comes_with_the_next_presence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(say("1"))
    await world.settle()

    async def load(*args: object, **options: object) -> None:
        raise OSError("away")

    juliet = await world.connect("juliet@localhost/balcony")
    with monkeypatch.context() as patched:
        patched.setattr(world.store.offline, "load", load)
        juliet.send("<presence/>")
        with suppress(OSError):  # of the task, if it is still there
            await world.settle()
    romeo.send(say("2"))
    juliet.send("<presence/>")
    await world.settle()
    assert sorted(texts(juliet)) == ["1", "2"]
