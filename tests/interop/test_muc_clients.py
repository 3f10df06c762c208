"""slixmpp, aioxmpp and profanity in one room."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from tests.server.omemo_person import OmemoPerson, is_content
from tests.server.person import DEADLINE, Person
from tests.server.running import PASSWORD as SLIXMPP_PASSWORD
from tests.server.running import RunningServer
from tests.server.test_aioxmpp import Aioxmpp

from .conftest import OpenTerminal
from .terminal import Terminal
from .test_profanity import PASSWORD, log_in

ROOM = "cave@conference.localhost"
JULIET, MERCUTIO, ROMEO = "juliet@localhost", "mercutio@localhost", "romeo@localhost"


async def make_room(juliet: Person, *, members_only: bool) -> None:
    """A room that shows everybody's address; Romeo is a member of it."""
    muc = juliet.plugin["xep_0045"]
    await muc.join_muc_wait(ROOM, "juliet", timeout=DEADLINE, maxstanzas=0)
    form = await muc.get_room_config(ROOM)
    values = form.get_values()
    values["muc#roomconfig_persistentroom"] = True
    values["muc#roomconfig_membersonly"] = members_only
    values["muc#roomconfig_whois"] = "anyone"
    form["type"] = "submit"
    form.set_values(values)
    await muc.set_room_config(ROOM, form)
    await muc.set_affiliation(ROOM, "member", jid=ROMEO)


async def come_online(server: RunningServer, kind: type[Person]) -> Person:
    await server.account(JULIET)
    juliet = kind(server, f"{JULIET}/balcony")
    server.hang_up.append(juliet.abort)
    for plugin in ("xep_0004", "xep_0045"):
        juliet.register_plugin(plugin)
    juliet.add_event_handler("groupchat_message", juliet.came["groupchat_message"].put_nowait)
    await juliet.log_in()
    await juliet.come_online()
    return juliet


async def enter(romeo: Terminal) -> None:
    await romeo.type(f"/join {ROOM} nick romeo")
    await romeo.until("-> You have joined|You have joined the room|Room: |juliet")


async def test_slixmpp_aioxmpp_and_profanity_talk_in_one_room(
    server: RunningServer, open_terminal: OpenTerminal
) -> None:
    await server.account(ROMEO, PASSWORD)
    await server.account(MERCUTIO)
    juliet = await come_online(server, Person)
    await make_room(juliet, members_only=False)
    mercutio = await Aioxmpp.start(server, f"{MERCUTIO}/street", SLIXMPP_PASSWORD, "starttls")
    await mercutio.next("online")
    await mercutio.do("join", to=ROOM, nick="mercutio")
    romeo = await open_terminal("romeo", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "trust")
    await enter(romeo)

    async def all_hear(nick: str, text: str) -> None:
        await juliet.next("groupchat_message", lambda message: (message["mucnick"], message["body"]) == (nick, text))
        await mercutio.next("groupchat", nick=nick, body=text)
        await romeo.until(rf"{nick}: {text}")

    juliet.send_message(mto=ROOM, mbody="Ay me", mtype="groupchat")
    await all_hear("juliet", "Ay me")
    await mercutio.do("say_in_room", to=ROOM, body="A plague")
    await all_hear("mercutio", "A plague")
    await romeo.type("But soft")
    await all_hear("romeo", "But soft")
    assert sorted(juliet.plugin["xep_0045"].get_roster(ROOM)) == ["juliet", "mercutio", "romeo"]

    await romeo.type("/close")
    async with asyncio.timeout(DEADLINE):
        while "romeo" in juliet.plugin["xep_0045"].get_roster(ROOM):
            await asyncio.sleep(0.05)
    juliet.send_message(mto=ROOM, mbody="Parting is", mtype="groupchat")
    await mercutio.next("groupchat", nick="juliet", body="Parting is")
    await enter(romeo)
    await romeo.until("Parting is")  # what the member missed
    mercutio.process.terminate()
    with suppress(ProcessLookupError):
        await mercutio.process.wait()


async def test_profanity_and_slixmpp_talk_encrypted_in_a_room_of_members(
    server: RunningServer, open_terminal: OpenTerminal
) -> None:
    await server.account(ROMEO, PASSWORD)
    romeo = await open_terminal("romeo", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "trust")
    await romeo.type("/omemo gen")
    await romeo.until("materials generated")
    await romeo.until("Going to publish own device ID")
    await romeo.type("/omemo trustmode blind")
    juliet = await come_online(server, OmemoPerson)
    assert isinstance(juliet, OmemoPerson)
    await juliet.omemo_ready()
    await make_room(juliet, members_only=True)
    # COMPAT(profanity, 0.13): it asks for the devices of those who are in its roster
    await romeo.type(f"/sub request {JULIET}")
    await juliet.next("presence_subscribe")
    juliet.send_presence(pto=ROMEO, ptype="subscribed")
    juliet.send_presence_subscription(ROMEO)
    await romeo.until(f"Received authorization request from {JULIET}")
    await romeo.type(f"/sub allow {JULIET}")
    await juliet.next("presence_subscribed")
    await enter(romeo)
    async with asyncio.timeout(DEADLINE):  # until it has learnt what kind of room it is in
        while not re.search(r"OMEMO session started|\[OMEMO\]", await romeo.screen()):
            await romeo.type("/omemo start")
            await asyncio.sleep(0.3)
    async with asyncio.timeout(DEADLINE):
        while not re.search("ingerprint.*[0-9a-f]{8}-[0-9a-f]{8}", await romeo.screen()):
            await romeo.type(f"/omemo fingerprint {JULIET}")
            await asyncio.sleep(0.3)

    for _ in range(2):
        await romeo.type("But soft, what light")
        while True:
            message = await juliet.next("groupchat_message", lambda message: message["mucnick"] == "romeo")
            if is_content(message):
                break
        assert "what light" not in str(message), "nobody else reads it"
        assert await juliet.decrypted(message, ROMEO) == "But soft, what light"
        sealed = await juliet.encrypted(ROOM, "Ay me", members=frozenset({ROMEO}))
        sealed.send()
        await romeo.until("juliet: Ay me")
