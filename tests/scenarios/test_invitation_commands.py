"""Invitations by ad-hoc command (XEP-0401): who makes them, what they are good for, and where they end."""

from __future__ import annotations

import time

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.iq import Target

from .conftest import HOSTS, MakeWorld
from .world import Client, World

COMMANDS = "http://jabber.org/protocol/commands"
INVITE, CREATE = "urn:xmpp:invite#invite", "urn:xmpp:invite#create-account"
HOST = "localhost"
ADMINS = "[hosts.localhost]\nadmins = ['admin']\n"
DAYS = 7 * 86_400_000_000


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ADMINS)


@pytest.fixture
async def admin(world: World) -> Client:
    return await world.login("admin@localhost/desk")


@pytest.fixture
async def romeo(world: World) -> Client:
    return await world.login("romeo@localhost/orchard")


def submission(kind: str = "submit", **fields: str) -> str:
    values = "".join(
        f"<field var='{var.replace('_', '-')}'><value>{value}</value></field>" for var, value in fields.items()
    )
    return f"<x xmlns='jabber:x:data' type='{kind}'>{values}</x>"


async def command(client: Client, node: str, form: str = "", action: str = "execute") -> Element:
    payload = f"<command xmlns='{COMMANDS}' node='{node}' action='{action}'>{form}</command>"
    return await client.request("set", payload, HOST)


def values(answer: Element) -> dict[str, str]:
    """The fields of a result that is complete."""
    done = answer.child(COMMANDS, "command")
    assert done is not None, answer.to_bytes()
    assert done.get("status") == "completed"
    assert done.get("sessionid")
    x = done.child(ns.DATA, "x")
    assert x is not None
    assert x.get("type") == "result"
    return {field.get("var"): field.child_text(ns.DATA, "value") for field in x}


async def invite(client: Client) -> dict[str, str]:
    return values(await command(client, INVITE))


async def create(client: Client, **fields: str) -> dict[str, str]:
    return values(await command(client, CREATE, submission(**fields)))


def token(invitation: dict[str, str]) -> str:
    return invitation["uri"].partition("preauth=")[2].partition(";")[0]


def error(answer: Element) -> list[str]:
    """The conditions; empty if it is none."""
    found = answer.child("jabber:client", "error")
    return [child.name for child in found if child.name != "text"] if found is not None else []


async def nodes(client: Client) -> list[str]:
    answer = await client.request("get", f"<query xmlns='{ns.DISCO_ITEMS}' node='{COMMANDS}'/>", HOST)
    query = answer.child(ns.DISCO_ITEMS, "query")
    assert query is not None
    return [item.get("node") for item in query]


async def info(client: Client, node: str = "") -> Element:
    attribute = f" node='{node}'" if node else ""
    return await client.request("get", f"<query xmlns='{ns.DISCO_INFO}'{attribute}/>", HOST)


async def register(world: World, token: str, name: str) -> str:
    """Of a client without an account, with a token; the condition of the error."""
    host, notes = world.core.router.hosts[HOST], {}  # type: ignore[var-annotated]
    payloads = (
        Element("urn:xmpp:pars:0", "preauth", {"token": token}),
        Element("jabber:iq:register", "query").add(
            Element("jabber:iq:register", "username", {}, [name]),
            Element("jabber:iq:register", "password", {}, ["Calliope"]),
        ),
    )
    for payload in payloads:
        request = Stanza.build("iq", payload, to=host.jid, sender=host.jid, type="set", id="r")
        answer = await host.requests.answer(request, None, Target.STREAM, address="192.0.2.1", notes=notes)
        assert answer is not None
        if answer.type == "error":
            return next(iter(answer.parse(answer.children[-1]))).name
    return ""


# -- discovery


async def test_commands_are_listed_for_those_who_may_use_them(world: World, admin: Client, romeo: Client) -> None:
    assert await nodes(romeo) == [INVITE]
    assert await nodes(admin) == [INVITE, CREATE]
    stranger = await world.login("juliet@localhost/balcony")
    assert (await info(stranger)).to_bytes().count(COMMANDS.encode()) == 1
    assert b"type='command-list'" in (await info(romeo, COMMANDS)).to_bytes().replace(b'"', b"'")
    assert b"type='command-node'" in (await info(romeo, INVITE)).to_bytes().replace(b'"', b"'")
    assert error(await info(romeo, CREATE)) == ["forbidden"]
    assert error(await info(romeo, "urn:xmpp:invite#nothing")) == ["item-not-found"]


async def test_users_of_other_hosts_invite_nobody_here(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS)
    tybalt = await world.login("tybalt@capulet.example/square")
    assert await nodes(tybalt) == []
    assert error(await command(tybalt, INVITE)) == ["forbidden"]


async def test_without_commands_nothing_is_advertised(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.invitations]\nenabled = false\n")
    romeo = await world.login("romeo@localhost/orchard")
    assert COMMANDS.encode() not in (await info(romeo)).to_bytes()
    assert await nodes(romeo) == []
    assert error(await command(romeo, INVITE)) == ["item-not-found"]


async def test_who_becomes_an_administrator_sees_it_without_a_restart(world: World, romeo: Client) -> None:
    world.reconfigure(ADMINS.replace("'admin'", "'romeo'"))
    assert await nodes(romeo) == [INVITE, CREATE]


# -- a contact


async def test_who_has_an_account_is_a_contact_by_the_invitation_of_a_user(world: World, romeo: Client) -> None:
    before = time.time_ns() // 1000
    invitation = await invite(romeo)
    assert invitation["FORM_TYPE"] == "urn:xmpp:invite#invitation"
    assert invitation["uri"] == f"xmpp:romeo@localhost?roster;preauth={token(invitation)}"
    assert token(invitation).isalnum()
    assert len(token(invitation)) >= 20
    assert abs(parse_time(invitation["expire"]) - before - DAYS) < 60_000_000
    juliet = await world.login("juliet@localhost/balcony")
    preauth = f"<preauth xmlns='urn:xmpp:pars:0' token='{token(invitation)}'/>"
    juliet.send("<presence type='subscribed' to='romeo@localhost'/>")
    juliet.send(f"<presence type='subscribe' to='romeo@localhost'>{preauth}</presence>")
    await world.settle()
    for owner, contact in (("romeo", "juliet"), ("juliet", "romeo")):
        roster = await world.store.rosters.load(JID.parse(f"{owner}@localhost"))
        assert roster.items[JID.parse(f"{contact}@localhost")].subscription == "both"


async def test_it_makes_no_account_where_users_may_invite_to_none(world: World, romeo: Client) -> None:
    assert await register(world, token(await invite(romeo)), "bill") == "item-not-found"
    assert not await world.store.accounts.exists(JID.parse("bill@localhost"))


@pytest.mark.parametrize("more", ["[modules.invitations]\naccounts = true\n", "[modules.register]\nopen = true\n"])
async def test_it_makes_one_where_they_may_or_everybody_does(make_world: MakeWorld, more: str) -> None:
    world = await make_world(ADMINS + more)
    romeo = await world.login("romeo@localhost/orchard")
    invitation = await invite(romeo)
    assert invitation["uri"].endswith(";ibr=y")
    assert await register(world, token(invitation), "bill") == ""
    roster = await world.store.rosters.load(JID.parse("bill@localhost"))
    assert [(str(jid), item.subscription) for jid, item in roster.items.items()] == [("romeo@localhost", "both")]


async def test_a_user_makes_so_many_in_a_day_and_an_administrator_any_number(make_world: MakeWorld) -> None:
    world = await make_world(ADMINS + "[modules.invitations]\nper_day = 2\ndays = 1\n")
    romeo, admin = await world.login("romeo@localhost/orchard"), await world.login("admin@localhost/desk")
    answers = [error(await command(romeo, INVITE)) for _ in range(3)]
    assert answers == [[], [], ["resource-constraint"]]
    for _ in range(3):
        assert (await invite(admin))["uri"].endswith(";ibr=y")


async def test_the_page_is_named_where_it_is_served(make_world: MakeWorld) -> None:
    world = await make_world("[http]\nurl = 'https://chat.example/x/'\n" + ADMINS)
    invitation = await invite(await world.login("romeo@localhost/orchard"))
    assert invitation["landing-url"] == f"https://chat.example/x/invite/{token(invitation)}"
    world.reconfigure("[http]\nurl = 'https://chat.example'\n" + ADMINS + "[modules.start_page]\nenabled = false\n")
    assert "landing-url" not in await invite(await world.login("romeo@localhost/garden"))


# -- an account


async def test_an_administrator_is_asked_for_a_name_and_gets_the_link(world: World, admin: Client) -> None:
    asked = (await command(admin, CREATE)).child(COMMANDS, "command")
    assert asked is not None
    assert asked.get("status") == "executing"
    x = asked.child(ns.DATA, "x")
    assert x is not None
    assert {field.get("var"): field.get("type") for field in x if field.name == "field"} == {
        "username": "text-single",
        "roster-subscription": "boolean",
    }
    invitation = await create(admin, username="Bill", roster_subscription="true")
    assert invitation["uri"] == f"xmpp:bill@localhost?register;preauth={token(invitation)}"
    assert "expire" in invitation
    assert await register(world, token(invitation), "ben") == "not-acceptable"
    assert await register(world, token(invitation), "bill") == ""
    roster = await world.store.rosters.load(JID.parse("admin@localhost"))
    assert [str(jid) for jid in roster.items] == ["bill@localhost"]


async def test_a_newcomer_may_choose_the_name_and_be_no_contact(world: World, admin: Client) -> None:
    invitation = await create(admin, username="", roster_subscription="0")
    assert invitation["uri"] == f"xmpp:localhost?register;preauth={token(invitation)}"
    assert await register(world, token(invitation), "bill") == ""
    assert not (await world.store.rosters.load(JID.parse("bill@localhost"))).items


async def test_a_name_that_is_kept_or_taken_is_a_conflict(world: World, admin: Client, romeo: Client) -> None:
    await create(admin, username="bill")
    for name in ("bill", "romeo", "postmaster"):
        assert error(await command(admin, CREATE, submission(username=name))) == ["conflict"]


@pytest.mark.parametrize("name", ["a b", "bill@localhost", "bill/x", "b" * 1024, "&lt;b&gt;"])
async def test_a_name_that_cannot_be_one_is_a_bad_payload(admin: Client, name: str) -> None:
    answer = await command(admin, CREATE, submission(username=name))
    assert error(answer) == ["bad-request", "bad-payload"]


@pytest.mark.parametrize(
    ("form", "action", "expected"),
    [
        (submission("result"), "execute", ["bad-request", "bad-payload"]),
        (submission("nonsense"), "execute", ["bad-request"]),
        (submission(roster_subscription="perhaps"), "complete", ["not-acceptable"]),
        (submission(), "prev", ["bad-request", "bad-action"]),
        (submission(), "jump", ["bad-request", "malformed-action"]),
    ],
)
async def test_what_makes_no_sense_invites_nobody(admin: Client, form: str, action: str, expected: list[str]) -> None:
    assert error(await command(admin, CREATE, form, action)) == expected


async def test_who_gives_up_invites_nobody(admin: Client) -> None:
    done = (await command(admin, CREATE, submission("cancel"), "cancel")).child(COMMANDS, "command")
    assert done is not None
    assert done.get("status") == "canceled"


async def test_users_make_accounts_where_the_operator_lets_them(
    make_world: MakeWorld,
) -> None:
    world = await make_world(ADMINS)
    romeo = await world.login("romeo@localhost/orchard")
    assert error(await command(romeo, CREATE, submission(username="bill"))) == ["forbidden"]
    world.reconfigure(ADMINS + "[modules.invitations]\naccounts = true\nper_day = 0\n")
    assert await nodes(romeo) == [INVITE, CREATE]
    await create(romeo, username="bill")
    answers = [error(await command(romeo, CREATE, submission(username="bill"))) for _ in range(20)]
    assert answers == [["conflict"]] * 19 + [["resource-constraint"]]


async def test_what_an_account_made_goes_with_it(world: World, romeo: Client) -> None:
    invitation = await invite(romeo)
    await world.store.accounts.delete(JID.parse("romeo@localhost"))
    assert await world.store.invitations.find(token(invitation), HOST) is None
