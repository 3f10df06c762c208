"""Requests that are meant to do harm, over a socket: each gets the error that its specification names, and the session,
its archive and the others go on. Framing and login are in `test_bad_input.py`, stream management in its own file."""

from __future__ import annotations

from random import Random
from typing import Final

import pytest

from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient, stanza_error
from xmpp_server.protocol import ns
from xmpp_server.storage.accounts import LONGEST_NAME

TO_JULIET: Final = "<message to='juliet@localhost' type='chat'>"
ROSE: Final = "\U0001f339"  # four octets in UTF-8
LONG: Final = ROSE * 50_000
PREFS: Final = f"<prefs xmlns='{ns.MAM}' default='always'>"
PING: Final = "<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


def incompressible(length: int) -> str:
    """PostgreSQL has no place in an index for much of this."""
    return "".join(Random(length).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


LONGEST: Final = f"{incompressible(1023)}@{'.'.join([incompressible(60)] * 4)}/{incompressible(1023)}"


def query(inside: str = "") -> str:
    return f"<query xmlns='{ns.MAM}'>{inside}</query>"


def field(name: str, value: str) -> str:
    fields = {"FORM_TYPE": ns.MAM, name: value}
    rows = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in fields.items())
    return query(f"<x xmlns='{ns.DATA}' type='submit'>{rows}</x>")


def page(inside: str) -> str:
    return query(f"<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>")


def block(item: str) -> str:
    return f"<block xmlns='urn:xmpp:blocking'>{item}</block>"


REQUESTS: Final = {
    # XEP-0313 with XEP-0059
    "a page of a milliard": ("set", "", page("<max>1000000000</max>"), "result"),
    "a page of four hundred digits": ("set", "", page(f"<max>{10**400}</max>"), "result"),
    "a negative page": ("set", "", page("<max>-1</max>"), "bad-request"),
    "a page in digits of Thai": ("set", "", page("<max>๕</max>"), "bad-request"),
    "a page of a fraction": ("set", "", page("<max>1e3</max>"), "bad-request"),
    "an index far away": ("set", "", page(f"<index>{10**30}</index>"), "feature-not-implemented"),
    "after a rose": ("set", "", page(f"<after>{ROSE}</after>"), "item-not-found"),
    "after many roses": ("set", "", page(f"<after>{LONG}</after>"), "item-not-found"),
    "before many roses": ("set", "", page(f"<before>{LONG}</before>"), "item-not-found"),
    "a forged after-id": ("set", "", field("after-id", "A" * 22), "item-not-found"),
    "a long before-id": ("set", "", field("before-id", LONG), "item-not-found"),
    "a rose among ids": ("set", "", field("ids", ROSE), "item-not-found"),
    "with a rose": ("set", "", field("with", f"juliet@localhost/{ROSE}"), "result"),
    "with nobody": ("set", "", field("with", "x" * 100_000), "jid-malformed"),
    "with the longest address": ("set", "", field("with", LONGEST), "result"),
    "the year zero": ("set", "", field("start", "0000-01-01T00:00:00Z"), "bad-request"),
    "a leap second": ("set", "", field("start", "2016-12-31T23:59:60Z"), "bad-request"),
    "a zone off the earth": ("set", "", field("end", "2016-12-31T23:59:59+99:99"), "bad-request"),
    "a date in wide digits": ("set", "", field("end", "\uff12\uff10\uff11\uff16-12-31T23:59:59Z"), "bad-request"),
    "a date of many digits": ("set", "", field("end", "9" * 100_000), "bad-request"),
    "a queryid of roses": ("set", "", f"<query xmlns='{ns.MAM}' queryid='{LONG}'/>", "policy-violation"),
    "the archive of somebody else": ("set", "juliet@localhost", query(), "forbidden"),
    "the archive of nobody": ("set", "nobody@localhost", query(), "forbidden"),
    "the ends of somebody else": ("get", "juliet@localhost", f"<metadata xmlns='{ns.MAM}'/>", "forbidden"),
    "something else of archives": ("set", "", f"<nonsense xmlns='{ns.MAM}'/>", "service-unavailable"),
    # XEP-0441
    "the choice of somebody else": ("get", "juliet@localhost", f"{PREFS}</prefs>", "forbidden"),
    "a choice for somebody else": ("set", "juliet@localhost", f"{PREFS}</prefs>", "forbidden"),
    "a choice of a rose": ("set", "", f"<prefs xmlns='{ns.MAM}' default='{ROSE}'/>", "bad-request"),
    "a choice without a default": ("set", "", f"<prefs xmlns='{ns.MAM}'/>", "bad-request"),
    "a choice of no address": ("set", "", f"{PREFS}<never><jid/></never></prefs>", "jid-malformed"),
    "a choice of very many": (
        "set",
        "",
        f"{PREFS}<never>{'<jid>a@b</jid>' * 1001}</never></prefs>",
        "policy-violation",
    ),
    # XEP-0280, XEP-0191
    "carbons for somebody else": ("set", "juliet@localhost", f"<enable xmlns='{ns.CARBONS}'/>", "not-allowed"),
    "something else of carbons": ("set", "", f"<nonsense xmlns='{ns.CARBONS}'/>", "service-unavailable"),
    "nobody to block": ("set", "", block(""), "bad-request"),
    "an item without an address": ("set", "", block("<item/>"), "bad-request"),
    "a block of no address": ("set", "", block("<item jid='@@'/>"), "jid-malformed"),
    "a block of a long text": ("set", "", block(f"<item jid='{'x' * 100_000}'/>"), "jid-malformed"),
    "a block of the longest address": ("set", "", block(f"<item jid='{LONGEST}'/>"), "result"),
    # XEP-0030, XEP-0199, XEP-0012
    "a node of roses": ("get", "localhost", f"<query xmlns='{ns.DISCO_INFO}' node='{LONG}'/>", "item-not-found"),
    "items of roses": ("get", "localhost", f"<query xmlns='{ns.DISCO_ITEMS}' node='{LONG}'/>", "item-not-found"),
    "info on nobody": ("get", "nobody@localhost", f"<query xmlns='{ns.DISCO_INFO}' node='x'/>", "service-unavailable"),
    "info on a stranger": ("get", "juliet@localhost", f"<query xmlns='{ns.DISCO_INFO}'/>", "service-unavailable"),
    "items of nobody": ("get", "nobody@localhost", f"<query xmlns='{ns.DISCO_ITEMS}' node='x'/>", "result"),
    "a ping to nobody": ("get", "nobody@localhost", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"),
    "a ping to a stranger": ("get", "juliet@localhost/balcony", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"),
    "the activity of a stranger": ("get", "juliet@localhost", "<query xmlns='jabber:iq:last'/>", "forbidden"),
    "the same by resource": ("get", "juliet@localhost/balcony", "<query xmlns='jabber:iq:last'/>", "forbidden"),
    # XEP-0054, XEP-0049
    "the vCard of somebody else": ("set", "juliet@localhost", "<vCard xmlns='vcard-temp'/>", "forbidden"),
    "a vCard of roses": ("set", "", f"<vCard xmlns='vcard-temp'><FN>{LONG}</FN></vCard>", "policy-violation"),
    "what somebody else keeps": (
        "get",
        "juliet@localhost",
        "<query xmlns='jabber:iq:private'><a xmlns='b'/></query>",
        "forbidden",
    ),
    "nothing to keep": ("set", "", "<query xmlns='jabber:iq:private'/>", "not-acceptable"),
    "a long name to keep": (
        "set",
        "",
        f"<query xmlns='jabber:iq:private'><a xmlns='urn:{incompressible(5000)}'/></query>",
        "not-acceptable",
    ),
    # RFC 6121 §2
    "the roster of somebody else": ("get", "juliet@localhost", f"<query xmlns='{ns.ROSTER}'/>", "forbidden"),
    "a version of many digits": ("get", "", f"<query xmlns='{ns.ROSTER}' ver='{'9' * 100_000}'/>", "result"),
    "a handle of roses": (
        "set",
        "",
        f"<query xmlns='{ns.ROSTER}'><item jid='a@b' name='{LONG}'/></query>",
        "not-acceptable",
    ),
}

STANZAS: Final = {
    "a message to a long address": (
        f"<message to='{incompressible(1000)}@localhost/{incompressible(1023)}' type='chat'><body>x</body></message>",
        "service-unavailable",
    ),
    "a long origin-id": (f"{TO_JULIET}<body>x</body><origin-id xmlns='{ns.STANZA_ID}' id='{LONG}'/></message>", ""),
    "a delay of no time": (
        f"{TO_JULIET}<body>x</body><delay xmlns='{ns.DELAY}' stamp='x'/>"
        f"<origin-id xmlns='{ns.STANZA_ID}' id='1'/></message>",
        "",
    ),
    "a retraction of roses": (f"{TO_JULIET}<retract xmlns='urn:xmpp:message-retract:1' id='{LONG}'/></message>", ""),
    "a retraction of nothing": (f"{TO_JULIET}<retract xmlns='urn:xmpp:message-retract:1'/></message>", ""),
    "long capabilities": (
        f"<presence><c xmlns='{ns.CAPS}' hash='sha-1' node='{'x' * 99_999}' ver='{'y' * 99_999}'/></presence>",
        "",
    ),
    "a high priority": (f"<presence id='6'><priority>{'9' * 100_000}</priority></presence>", "bad-request"),
    "a long request": (
        f"<presence to='juliet@localhost' type='subscribe'><status>{LONG}</status></presence>",
        "policy-violation",
    ),
    "a request to the longest address": (f"<presence to='{LONGEST}' type='subscribe'/>", "remote-server-not-found"),
}


@pytest.fixture
async def romeo(make_server: MakeServer) -> RawClient:
    """Beside Juliet, whom he is a stranger to, and with messages in his archive. He may send as fast as he likes."""
    server = await make_server("[limits]\nbytes_per_second = 0\n")
    for name in ("romeo", "juliet"):
        await server.account(name)
    juliet = await RawClient.login(server, "juliet", resource="balcony")
    await juliet.send("<presence/>")
    romeo = await RawClient.login(server, "romeo", resource="orchard")
    await romeo.send("<message to='juliet@localhost' type='chat' id='before'><body>Hi</body></message>")
    return romeo


async def test_each_request_gets_its_error_and_the_next_one_is_answered(romeo: RawClient) -> None:
    came: dict[str, str] = {}
    for name, (type, to, payload, _) in REQUESTS.items():
        address, id = f" to='{to}'" if to else "", f"{ROSE}{len(came)}"
        answer = await romeo.ask(f"<iq type='{type}' id='{id}'{address}>{payload}</iq>", id)
        came[name] = stanza_error(answer) or answer.get("type")
    assert came == {name: expected for name, (*_, expected) in REQUESTS.items()}


async def test_each_stanza_is_taken_or_answered_and_the_session_goes_on(romeo: RawClient) -> None:
    for number, (stanza, _) in enumerate(STANZAS.values()):
        await romeo.send(stanza.replace(" to=", f" id='{number}' to=", 1))
    await romeo.send("<message to='nobody@localhost' type='chat' id='end'><body>x</body></message>")
    came: dict[str, str] = {}
    while (element := await romeo.read()).get("id") != "end":
        if condition := stanza_error(element):
            came[element.get("id")] = condition
    expected = {str(number): condition for number, (_, condition) in enumerate(STANZAS.values()) if condition}
    assert came == expected
    assert (await romeo.ask(PING, "ping")).get("type") == "result"


async def test_with_the_longest_name_everything_works_that_others_can_do(make_server: MakeServer) -> None:
    """What finds messages and addresses has a place for all of it, on PostgreSQL too."""
    server = await make_server("[limits]\nbytes_per_second = 0\n")
    names = [incompressible(LONGEST_NAME), incompressible(LONGEST_NAME - 1)]
    for name in names:
        await server.account(name)
    romeo, juliet = [await RawClient.login(server, name, resource=incompressible(1023)) for name in names]
    await juliet.send("<presence/>")
    for to in (juliet.jid, LONGEST):
        await romeo.send(f"<message to='{to}' type='chat' id='1'><body>Hi</body></message>")
    assert (await juliet.read_until("message")).get("id") == "1"
    assert stanza_error(await romeo.read_until("message")) == "remote-server-not-found"
    for payload in (
        block(f"<item jid='{LONGEST}'/>"),
        f"<query xmlns='{ns.ROSTER}'><item jid='{LONGEST.partition('/')[0]}'/></query>",
        f"<query xmlns='jabber:iq:private'><a xmlns='urn:{incompressible(900)}'/></query>",
        field("with", str(juliet.jid)),
    ):
        assert (await romeo.ask(f"<iq type='set' id='2'>{payload}</iq>", "2")).get("type") == "result"
