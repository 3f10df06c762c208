"""XEP-0077 §3: making an account before logging in, changing its password, removing it."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, func, select

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.iq import Target
from xmpp_server.storage.offline import Message
from xmpp_server.storage.reports import Report
from xmpp_server.storage.schema import metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.stream.sasl.verifiers import make_verifier

from .conftest import HOSTS, MakeWorld
from .world import Client, World

NS = "jabber:iq:register"
OPEN = HOSTS + "[modules.register]\nopen = true\n"
BILL = JID.parse("bill@localhost")


async def ask(
    world: World, type: str, *fields: Element, address: str = "192.0.2.1", host: str = "localhost"
) -> Element:
    """The answer on a stream of a client that did not log in."""
    served = world.core.router.hosts[host]
    request = Stanza.build(
        "iq", Element(NS, "query", {}, fields), to=served.jid, sender=served.jid, type=type, id="reg"
    )  # type: ignore[arg-type]
    answer = await served.requests.answer(request, None, Target.STREAM, address=address)
    assert answer is not None
    return Element("jabber:client", "iq", {"type": answer.type}, [answer.parse(child) for child in answer.children])


def field(name: str, *text: str) -> Element:
    return Element(NS, name, {}, text)


async def register(world: World, username: str, password: str = "Calliope", address: str = "192.0.2.1") -> str:
    """The condition of the error; empty if the account was made."""
    return condition(await ask(world, "set", field("username", username), field("password", password), address=address))


def condition(answer: Element) -> str:
    error = answer.child("jabber:client", "error")
    return "" if error is None else next(iter(error)).name


async def opens(world: World, account: JID, password: str) -> bool:
    """Whether this is the account's password."""
    credentials = await world.store.accounts.credentials(account)
    if credentials is None:
        return False
    kept = credentials.verifiers.get("sha256")
    return kept is not None and make_verifier("sha256", password.encode(), kept.salt, kept.iterations) == kept


async def change(client: Client, payload: str, to: str = "") -> str:
    return condition(await client.request("set", f"<query xmlns='{NS}'>{payload}</query>", to))


# -- §3.1: making an account


async def test_it_is_for_those_who_are_invited_by_default(world: World) -> None:
    assert condition(await ask(world, "get")) == "service-unavailable"
    assert await register(world, "bill") == "service-unavailable"
    assert not await world.store.accounts.exists(BILL)
    offered = [(f.ns, f.name) for f in await world.features(authenticated=False)]
    for ns in ("http://jabber.org/features/iq-register", "urn:xmpp:ibr-token:0"):
        assert offered.count((ns, "register")) == 1


async def test_it_is_not_offered_where_nobody_is_invited(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.invitations]\nenabled = false\n")
    assert "register" not in {feature.name for feature in await world.features(authenticated=False)}


async def test_the_stream_feature_is_offered_where_it_is_open_and_nobody_is_logged_in(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    feature = ("http://jabber.org/features/iq-register", "register")
    assert feature in {(f.ns, f.name) for f in await world.features(authenticated=False)}
    assert feature not in {(f.ns, f.name) for f in await world.features()}
    assert NS in world.core.router.hosts["localhost"].features


async def test_the_fields_are_told_and_an_account_is_made(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    query = (await ask(world, "get")).child(NS, "query")
    assert query is not None
    assert {child.name for child in query} == {"instructions", "username", "password"}
    assert await register(world, "bill") == ""
    assert await opens(world, BILL, "Calliope")
    assert not await opens(world, BILL, "calliope")
    bill = await world.login("bill@localhost/globe")
    assert await change(bill, "<username>bill</username><password>new</password>") == ""


async def test_names_are_prepared_and_a_taken_one_is_a_conflict(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    assert await register(world, "BILL") == ""
    assert await world.store.accounts.exists(BILL)
    assert await register(world, "bill", "other") == "conflict"
    assert await opens(world, BILL, "Calliope")


async def test_a_reserved_name_is_taken(make_world: MakeWorld) -> None:
    world = await make_world(OPEN + "reserved = ['boss']\n")
    assert await register(world, "Boss") == "conflict"
    assert await register(world, "bill") == ""


@pytest.mark.parametrize("name", ["admin", "POSTMASTER", "abuse"])
async def test_names_of_a_service_are_reserved_by_default(make_world: MakeWorld, name: str) -> None:
    assert await register(await make_world(OPEN), name) == "conflict"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [field("username", "bill")],
        [field("password", "Calliope")],
        [field("username"), field("password", "Calliope")],
        [field("username", "bill"), field("password")],
        [field("username", "bill@elsewhere"), field("password", "x")],
        [field("username", "bi ll"), field("password", "x")],
        [field("username", "bill/x"), field("password", "x")],
        [field("username", "b" * 1024), field("password", "x")],
        [field("username", "bill"), field("password", "p" * 1024)],
        [field("username", "bill"), field("password", "\u200e")],
    ],
)
async def test_missing_and_impossible_fields_are_not_acceptable(make_world: MakeWorld, fields: list[Element]) -> None:
    world = await make_world(OPEN)
    assert condition(await ask(world, "set", *fields)) == "not-acceptable"
    assert await world.store.accounts.list("localhost") == []


async def test_a_stranger_cannot_remove_anything(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    await register(world, "bill")
    assert condition(await ask(world, "set", field("remove"))) == "unexpected-request"
    assert await world.store.accounts.exists(BILL)


async def test_one_address_makes_a_few_accounts_and_another_some_more(make_world: MakeWorld) -> None:
    world = await make_world(OPEN + "per_address = 2\nper_hour = 3\n")
    assert [await register(world, f"a{n}") for n in range(3)] == ["", "", "resource-constraint"]
    assert await register(world, "b0", address="192.0.2.2") == ""
    assert await register(world, "b1", address="192.0.2.2") == "resource-constraint"
    assert len(await world.store.accounts.list("localhost")) == 3


async def test_names_cannot_be_tried_without_end(make_world: MakeWorld) -> None:
    world = await make_world(OPEN + "per_address = 1\n")
    await register(world, "bill")
    answers = [await register(world, "bill") for _ in range(12)]
    assert answers[0] == "conflict"
    assert answers[-1] == "resource-constraint"


async def test_without_limits_any_number_is_made(make_world: MakeWorld) -> None:
    world = await make_world(OPEN + "per_address = 0\nper_hour = 0\n")
    assert [await register(world, f"a{n}") for n in range(8)] == [""] * 8


# -- §3.1, logged in


@pytest.mark.parametrize("to", ["", "localhost", "bill@localhost"])
async def test_who_is_logged_in_is_registered(world: World, to: str) -> None:
    bill = await world.connect("bill@localhost/globe")
    query = (await bill.request("get", f"<query xmlns='{NS}'/>", to)).child(NS, "query")
    assert query is not None
    assert query.child(NS, "registered") is not None
    assert query.child_text(NS, "username") == "bill"
    assert query.child_text(NS, "password") == ""


async def test_who_comes_from_another_host_gets_nothing_here(world: World) -> None:
    juliet = await world.connect("juliet@capulet.example/balcony")
    get = await juliet.request("get", f"<query xmlns='{NS}'/>", "localhost")
    assert condition(get) == "service-unavailable"
    assert await change(juliet, "<remove/>", "localhost") == "registration-required"
    assert await change(juliet, "<username>juliet</username><password>x</password>", "localhost") != ""
    assert await world.store.accounts.exists(JID.parse("juliet@capulet.example"))


# -- §3.3: another password


@pytest.mark.parametrize("to", ["", "localhost"])
@pytest.mark.parametrize("username", ["bill", "BILL", "bill@localhost"])
async def test_the_password_is_changed_and_other_sessions_end(world: World, to: str, username: str) -> None:
    bill = await world.connect("bill@localhost/globe")
    other = await world.connect("bill@localhost/home")
    assert await change(bill, f"<username>{username}</username><password>newpass</password>", to) == ""
    assert await opens(world, BILL, "newpass")
    assert other.closed
    assert other.error == "reset"
    assert not bill.closed


async def test_other_sessions_stay_where_that_is_wanted(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.register]\nchange_ends_sessions = false\n")
    bill = await world.connect("bill@localhost/globe")
    other = await world.connect("bill@localhost/home")
    assert await change(bill, "<username>bill</username><password>newpass</password>") == ""
    assert not other.closed


@pytest.mark.parametrize(
    ("expected", "payload"),
    [
        ("bad-request", ""),
        ("bad-request", "<username>bill</username>"),
        ("bad-request", "<password>x</password>"),
        ("bad-request", "<username>bill</username><password/>"),
        ("bad-request", "<username>bill</username><password></password>"),
        ("bad-request", "<remove/><username>bill</username>"),
        ("not-acceptable", f"<username>bill</username><password>{'p' * 1024}</password>"),
        ("not-acceptable", "<username>romeo</username><password>x</password>"),
        ("not-acceptable", "<username>bill@capulet.example</username><password>x</password>"),
        ("not-acceptable", "<username>@</username><password>x</password>"),
    ],
)
async def test_a_change_that_breaks_a_rule_leaves_the_password(world: World, expected: str, payload: str) -> None:
    await world.account("romeo@localhost")
    bill = await world.connect("bill@localhost/globe")
    await change(bill, "<username>bill</username><password>old</password>")
    assert await change(bill, payload) == expected
    assert await opens(world, BILL, "old")
    assert not await opens(world, JID.parse("romeo@localhost"), "x")


async def test_the_password_is_not_changed_without_end(world: World) -> None:
    bill = await world.connect("bill@localhost/globe")
    answers = [await change(bill, f"<username>bill</username><password>{n}</password>") for n in range(11)]
    assert answers == [""] * 10 + ["resource-constraint"]


async def test_the_account_of_somebody_else_is_out_of_reach(world: World) -> None:
    await world.account("romeo@localhost")
    bill = await world.connect("bill@localhost/globe")
    assert await change(bill, "<remove/>", "romeo@localhost") != ""
    assert await world.store.accounts.exists(JID.parse("romeo@localhost"))
    assert await world.store.accounts.exists(BILL)


# -- §3.2: removal


async def test_a_removed_account_ends_its_sessions_and_leaves_no_row(world: World) -> None:
    await world.subscribe("bill@localhost", "juliet@localhost", "both")
    await world.subscribe("bill@localhost", "nurse@capulet.example", "to")
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.request("get", "<query xmlns='jabber:iq:roster'/>")
    bill = await world.login("bill@localhost/globe")
    home = await world.login("bill@localhost/home")
    await bill.request("set", "<block xmlns='urn:xmpp:blocking'><item jid='iago@localhost'/></block>")
    await change(bill, "<username>bill</username><password>old</password>")
    home = await world.login("bill@localhost/home")
    await world.store.reports.add(BILL, Report(BILL, "r", 1))
    await world.store.offline.keep([Message(BILL, 1, BILL, b"<message/>", 1, 2**60)])
    juliet.inbox.clear()
    bill.inbox.clear()
    bill.send(f"<iq type='set' id='unreg1'><query xmlns='{NS}'><remove/></query></iq>")
    await bill.receives("<iq type='result' id='unreg1'/>")
    for client in (bill, home):
        assert client.closed
        assert client.error == "not-authorized"
    for table in metadata.sorted_tables:
        if "account" in table.c:
            count = Statement(select(func.count()).where(table.c.account == bindparam("account")))
            assert (await world.store.database.all(count, account=str(BILL)))[0][0] == 0, table.name
    await world.settle()
    seen = [(stanza.get("type"), stanza.get("from")) for stanza in juliet.inbox if stanza.name == "presence"]
    assert [kind for kind, _ in seen] == ["unsubscribe", "unavailable", "unavailable", "unsubscribed"]
    assert {sender for kind, sender in seen if kind == "unavailable"} == {"bill@localhost/globe", "bill@localhost/home"}
    rosters = world.store.rosters
    assert (await rosters.load(JID.parse("juliet@localhost"))).items[BILL].subscription == "none"
    assert (await rosters.load(JID.parse("nurse@capulet.example"))).items[BILL].subscription == "none"


async def test_whoever_makes_the_account_anew_finds_nothing_of_the_old_one(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    await world.subscribe("bill@localhost", "juliet@localhost", "both")
    bill = await world.login("bill@localhost/globe")
    assert await change(bill, "<remove/>", "localhost") == ""
    assert await register(world, "bill") == ""
    again = await world.login("bill@localhost/globe")
    query = (await again.request("get", "<query xmlns='jabber:iq:roster'/>")).child("jabber:iq:roster", "query")
    assert query is not None
    assert not list(query)
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<message to='bill@localhost' type='chat'><body>x</body></message>")
    await again.receives("<message from='juliet@localhost/balcony'/>")


async def test_modules_are_told_of_accounts_that_come_and_go(make_world: MakeWorld) -> None:
    world = await make_world(OPEN)
    hooks = world.core.router.hosts["localhost"].hooks
    told: list[tuple[str, JID]] = []
    hooks.account_created.add(lambda jid: told.append(("created", jid)), owner="test")
    hooks.account_removed.add(lambda jid: told.append(("removed", jid)), owner="test")
    await register(world, "bill")
    bill = await world.login("bill@localhost/globe")
    await change(bill, "<remove/>")
    assert told == [("created", BILL), ("removed", BILL)]
