"""XEP-0092 and XEP-0202: what the server tells about itself."""

from __future__ import annotations

import re
import time

import pytest

from xmpp_server import __version__
from xmpp_server.protocol.delay import parse_time

from .conftest import MakeWorld
from .world import World

VERSION = "<query xmlns='jabber:iq:version'/>"
TIME = "<time xmlns='urn:xmpp:time'/>"


async def test_the_host_tells_name_and_version_but_no_operating_system(world: World) -> None:
    """XEP-0092 §3; §6: <os/> is the administrator's choice"""
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' to='localhost' id='version_1'>{VERSION}</iq>")
    answer = await romeo.receives(f"""
        <iq type='result' to='romeo@localhost/orchard' from='localhost' id='version_1'>
          <query xmlns='jabber:iq:version'>
            <name>xmpp-server</name>
            <version>{__version__}</version>
          </query>
        </iq>""")
    (query,) = answer
    assert query.child("jabber:iq:version", "os") is None


async def test_the_operating_system_is_told_if_the_options_say_so(make_world: MakeWorld) -> None:
    world = await make_world("[modules.version]\nos = true")
    romeo = await world.login("romeo@localhost/orchard")
    (query,) = await romeo.request("get", VERSION, "localhost")
    assert query.child_text("jabber:iq:version", "os")


async def test_a_reload_takes_the_operating_system_back(make_world: MakeWorld) -> None:
    world = await make_world("[modules.version]\nos = true")
    romeo = await world.login("romeo@localhost/orchard")
    world.reconfigure("")
    (query,) = await romeo.request("get", VERSION, "localhost")
    assert query.child("jabber:iq:version", "os") is None


async def test_the_host_tells_its_time_in_utc_and_the_offset_of_its_zone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XEP-0202 §2; XEP-0082 §3.2"""
    monkeypatch.setenv("TZ", "XYZ+6")  # POSIX: six hours west
    time.tzset()
    try:
        romeo = await world.login("romeo@localhost/orchard")
        before = int(time.time())
        (answer,) = await romeo.request("get", TIME, "localhost")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert answer.child_text("urn:xmpp:time", "tzo") == "-06:00"
    utc = answer.child_text("urn:xmpp:time", "utc")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", utc)
    assert before <= parse_time(utc) // 1_000_000 <= time.time()


@pytest.mark.parametrize("payload", [VERSION, TIME])
async def test_the_own_account_and_other_accounts_have_neither(world: World, payload: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await world.account("juliet@capulet.example")
    for to in ("", "juliet@capulet.example", "nobody@capulet.example"):
        answer = await romeo.request("get", payload, to)
        assert b"service-unavailable" in answer.to_bytes()
