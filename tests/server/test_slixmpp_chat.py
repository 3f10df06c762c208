"""Two people with slixmpp: contacts, chat and what belongs to it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from .conftest import LogIn
from .person import DEADLINE, Person

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"


async def befriend(romeo: Person, juliet: Person) -> None:
    """Both see each other's presence afterwards."""
    for asker, other in ((romeo, juliet), (juliet, romeo)):
        asker.send_presence_subscription(other.boundjid.bare)
        request = await other.next("presence_subscribe")
        assert request["from"] == asker.boundjid.bare
        other.send_presence(pto=asker.boundjid.bare, ptype="subscribed")
        await asker.next("presence_subscribed")
        await asker.next("presence_available", lambda presence, other=other: presence["from"] == other.boundjid)


def subscription(person: Person, contact: str) -> str:
    return str(person.client_roster[contact]["subscription"])


# -- contacts


async def test_two_people_add_each_other_and_see_each_other_come_and_go(log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    await romeo.update_roster(JULIET, name="Juliet", groups=["Loves"])
    await befriend(romeo, juliet)
    for person, contact in ((romeo, JULIET), (juliet, ROMEO)):
        await person.get_roster(timeout=DEADLINE)
        assert subscription(person, contact) == "both"
    assert romeo.client_roster[JULIET]["name"] == "Juliet"
    assert romeo.client_roster[JULIET]["groups"] == ["Loves"]

    juliet.send_presence(pshow="away", pstatus="on the balcony")
    seen = await romeo.next("presence_away")
    assert seen["status"] == "on the balcony"
    await juliet.disconnect()
    gone = await romeo.next("presence_unavailable", lambda presence: presence["from"] == f"{JULIET}/balcony")
    assert gone["type"] == "unavailable"
    juliet = await log_in(f"{JULIET}/balcony")
    await romeo.next("presence_available", lambda presence: presence["from"] == f"{JULIET}/balcony")
    await juliet.next("presence_available", lambda presence: presence["from"] == f"{ROMEO}/orchard")


async def test_a_request_is_refused_and_a_contact_removed(log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    romeo.send_presence_subscription(JULIET)
    await juliet.next("presence_subscribe")
    juliet.send_presence(pto=ROMEO, ptype="unsubscribed")
    await romeo.next("presence_unsubscribed")
    await befriend(romeo, juliet)
    await romeo.del_roster_item(JULIET)
    await juliet.next("presence_unsubscribe")
    await juliet.next("presence_unsubscribed")
    await juliet.get_roster(timeout=DEADLINE)
    assert subscription(juliet, ROMEO) == "none"


async def test_a_request_waits_for_who_is_away(log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    await juliet.disconnect()
    romeo.send_presence_subscription(JULIET)
    await romeo.next("presence_unavailable", lambda presence: presence["from"] == JULIET)
    juliet = await log_in(f"{JULIET}/balcony")
    assert (await juliet.next("presence_subscribe"))["from"] == ROMEO


async def test_a_roster_that_did_not_change_is_not_sent_again(log_in: LogIn) -> None:
    """RFC 6121 §2.6"""
    romeo = await log_in(f"{ROMEO}/orchard")
    assert "rosterver" in romeo.features
    for contact in ("nurse@localhost", JULIET):
        await romeo.update_roster(contact, name=contact.partition("@")[0])
        await romeo.next("roster_update", lambda push, contact=contact: contact in str(push))
    version = romeo.client_roster.version
    assert version
    unchanged = await romeo.get_roster(timeout=DEADLINE)
    assert not unchanged["roster"]["items"]
    assert {ROMEO, JULIET, "nurse@localhost"} >= set(romeo.client_roster.keys()) >= {JULIET, "nurse@localhost"}

    street = await log_in(f"{ROMEO}/street")
    assert street.client_roster.version == version
    await street.update_roster("nurse@localhost", name="Nurse")
    push = await romeo.next("roster_update", lambda push: "Nurse" in str(push))
    assert int(push["roster"]["ver"]) > int(version)
    assert romeo.client_roster["nurse@localhost"]["name"] == "Nurse"


# -- messages


async def test_messages_go_both_ways_and_are_received(log_in: LogIn) -> None:
    """XEP-0184, XEP-0085, XEP-0333, XEP-0308, XEP-0444"""
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    sent = romeo.make_message(JULIET, "Wilt thou leave me so unsatisfied?", mtype="chat")
    sent["request_receipt"] = True
    sent.enable("markable")
    sent.send()
    message = await juliet.next("message")
    assert message["body"] == "Wilt thou leave me so unsatisfied?"
    assert message["from"] == f"{ROMEO}/orchard"
    assert (await romeo.next("receipt_received"))["receipt"] == sent["id"]

    juliet.plugin["xep_0333"].send_marker(message["from"], message["id"], "displayed", mtype="chat")
    assert (await romeo.next("marker_displayed"))["displayed"]["id"] == sent["id"]
    typing = juliet.make_message(message["from"], mtype="chat")
    typing["chat_state"] = "composing"
    typing.send()
    assert (await romeo.next("chatstate_composing"))["from"] == f"{JULIET}/balcony"
    juliet.plugin["xep_0444"].send_reactions(message["from"], message["id"], ["❤"])
    assert (await romeo.next("reactions"))["reactions"]["values"] == {"❤"}
    juliet.send_message(message["from"], "What satisfaction canst thou have tonight?", mtype="chat")
    answer = await romeo.next("message", lambda message: message["body"])
    assert answer["body"] == "What satisfaction canst thou have tonight?"
    corrected = romeo.make_message(JULIET, "Wilt thou leave me so?", mtype="chat")
    corrected["replace"]["id"] = sent["id"]
    corrected.send()
    correction = await juliet.next("message_correction")
    assert (correction["replace"]["id"], correction["body"]) == (sent["id"], "Wilt thou leave me so?")


async def test_every_device_sees_the_whole_conversation(log_in: LogIn) -> None:
    """XEP-0280"""
    orchard = await log_in(f"{ROMEO}/orchard")
    street = await log_in(f"{ROMEO}/street")
    juliet = await log_in(f"{JULIET}/balcony")
    for device in (orchard, street):
        await device.plugin["xep_0280"].enable(timeout=DEADLINE)

    orchard.send_message(f"{JULIET}/balcony", "Lady, by yonder blessed moon I swear", mtype="chat")
    await juliet.next("message")
    copy = (await street.next("carbon_sent"))["carbon_sent"]
    assert (copy["from"], copy["to"], copy["body"]) == (
        f"{ROMEO}/orchard",
        f"{JULIET}/balcony",
        "Lady, by yonder blessed moon I swear",
    )
    juliet.send_message(f"{ROMEO}/orchard", "O, swear not by the moon", mtype="chat")
    assert (await orchard.next("message"))["body"] == "O, swear not by the moon"
    copy = (await street.next("carbon_received"))["carbon_received"]
    assert (copy["from"], copy["body"]) == (f"{JULIET}/balcony", "O, swear not by the moon")
    await orchard.sees_nothing_more("carbon_received")


async def test_messages_to_who_is_away_wait_in_their_order_with_their_time(log_in: LogIn) -> None:
    """XEP-0160, XEP-0203"""
    juliet = await log_in(f"{JULIET}/balcony")
    await juliet.disconnect()
    romeo = await log_in(f"{ROMEO}/orchard")
    before = time.time()
    texts = ["But, soft!", "what light through yonder window breaks?", "It is the east"]
    for text in texts:
        romeo.send_message(JULIET, text, mtype="chat")
    await romeo.sees_nothing_more("message_error")
    after = time.time()
    juliet = await log_in(f"{JULIET}/balcony")
    for text in texts:
        message = await juliet.next("message")
        assert message["body"] == text
        stamp: Any = message["delay"]["stamp"]
        assert before - 1 <= stamp.timestamp() <= after + 1
        assert message["delay"]["from"] == "localhost"
    await juliet.disconnect()
    juliet = await log_in(f"{JULIET}/balcony")
    await juliet.sees_nothing_more("message")


async def test_a_message_to_nobody_comes_back(log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    romeo.send_message("rosaline@localhost", "Forget?", mtype="chat")
    error = await romeo.next("message_error")
    assert error["from"] == "rosaline@localhost"
    assert error["error"]["condition"] == "service-unavailable"


async def test_who_is_blocked_neither_writes_nor_sees(log_in: LogIn) -> None:
    """XEP-0191"""
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    await befriend(romeo, juliet)
    blocking = juliet.plugin["xep_0191"]
    assert await blocking.get_blocked_jids(timeout=DEADLINE) == set()
    await blocking.block(ROMEO, timeout=DEADLINE)
    await juliet.next("blocked")
    await romeo.next("presence_unavailable", lambda presence: presence["from"] == f"{JULIET}/balcony")
    romeo.send_message(JULIET, "Juliet?", mtype="chat")
    assert (await romeo.next("message_error"))["error"]["condition"] == "service-unavailable"
    juliet.send_message(ROMEO, "Romeo?", mtype="chat")
    assert (await juliet.next("message_error"))["error"]["condition"] == "not-acceptable"
    assert await blocking.get_blocked_jids(timeout=DEADLINE) == {ROMEO}

    await blocking.unblock(ROMEO, timeout=DEADLINE)
    await juliet.next("unblocked")
    await romeo.next("presence_available", lambda presence: presence["from"] == f"{JULIET}/balcony")
    romeo.send_message(JULIET, "I take thee at thy word", mtype="chat")
    assert (await juliet.next("message"))["body"] == "I take thee at thy word"


# -- the server, and other clients


async def test_the_server_tells_what_it_is(log_in: LogIn) -> None:
    """XEP-0030, XEP-0115, XEP-0092, XEP-0202, XEP-0012, XEP-0199"""
    romeo = await log_in(f"{ROMEO}/orchard")
    info = (await romeo.plugin["xep_0030"].get_info("localhost", timeout=DEADLINE))["disco_info"]
    assert ("server", "im") in {identity[:2] for identity in info["identities"]}
    wanted = {"urn:xmpp:ping", "urn:xmpp:carbons:2", "urn:xmpp:blocking", "jabber:iq:version", "urn:xmpp:time"}
    assert wanted <= info["features"]
    caps = romeo.plugin["xep_0115"]
    verstring = await caps.get_verstring("localhost")
    assert verstring == caps.generate_verstring(info, "sha-1")

    account = (await romeo.plugin["xep_0030"].get_info(ROMEO, timeout=DEADLINE))["disco_info"]
    assert ("account", "registered") in {identity[:2] for identity in account["identities"]}
    version = await romeo.plugin["xep_0092"].get_version("localhost", timeout=DEADLINE)
    assert version["software_version"]["name"] == "xmpp-server"
    told = await romeo.plugin["xep_0202"].get_entity_time("localhost", timeout=DEADLINE)
    utc = told.xml.findtext("{urn:xmpp:time}time/{urn:xmpp:time}utc")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(utc)).total_seconds()) < 60
    uptime = await romeo.plugin["xep_0012"].get_last_activity("localhost", timeout=DEADLINE)
    assert 0 <= uptime["last_activity"]["seconds"] < 600
    assert await romeo.plugin["xep_0199"].ping("localhost", timeout=DEADLINE) < DEADLINE


async def test_people_ask_each_others_clients(log_in: LogIn) -> None:
    romeo = await log_in(f"{ROMEO}/orchard")
    juliet = await log_in(f"{JULIET}/balcony")
    with pytest.raises(IqError) as refused:  # RFC 6121 §8.5.3.1: strangers do not learn who is there
        await romeo.plugin["xep_0092"].get_version(f"{JULIET}/balcony", timeout=DEADLINE)
    assert refused.value.condition == "service-unavailable"
    await befriend(romeo, juliet)
    version = await romeo.plugin["xep_0092"].get_version(f"{JULIET}/balcony", timeout=DEADLINE)
    assert version["software_version"]["name"] == "Slixmpp"
    juliet.send_presence(ptype="unavailable", pstatus="Good night")
    await romeo.next("presence_unavailable", lambda presence: presence["from"] == f"{JULIET}/balcony")
    await juliet.disconnect()
    last = await romeo.plugin["xep_0012"].get_last_activity(JULIET, timeout=DEADLINE)
    assert 0 <= last["last_activity"]["seconds"] < 600
    assert last["last_activity"]["status"] == "Good night"


async def test_twenty_people_log_in_at_once_and_each_writes_to_the_next(log_in: LogIn) -> None:
    names = [f"person{number}@localhost" for number in range(20)]
    people = await asyncio.gather(*(log_in(f"{name}/phone", mechanism="PLAIN") for name in names))
    for person, name in zip(people, names[1:] + names[:1], strict=True):
        person.send_message(name, f"To {name}", mtype="chat")
    for person, name in zip(people, names, strict=True):
        assert (await person.next("message"))["body"] == f"To {name}"
