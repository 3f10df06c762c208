"""Profanity, with an OMEMO of its own, and slixmpp with another talk encrypted."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.server.omemo_person import OmemoPerson
from tests.server.person import DEADLINE
from tests.server.running import RunningServer

from .conftest import OpenTerminal
from .terminal import Terminal
from .test_profanity import PASSWORD, log_in

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"


async def come_online(server: RunningServer, address: str) -> OmemoPerson:
    await server.account(address)
    person = OmemoPerson(server, f"{address}/balcony")
    server.hang_up.append(person.abort)
    await person.log_in()
    await person.come_online()
    await person.omemo_ready()
    return person


async def befriend(romeo: Terminal, juliet: OmemoPerson) -> None:
    await romeo.type(f"/sub request {JULIET}")
    await juliet.next("presence_subscribe")
    juliet.send_presence(pto=ROMEO, ptype="subscribed")
    juliet.send_presence_subscription(ROMEO)
    await romeo.until(f"Received authorization request from {JULIET}")
    await romeo.type(f"/sub allow {JULIET}")
    await juliet.next("presence_subscribed")


async def until_keys_are_known(romeo: Terminal) -> None:
    """It asks for the other side's bundles in the background, and encrypts without waiting for them."""
    async with asyncio.timeout(DEADLINE):
        while not re.search("ingerprint.*[0-9a-f]{8}-[0-9a-f]{8}", await romeo.screen()):
            await romeo.type(f"/omemo fingerprint {JULIET}")
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("first", ["profanity", "slixmpp"])
async def test_profanity_and_slixmpp_talk_encrypted(
    server: RunningServer, open_terminal: OpenTerminal, first: str
) -> None:
    await server.account(ROMEO, PASSWORD)
    romeo = await open_terminal("romeo", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "trust")
    await romeo.type("/omemo gen")
    await romeo.until("materials generated")
    await romeo.until("Going to publish own device ID")  # it asked, and nothing was there
    await romeo.type("/omemo trustmode blind")
    juliet = await come_online(server, JULIET)
    await befriend(romeo, juliet)

    await romeo.type(f"/msg {JULIET}")
    await romeo.type(f"/omemo start {JULIET}")
    await romeo.until(r"OMEMO session started|\[OMEMO\]")
    await until_keys_are_known(romeo)

    async def speaks() -> None:
        await romeo.type("But soft, what light")
        assert await juliet.reads() == "But soft, what light"

    async def answers() -> None:
        await juliet.say_encrypted(ROMEO, "Ay me")
        await romeo.until(rf"{JULIET}\S*: Ay me")

    for turn in (speaks, answers, speaks) if first == "profanity" else (answers, speaks, answers):
        await turn()
