"""XEP-0441: whose messages are archived."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

from .archive import JULIET, ROMEO, couple, query, stanza_ids
from .conftest import HOSTS, MakeWorld
from .world import Client, World


def prefs(default: str, always: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> str:
    lists = [
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", always), ("never", never))
    ]
    return f"<prefs xmlns='{ns.MAM}' default='{default}'>{''.join(lists)}</prefs>"


async def choose(client: Client, payload: str) -> str:
    """The `<prefs/>` that the answer holds, or the condition of the error."""
    return told(await client.request("set", payload))


def told(answer: Element) -> str:
    (child,) = answer
    if answer.get("type") == "error":
        return next(iter(child)).name
    return child.to_bytes("").decode().replace("<always/>", "<always></always>").replace("<never/>", "<never></never>")


async def test_who_chose_nothing_is_told_the_default(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    assert told(await romeo.request("get", f"<prefs xmlns='{ns.MAM}'/>")) == prefs("always")


async def test_the_default_is_an_option(make_world: MakeWorld) -> None:
    world = await make_world(f'{HOSTS}[modules.archive]\ndefault = "never"')
    romeo, juliet = await couple(world)
    assert told(await romeo.request("get", f"<prefs xmlns='{ns.MAM}'/>")) == prefs("never")
    await juliet.request("set", prefs("always"))
    romeo.send(f"<message to='{JULIET}' type='chat'><body>Hi</body></message>")
    await world.settle()
    assert (await query(romeo)).bodies == []
    assert (await query(juliet)).bodies == ["Hi"]


async def test_what_was_chosen_is_told_and_stays(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    chosen = prefs("roster", ("a@x.example", "b@x.example/r"), ("c@x.example",))
    assert await choose(romeo, chosen) == chosen
    for modules in world.core.modules.values():
        modules["archive"]._books.clear()  # type: ignore[attr-defined]  # as a restart does
    assert told(await romeo.request("get", f"<prefs xmlns='{ns.MAM}'/>")) == chosen
    assert await choose(romeo, f"<prefs xmlns='{ns.MAM}' default='always'/>") == prefs("always")


async def test_addresses_are_normalized(world: World) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    asked = prefs("roster", ("JULIET@MONTAGUE.LIT", " juliet@montague.lit "), ("MONTAGUE@MONTAGUE.LIT",))
    assert await choose(romeo, asked) == prefs("roster", ("juliet@montague.lit",), ("montague@montague.lit",))


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        (prefs("sometimes"), "bad-request"),
        (f"<prefs xmlns='{ns.MAM}'/>", "bad-request"),
        (prefs("always", ("@",)), "jid-malformed"),
        (prefs("always", ("",)), "jid-malformed"),
        (prefs("always", tuple(f"{number}@x.example" for number in range(1001))), "policy-violation"),
    ],
)
async def test_what_cannot_be_chosen_is_refused_and_nothing_changes(world: World, asked: str, condition: str) -> None:
    romeo = await world.login(f"{ROMEO}/orchard")
    await choose(romeo, prefs("roster"))
    assert await choose(romeo, asked) == condition
    assert told(await romeo.request("get", f"<prefs xmlns='{ns.MAM}'/>")) == prefs("roster")


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (prefs("always"), True),
        (prefs("never"), False),
        (prefs("roster"), False),
        (prefs("never", always=(JULIET,)), True),
        (prefs("always", never=(JULIET,)), False),
        (prefs("always", never=("capulet.example",)), True),
        (prefs("always", never=(f"{JULIET}/balcony",)), False),
        (prefs("always", never=(f"{JULIET}/chamber",)), True),
        (prefs("never", always=(f"{JULIET}/balcony",)), True),
        (prefs("always", always=(f"{JULIET}/balcony",), never=(JULIET,)), True),
        (prefs("always", always=(JULIET,), never=(JULIET,)), False),
    ],
)
async def test_both_directions_follow_the_choice(world: World, chosen: str, kept: bool) -> None:
    """§2.3: `to` of what is sent, `from` of what comes; a resource that is listed counts for itself alone"""
    romeo, juliet = await couple(world)
    await choose(romeo, chosen)
    romeo.send(f"<message to='{JULIET}/balcony' type='chat'><body>Hi</body></message>")
    await world.settle()
    juliet.send(f"<message to='{ROMEO}' type='chat'><body>Ho</body></message>")
    await world.settle()
    assert bool(stanza_ids(romeo.inbox[0])) == kept
    assert (await query(romeo)).bodies == (["Hi", "Ho"] if kept else [])
    assert (await query(juliet)).bodies == ["Hi", "Ho"]


async def test_with_roster_it_is_contacts_and_oneself(world: World) -> None:
    """§2.3.1: compared by the bare address"""
    romeo, juliet = await couple(world)
    await choose(romeo, prefs("roster"))
    await romeo.request("set", f"<query xmlns='jabber:iq:roster'><item jid='{JULIET}'/></query>")
    nurse = await world.login("nurse@localhost/kitchen")
    for client in (juliet, nurse, romeo):
        client.send(f"<message to='{ROMEO}' type='chat'><body>{client.jid}</body></message>")
        await world.settle()
    assert (await query(romeo)).bodies == [juliet.jid, romeo.jid]
