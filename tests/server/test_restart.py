"""Sessions over a restart (XEP-0198 §5): they go on after a graceful one, and are gone after a crash."""

from __future__ import annotations

import asyncio

import pytest

from tests.lingering import Lingering
from tests.server.conftest import MakeServer
from tests.server.managed_client import SM, ManagedClient
from tests.server.running import RunningServer
from tests.waiting import until
from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.archive import Matching
from xmpp_server.storage.offline import Message
from xmpp_server.storage.store import Store

JULIET = "juliet@localhost/balcony"


async def silence(client: ManagedClient) -> None:
    await client.send("<iq type='get' id='silence' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    element = await client.read()
    assert element.get("id") == "silence", element


async def test_a_talk_goes_on_after_a_restart(people: RunningServer, make_server: MakeServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    juliet.answers = False
    await romeo.say(JULIET, "1", "2", "3")
    assert await juliet.message() == "1"
    await romeo.handled(4)
    await people.stop()
    server = await make_server()
    again = await juliet.resume(server)
    assert again.answer.name == "resumed"
    assert again.answer.attrs == {"h": "1", "previd": juliet.id}
    assert await again.messages(2) == ["2", "3"]
    romeo = await romeo.resume(server)
    assert romeo.answer.get("h") == "4"
    await romeo.say(JULIET, "4")
    assert await again.message() == "4"
    await silence(again)
    await again.say(str(romeo.jid), "5")
    assert await romeo.message() == "5"
    again.answers = True
    await again.send(f"<a xmlns='{SM}' h='{again.h}'/>")
    await silence(again)
    assert again.jid is not None
    async with asyncio.timeout(20):
        while await server.store.offline.count(again.jid.bare):
            await asyncio.sleep(0.01)


async def test_who_resumes_nothing_is_given_nothing_again_that_he_has(
    people: RunningServer, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """for he is asked what he has before his stream is closed"""
    monkeypatch.setattr("xmpp_server.app.server._LAST_ANSWERS", 20.0)
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    (account,) = (account for account in people.users if account.jid.localpart == "juliet")
    stream = account.sessions["balcony"].managed
    assert stream is not None
    stream.soon = True  # nobody asks in good time
    await romeo.say(JULIET, "1")
    await romeo.handled(2)
    stopping = asyncio.create_task(people.stop())
    assert await juliet.messages(1) == ["1"]
    _, error = await juliet.ended()
    assert error == "system-shutdown"
    await stopping
    juliet = await ManagedClient.enable(await make_server(), "juliet", "balcony")
    await silence(juliet)


async def test_a_session_that_went_on_may_say_what_is_kept_since_before_a_crash(
    people: RunningServer, make_server: MakeServer
) -> None:
    """which had not been handled yet when the server stopped"""
    message = (
        "<message type='chat' to='juliet@localhost' id='1'><body>1</body>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>"
    )
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.send(message)
    await romeo.handled(2)
    await people.stop()
    server = await make_server()
    romeo = await romeo.resume(server)
    assert romeo.answer.name == "resumed"
    await romeo.say("romeo@localhost", "2")  # something else is new
    await romeo.send(message)
    await romeo.handled(4)
    assert len(await server.store.archive.page(JID.parse("romeo@localhost"), Matching(), limit=9)) == 2


async def test_who_said_something_a_moment_before_the_stop_resumes_all_the_same(
    people: RunningServer, make_server: MakeServer
) -> None:
    """the count that is saved then takes away nothing of the session"""
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await silence(romeo)
    romeo.abort()  # so that nothing holds up the stop until the count is saved
    await people.stop()
    romeo = await romeo.resume(await make_server())
    assert romeo.answer.attrs == {"h": "2", "previd": romeo.id}


async def test_what_is_in_the_archive_at_the_stop_is_in_the_session_too(
    people: RunningServer, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """for a client that resumes does not ask the archive"""
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    message = Lingering(monkeypatch)
    await romeo.say("juliet@localhost", "1")
    async with asyncio.timeout(20):
        await message.committed.wait()
    stopping = asyncio.create_task(people.stop())
    assert not (await asyncio.wait([stopping], timeout=1.5))[0]
    message.goes.set()
    await stopping
    monkeypatch.undo()
    juliet = await juliet.resume(await make_server())
    assert juliet.answer.name == "resumed"
    assert await juliet.message() == "1"


async def test_what_was_held_back_from_a_session_at_the_stop_follows_although_another_one_has_it(
    people: RunningServer, make_server: MakeServer
) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    phone = await ManagedClient.enable(people, "juliet", "phone")
    juliet.answers = phone.answers = False
    (account,) = (account for account in people.users if account.jid.localpart == "juliet")
    account.sessions["phone"].hold()  # as while it is handed older ones
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say("juliet@localhost", "1")
    assert await juliet.message() == "1"
    await people.stop()
    server = await make_server()
    await juliet.resume(server)
    phone = await phone.resume(server)
    assert phone.answer.name == "resumed"
    assert await phone.message() == "1"
    await silence(phone)


async def test_what_fell_to_the_inbox_at_the_stop_comes_before_what_is_said_after_the_restart(
    people: RunningServer, make_server: MakeServer
) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    assert romeo.jid is not None
    await people.stop()
    server = await make_server()
    await server.stop()
    stanza = b"<message xmlns='jabber:client' from='romeo@localhost/orchard'><body>1</body></message>"
    store = await Store.open(server.app.config.database_url)
    await store.offline.keep([Message(JID.parse("juliet@localhost"), 1, romeo.jid, stanza, 1, 2**60)])
    await store.close()
    server = await make_server()
    romeo = await romeo.resume(server)
    await romeo.say(JULIET.partition("/")[0], "2")
    await romeo.handled(2)
    juliet = await juliet.resume(server)
    assert await juliet.messages(2) == ["1", "2"]
    await silence(juliet)


async def test_the_last_words_tell_how_much_was_handled(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard", available=False)
    await romeo.send("<message to='juliet@localhost' type='chat'><composing xmlns='x'/></message>")
    key = next(iter(people.app.core.binder.resumption.streams.by_key))
    jid = romeo.jid
    assert jid is not None
    async with asyncio.timeout(20):
        while await people.store.sessions.handled(jid.bare, key) != 1:
            await asyncio.sleep(0.01)
    await people.stop()
    elements, error = await romeo.ended()
    assert [element.get("h") for element in elements if element.name == "a"] == ["1"]
    assert error == "system-shutdown"


async def test_who_was_there_is_there_after_a_restart(people: RunningServer, make_server: MakeServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony", available=False)
    await juliet.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    await juliet.send("<presence><show>away</show><priority>5</priority></presence>")
    await juliet.read_until("presence")
    await juliet.send("<presence to='romeo@localhost/orchard'/>")
    await juliet.handled(3)
    other = await ManagedClient.enable(people, "juliet", "chamber")
    await other.handled(1)
    await people.stop()
    server = await make_server()
    other = await other.resume(server)
    assert other.answer.name == "resumed"
    await silence(other)  # nobody was seen to go or to come
    (user,) = server.users
    session = user.sessions["balcony"]
    assert session.carbons
    assert session.priority == 5
    assert session.presence is not None
    assert session.presence.child("jabber:client", "show").text == "away"  # type: ignore[union-attr]
    assert {str(jid) for jid in session.directed or ()} == {"romeo@localhost/orchard"}
    juliet = await juliet.resume(server)
    assert juliet.answer.name == "resumed"
    await juliet.send("</stream:stream>")
    await other.read_until("presence", type="unavailable", **{"from": JULIET})


async def test_what_a_client_wants_to_be_told_is_known_after_a_restart(
    people: RunningServer, make_server: MakeServer
) -> None:
    """XEP-0163 §4.3: notifications go on without presence being sent anew"""
    info = Info((Identity("client", "phone"),), ("http://jabber.org/protocol/nick+notify",))
    caps = Caps.of("https://client.example", info)
    await people.store.capabilities.save(JID.parse("localhost"), caps, info.element().to_bytes(), 1, most=10)
    juliet = await ManagedClient.enable(people, "juliet", "balcony", available=False)
    await juliet.send(f"<presence>{caps.element().to_bytes().decode()}</presence>")
    await juliet.read_until("presence")
    await people.stop()
    server = await make_server()
    (user,) = server.users
    assert user.sessions["balcony"].interests == {"http://jabber.org/protocol/nick"}
    juliet = await juliet.resume(server)
    assert juliet.answer.name == "resumed"


async def test_who_does_not_come_back_after_a_restart_gets_it_later(
    people: RunningServer, make_server: MakeServer
) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony", "resume='true' max='1'")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    juliet.answers = False
    await romeo.say(JULIET, "1", "2")
    assert await juliet.messages(2) == ["1", "2"]
    await people.stop()
    server = await make_server()
    await until(lambda: not any(user.jid.localpart == "juliet" for user in server.users))
    again = await juliet.resume(server)
    assert again.condition == "item-not-found"
    again = await ManagedClient.enable(server, "juliet", "balcony")
    assert await again.messages(2) == ["1", "2"]
    await silence(again)


async def test_a_message_to_two_devices_stays_until_both_have_it(
    people: RunningServer, make_server: MakeServer
) -> None:
    devices = [await ManagedClient.enable(people, "juliet", name) for name in ("balcony", "chamber")]
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    for device in devices:
        device.abort()
    await until(lambda: sum(s.hibernates for u in people.users for s in u.sessions.values()) == 2)
    await romeo.say("juliet@localhost", "1")
    await romeo.handled(2)
    await people.stop()
    server = await make_server()
    for device in devices:
        again = await device.resume(server)
        assert again.answer.name == "resumed"
        assert await again.message() == "1"
        await again.send(f"<a xmlns='{SM}' h='{again.h}'/>")
        await silence(again)
    assert again.jid is not None
    async with asyncio.timeout(20):
        while await server.store.offline.count(again.jid.bare):
            await asyncio.sleep(0.01)


async def test_after_a_crash_the_client_learns_exactly_what_was_handled(
    people: RunningServer, make_server: MakeServer
) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say("juliet@localhost", "1", "2", "3")
    h = await romeo.handled(4)

    async def crash() -> None:
        """Nothing is saved at the end."""

    people.app.core.restart.save = crash  # type: ignore[method-assign]
    await people.stop()
    server = await make_server()
    again = await romeo.resume(server)
    assert again.condition == "item-not-found"
    assert again.answer.get("h") == str(h) == "4"
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    assert await juliet.messages(3) == ["1", "2", "3"]


async def test_a_state_is_not_gone_back_to(people: RunningServer, make_server: MakeServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    await juliet.handled(1)
    await people.stop()
    server = await make_server()

    async def crash() -> None:
        """Nothing is saved at the end."""

    server.app.core.restart.save = crash  # type: ignore[method-assign]
    await server.stop()
    server = await make_server()
    again = await juliet.resume(server)
    assert again.condition == "item-not-found"
    assert again.answer.get("h") == "1"


async def test_sessions_of_an_account_that_was_deleted_meanwhile_are_gone(
    people: RunningServer, make_server: MakeServer
) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    await juliet.handled(1)
    assert juliet.jid is not None
    await people.store.accounts.delete(juliet.jid.bare)
    await people.stop()
    server = await make_server()
    assert server.users == []
