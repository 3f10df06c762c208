"""XEP-0313: what stands in an archive, and in which order."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.jid import JID

from .archive import JULIET, ROMEO, couple, form, forwarded, query, refused, rsm, stanza_ids, talk
from .conftest import HOSTS, MakeWorld
from .world import World

# -- §3: what stands in an archive


async def test_a_message_is_in_the_archives_of_both_as_it_was_sent(world: World) -> None:
    """§3, §4.2: the entire original, and when it came"""
    romeo, juliet = await couple(world)
    earlier = "<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/>"
    payload = f"<body>Hi &amp; ho</body><x xmlns='urn:x'><y xmlns=''/></x>{earlier}"
    romeo.send(f"<message to='{JULIET}/balcony' type='chat' id='m1' xml:lang='it'>{payload}</message>")
    await world.settle()
    for client in (romeo, juliet):
        (result,) = (await query(client)).results
        inside = forwarded(result)
        assert [child.name for child in inside] == ["delay", "message"]
        delay, message = inside
        assert parse_time(delay.get("stamp")) > parse_time("2024-01-01T00:00:00Z")
        attrs = {"from": f"{ROMEO}/orchard", "to": f"{JULIET}/balcony", "type": "chat", "id": "m1", "xml:lang": "it"}
        assert message.attrs == attrs
        assert "".join(child.to_bytes().decode() for child in message) == payload


async def test_the_language_of_the_stream_stays_known(world: World) -> None:
    """RFC 6120 §4.7.4: what is the stream's for a message that names none"""
    romeo = await talk(world, "Hi")
    assert [message.get("xml:lang") for message in (await query(romeo)).messages] == ["en"]


async def test_the_receiver_learns_the_id_and_nobody_else_does(world: World) -> None:
    """§3.5: MUST add, MUST NOT to those who may not read the archive"""
    romeo, juliet = await couple(world)
    romeo.send(f"<message to='{JULIET}' type='chat'><body>Hi</body></message>")
    message = await juliet.receives("<message/>")
    assert stanza_ids(message) == [(JULIET, (await query(juliet)).ids[0])]
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Ho</body></message>")
    assert [by for by, _ in stanza_ids(await romeo.receives("<message/>"))] == [ROMEO]


async def test_what_leaves_for_another_server_bears_no_id_and_is_kept(world: World) -> None:
    elsewhere = world.elsewhere()
    romeo = await talk(world, "Hi", to="mercutio@verona.example")
    assert [child.name for stanza in elsewhere for child in stanza.children] == ["body"]
    assert (await query(romeo)).bodies == ["Hi"]


async def test_live_carbons_offline_and_archive_have_the_same_id(world: World) -> None:
    romeo, balcony = await couple(world)
    chamber = await world.login(f"{JULIET}/chamber")
    await chamber.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.send(f"<message to='{JULIET}/balcony' type='chat'><body>Hi</body></message>")
    live = stanza_ids(await balcony.receives("<message/>"))
    (received,) = await chamber.receives("<message/>")
    (inside,) = received
    (copy,) = inside
    assert stanza_ids(copy) == live  # type: ignore[arg-type]
    assert [(JULIET, id) for id in (await query(balcony)).ids] == live

    await world.account("nurse@capulet.example")
    romeo.send("<message to='nurse@capulet.example' type='chat'><body>Hi</body></message>")
    await world.settle()
    nurse = await world.login("nurse@capulet.example/kitchen")
    waited = stanza_ids(await nurse.receives("<message><body>Hi</body></message>"))
    assert [("nurse@capulet.example", id) for id in (await query(nurse)).ids] == waited


async def test_the_copy_for_the_senders_other_devices_has_the_id_in_his_archive(world: World) -> None:
    """§3.5: servers SHOULD include it"""
    romeo, juliet = await couple(world)
    garden = await world.login(f"{ROMEO}/garden")
    await garden.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.send(f"<message to='{JULIET}' type='chat'><body>Hi</body></message>")
    (sent,) = await garden.receives("<message/>")
    (inside,) = sent
    (copy,) = inside
    assert stanza_ids(copy) == [(ROMEO, id) for id in (await query(romeo)).ids]  # type: ignore[arg-type]
    assert [by for by, _ in stanza_ids(await juliet.receives("<message/>"))] == [JULIET]


async def test_an_id_that_the_sender_forged_is_replaced(world: World) -> None:
    """XEP-0359 §3"""
    romeo, juliet = await couple(world)
    forged = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{JULIET}' id='forged'/>"
    romeo.send(f"<message to='{JULIET}' type='chat'><body>Hi</body>{forged}</message>")
    ((by, id),) = stanza_ids(await juliet.receives("<message/>"))
    assert by == JULIET
    assert id != "forged"
    (message,) = (await query(juliet)).messages
    assert stanza_ids(message) == []


async def test_the_order_is_that_of_arrival(world: World) -> None:
    """§3.1: also within one microsecond"""
    bodies = [str(number) for number in range(40)]
    romeo = await talk(world, *bodies)
    assert (await query(romeo)).bodies == bodies


async def test_ids_tell_nothing_and_differ_from_archive_to_archive(world: World) -> None:
    """§3, §6.2; XEP-0359 §6"""
    romeo, juliet = await couple(world)
    for body in "ab":
        romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")
    await world.settle()
    ids = (await query(romeo)).ids + (await query(juliet)).ids
    assert len({id[:8] for id in ids}) == 4


async def test_what_goes_to_several_devices_is_kept_once(world: World) -> None:
    """§6.1.1: MUST store such a stanza within a given archive only once"""
    romeo, balcony = await couple(world)
    chamber = await world.login(f"{JULIET}/chamber")
    await chamber.request("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    for to in (JULIET, f"{JULIET}/balcony"):
        romeo.send(f"<message to='{to}' type='chat'><body>{to}</body></message>")
    await world.settle()
    assert (await query(balcony)).bodies == [JULIET, f"{JULIET}/balcony"]


@pytest.mark.parametrize("to", ["", f" to='{ROMEO}'", f" to='{ROMEO}/orchard'", f" to='{ROMEO}/garden'"])
async def test_a_message_to_oneself_is_kept_once(world: World, to: str) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    garden = await world.login(f"{ROMEO}/garden")
    romeo.send(f"<message{to} type='chat'><body>Mind</body></message>")
    await world.settle()
    message = (romeo.inbox or garden.inbox)[0]
    ((by, id),) = stanza_ids(message)
    assert by == ROMEO
    assert (await query(romeo)).ids == [id]


BODY = "<body>Hi</body>"
STORED = {
    "a body": BODY,
    "a subject": "<subject>Love</subject>",
    "encrypted": "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>",
    "a key transport": "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/></encrypted>",
    "a receipt": "<received xmlns='urn:xmpp:receipts' id='1'/>",
    "a marker": "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
    "reactions": "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>👋</reaction></reactions>",
    "a retraction": "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
    "a call": "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
    "a direct invitation": "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",
    "an invitation by a room": "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>",
    "what asks to be": "<x xmlns='urn:x'/><store xmlns='urn:xmpp:hints'/>",
    "a body with a chat state": f"{BODY}<active xmlns='http://jabber.org/protocol/chatstates'/>",
}
NOT_STORED = {
    "a chat state": "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "what is unknown": "<x xmlns='urn:x'/>",
    "nothing": "",
    "no-store": f"{BODY}<no-store xmlns='urn:xmpp:hints'/>",
    "no-permanent-store": f"{BODY}<no-permanent-store xmlns='urn:xmpp:hints'/>",
    "what wants both": f"{BODY}<store xmlns='urn:xmpp:hints'/><no-store xmlns='urn:xmpp:hints'/>",
    "a mark of a room": "<x xmlns='http://jabber.org/protocol/muc#user'/>",
}


@pytest.mark.parametrize("type", ["chat", "normal", ""])
@pytest.mark.parametrize("payload", STORED.values(), ids=STORED)
async def test_it_is_kept(world: World, payload: str, type: str) -> None:
    """§6.1.1"""
    romeo, juliet = await couple(world)
    typed = f" type='{type}'" if type else ""
    romeo.send(f"<message to='{JULIET}'{typed}>{payload}</message>")
    await world.settle()
    for client in (romeo, juliet):
        assert len((await query(client)).ids) == 1


@pytest.mark.parametrize("payload", NOT_STORED.values(), ids=NOT_STORED)
async def test_it_is_not_kept(world: World, payload: str) -> None:
    romeo, juliet = await couple(world)
    romeo.send(f"<message to='{JULIET}' type='chat'>{payload}</message>")
    assert stanza_ids(await juliet.receives("<message/>")) == []
    for client in (romeo, juliet):
        assert (await query(client)).ids == []


@pytest.mark.parametrize("type", ["headline", "groupchat", "error"])
async def test_other_types_are_not_kept(world: World, type: str) -> None:
    romeo, juliet = await couple(world)
    romeo.send(f"<message to='{JULIET}/balcony' type='{type}'>{BODY}<store xmlns='urn:xmpp:hints'/></message>")
    await world.settle()
    for client in (romeo, juliet):
        assert (await query(client)).ids == []


async def test_what_the_receiver_has_blocked_is_not_in_his_archive(world: World) -> None:
    """§6.1: it only contains messages accepted for delivery"""
    romeo, juliet = await couple(world)
    await juliet.request("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></block>")
    romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    await world.settle()
    assert (await query(juliet)).ids == []
    assert (await query(romeo)).bodies == ["Hi"]


async def test_a_message_that_cannot_wait_but_is_in_the_archive_is_no_failure(make_world: MakeWorld) -> None:
    world = await make_world(f"{HOSTS}[modules.offline]\nenabled = false")
    await world.account(JULIET)
    romeo = await world.login(f"{ROMEO}/orchard")
    romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    await romeo.receives_nothing()
    juliet = await world.login(f"{JULIET}/balcony")
    assert (await query(juliet)).bodies == ["Hi"]


async def test_a_message_that_nobody_takes_is_in_the_senders_archive_before_his_next_query(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    romeo.send(f"<message to='nobody@localhost' type='chat'>{BODY}</message>")
    romeo.send(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
    await romeo.receives("<message type='error' from='nobody@localhost'/>")
    await romeo.receives(f"<message><result xmlns='{ns.MAM}'/></message>")
    await romeo.receives("<iq type='result' id='q'/>")


async def test_one_host_may_have_archives_and_another_none(make_world: MakeWorld) -> None:
    world = await make_world(f'{HOSTS}[hosts."capulet.example".modules.archive]\nenabled = false')
    romeo, juliet = await couple(world)
    romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    await juliet.receives("<message/>")
    assert await world.store.archive.last(JID.parse(JULIET)) == 0
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Ho</body></message>")
    await world.settle()
    assert (await query(romeo)).bodies == ["Hi", "Ho"]
    answer = await juliet.request("set", f"<query xmlns='{ns.MAM}'/>")
    assert answer.get("type") == "error"


# -- in the course of time


async def test_the_archive_goes_with_the_account(world: World) -> None:
    romeo = await talk(world, "a", "b")
    old = (await query(romeo)).ids
    answer = await romeo.request("set", "<query xmlns='jabber:iq:register'><remove/></query>")
    assert answer.get("type") == "result"
    await world.settle()
    again = await talk(world, "c")
    answer_ = await query(again)
    assert answer_.bodies == ["c"]
    assert not set(old) & set(answer_.ids)
    assert await refused(again, rsm(after=old[0])) == "item-not-found"


async def test_after_a_restart_the_order_goes_on(world: World) -> None:
    romeo = await talk(world, "a", "b")
    ids = (await query(romeo)).ids
    for modules in world.core.modules.values():
        modules["archive"]._books.clear()  # type: ignore[attr-defined]
    world.store.archive._number = 0
    romeo.send(f"<message to='{JULIET}' type='chat'><body>c</body></message>")
    page = await query(romeo, rsm(after=ids[-1]))
    assert page.bodies == ["c"]


async def test_when_the_clock_is_turned_back_the_order_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """§3.1: not to rely on timestamps alone"""
    romeo = await world.login(f"{ROMEO}/orchard")
    await world.account(JULIET)
    import time

    now = time.time_ns()
    for body, minutes in (("a", 0), ("b", -30), ("c", -20), ("d", 1)):
        monkeypatch.setattr(time, "time_ns", lambda minutes=minutes: now + minutes * 60 * 10**9)
        romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")
        await world.settle()
    monkeypatch.undo()
    whole = await query(romeo)
    assert whole.bodies == ["a", "b", "c", "d"]
    stamps = [forwarded(result).child(ns.DELAY, "delay").get("stamp") for result in whole.results]  # type: ignore[union-attr]
    assert (await query(romeo, form(start=stamps[2]))).bodies == ["a", "c", "d"]
    assert (await query(romeo, form(end=stamps[2]))).bodies == ["b", "c"]
