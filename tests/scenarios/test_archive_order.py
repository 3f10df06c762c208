"""RFC 6120 §10.1: messages stay in order, though they wait for their commit together."""

from __future__ import annotations

import pytest

from xmpp_server.protocol import ns

from .archive import JULIET, ROMEO, couple, query
from .world import Client, World


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
