"""slixmpp in a room: its plugin of XEP-0045 joins, speaks, invites, and reads lists and the configuration."""

from __future__ import annotations

import asyncio

from tests.server.conftest import LogIn

ROOM = "cave@conference.localhost"


async def test_people_with_slixmpp_talk_in_a_room(log_in: LogIn) -> None:
    juliet = await log_in("juliet@localhost/balcony")
    romeo = await log_in("romeo@localhost/orchard")
    for person in (juliet, romeo):
        for plugin in ("xep_0045", "xep_0004", "xep_0249", "xep_0313"):
            person.register_plugin(plugin)
    heard: asyncio.Queue[str] = asyncio.Queue()
    romeo.add_event_handler("groupchat_message", lambda message: heard.put_nowait(message["body"]))
    invited: asyncio.Queue[str] = asyncio.Queue()
    romeo.add_event_handler("groupchat_invite", lambda message: invited.put_nowait(str(message["from"])))
    muc = juliet["xep_0045"]
    joined = await muc.join_muc_wait(ROOM, "juliet", timeout=20, maxstanzas=0)
    assert 201 in joined[0]["muc"]["status_codes"]
    form = await muc.get_room_config(ROOM)
    values = form.get_values()
    values["muc#roomconfig_persistentroom"] = True
    values["muc#roomconfig_membersonly"] = True
    form["type"] = "submit"
    form.set_values(values)
    await muc.set_room_config(ROOM, form)
    muc.invite(ROOM, "romeo@localhost", reason="Come")
    async with asyncio.timeout(20):
        assert await invited.get() == ROOM
    await romeo["xep_0045"].join_muc_wait(ROOM, "romeo", timeout=20, maxstanzas=0)
    juliet.send_message(mto=ROOM, mbody="Hi", mtype="groupchat")
    async with asyncio.timeout(20):
        assert await heard.get() == "Hi"
    assert sorted(muc.get_roster(ROOM)) == ["juliet", "romeo"]
    members = await muc.get_affiliation_list(ROOM, "member")
    assert [str(jid) for jid in members] == ["romeo@localhost"]
    await muc.set_affiliation(ROOM, "admin", jid="romeo@localhost")
    assert [str(jid) for jid in await muc.get_affiliation_list(ROOM, "admin")] == ["romeo@localhost"]
    archived = [each async for each in juliet["xep_0313"].iterate(jid=ROOM)]
    assert [each["mam_result"]["forwarded"]["stanza"]["body"] for each in archived] == ["Hi"]
    await muc.destroy(ROOM)
