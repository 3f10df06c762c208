"""A member of a room who was away (`docs/groups.md`), over sockets and with stream management."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from tests.server.conftest import MakeServer
from tests.server.managed_client import SM, ManagedClient
from tests.server.running import RunningServer
from tests.server.test_muc_restart import JOIN, MEMBER, PERSISTENT, ROOM, a_room, enter, until
from tests.server.test_talk_goes_on import Process

MESSAGES: Final = 60
LARGE: Final = "x" * 100_000


async def test_what_is_more_than_a_session_may_leave_unacknowledged_reaches_a_member(make_server: MakeServer) -> None:
    """It comes in pages of so many octets, and not only of so many messages."""
    server = await make_server("[limits]\nbytes_per_second = 0\n")
    juliet, romeo = await a_room(server)
    await romeo.leave()
    for number in range(MESSAGES):
        await juliet.send(f"<message type='groupchat' to='{ROOM}' id='{number}'><body>{LARGE}</body></message>")
        assert (await until(juliet, "message", "id", str(number))).get("type") == "groupchat"
    again = await ManagedClient.enable(server, "romeo", "orchard")
    await again.send(f"<presence to='{ROOM}/romeo'>{JOIN}</presence>")
    came: list[str] = []
    while (element := await again.read()).child("jabber:client", "subject") is None:
        if element.name == "message":
            came.append(element.get("id"))
    assert came == [str(number) for number in range(MESSAGES)]


async def test_a_new_device_of_a_member_is_owed_everything_also_after_a_crash(
    database_url: str, tmp_path: Path
) -> None:
    """more than the room shows to those to whom it owes nothing"""
    process = await Process.start(tmp_path, database_url, archive=True)
    server = cast(RunningServer, process)
    try:
        juliet = await ManagedClient.enable(server, "juliet", "balcony")
        devices = [await ManagedClient.enable(server, "romeo", name) for name in ("orchard", "street")]
        await enter(juliet, "juliet")
        for request, id in ((PERSISTENT, "c"), (MEMBER, "m")):
            await juliet.send(request)
            await until(juliet, "iq", "id", id)
        for device in devices:
            await enter(device, "romeo")
        await process.crash()
        juliet = await ManagedClient.enable(server, "juliet", "balcony")
        orchard = await ManagedClient.enable(server, "romeo", "orchard")
        for client, nick in ((juliet, "juliet"), (orchard, "romeo")):
            await enter(client, nick)
        for number in range(MESSAGES):
            await juliet.send(f"<message type='groupchat' to='{ROOM}' id='{number}'><body>{number}</body></message>")
            await until(orchard, "message", "id", str(number))
        await orchard.send(f"<a xmlns='{SM}' h='{orchard.h}'/>")
        await process.server.stop()
        await process.server.start()
        street = await ManagedClient.enable(server, "romeo", "street")
        await street.send(f"<presence to='{ROOM}/romeo'>{JOIN}</presence>")
        came: list[str] = []
        while (element := await street.read()).child("jabber:client", "subject") is None:
            if element.name == "message":
                came.append(element.get("id"))
        assert came == [str(number) for number in range(MESSAGES)]
    finally:
        await process.close()
