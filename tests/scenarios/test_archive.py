"""XEP-0313, section by section: what is kept, and how it is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID

from .conftest import HOSTS, MakeWorld
from .world import Client, World

ROMEO = "romeo@localhost"
JULIET = "juliet@capulet.example"
RSM = "http://jabber.org/protocol/rsm"


def form(**fields: str | Sequence[str]) -> str:
    """The form of a query with these fields; `_` stands for the hyphen, and at the end of what Python reserves."""
    rows = []
    for name, values in fields.items():
        listed = [values] if isinstance(values, str) else values
        texts = "".join(f"<value>{value}</value>" for value in listed)
        rows.append(f"<field var='{name.rstrip('_').replace('_', '-')}'>{texts}</field>")
    hidden = f"<field var='FORM_TYPE' type='hidden'><value>{ns.MAM}</value></field>"
    return f"<x xmlns='{ns.DATA}' type='submit'>{hidden}{''.join(rows)}</x>"


def rsm(**parts: str | int | None) -> str:
    inner = "".join(f"<{name}/>" if value is None else f"<{name}>{value}</{name}>" for name, value in parts.items())
    return f"<set xmlns='{RSM}'>{inner}</set>"


class Answer:
    """What a query brought."""

    def __init__(self, results: list[Element], fin: Element) -> None:
        self.results = results
        self.fin = fin
        page = fin.child(RSM, "set")
        assert page is not None
        self.page = page
        self.complete = fin.get("complete") == "true"

    @property
    def ids(self) -> list[str]:
        return [result.get("id") for result in self.results]

    @property
    def messages(self) -> list[Element]:
        return [message for result in self.results if (message := forwarded(result).child(ns.CLIENT, "message"))]

    @property
    def bodies(self) -> list[str]:
        return [message.child_text(ns.CLIENT, "body") for message in self.messages]

    def rsm(self, name: str) -> str:
        return self.page.child_text(RSM, name)


def forwarded(result: Element) -> Element:
    (element,) = result
    assert (element.ns, element.name) == (ns.FORWARD, "forwarded")
    return element


async def query(client: Client, payload: str = "", attrs: str = "") -> Answer:
    """Ask for what stands in the archive; what else came is read and forgotten."""
    await client.receives_all()
    client.inbox.clear()
    answer = await client.request("set", f"<query xmlns='{ns.MAM}'{attrs}>{payload}</query>")
    assert answer.get("type") == "result", answer
    results = []
    for stanza in client.inbox:
        result = stanza.child(ns.MAM, "result")
        assert result is not None
        assert (stanza.get("to"), stanza.get("from")) == (client.jid, client.jid.partition("/")[0])
        results.append(result)
    client.inbox.clear()
    fin = answer.child(ns.MAM, "fin")
    assert fin is not None
    return Answer(results, fin)


async def refused(client: Client, payload: str, to: str = "") -> str:
    """The condition of the error that the query is answered with, without any result."""
    client.inbox.clear()
    answer = await client.request("set", f"<query xmlns='{ns.MAM}'>{payload}</query>", to)
    assert answer.get("type") == "error"
    await client.receives_nothing()
    error = answer.child(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error if child.ns == ns.STANZA_ERRORS)


async def couple(world: World) -> tuple[Client, Client]:
    return await world.login(f"{ROMEO}/orchard"), await world.login(f"{JULIET}/balcony")


async def talk(world: World, *bodies: str, to: str = JULIET) -> Client:
    """Romeo says all this."""
    romeo = await world.login(f"{ROMEO}/orchard")
    for body in bodies:
        romeo.send(f"<message to='{to}' type='chat'><body>{body}</body></message>")
    await world.settle()
    romeo.inbox.clear()
    return romeo


def stanza_ids(message: Element) -> list[tuple[str, str]]:
    return [
        (child.get("by"), child.get("id")) for child in message if (child.ns, child.name) == (ns.STANZA_ID, "stanza-id")
    ]


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


# -- RFC 6120 §10.1: in order, though messages wait for their commit together


@pytest.mark.parametrize("kept", [True, False])
async def test_what_is_not_kept_stays_behind_what_was_sent_before_it(world: World, kept: bool) -> None:
    """typing, requests and presence do not overtake a message that waits for its commit"""
    romeo, juliet = await couple(world)
    await world.subscribe(ROMEO, JULIET)
    if not kept:
        await juliet.request("set", f"<prefs xmlns='{ns.MAM}' default='never'/>")
        await romeo.request("set", f"<prefs xmlns='{ns.MAM}' default='always'/>")
    to = f"to='{JULIET}/balcony'"
    for number in range(30):
        romeo.send(f"<message {to} type='chat' id='{number}a'><body>{number}</body></message>")
        romeo.send(f"<message {to} type='chat' id='{number}b'><composing xmlns='urn:x'/></message>")
        if number % 3 == 1:
            romeo.send(f"<iq {to} type='get' id='{number}c'><query xmlns='urn:x'/></iq>")
        if number % 3 == 2:
            romeo.send(f"<presence {to} id='{number}c'/>")
    await world.settle()
    expected = [f"{number}{part}" for number in range(30) for part in ("abc" if number % 3 else "ab")]
    assert [stanza.get("id") for stanza in juliet.inbox] == expected


async def test_a_change_of_mind_applies_to_what_is_sent_after_it(world: World) -> None:
    romeo, juliet = await couple(world)
    for default in ("never", "always", "never"):
        romeo.send(f"<message to='{JULIET}' type='chat'><body>before {default}</body></message>")
        romeo.send(f"<iq type='set' id='{default}'><prefs xmlns='{ns.MAM}' default='{default}'/></iq>")
        romeo.send(f"<message to='{JULIET}' type='chat'><body>after {default}</body></message>")
    await world.settle()
    assert [stanza.child_text(ns.CLIENT, "body").split()[0] for stanza in juliet.inbox] == ["before", "after"] * 3
    assert (await query(romeo)).bodies == ["before never", "after always", "before never"]


async def test_messages_wait_for_one_commit_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """a client that sends many at once does not wait for a commit for each"""
    romeo, juliet = await couple(world)
    await talk_to(romeo, world, "first")
    groups: list[int] = []
    writer = world.store.archive._writer
    write = writer._commit
    monkeypatch.setattr(writer, "_commit", lambda rows, entombed: groups.append(len(rows)) or write(rows, entombed))
    await talk_to(romeo, world, *(str(number) for number in range(60)))
    assert sum(groups) == 120
    assert len(groups) < 10
    assert [stanza.child_text(ns.CLIENT, "body") for stanza in juliet.inbox][1:] == [str(n) for n in range(60)]


async def talk_to(romeo: Client, world: World, *bodies: str) -> None:
    romeo.send("".join(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>" for body in bodies))
    await world.settle()


# -- §4.1: filtering


async def conversations(world: World) -> Client:
    """Romeo and others: 1 to Juliet, 2 from her balcony, 3 to the nurse, 4 from Juliet's chamber, 5 to himself."""
    romeo, balcony = await couple(world)
    chamber = await world.login(f"{JULIET}/chamber")
    await world.account("nurse@localhost")
    for client, to, body in (
        (romeo, JULIET, "1"),
        (balcony, ROMEO, "2"),
        (romeo, "nurse@localhost", "3"),
        (chamber, ROMEO, "4"),
        (romeo, ROMEO, "5"),
    ):
        client.send(f"<message to='{to}' type='chat'><body>{body}</body></message>")
        await world.settle()
    return romeo


@pytest.mark.parametrize(
    ("peer", "bodies"),
    [
        (JULIET, ["1", "2", "4"]),
        (JULIET.upper(), ["1", "2", "4"]),
        (f"{JULIET}/balcony", ["2"]),
        (f"{JULIET}/elsewhere", []),
        ("nurse@localhost", ["3"]),
        (ROMEO, ["5"]),  # MUST only return results where both match
        ("localhost", []),
        ("stranger@localhost", []),
    ],
)
async def test_messages_with_one_person(world: World, peer: str, bodies: list[str]) -> None:
    """§4.1.1"""
    romeo = await conversations(world)
    assert (await query(romeo, form(with_=peer))).bodies == bodies
    backwards = await query(romeo, form(with_=peer) + rsm(before=None, max=1))
    assert backwards.bodies == bodies[-1:]


async def test_messages_between_two_times(world: World) -> None:
    """§4.1.2: both ends count"""
    romeo = await talk(world, *"abcde")
    whole = await query(romeo)
    stamps = [forwarded(result).child(ns.DELAY, "delay").get("stamp") for result in whole.results]  # type: ignore[union-attr]
    assert (await query(romeo, form(start=stamps[2]))).bodies == ["c", "d", "e"]
    assert (await query(romeo, form(end=stamps[2]))).bodies == ["a", "b", "c"]
    assert (await query(romeo, form(start=stamps[1], end=stamps[3]))).bodies == ["b", "c", "d"]
    assert (await query(romeo, form(start=stamps[3], end=stamps[1]))).bodies == []
    assert (await query(romeo, form(start=stamps[1], end=stamps[3], with_=JULIET))).bodies == ["b", "c", "d"]
    assert (await query(romeo, form(end=stamps[3]) + rsm(before=None, max=2))).bodies == ["c", "d"]


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-07-21T02:56:15Z", ""])
@pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-14:00", ""])
async def test_times_far_away(world: World, start: str, end: str) -> None:
    romeo = await talk(world, "a")
    assert (await query(romeo, form(start=start, end=end))).bodies == ["a"]
    if start:
        assert (await query(romeo, form(end=start))).bodies == []


async def test_messages_after_and_before_known_ones(world: World) -> None:
    """§4.1.3: before-id is no request for the last page"""
    romeo = await talk(world, *"abcde")
    ids = (await query(romeo)).ids
    assert (await query(romeo, form(after_id=ids[1]))).bodies == ["c", "d", "e"]
    assert (await query(romeo, form(before_id=ids[3]))).bodies == ["a", "b", "c"]
    assert (await query(romeo, form(after_id=ids[0], before_id=ids[4]))).bodies == ["b", "c", "d"]
    first = await query(romeo, form(before_id=ids[3]) + rsm(max=2))
    assert first.bodies == ["a", "b"]
    assert not first.complete
    rest = await query(romeo, form(before_id=ids[3]) + rsm(max=2, after=ids[1]))
    assert rest.bodies == ["c"]
    assert rest.complete


async def test_messages_by_their_ids(world: World) -> None:
    """§4.1.3: in chronological order, together with other fields and paging"""
    romeo = await talk(world, *"abcde")
    ids = (await query(romeo)).ids
    some = (ids[3], ids[0], ids[2], ids[0])
    answer = await query(romeo, form(ids=some))
    assert answer.bodies == ["a", "c", "d"]
    assert answer.ids == [ids[0], ids[2], ids[3]]
    assert answer.complete
    assert (await query(romeo, form(ids=some, after_id=ids[1]))).bodies == ["c", "d"]
    assert (await query(romeo, form(ids=some, with_="stranger@localhost"))).bodies == []
    assert (await query(romeo, form(ids=some, with_=JULIET))).bodies == ["a", "c", "d"]
    page = await query(romeo, form(ids=some) + rsm(max=2, before=None))
    assert page.bodies == ["c", "d"]
    assert not page.complete
    assert (await query(romeo, form(ids=some) + "<flip-page/>")).bodies == ["d", "c", "a"]
    assert (await query(romeo, form(ids=some) + rsm(max=0))).rsm("count") == "3"


async def test_an_id_that_is_not_in_the_archive_is_not_found(world: World) -> None:
    """§4.1.3, §4.3.2: MUST return item-not-found"""
    await world.account(JULIET)
    romeo = await talk(world, "a", "b")
    ids = (await query(romeo)).ids
    juliet = await world.login(f"{JULIET}/balcony")
    foreign = (await query(juliet)).ids[0]
    changed = ids[0][:-2] + ("AA" if ids[0][-2:] != "AA" else "BA")
    await world.store.archive.purge(JID.parse(ROMEO), before=2**62, limit=1)
    for id in (foreign, changed, "28482-98726-73623", "x" * 10_000, "é" * 22, ids[0]):
        for field in ("before_id", "after_id", "ids"):
            assert await refused(romeo, form(**{field: id})) == "item-not-found"
        for part in ("before", "after"):
            assert await refused(romeo, rsm(**{part: id})) == "item-not-found"
    assert await refused(romeo, form(ids=(ids[1], ids[0]))) == "item-not-found"
    assert (await query(romeo, form(ids=ids[1]))).bodies == ["b"]


@pytest.mark.parametrize("value", ["true", "false", "1", "0"])
async def test_messages_of_rooms_can_be_asked_for_and_there_are_none(world: World, value: str) -> None:
    """§4.1.4, §7: groupchat-field is advertised, groupchat-available is not"""
    romeo = await talk(world, "a")
    assert (await query(romeo, form(include_groupchat=value))).bodies == ["a"]


async def test_the_form_names_the_fields(world: World) -> None:
    """§4.1.5"""
    romeo = await world.login(f"{ROMEO}/orchard")
    answer = await romeo.request("get", f"<query xmlns='{ns.MAM}'/>")
    (listing,) = answer
    (x,) = listing
    assert x.get("type") == "form"
    kinds = {field.get("var"): field.get("type") for field in x}
    assert kinds == {
        "FORM_TYPE": "hidden",
        "with": "jid-single",
        "start": "text-single",
        "end": "text-single",
        "before-id": "text-single",
        "after-id": "text-single",
        "ids": "list-multi",
        "include-groupchat": "boolean",
    }
    assert all(field.child(ns.DATA, "required") is None for field in x)
    ids = next(field for field in x if field.get("var") == "ids")
    validate = ids.child("http://jabber.org/protocol/xdata-validate", "validate")
    assert validate is not None
    assert validate.child("http://jabber.org/protocol/xdata-validate", "open") is not None


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (form(**{"{http://example.com/}free-text-search": "x"}), "feature-not-implemented"),
        (form(start="yesterday"), "bad-request"),
        (form(end="2010-13-01T00:00:00Z"), "bad-request"),
        (form(start="2010-01-01T00:00:00"), "bad-request"),
        (form(with_="@"), "jid-malformed"),
        (form(include_groupchat="perhaps"), "not-acceptable"),
        (form(ids=[str(number) for number in range(1001)]), "policy-violation"),
        (form().replace("submit", "result"), "bad-request"),
        (form().replace(ns.MAM, "urn:xmpp:mam:1"), "bad-request"),
        ("<x xmlns='jabber:x:data' type='nonsense'/>", "bad-request"),
        (rsm(max="many"), "bad-request"),
        (rsm(max=-1), "bad-request"),
        (rsm(index="½"), "bad-request"),
        (rsm(index=10**12), "feature-not-implemented"),
    ],
)
async def test_a_query_that_makes_no_sense_gets_its_error(world: World, payload: str, condition: str) -> None:
    romeo = await talk(world, "a")
    assert await refused(romeo, payload) == condition
    assert (await query(romeo)).bodies == ["a"]


async def test_the_archive_of_a_node_does_not_exist(world: World) -> None:
    """§6.1.3: reserved for XEP-0442"""
    romeo = await world.login(f"{ROMEO}/orchard")
    answer = await romeo.request("set", f"<query xmlns='{ns.MAM}' node='urn:x'/>")
    assert b"feature-not-implemented" in answer.to_bytes()


# -- §4.2: results


async def test_results_and_their_end_bear_what_the_client_asked_with(world: World) -> None:
    romeo = await talk(world, "a", "b")
    answer = await query(romeo, attrs=" queryid='&lt;f27&gt;&apos;'")
    assert [result.get("queryid") for result in answer.results] == ["<f27>'"] * 2
    assert "queryid" not in (await query(romeo)).results[0].attrs
    assert (answer.rsm("first"), answer.rsm("last")) == (answer.ids[0], answer.ids[-1])


async def test_an_empty_archive_has_an_empty_page(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    answer = await query(romeo)
    assert answer.complete
    assert answer.page.to_bytes("") == f"<set xmlns='{RSM}'><count>0</count></set>".encode()


async def test_messages_that_need_many_octets_come_in_order_too(world: World) -> None:
    bodies = [str(number) * 30_000 for number in range(7)]
    romeo = await talk(world, *bodies)
    assert (await query(romeo)).bodies == bodies
    assert (await query(romeo, "<flip-page/>")).bodies == bodies[::-1]
    assert (await query(romeo, form(with_=JULIET) + rsm(max=5))).bodies == bodies[:5]


# -- §4.3: paging


async def test_forwards_page_by_page(world: World) -> None:
    romeo = await talk(world, *"abcdefg")
    seen: list[str] = []
    after = ""
    for _ in range(4):
        page = await query(romeo, rsm(max=2, after=after) if after else rsm(max=2))
        seen += page.bodies
        assert page.rsm("first") == page.ids[0]
        after = page.rsm("last")
        assert page.complete == (len(seen) == 7)
    assert "".join(seen) == "abcdefg"
    beyond = await query(romeo, rsm(max=2, after=after))
    assert beyond.bodies == []
    assert beyond.complete


async def test_backwards_page_by_page(world: World) -> None:
    """§4.3.3: each page in chronological order"""
    romeo = await talk(world, *"abcdefg")
    pages: list[list[str]] = []
    before: str | None = None
    for _ in range(4):
        page = await query(romeo, rsm(max=2, before=before))
        pages.append(page.bodies)
        before = page.rsm("first")
        assert page.complete == (len(pages) == 4)
    assert pages == [["f", "g"], ["d", "e"], ["b", "c"], ["a"]]


async def test_a_flipped_page_is_the_same_page_in_reverse(world: World) -> None:
    """§4.3.4: flipping does not affect what results are returned"""
    romeo = await talk(world, *"abcdefg")
    ids = (await query(romeo)).ids
    page = await query(romeo, rsm(max=3, after=ids[1]) + "<flip-page/>")
    assert page.bodies == ["e", "d", "c"]
    assert (page.rsm("first"), page.rsm("last")) == (ids[2], ids[4])
    last = await query(romeo, rsm(max=3, before=None) + "<flip-page/>")
    assert last.bodies == ["g", "f", "e"]
    assert (last.rsm("first"), last.rsm("last")) == (ids[4], ids[6])


async def test_a_page_between_two_messages(world: World) -> None:
    """RSM leaves open what both together mean: here it is the page before, and not beyond the other"""
    romeo = await talk(world, *"abcde")
    ids = (await query(romeo)).ids
    assert (await query(romeo, rsm(after=ids[0], before=ids[4], max=2))).bodies == ["c", "d"]


async def test_a_page_by_its_index(world: World) -> None:
    """XEP-0059 §2.6"""
    romeo = await talk(world, *"abcde")
    page = await query(romeo, rsm(max=2, index=1))
    assert page.bodies == ["b", "c"]
    first = page.page.child(RSM, "first")
    assert first is not None
    assert first.get("index") == "1"
    assert (await query(romeo, rsm(max=2, index=9))).bodies == []


async def test_a_page_has_so_many_messages_at_most(make_world: MakeWorld) -> None:
    """§4.3.1: whatever is asked for"""
    world = await make_world(f"{HOSTS}[modules.archive]\npage = 4")
    romeo = await talk(world, *"abcdef")
    for payload in ("", rsm(max=1_000_000_000), rsm(max="9" * 40)):
        page = await query(romeo, payload)
        assert page.bodies == list("abcd")
        assert not page.complete


async def test_a_page_of_large_messages_has_fewer(world: World) -> None:
    """§4.3.2: as the server limits it; else it would not fit behind what its client has not acknowledged."""
    large = [f"{letter}{'x' * 200_000}" for letter in "abcde"]
    romeo = await talk(world, *large)
    first = await query(romeo)
    assert (first.bodies, first.complete) == (large[:2], False)
    assert first.page.child(RSM, "count") is None
    second = await query(romeo, rsm(after=first.ids[-1]))
    assert (second.bodies, second.complete) == (large[2:4], False)
    third = await query(romeo, rsm(after=second.ids[-1]))
    assert (third.bodies, third.complete) == (large[4:], True)
    last = await query(romeo, rsm(before=None))
    assert (last.bodies, last.complete) == (large[3:], False)
    rest = await query(romeo, rsm(before=last.ids[0]))
    assert (rest.bodies, rest.complete) == (large[1:3], False)


async def test_the_count_is_told_where_it_is_known(world: World) -> None:
    """XEP-0059 §2.7; it is not told where many rows would have to be counted"""
    romeo = await talk(world, *"abcde")
    assert (await query(romeo)).rsm("count") == "5"
    assert (await query(romeo, rsm(max=2))).rsm("count") == ""
    counted = await query(romeo, form(with_=JULIET) + rsm(max=0))
    assert counted.rsm("count") == "5"
    assert counted.ids == []
    assert not counted.complete


async def test_a_client_that_goes_away_in_the_middle_ends_the_query(world: World) -> None:
    romeo = await talk(world, *(str(number) * 40_000 for number in range(6)))
    romeo.inbox.clear()
    taken = romeo.write

    def write(data: bytes) -> bool:
        if len(romeo.inbox) == 3:
            romeo.closed = True
        return taken(data)

    romeo.write = write  # type: ignore[method-assign]
    romeo.send(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
    await world.settle()
    assert len(romeo.inbox) == 3


# -- §5: metadata


async def test_the_first_and_the_last_message(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    empty = await romeo.request("get", f"<metadata xmlns='{ns.MAM}'/>")
    assert next(iter(empty)).to_bytes("") == f"<metadata xmlns='{ns.MAM}'/>".encode()
    for body in "abc":
        romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")
    await world.account(JULIET)
    answer = await query(romeo)
    (metadata,) = await romeo.request("get", f"<metadata xmlns='{ns.MAM}'/>")
    start, end = metadata
    stamps = [forwarded(result).child(ns.DELAY, "delay").get("stamp") for result in answer.results]  # type: ignore[union-attr]
    assert (start.name, start.attrs) == ("start", {"id": answer.ids[0], "timestamp": stamps[0]})
    assert (end.name, end.attrs) == ("end", {"id": answer.ids[-1], "timestamp": stamps[-1]})


# -- §7, §8: who may


async def test_the_account_tells_what_it_can(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    answer = await romeo.request("get", f"<query xmlns='{ns.DISCO_INFO}'/>", ROMEO)
    features = {feature.get("var") for info in answer for feature in info if feature.name == "feature"}
    expected = {
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:mam:2#groupchat-field",
        "urn:xmpp:sid:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:message-retract:1#tombstone",
    }
    assert expected <= features
    assert "urn:xmpp:mam:2#groupchat-available" not in features


async def test_without_archives_nothing_is_told_of_them(make_world: MakeWorld) -> None:
    world = await make_world(f"{HOSTS}[modules.archive]\nenabled = false")
    romeo = await talk(world, "a")
    answer = await romeo.request("get", f"<query xmlns='{ns.DISCO_INFO}'/>", ROMEO)
    assert b"mam" not in answer.to_bytes()
    assert await refused(romeo, "") == "service-unavailable"


@pytest.mark.parametrize("to", [JULIET, "nobody@capulet.example", "nobody@localhost"])
@pytest.mark.parametrize(
    ("type", "payload"),
    [
        ("set", f"<query xmlns='{ns.MAM}'/>"),
        ("get", f"<query xmlns='{ns.MAM}'/>"),
        ("get", f"<metadata xmlns='{ns.MAM}'/>"),
        ("get", f"<prefs xmlns='{ns.MAM}'/>"),
        ("set", f"<prefs xmlns='{ns.MAM}' default='never'/>"),
    ],
)
async def test_the_archive_of_somebody_else_is_forbidden(world: World, to: str, type: str, payload: str) -> None:
    """§8.1; an account that does not exist looks the same"""
    await world.subscribe(ROMEO, JULIET)
    romeo = await talk(world, "a")
    answer = await romeo.request(type, payload, to)
    assert answer.get("type") == "error"
    assert b"<forbidden" in answer.to_bytes()
    await romeo.receives_nothing()


async def test_a_host_has_no_archive(world: World) -> None:
    romeo = await talk(world, "a")
    assert await refused(romeo, "", "localhost") == "service-unavailable"


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
