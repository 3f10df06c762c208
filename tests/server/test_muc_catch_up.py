"""A member of a room who was away (`docs/groups.md`), over sockets and with stream management."""

from __future__ import annotations

from typing import Final

from tests.server.conftest import MakeServer
from tests.server.managed_client import ManagedClient
from tests.server.test_muc_restart import JOIN, ROOM, a_room, until

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
