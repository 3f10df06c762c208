"""Hats (XEP-0317): who makes and gives them, and where they are shown."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element

from .rooms import JOIN, ROOM, USER, admin, crone, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]

COMMANDS = "http://jabber.org/protocol/commands"
HATS = "urn:xmpp:hats:0"
HOST = "http://schemas.example.com/hats#host"


async def command(client: Client, name: str, action: str = "", **fields: str) -> Element:
    """The answer; with fields the form is sent at once."""
    values = "".join(f"<field var='hats#{var}'><value>{value}</value></field>" for var, value in fields.items())
    kind = "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:hats:commands</value></field>"
    x = f"<x xmlns='jabber:x:data' type='submit'>{kind}{values}</x>" if fields else ""
    attrs = f"node='urn:xmpp:hats:commands:{name}'" + (f" action='{action}'" if action else "")
    return await client.request("set", f"<command xmlns='{COMMANDS}' {attrs}>{x}</command>", ROOM)


async def done(client: Client, name: str, **fields: str) -> Element:
    answer = await command(client, name, **fields)
    child = answer.child(COMMANDS, "command")
    assert child is not None, answer
    assert child.get("sessionid")
    assert child.get("status") == "completed"
    return child


def error(answer: Element) -> list[str]:
    """Type and conditions; empty if it is none."""
    found = answer.child("jabber:client", "error")
    return [found.get("type"), *(child.name for child in found if child.name != "text")] if found is not None else []


def rows(answer: Element) -> list[dict[str, str]]:
    x = answer.child("jabber:x:data", "x")
    assert x is not None
    return [{field.get("var"): next(iter(field)).text for field in item} for item in x if item.name == "item"]


async def test_a_hat_is_made_given_shown_and_taken_away(world: World, crone: Client, hag: Client) -> None:
    await done(crone, "create", title="Host", uri=HOST, hue="327.255249")
    changed = f"<message type='groupchat' from='{ROOM}'><x xmlns='{USER}'><status code='104'/></x></message>"
    await crone.receives(changed)
    await hag.receives(changed)
    await done(crone, "assign", jid="hag66@localhost", uri=HOST)
    worn = (
        f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'/><hats xmlns='{HATS}'>"
        f"<hat title='Host' uri='{HOST}' hue='327.255249'/></hats></presence>"
    )
    await crone.receives(worn)
    await hag.receives(worn)
    witch = await world.login("witch@localhost/laptop")
    witch.send(f"<presence to='{ROOM}/second'>{JOIN}</presence>")
    await witch.receives_all(
        worn, f"<presence from='{ROOM}/firstwitch'/>", f"<presence from='{ROOM}/second'/>", "<message/>"
    )
    for client in (crone, hag):
        client.inbox.clear()
    # another title and no colour
    await done(crone, "create", title="Hostess", uri=HOST)
    presence = await hag.receives(f"<presence><hats xmlns='{HATS}'><hat title='Hostess'/></hats></presence>")
    assert "hue" not in next(iter(presence.child(HATS, "hats") or ())).attrs
    await hag.receives(changed)
    await done(crone, "unassign", jid="hag66@localhost", uri=HOST)
    assert (await hag.receives(f"<presence from='{ROOM}/thirdwitch'/>")).child(HATS, "hats") is None
    await hag.receives_nothing()


async def test_who_wears_a_hat_that_is_destroyed_is_shown_without_it(crone: Client, hag: Client) -> None:
    await done(crone, "create", title="Host", uri=HOST)
    await done(crone, "assign", jid="hag66@localhost", uri=HOST)
    hag.inbox.clear()
    await done(crone, "destroy", uri=HOST)
    assert (await hag.receives(f"<presence from='{ROOM}/thirdwitch'/>")).child(HATS, "hats") is None
    await hag.receives(f"<message from='{ROOM}'><x xmlns='{USER}'><status code='104'/></x></message>")
    assert rows(await done(hag, "list")) == []


async def test_hats_stay_when_everybody_has_left(world: World) -> None:
    crone = await make_room(world, persistentroom="1")
    await done(crone, "create", title="Host", uri=HOST)
    await done(crone, "assign", jid="crone@localhost/desktop", uri=HOST)
    await crone.disconnect()
    await world.settle()
    crone = await world.login("crone@localhost/desktop")
    crone.send(f"<presence to='{ROOM}/firstwitch'>{JOIN}</presence>")
    await crone.receives(
        f"<presence from='{ROOM}/firstwitch'><hats xmlns='{HATS}'><hat title='Host' uri='{HOST}'/></hats></presence>"
    )


async def test_the_lists_name_hats_and_who_wears_them(crone: Client, hag: Client) -> None:
    await done(crone, "create", title="Host", uri=HOST, hue="1")
    await done(crone, "assign", jid="hag66@localhost", uri=HOST)
    row = {"hats#title": "Host", "hats#uri": HOST, "hats#hue": "1"}
    assert rows(await done(hag, "list")) == [row]
    assert rows(await done(crone, "list-assigned")) == [row | {"hats#jid": "hag66@localhost"}]
    assert error(await command(hag, "list-assigned")) == ["auth", "forbidden"], "it has real addresses"


async def test_the_form_of_a_command_has_its_fields(crone: Client) -> None:
    await done(crone, "create", title="Host", uri=HOST)
    crone.inbox.clear()
    for name, wanted in (
        ("create", ["hats#title", "hats#uri", "hats#hue"]),
        ("destroy", ["hats#uri"]),
        ("assign", ["hats#jid", "hats#uri"]),
        ("unassign", ["hats#jid", "hats#uri"]),
    ):
        child = (await command(crone, name, "execute")).child(COMMANDS, "command")
        assert child is not None
        assert child.get("status") == "executing"
        x = child.child("jabber:x:data", "x")
        assert x is not None
        assert [field.get("var") for field in x if field.name == "field"] == ["FORM_TYPE", *wanted]
        child = (await command(crone, name, "cancel")).child(COMMANDS, "command")
        assert child is not None
        assert child.get("status") == "canceled"


async def test_the_room_tells_that_it_has_hats_and_which_commands_one_may_use(crone: Client, hag: Client) -> None:
    async def nodes(client: Client) -> list[str]:
        query = f"<query xmlns='http://jabber.org/protocol/disco#items' node='{COMMANDS}'/>"
        answer = next(iter(await client.request("get", query, ROOM)))
        return [item.get("node").removeprefix("urn:xmpp:hats:commands:") for item in answer]

    async def info() -> tuple[set[str], str]:
        answer = await crone.request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", ROOM)
        query = next(iter(answer))
        x = query.child("jabber:x:data", "x")
        assert x is not None
        hashes = [field for field in x if field.get("var") == "hats#hash"]
        features = {child.get("var") for child in query if child.name == "feature"}
        return features, next(iter(hashes[0])).text if hashes else ""

    assert await nodes(crone) == ["create", "destroy", "assign", "unassign", "list", "list-assigned"]
    assert await nodes(hag) == ["list"]
    features, before = await info()
    assert {HATS, COMMANDS} <= features
    await done(crone, "create", title="Host", uri=HOST)
    after = (await info())[1]
    assert after not in ("", before)
    await done(crone, "create", title="Hostess", uri=HOST)
    assert (await info())[1] != after
    query = "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:xmpp:hats:commands:list'/>"
    identity = next(iter(next(iter(await hag.request("get", query, ROOM)))))
    assert (identity.get("category"), identity.get("type")) == ("automation", "command-node")


@pytest.mark.parametrize("name", ["create", "destroy", "assign", "unassign"])
async def test_only_admins_change_hats(crone: Client, hag: Client, name: str) -> None:
    answer = await command(hag, name, title="Host", uri=HOST, jid="hag66@localhost")
    assert error(answer) == ["auth", "forbidden"]
    assert await admin(crone, "<item affiliation='admin' jid='hag66@localhost'/>") == "result"
    assert error(await command(hag, name, title="Host", uri=HOST, jid="hag66@localhost")) in (
        [],
        ["cancel", "item-not-found"],
    )


@pytest.mark.parametrize(
    ("name", "action", "fields", "condition"),
    [
        ("knight", "", {"uri": HOST}, ["cancel", "item-not-found"]),
        ("create", "", {"uri": "", "title": "Host"}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": "no uri", "title": "Host"}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": "a:" + "b" * 500, "title": "Host"}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": HOST, "title": ""}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": HOST, "title": "x" * 101}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": HOST, "title": "Host", "hue": "nan"}, ["modify", "bad-request", "bad-payload"]),
        ("create", "", {"uri": HOST, "title": "Host", "hue": "361"}, ["modify", "bad-request", "bad-payload"]),
        ("create", "prev", {"uri": HOST, "title": "Host"}, ["modify", "bad-request", "bad-action"]),
        ("create", "jump", {"uri": HOST, "title": "Host"}, ["modify", "bad-request", "malformed-action"]),
        ("destroy", "", {"uri": HOST}, ["cancel", "item-not-found"]),
        ("assign", "", {"uri": HOST, "jid": "hag66@localhost"}, ["cancel", "item-not-found"]),
        ("unassign", "", {"uri": HOST, "jid": "hag66@localhost"}, ["cancel", "item-not-found"]),
    ],
)
async def test_a_command_that_makes_no_sense_changes_nothing(
    crone: Client, hag: Client, name: str, action: str, fields: dict[str, str], condition: list[str]
) -> None:
    assert error(await command(crone, name, action, **fields)) == condition
    await hag.receives_nothing()


@pytest.mark.parametrize("jid", ["", "@", "localhost"])
async def test_a_hat_is_given_to_accounts(crone: Client, jid: str) -> None:
    await done(crone, "create", title="Host", uri=HOST)
    assert error(await command(crone, "assign", jid=jid, uri=HOST))[0] == "modify"
    assert error(await command(crone, "unassign", jid="witch@localhost", uri=HOST)) == ["cancel", "item-not-found"]


async def test_there_are_a_hundred_hats_at_most(crone: Client) -> None:
    for n in range(100):
        await done(crone, "create", title=f"{n}", uri=f"hat:{n}")
    assert error(await command(crone, "create", title="100", uri="hat:100")) == ["wait", "resource-constraint"]
    await done(crone, "create", title="another", uri="hat:99")


async def test_nobody_puts_on_a_hat_himself(crone: Client, hag: Client) -> None:
    hat = f"<hats xmlns='{HATS}'><hat title='Host' uri='{HOST}'/></hats>"
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{hat}<show>away</show></presence>")
    assert (await crone.receives("<presence><show>away</show></presence>")).child(HATS, "hats") is None
    hag.send(f"<message type='groupchat' to='{ROOM}'>{hat}<body>x</body></message>")
    assert (await crone.receives("<message><body>x</body></message>")).child(HATS, "hats") is None
