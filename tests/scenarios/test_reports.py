"""XEP-0377: reports that come with blocking, in both namespaces that clients use."""

from __future__ import annotations

import pytest

from xmpp_server.config import ConfigError
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.reports import Report

from .conftest import HOSTS, MakeWorld
from .world import Client, World

ABUSE = "urn:xmpp:reporting:abuse"
SPAM = "urn:xmpp:reporting:spam"
ROMEO = JID.parse("romeo@example.net")


def block(report: str, jid: str = "romeo@example.net") -> str:
    return f"<block xmlns='urn:xmpp:blocking'><item jid='{jid}'>{report}</item></block>"


async def reports(world: World) -> list[tuple[JID, Report]]:
    return [(filed.account, filed.report) for filed in await world.store.reports.list("localhost")]


async def send(client: Client, report: str) -> None:
    assert (await client.request("set", block(report))).get("type") == "result"


@pytest.mark.parametrize("feature", ["urn:xmpp:reporting:1", "urn:xmpp:reporting:0"])
async def test_the_host_says_that_it_takes_reports(world: World, feature: str) -> None:
    assert feature in world.core.router.hosts["localhost"].features


@pytest.mark.parametrize(
    ("report", "reason", "text", "ids"),
    [
        (f"<report xmlns='urn:xmpp:reporting:1' reason='{ABUSE}'/>", ABUSE, "", ()),
        (
            f"<report xmlns='urn:xmpp:reporting:1' reason='{SPAM}'>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='28482-98726-73623'/>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='38383-38018-18385'/>"
            "<text xml:lang='en'>\n  Never came trouble to my house like this.\n</text><report-origin/></report>",
            SPAM,
            "Never came trouble to my house like this.",
            (("romeo@example.net", "28482-98726-73623"), ("romeo@example.net", "38383-38018-18385")),
        ),
        ("<report xmlns='urn:xmpp:reporting:0'><spam/></report>", SPAM, "", ()),
        ("<report xmlns='urn:xmpp:reporting:0'><text>Hm</text><abuse/></report>", ABUSE, "Hm", ()),
        ("<report xmlns='urn:xmpp:reporting:1' reason='urn:example:other'/>", "urn:example:other", "", ()),
    ],
)
async def test_a_report_blocks_and_is_kept(
    world: World, report: str, reason: str, text: str, ids: tuple[tuple[str, str], ...]
) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    await send(juliet, report)
    ((account, kept),) = await reports(world)
    assert account == juliet.session.account.jid
    assert (kept.reported, kept.reason, kept.text, kept.stanza_ids) == (ROMEO, reason, text, ids)
    assert await world.store.blocking.load(account) == {ROMEO}


@pytest.mark.parametrize(
    "report",
    [
        "",
        "<report xmlns='urn:xmpp:reporting:1'/>",
        "<report xmlns='urn:xmpp:reporting:1' reason=''/>",
        f"<report xmlns='urn:xmpp:reporting:1' reason='{'r' * 5000}'/>",
        "<report xmlns='urn:xmpp:reporting:0'/>",
        "<report xmlns='urn:xmpp:reporting:2' reason='urn:xmpp:reporting:spam'/>",
    ],
)
async def test_a_report_that_is_not_understood_blocks_all_the_same(world: World, report: str) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    await send(juliet, report)
    assert await reports(world) == []
    assert await world.store.blocking.load(juliet.session.account.jid) == {ROMEO}


async def test_what_is_kept_of_a_report_is_bounded(world: World) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    ids = "".join(f"<stanza-id xmlns='urn:xmpp:sid:0' by='a.example' id='{n}'/>" for n in range(500))
    await send(
        juliet, f"<report xmlns='urn:xmpp:reporting:1' reason='{SPAM}'>{ids}<text>{'x' * 50_000}</text></report>"
    )
    ((_, kept),) = await reports(world)
    assert len(kept.text) == 2000
    assert len(kept.stanza_ids) == 50


async def test_pushes_of_the_blocklist_carry_no_report(world: World) -> None:
    juliet = await world.connect("juliet@localhost/chamber")
    await juliet.request("get", "<blocklist xmlns='urn:xmpp:blocking'/>")
    await send(juliet, f"<report xmlns='urn:xmpp:reporting:1' reason='{ABUSE}'/>")
    push = await juliet.receives("<iq type='set'><block xmlns='urn:xmpp:blocking'><item/></block></iq>")
    assert not list(next(iter(next(iter(push)))))


async def test_reports_are_sent_to_the_operator_who_wants_them_and_not_without_end(make_world: MakeWorld) -> None:
    world = await make_world(HOSTS + "[modules.reports]\nforward_to = 'abuse@localhost'\n")
    abuse = await world.login("abuse@localhost/desk")
    juliet = await world.connect("juliet@localhost/chamber")
    await send(juliet, f"<report xmlns='urn:xmpp:reporting:1' reason='{SPAM}'><text>Stop</text></report>")
    await abuse.receives(
        f"<message from='localhost' to='abuse@localhost'><body>juliet@localhost reports romeo@example.net: {SPAM}\n"
        "Stop</body></message>"
    )
    for _ in range(30):
        await send(juliet, f"<report xmlns='urn:xmpp:reporting:1' reason='{SPAM}'/>")
    await world.settle()
    assert len(abuse.inbox) == 9
    assert len(await reports(world)) == 31


async def test_an_address_that_is_none_is_refused_in_the_configuration(make_world: MakeWorld) -> None:
    with pytest.raises(ConfigError, match="forward_to"):
        await make_world(HOSTS + "[modules.reports]\nforward_to = '@'\n")
