"""Stream management (XEP-0198) over sockets: acknowledgements, resumption, take-over, and what is wrong with them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.server.conftest import MakeServer
from tests.server.managed_client import SM, ManagedClient
from tests.server.raw_client import Closed, RawClient
from tests.server.running import RunningServer
from tests.waiting import until
from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import parse_time

JULIET = "juliet@localhost/balcony"


def hibernates(server: RunningServer, address: str) -> bool:
    return any(
        session.hibernates for user in server.users for session in user.sessions.values() if str(session.jid) == address
    )


async def silence(client: ManagedClient) -> None:
    """Nothing more has come, up to the answer to a ping."""
    await client.send("<iq type='get' id='silence' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    element = await client.read()
    assert element.get("id") == "silence", element


# -- §2, §3: feature and enabling


async def test_it_is_offered_after_login_only_in_both_versions(people: RunningServer) -> None:
    client = await ManagedClient.open(people)
    assert client.features.child(SM, "sm") is None
    client = await ManagedClient.authenticated(people, "romeo")
    assert client.features.child(SM, "sm") is not None
    assert client.features.child("urn:xmpp:sm:2", "sm") is not None


async def test_a_stream_that_can_be_resumed_has_an_id_and_a_time(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    assert romeo.answer.get("resume") == "true"
    assert romeo.answer.get("max") == "600"
    assert len(romeo.id) >= 22
    assert romeo.answer.get("location") == ""
    other = await ManagedClient.enable(people, "romeo", "garden")
    assert other.id != romeo.id


async def test_a_client_may_want_to_wait_for_a_shorter_time_but_not_for_longer(people: RunningServer) -> None:
    short = await ManagedClient.enable(people, "romeo", "orchard", "resume='1' max='60'")
    assert short.answer.get("max") == "60"
    long = await ManagedClient.enable(people, "romeo", "garden", "resume='1' max='86400'")
    assert long.answer.get("max") == "600"


async def test_without_resume_there_is_no_id(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard", "")
    assert romeo.answer.attrs == {}


async def test_the_older_version_is_spoken_with_those_who_do(people: RunningServer) -> None:
    uri = "urn:xmpp:sm:2"
    romeo = await ManagedClient.enable(people, "romeo", "orchard", ns=uri, available=False)
    await romeo.send(f"<message to='juliet@localhost'/><r xmlns='{uri}'/>")
    answer = await romeo.read_until("a", h="1")
    assert answer.ns == uri


async def test_where_it_is_switched_off_it_is_neither_offered_nor_had(make_server: MakeServer) -> None:
    server = await make_server("[modules.stream_management]\nenabled = false\n")
    await server.account("romeo")
    romeo = await ManagedClient.authenticated(server, "romeo")
    assert romeo.features.child(SM, "sm") is None
    romeo.counts = True
    await romeo.send(f"<resume xmlns='{SM}' h='0' previd='x'/>")
    romeo.answer = await romeo.read()
    assert romeo.condition == "feature-not-implemented"
    await romeo.bind()
    await romeo.send(f"<enable xmlns='{SM}'/>")
    romeo.answer = await romeo.read()
    assert romeo.condition == "feature-not-implemented"


async def test_enable_twice_fails_and_ends_the_stream(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.send(f"<enable xmlns='{SM}' resume='true'/>")
    elements, error = await romeo.ended()
    assert elements[-1].child(ns.STANZA_ERRORS, "unexpected-request") is not None
    assert error == "policy-violation"


# -- §4: acknowledgements


async def test_stanzas_of_every_kind_are_counted(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard", available=False)
    await romeo.send("<presence/><iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    await romeo.send("<message to='juliet@localhost'><body>Hi</body></message><message to='@'/>")
    assert await romeo.handled(4) == 4


async def test_requests_of_one_turn_are_answered_at_once(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard", available=False)
    await romeo.send(f"<r xmlns='{SM}'/>")
    answer = await romeo.read()
    assert (answer.name, answer.get("h")) == ("a", "0")


async def test_what_a_restart_would_not_know_is_not_acknowledged(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say("juliet@localhost", "1", "2", "3")
    h = await romeo.handled(4)
    key = next(iter(people.app.core.binder.resumption.streams.by_key))
    assert romeo.jid is not None
    assert await people.store.sessions.handled(romeo.jid.bare, key) == h == 4


async def test_an_acknowledgement_of_what_was_not_sent_ends_the_stream(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.send(f"<a xmlns='{SM}' h='1000'/>")
    elements: list[str] = []
    error = await romeo.read_until("error")
    assert error.child(ns.STREAM_ERRORS, "undefined-condition") is not None
    too_high = error.child(SM, "handled-count-too-high")
    assert too_high is not None
    assert too_high.attrs == {"h": "1000", "send-count": str(romeo.h)}
    assert elements == []
    with pytest.raises(Closed):
        await romeo.read()


async def test_an_acknowledgement_that_goes_back_is_ignored(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.send(f"<a xmlns='{SM}' h='{romeo.h}'/><a xmlns='{SM}' h='0'/>")
    await silence(romeo)


async def test_the_server_asks_after_a_message_and_not_after_presence(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.send(f"<presence to='{JULIET}'/>")
    await silence(romeo)
    await romeo.say(JULIET, "Hi")
    elements = [await RawClient.read(juliet) for _ in range(3)]
    assert [element.name for element in elements] == ["presence", "message", "r"]


# -- §5: resumption


async def test_after_a_cut_nothing_is_lost_or_doubled(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "1", "2", "3")
    assert await juliet.messages(2) == ["1", "2"]
    juliet.answers = False
    juliet.abort()
    await romeo.say(JULIET, "4", "5")
    await until(lambda: hibernates(people, JULIET))
    await romeo.say(JULIET, "6")
    again = await juliet.resume(people)
    assert again.answer.name == "resumed"
    assert again.answer.attrs == {"h": "1", "previd": juliet.id}
    assert await again.messages(4) == ["3", "4", "5", "6"]
    await romeo.say(JULIET, "7")
    assert await again.message() == "7"
    await silence(again)


async def test_what_the_client_sent_and_was_not_acknowledged_is_counted_in_resumed(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "1", "2")
    assert await juliet.messages(2) == ["1", "2"]
    romeo.abort()
    again = await romeo.resume(people)
    assert again.answer.get("h") == "3"
    await again.say(JULIET, "3")
    assert await juliet.message() == "3"
    assert await again.handled(4) == 4


async def test_a_session_without_a_connection_is_still_seen(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    other = await ManagedClient.enable(people, "juliet", "chamber")
    await other.read_until("presence", **{"from": JULIET})
    juliet.abort()
    await until(lambda: hibernates(people, JULIET))
    await silence(other)
    again = await juliet.resume(people)
    assert again.answer.name == "resumed"
    await silence(other)


async def test_carbons_and_presence_stand_after_resumption(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    await juliet.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    await juliet.read_until("iq", id="c")
    other = await ManagedClient.enable(people, "juliet", "chamber")
    juliet.abort()
    await until(lambda: hibernates(people, JULIET))
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(str(other.jid), "psst")
    assert await other.message() == "psst"
    again = await juliet.resume(people)
    carbon = await again.read_until("message")
    assert carbon.child("urn:xmpp:carbons:2", "received") is not None


async def test_a_half_open_session_is_taken_over_at_once(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "1")
    assert await juliet.message() == "1"
    async with asyncio.timeout(1.5):
        again = await juliet.resume(people)
    assert again.answer.name == "resumed"
    _, error = await juliet.ended()
    assert error == "conflict"
    await romeo.say(JULIET, "2")
    assert await again.message() == "2"


async def test_a_session_that_is_taken_over_again_and_again_loses_nothing(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    seen: list[str] = []
    for turn in range(10):
        await romeo.say(JULIET, f"{turn}a", f"{turn}b")
        seen.append(await juliet.message())
        juliet = await juliet.resume(people)
        assert juliet.answer.name == "resumed"
    seen += await juliet.messages(20 - len(seen))
    assert seen == [f"{turn}{letter}" for turn in range(10) for letter in "ab"]


async def test_of_two_who_resume_at_the_same_time_one_goes_on(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    clients = [await ManagedClient.authenticated(people, "juliet") for _ in range(5)]
    for client in clients:
        await client.send(f"<resume xmlns='{SM}' h='{juliet.h}' previd='{juliet.id}'/>")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "Hi")
    came = await asyncio.gather(*(client.ended() for client in clients[:-1]), clients[-1].read_until("message"))
    assert all(error == "conflict" for _, error in came[:-1])
    assert came[-1].child_text(ns.CLIENT, "body") == "Hi"


# -- §5: what cannot be resumed


async def test_a_forged_id_is_not_found_and_the_client_may_bind(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    other = await romeo.resume(people, id="forged")
    assert other.condition == "item-not-found"
    assert "h" not in other.answer.attrs
    await other.bind()


async def test_somebody_elses_session_is_not_found_and_goes_on(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    await juliet.handled(1)
    thief = await juliet.resume(people, name="romeo")
    assert thief.condition == "item-not-found"
    assert "h" not in thief.answer.attrs
    await silence(juliet)


async def test_resume_before_login_fails(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    stranger = await ManagedClient.open(people)
    await stranger.send(f"<resume xmlns='{SM}' h='0' previd='{romeo.id}'/>")
    stranger.answer = await stranger.read()
    assert stranger.condition == "unexpected-request"
    await silence(romeo)


async def test_resume_after_bind_fails_and_the_stream_goes_on(people: RunningServer) -> None:
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    other = await ManagedClient.enable(people, "romeo", "garden", "", available=False)
    await other.send(f"<resume xmlns='{SM}' h='0' previd='{romeo.id}'/>")
    other.answer = await other.read()
    assert other.condition == "unexpected-request"
    await silence(other)


async def test_an_h_beyond_what_was_sent_fails_and_ends_the_stream_but_not_the_session(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    other = await juliet.resume(people, h=juliet.h + 5)
    assert other.condition == "undefined-condition"
    error = await other.read()
    too_high = error.child(SM, "handled-count-too-high")
    assert too_high is not None
    assert too_high.get("send-count") == str(juliet.h)
    await silence(juliet)


async def test_an_h_that_goes_back_is_no_way_to_resume(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "1")
    assert await juliet.message() == "1"
    await juliet.send(f"<a xmlns='{SM}' h='{juliet.h}'/>")
    await silence(juliet)
    other = await juliet.resume(people, h=0)
    assert other.condition == "item-not-found"


async def test_after_its_time_a_session_is_gone_and_the_client_learns_what_was_handled(make_server: MakeServer) -> None:
    server = await make_server("[modules.stream_management]\nresume_seconds = 1\n")
    await server.account("romeo")
    await server.account("juliet")
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    romeo = await ManagedClient.enable(server, "romeo", "orchard")
    await juliet.say(str(romeo.jid), "1")
    assert await romeo.message() == "1"
    await juliet.handled(2)
    juliet.abort()
    await until(lambda: hibernates(server, JULIET))
    await romeo.say(JULIET, "2")
    await until(lambda: not any(str(user.jid) == "juliet@localhost" for user in server.users))
    again = await juliet.resume(server)
    assert again.condition == "item-not-found"
    assert again.answer.get("h") == "2"
    await again.bind("balcony")
    again.counts = False
    await again.send("<presence/>")
    assert await again.message() == "2"


async def test_a_closed_stream_is_not_resumed(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    other = await ManagedClient.enable(people, "juliet", "chamber")
    await other.read_until("presence", **{"from": JULIET})
    await juliet.leave()
    await other.read_until("presence", type="unavailable")
    again = await juliet.resume(people)
    assert again.condition == "item-not-found"


async def test_without_resume_a_session_ends_with_its_connection_and_its_messages_wait(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony", "")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    juliet.answers = False
    await romeo.say("juliet@localhost", "1")
    assert await juliet.message() == "1"
    juliet.abort()
    await until(lambda: not any(str(user.jid) == "juliet@localhost" for user in people.users))
    again = await ManagedClient.enable(people, "juliet", "balcony")
    assert await again.message() == "1", "it was not acknowledged"


async def test_what_goes_to_the_next_session_is_dated(people: RunningServer) -> None:
    """§4: with the time at which it was to be delivered first"""
    juliet = await ManagedClient.enable(people, "juliet", "balcony", "resume='true' max='1'")
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    juliet.answers = False
    before = time.time_ns() // 1_000_000_000 * 1_000_000
    await romeo.say("juliet@localhost", "1")
    live = await juliet.read_until("message")
    assert live.child(ns.DELAY, "delay") is None
    after = time.time_ns() // 1000
    juliet.abort()
    await until(lambda: not any(str(user.jid) == "juliet@localhost" for user in people.users))
    again = await ManagedClient.enable(people, "juliet", "garden")
    delay = (await again.read_until("message")).child(ns.DELAY, "delay")
    assert delay is not None
    assert delay.get("from") == "localhost"
    assert before <= parse_time(delay.get("stamp")) <= after


async def test_a_silent_client_is_asked_for_what_it_has_instead_of_sent_a_space(make_server: MakeServer) -> None:
    """§8.2: it frees what an idle client has long got"""
    server = await make_server("[limits]\nkeepalive_seconds = 1\n")
    await server.account("juliet")
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    juliet.counts = False
    assert (await RawClient.read(juliet)).name == "r"


# -- limits


async def test_a_queue_that_is_full_ends_the_session_and_what_was_in_it_waits(make_server: MakeServer) -> None:
    server = await make_server("[modules.stream_management]\nqueue_bytes = 524288\n")
    await server.account("romeo")
    await server.account("juliet")
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    juliet.abort()
    await until(lambda: hibernates(server, JULIET))
    romeo = await ManagedClient.enable(server, "romeo", "orchard")
    bodies = [f"{number}{'x' * 100_000}" for number in range(8)]
    for body in bodies:
        await romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")
    await romeo.handled(9)
    again = await juliet.resume(server)
    assert again.condition == "item-not-found"
    await again.bind("balcony")
    again.counts = False
    await again.send("<presence/>")
    assert await again.messages(8) == bodies


async def test_sessions_that_wait_keep_no_new_one_out(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nsessions_per_account = 2\n")
    await server.account("juliet")
    for number in range(4):
        juliet = await ManagedClient.enable(server, "juliet", f"device{number}")
        juliet.abort()
        await until(lambda number=number: hibernates(server, f"juliet@localhost/device{number}"))  # type: ignore[misc]
    (user,) = server.users
    assert len(user.sessions) == 2


async def test_a_resource_that_waits_is_bound_anew(people: RunningServer) -> None:
    juliet = await ManagedClient.enable(people, "juliet", "balcony")
    juliet.abort()
    await until(lambda: hibernates(people, JULIET))
    romeo = await ManagedClient.enable(people, "romeo", "orchard")
    await romeo.say(JULIET, "1")
    await romeo.handled(2)
    again = await ManagedClient.enable(people, "juliet", "balcony")
    assert await again.message() == "1"
    other = await juliet.resume(people)
    assert other.condition == "item-not-found"


async def test_a_request_for_a_client_that_does_not_come_back_is_answered(make_server: MakeServer) -> None:
    server = await make_server("[modules.stream_management]\nresume_seconds = 1\n")
    await server.account("juliet")
    juliet = await ManagedClient.enable(server, "juliet", "balcony")
    juliet.abort()
    await until(lambda: hibernates(server, JULIET))
    other = await ManagedClient.enable(server, "juliet", "chamber")
    answer = await other.ask(f"<iq type='get' id='p' to='{JULIET}'><ping xmlns='urn:xmpp:ping'/></iq>", "p")
    assert answer.get("type") == "error"
