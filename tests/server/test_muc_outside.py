"""The scenarios of rooms (`tests/scenarios/test_muc*.py`) with the component outside of our server (XEP-0114)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest_asyncio

from components import all_components
from tests.databases import Servers
from tests.scenarios import test_muc, test_muc_admin, test_muc_disco, test_muc_hats, test_muc_log, test_muc_messages
from tests.scenarios.rooms import crone, hag
from xmpp_server.app.outside import Outside
from xmpp_server.config import load
from xmpp_server.modules import all_modules
from xmpp_server.storage.errors import AccountExists

from .running import ADDRESS, RunningServer, configuration
from .wire import Wire

__all__ = ["crone", "hag"]

DOMAIN: Final = "conference.localhost"
OUTSIDE: Final = f"""
[hosts."localhost"]
[hosts."capulet.example".components.muc]
enabled = false
[tls]
starttls = "optional"
[components.muc]
enabled = false
[listen.components]
enabled = true
port = 0
addresses = ["{ADDRESS}"]
[outside."{DOMAIN}"]
secret = "fair is foul, and foul is fair"
"""
INSIDE: Final = (
    "test_one_notice_of_a_message_names_the_members_who_are_away_and_those_who_are_mentioned",
    "test_who_is_in_a_room_is_told_outside_of_it_if_the_operator_wants_it_and_the_room_is_open",
)
"""What is for other parts of the same process, or has options of its own."""

SCENARIOS: Final = {
    name: test
    for scenarios in (test_muc, test_muc_admin, test_muc_disco, test_muc_hats, test_muc_log, test_muc_messages)
    for name, test in vars(scenarios).items()
    if name.startswith("test_") and name not in INSIDE
}

globals().update(SCENARIOS)


def component(data: Path, url: str) -> Outside:
    """Rooms in a process of their own, which is that of the test."""
    data.mkdir()
    file = data / "xmpp-server.toml"
    file.write_text(configuration(data, url, OUTSIDE))
    return Outside(load(file, all_modules(), components=all_components()), "muc")


@pytest_asyncio.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[Wire]:
    """A server for `localhost` whose rooms are elsewhere."""
    server = await RunningServer.start(tmp_path / "server", await servers.sqlite(tmp_path / "server.db"), OUTSIDE)
    outside = component(tmp_path / "outside", await servers.sqlite(tmp_path / "outside.db"))
    await outside.start(ADDRESS, server.component_port)
    await outside.port.connected.wait()

    async def account(name: str) -> None:
        with suppress(AccountExists):
            await server.account(name)

    wire = Wire(server, outside, account)
    yield wire
    await wire.close()
    await outside.stop()
    await server.stop()
