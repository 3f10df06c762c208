"""XEP-0313, section by section: how messages are found, and by whom."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.jid import JID

from .archive import JULIET, ROMEO, RSM, couple, form, forwarded, query, refused, rsm, talk
from .conftest import HOSTS, MakeWorld
from .world import Client, World

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
