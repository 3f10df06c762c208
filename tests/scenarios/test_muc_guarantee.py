"""What a group promises: who was away gets everything, and costs nothing meanwhile. And what it refuses, by the
tables of XEP-0045."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import pytest

from components.muc import Muc
from tests.waiting import until
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import Matching
from xmpp_server.storage.errors import Unavailable

from .conftest import MakeWorld
from .rooms import ADMIN, JOIN, ROOM, STANZAS, admin, bodies, enter, make_room, speak
from .world import Client, World

MEMBERS: Final = 1024
AWAY: Final = 900
MESSAGES: Final = 30
_LAZY: Final = ("room_cursors", "last_activity")
"""What is written now and then: for those who are in the room, and of those who left it before."""


def rows(tmp_path: Path) -> dict[str, int]:
    """How many rows each table has."""
    database = sqlite3.connect(tmp_path / "world.db")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    counted = {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
    database.close()
    return {name: count for name, count in counted.items() if name not in _LAZY}


async def test_members_who_are_away_cost_no_row_and_get_everything_within_a_minute(
    world: World, tmp_path: Path
) -> None:
    crone = await make_room(world, persistentroom="1", presencebroadcast="moderator", membersonly="1")
    for start in range(1, MEMBERS, 512):
        people = range(start, min(start + 512, MEMBERS))
        items = "".join(f"<item affiliation='member' jid='m{n}@localhost'/>" for n in people)
        assert await admin(crone, items) == "result"
    members = [await world.connect(f"m{n}@localhost/pda") for n in range(1, MEMBERS)]
    await come(members)
    away = members[:AWAY]
    for member in away:
        member.closed = True
        world.clients.remove(member)
        await world.core.binder.unbind(member.session)
    await world.settle()
    await speak(crone, "warm")
    before = rows(tmp_path)
    words = [f"w{n}" for n in range(MESSAGES)]
    await speak(crone, *words)
    after = rows(tmp_path)
    written = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert sum(written.values()) == MESSAGES, f"one row a message, whoever is away: {written}"
    assert all(bodies(member)[-MESSAGES:] == words for member in members[AWAY:])
    started = time.monotonic()
    returned = [await world.connect(f"m{n}@localhost/pda") for n in range(1, AWAY + 1)]
    await come(returned)
    assert time.monotonic() - started < 60
    for member in returned:
        assert bodies(member) == ["warm", *words]


async def come(members: list[Client]) -> None:
    for n, member in enumerate(members):
        nick = str(member.session.jid.localpart)
        member.send(f"<presence/><presence to='{ROOM}/{nick}'>{JOIN}</presence>")
        if n % 50 == 49:
            await member._world.settle()
            await asyncio.sleep(0)
    await members[0]._world.settle()


async def test_two_devices_of_a_member_miss_nothing_and_a_new_one_begins_where_the_newest_is(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    phone, desk = [await world.login(f"hag66@localhost/{name}") for name in ("phone", "desk")]
    await enter(phone, "thirdwitch")
    await enter(desk, "thirdwitch")
    await speak(crone, "1")
    await phone.disconnect()
    await speak(crone, "2")
    await desk.disconnect()
    await speak(crone, "3")
    for name, missed in (("phone", ["2", "3"]), ("new", []), ("desk", ["3"])):
        device = await world.login(f"hag66@localhost/{name}")
        device.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
        await world.settle()
        assert bodies(device) == missed, name
        await device.disconnect()
        world.clients.remove(device)


async def test_a_member_who_comes_while_the_log_waits_for_its_database_misses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More waits than the room has in memory."""
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    await speak(crone, "first")
    await hag.disconnect()
    world.clients.remove(hag)
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    log, goes, looked = muc._rooms.log, asyncio.Event(), asyncio.Event()
    commit, settled, page = log._writer._until_committed, log.settled, log.page

    async def slow(*arguments: Any) -> Any:
        await goes.wait()
        return await commit(*arguments)

    async def looking() -> None:
        looked.set()
        await settled()

    monkeypatch.setattr(log._writer, "_until_committed", slow)

    async def paging(*arguments: Any, **more: Any) -> Any:
        looked.set()
        return await page(*arguments, **more)

    monkeypatch.setattr(log, "settled", looking)
    monkeypatch.setattr(log, "page", paging)
    words = [f"w{number}" for number in range(150)]
    crone.send("".join(f"<message type='groupchat' to='{ROOM}'><body>{word}</body></message>" for word in words))
    again = await world.connect("hag66@localhost/pda")
    again.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    async with asyncio.timeout(20):
        await looked.wait()
    goes.set()
    async with asyncio.timeout(20):
        await world.settle()
    assert bodies(again)[-len(words) :] == words


@pytest.mark.parametrize("behind", [0, 120])
async def test_what_is_sent_again_after_a_crash_is_shown_once(make_world: MakeWorld, behind: int) -> None:
    """Also if more came after it than the room has in memory."""
    world = await make_world("")
    crone = await make_room(world, persistentroom="1")
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    crone.inbox.clear()
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"
    message = f"<message type='groupchat' to='{ROOM}' id='m1'><body >double</body>{origin}%s</message>"
    crone.send(message % "")
    first = await crone.receives(f"<message id='m1' type='groupchat' from='{ROOM}/firstwitch'/>")
    for number in range(behind):
        await speak(hag, str(number))
    # after a crash nobody is in the room, and it is read from its log
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    for client in (crone, hag):
        await client.disconnect()
    await world.settle()
    assert not muc._live
    world.core.resends._known.clear()
    crone, hag = await world.login("crone@localhost/desktop"), await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    await enter(crone, "firstwitch")
    hag.inbox.clear()
    crone.send(message % "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>")
    again = await crone.receives(f"<message id='m1' type='groupchat' from='{ROOM}/firstwitch'/>")
    assert again.child("urn:xmpp:sid:0", "stanza-id").attrs == first.child("urn:xmpp:sid:0", "stanza-id").attrs  # type: ignore[union-attr]
    await hag.receives_nothing()
    # another's, and another one with the same id, are other messages
    hag.send(message % "")
    await crone.receives(f"<message id='m1' from='{ROOM}/thirdwitch'/>")
    crone.send(message.replace("double", "toil") % "")
    await crone.receives(f"<message id='m1' from='{ROOM}/firstwitch'><body>toil</body></message>")


async def test_who_enters_a_room_that_cannot_be_read_waits_for_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked is answered at once, with an error."""
    crone = await make_room(world, persistentroom="1")
    crone.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    await world.settle()
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    assert not muc._live
    load, attempts = muc._rooms.load, 0

    async def away(room: JID) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise Unavailable("away")
        return await load(room)

    monkeypatch.setattr("xmpp_server.storage.patience._PAUSES", (0.01,))
    monkeypatch.setattr(muc._rooms, "load", away)
    assert (await crone.request("get", "<ping xmlns='urn:xmpp:ping'/>", ROOM)).get("type") == "error"
    crone.inbox.clear()
    await enter(crone, "firstwitch")
    assert attempts == 4
    crone.send(f"<message type='groupchat' to='{ROOM}'><body>here</body></message>")
    await crone.receives("<message type='groupchat'><body>here</body></message>")


async def test_what_is_sent_again_after_it_was_retracted_stays_retracted(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.muc.history._MOST", 1)
    world = await make_world("")
    crone = await make_room(world, persistentroom="1")
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='{0}'/>"
    oops = f"<message type='groupchat' to='{ROOM}' id='1'><body>oops</body>{origin.format('1')}</message>"
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    log = muc._rooms.log
    crone.send(oops)
    await world.settle()
    (only,) = await log.page(JID.parse(ROOM), Matching(), limit=9)
    retract = f"<retract xmlns='urn:xmpp:message-retract:1' id='{muc.stanza_id(JID.parse(ROOM), only.n)}'/>"
    crone.send(f"<message type='groupchat' to='{ROOM}' id='2'>{retract}{origin.format('2')}</message>")
    await world.settle()
    await crone.disconnect()
    world.clients.remove(crone)
    world.core.resends._known.clear()
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    crone.send(oops)
    await world.settle()
    page = await log.page(JID.parse(ROOM), Matching(), limit=9)
    kept = await log.each(JID.parse(ROOM), [found.n for found in page])
    assert len(kept) == 2
    assert not any(b"oops" in message.stanza for message in kept)


async def test_typing_and_ids_that_are_none_hide_nothing_that_is_sent_again_or_new(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.muc.history._MOST", 1)
    world = await make_world("")
    crone = await make_room(world, persistentroom="1")
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='{0}'/>"
    message = f"<message type='groupchat' to='{ROOM}' id='{{0}}'><body>same</body>{origin}</message>"
    typing = f"<message type='groupchat' to='{ROOM}'><composing xmlns='http://jabber.org/protocol/chatstates'/>{origin}</message>"
    crone.send(message.format("1") + message.format("2"))
    await world.settle()
    await crone.disconnect()
    world.clients.remove(crone)
    world.core.resends._known.clear()
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    crone.send(typing.format("t") + message.format("1") + message.format("") + message.format(""))
    await world.settle()
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    assert len(await muc._rooms.log.page(JID.parse(ROOM), Matching(), limit=9)) == 4


@pytest.mark.parametrize("affiliation", ["none", "member"])
async def test_a_session_that_took_the_place_of_another_hears_nothing_before_it_is_in_the_room(
    world: World, affiliation: str
) -> None:
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, f"<item affiliation='{affiliation}' jid='hag66@localhost'/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    await speak(crone, "1")
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    log, gate = muc._rooms.log, asyncio.Event()

    def slow(*arguments: Any, **more: Any) -> asyncio.Future[Any]:
        written = add(*arguments, **more)

        async def commit() -> None:
            await written
            await gate.wait()

        return asyncio.ensure_future(commit())

    add, log.add = log.add, slow  # type: ignore[method-assign]
    crone.send(f"<message type='groupchat' to='{ROOM}'><body>2</body></message>")
    live = muc._live[JID.parse(ROOM)]
    await until(lambda: bool(live._pending))
    again = await world.connect("hag66@localhost/pda")
    again.send(f"<presence/><presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await until(lambda: again.worker is None)
    gate.set()
    await world.settle()
    own = next(n for n, each in enumerate(again.inbox) if each.get("from") == f"{ROOM}/thirdwitch")
    heard = [n for n, each in enumerate(again.inbox) if each.child("jabber:client", "body")]
    assert bodies(again)[-1] == "2"
    assert len(set(bodies(again))) == len(bodies(again)), "once each"
    assert all(n > own for n in heard)


async def test_of_an_account_that_is_a_new_device_at_each_login_the_newest_cursors_are_kept(
    world: World, tmp_path: Path
) -> None:
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    muc = world.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    for n in range(40):
        hag = await world.login(f"hag66@localhost/{n}")
        hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
        await world.settle()
        assert bodies(hag) == [f"{n - 1}"][: min(n, 1)]
        await hag.disconnect()
        world.clients.remove(hag)
        await speak(crone, str(n))
        await muc._cursors.save()
    database = sqlite3.connect(tmp_path / "world.db")
    ((count,),) = database.execute("SELECT count(*) FROM room_cursors WHERE account = 'hag66@localhost'")
    database.close()
    assert count <= 33


FORBIDDEN: Final = [
    # XEP-0045 §8.2: kicking
    ("participant", "<item nick='member' role='none'/>", "auth forbidden"),
    ("admin", "<item nick='owner' role='none'/>", "cancel not-allowed"),
    ("moderator", "<item nick='admin' role='none'/>", "cancel not-allowed"),
    # §8.3, §8.4: voice
    ("participant", "<item nick='member' role='visitor'/>", "auth forbidden"),
    ("moderator", "<item nick='admin' role='visitor'/>", "cancel not-allowed"),
    ("admin", "<item nick='owner' role='visitor'/>", "cancel not-allowed"),
    # §9.1: banning
    ("moderator", "<item jid='member@localhost' affiliation='outcast'/>", "auth forbidden"),
    ("admin", "<item jid='owner@localhost' affiliation='outcast'/>", "cancel not-allowed"),
    ("admin", "<item jid='admin@localhost' affiliation='outcast'/>", "cancel conflict"),
    ("owner", "<item jid='owner@localhost' affiliation='outcast'/>", "cancel conflict"),
    # §9.3, §9.4: membership
    ("member", "<item jid='x@localhost' affiliation='member'/>", "auth forbidden"),
    ("admin", "<item jid='owner@localhost' affiliation='member'/>", "auth forbidden"),
    # §9.6, §9.7: moderators
    ("moderator", "<item nick='participant' role='moderator'/>", "auth forbidden"),
    ("admin", "<item nick='owner' role='participant'/>", "cancel not-allowed"),
    # §10.3 to §10.8: owners and admins are the owners' affair, and one owner stays
    ("admin", "<item jid='member@localhost' affiliation='admin'/>", "auth forbidden"),
    ("admin", "<item jid='admin@localhost' affiliation='owner'/>", "auth forbidden"),
    ("owner", "<item jid='owner@localhost' affiliation='admin'/>", "cancel conflict"),
    ("owner", "<item jid='owner@localhost' affiliation='none'/>", "cancel conflict"),
    # what is no change at all
    ("owner", "<item nick='nobody' role='participant'/>", "cancel item-not-found"),
    ("owner", "<item jid='@' affiliation='member'/>", "modify jid-malformed"),
    ("owner", "<item jid='x@localhost' affiliation='king'/>", "modify bad-request"),
    ("owner", "<item jid='x@localhost'/>", "modify bad-request"),
]


@pytest.mark.parametrize(("who", "item", "error"), FORBIDDEN)
async def test_a_change_that_is_forbidden_gets_the_error_of_its_section(
    world: World, who: str, item: str, error: str
) -> None:
    owner = await world.login("owner@localhost/x")
    await enter(owner, "owner")
    form = "<x xmlns='jabber:x:data' type='submit'/>"
    await owner.request("set", f"<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>", ROOM)
    given = "".join(f"<item jid='{name}@localhost' affiliation='{name}'/>" for name in ("admin", "member"))
    assert await admin(owner, given) == "result"
    people = {"owner": owner}
    for name in ("admin", "member", "moderator", "participant"):
        people[name] = await world.login(f"{name}@localhost/x")
        await enter(people[name], name)
    assert await admin(owner, "<item nick='moderator' role='moderator'/>") == "result"
    for person in people.values():
        person.inbox.clear()
    answer = await people[who].request("set", f"<query xmlns='{ADMIN}'>{item}</query>", ROOM)
    found = answer.child("jabber:client", "error")
    assert found is not None, "it was done"
    assert f"{found.get('type')} {next(child.name for child in found if child.ns == STANZAS)}" == error
    for person in people.values():
        await person.receives_nothing()


async def test_a_hundred_thousand_rooms_cost_nothing_at_the_start(world: World, tmp_path: Path) -> None:
    crone = await make_room(world, persistentroom="1")
    await speak(crone, "1")
    await crone.disconnect()
    await world.settle()
    database = sqlite3.connect(tmp_path / "world.db")
    for table in ("rooms", "room_affiliations"):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        (row,) = database.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE room = ?", (ROOM,)).fetchall()
        place, marks = columns.index("room"), ", ".join("?" * len(columns))
        copies = ((*row[:place], f"r{n}@conference.localhost", *row[place + 1 :]) for n in range(100_000))
        database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", copies)
    database.commit()
    database.close()
    before = time.process_time()
    again = await World.open(f"sqlite:///{tmp_path / 'world.db'}", "")
    assert time.process_time() - before < 1
    muc = again.core.components.running["conference.localhost"]
    assert isinstance(muc, Muc)
    assert not muc._live
    crone = await again.login("crone@localhost/desktop")
    crone.send(f"<presence to='r77777@conference.localhost/firstwitch'>{JOIN}</presence>")
    await crone.receives("<presence from='r77777@conference.localhost/firstwitch'/>")
    assert len(muc._live) == 1
    await again.close()


async def test_what_a_member_missed_is_waited_for_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """the history that everybody is shown would be all that he ever got"""
    monkeypatch.setattr("components.muc.catching_up._AGAIN", 0.01)
    crone = await make_room(world, persistentroom="1")
    assert await admin(crone, "<item affiliation='member' jid='m1@localhost'/>") == "result"
    member = await world.connect("m1@localhost/pda")
    await come([member])
    await member.disconnect()
    words = [f"w{n}" for n in range(60)]
    await speak(crone, *words)
    rooms = world.core.components.running["conference.localhost"]
    assert isinstance(rooms, Muc)
    cursors, asked = rooms._rooms.cursors, 0

    async def away(room: JID, account: JID) -> dict[str, int]:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Unavailable("away")
        return await cursors(room, account)

    monkeypatch.setattr(rooms._rooms, "cursors", away)
    member = await world.connect("m1@localhost/pda")
    await come([member])
    await until(lambda: len(bodies(member)) >= len(words), seconds=10)
    assert bodies(member) == words
