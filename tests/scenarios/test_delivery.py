"""RFC 6121 §8.5 and RFC 6120 §10.3, end to end: what becomes of a stanza to an account, by type and by who is there.

The tables are those of the RFC, transcribed row by row. Outcomes: names of the resources that get it, `error` (the
sender gets service-unavailable), `kept` (it is there when the receiver comes back), `ignored`.
"""

from __future__ import annotations

import pytest

from .world import Client, World

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
UNAVAILABLE = f"<error type='cancel'><service-unavailable xmlns='{STANZAS}'/></error>"
BARE = "juliet@localhost"
HERE = "juliet@localhost/balcony"
GONE = "juliet@localhost/gone"

# Juliet's resources by name with their priority; None: connected and not available.
SEVERAL = {"balcony": 1, "chamber": 0, "phone": 5}
NEGATIVE = {"balcony": -1, "chamber": -128}
MIXED = {"balcony": -1, "chamber": 0, "tomb": None}
CONNECTED = {"balcony": None}
NOBODY: dict[str, int | None] = {}
ALL = "balcony chamber phone"

MESSAGES = [
    # §8.5.2.1.1: the bare address, and at least one available resource
    ("8.5.2.1.1", BARE, SEVERAL, "normal", ALL),
    ("8.5.2.1.1", BARE, SEVERAL, "chat", ALL),
    ("8.5.2.1.1", BARE, SEVERAL, "headline", ALL),
    ("8.5.2.1.1", BARE, SEVERAL, "groupchat", "error"),
    ("8.5.2.1.1", BARE, SEVERAL, "error", "ignored"),
    ("8.5.2.1.1", BARE, MIXED, "normal", "chamber"),
    ("8.5.2.1.1", BARE, MIXED, "chat", "chamber"),
    ("8.5.2.1.1", BARE, MIXED, "headline", "chamber"),
    ("8.5.2.1.1", BARE, MIXED, "groupchat", "error"),
    ("8.5.2.1.1", BARE, MIXED, "error", "ignored"),
    # ... if all have a negative priority it is handled as if there were none
    ("8.5.2.1.1", BARE, NEGATIVE, "normal", "kept"),
    ("8.5.2.1.1", BARE, NEGATIVE, "chat", "kept"),
    ("8.5.2.1.1", BARE, NEGATIVE, "headline", "ignored"),
    ("8.5.2.1.1", BARE, NEGATIVE, "groupchat", "error"),
    ("8.5.2.1.1", BARE, NEGATIVE, "error", "ignored"),
    # §8.5.2.2.1: the bare address, and no available resource
    ("8.5.2.2.1", BARE, NOBODY, "normal", "kept"),
    ("8.5.2.2.1", BARE, NOBODY, "chat", "kept"),
    ("8.5.2.2.1", BARE, NOBODY, "headline", "ignored"),
    ("8.5.2.2.1", BARE, NOBODY, "groupchat", "error"),
    ("8.5.2.2.1", BARE, NOBODY, "error", "ignored"),
    ("8.5.2.2.1", BARE, CONNECTED, "normal", "kept"),
    ("8.5.2.2.1", BARE, CONNECTED, "chat", "kept"),
    # §8.5.3.1: a full address that matches, available or not, whatever the priority
    *[
        ("8.5.3.1", HERE, there, type, "balcony")
        for there in (SEVERAL, NEGATIVE, CONNECTED)
        for type in ("normal", "chat", "headline", "groupchat", "error")
    ],
    # §8.5.3.2.1: a full address that matches nothing
    ("8.5.3.2.1", GONE, SEVERAL, "normal", "error"),
    ("8.5.3.2.1", GONE, SEVERAL, "groupchat", "error"),
    ("8.5.3.2.1", GONE, SEVERAL, "headline", "ignored"),
    ("8.5.3.2.1", GONE, SEVERAL, "error", "ignored"),
    ("8.5.3.2.1", GONE, SEVERAL, "chat", ALL),  # as if it were to the bare address
    ("8.5.3.2.1", GONE, MIXED, "chat", "chamber"),
    ("8.5.3.2.1", GONE, NEGATIVE, "chat", "kept"),
    ("8.5.3.2.1", GONE, NOBODY, "chat", "kept"),
    ("8.5.3.2.1", GONE, NOBODY, "normal", "error"),
    ("8.5.3.2.1", GONE, NOBODY, "groupchat", "error"),
    ("8.5.3.2.1", GONE, NOBODY, "headline", "ignored"),
    # §8.5.1: no such user
    *[
        ("8.5.1", to, None, type, outcome)
        for to in (BARE, GONE)
        for type, outcome in (("normal", "error"), ("chat", "error"), ("groupchat", "error"), ("error", "ignored"))
    ],
]


async def arrive(world: World, there: dict[str, int | None] | None) -> dict[str, Client]:
    if there is None:
        return {}
    await world.account(BARE)
    juliet: dict[str, Client] = {}
    for resource, priority in there.items():
        if priority is None:
            juliet[resource] = await world.connect(f"{BARE}/{resource}")
        else:
            presence = f"<presence><priority>{priority}</priority></presence>"
            juliet[resource] = await world.login(f"{BARE}/{resource}", presence)
    for client in juliet.values():
        client.inbox.clear()
    return juliet


@pytest.mark.parametrize(("section", "to", "there", "type", "outcome"), MESSAGES)
async def test_a_message_goes_where_the_table_says(
    world: World, section: str, to: str, there: dict[str, int | None] | None, type: str, outcome: str
) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    payload = UNAVAILABLE if type == "error" else "<body>x</body>"
    romeo.send(f"<message id='m' type='{type}' to='{to}'>{payload}</message>")
    await world.settle()
    got = [resource for resource, client in juliet.items() if client.inbox]
    for resource in got:
        await juliet[resource].receives(f"<message id='m' type='{type}' from='{romeo.jid}' to='{to}'/>")
        await juliet[resource].receives_nothing()
    if outcome == "error":
        await romeo.receives(f"<message id='m' type='error' from='{to}' to='{romeo.jid}'>{UNAVAILABLE}</message>")
    await romeo.receives_nothing()
    assert got == ([] if outcome in ("error", "kept", "ignored") else outcome.split()), section
    later = await world.login(f"{BARE}/later") if there is not None else romeo
    if outcome == "kept":
        await later.receives(f"<message id='m' type='{type}' to='{to}'/>")
    await later.receives_nothing()


@pytest.mark.parametrize("type", ["", "unknown"])
async def test_a_message_of_no_known_type_is_a_normal_one(world: World, type: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, SEVERAL)
    attribute = f" type='{type}'" if type else ""
    romeo.send(f"<message to='{BARE}'{attribute}><body>x</body></message>")
    for client in juliet.values():
        await client.receives(f"<message to='{BARE}'{attribute}><body>x</body></message>")
    romeo.send(f"<message id='m' to='{GONE}'{attribute}><body>x</body></message>")
    await romeo.receives(f"<message id='m' type='error' from='{GONE}'>{UNAVAILABLE}</message>")


PRESENCE = [
    # §8.5.2.1.2 and §8.5.2.2.2: the bare address
    ("", BARE, MIXED, "balcony chamber"),
    ("unavailable", BARE, MIXED, "balcony chamber"),
    ("", BARE, CONNECTED, ""),
    ("", BARE, NOBODY, ""),
    # §8.5.3.1: a full address that matches
    ("", HERE, SEVERAL, "balcony"),
    ("unavailable", HERE, NEGATIVE, "balcony"),
    ("", HERE, CONNECTED, "balcony"),
    # §8.5.3.2.2: a full address that matches nothing
    ("", GONE, SEVERAL, ""),
    ("unavailable", GONE, SEVERAL, ""),
    # §8.5.1: no such user
    *[
        (type, to, None, "")
        for type in ("", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed")
        for to in (BARE, GONE)
    ],
]


@pytest.mark.parametrize(("type", "to", "there", "outcome"), PRESENCE)
async def test_presence_goes_where_the_table_says(
    world: World, type: str, to: str, there: dict[str, int | None] | None, outcome: str
) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    attribute = f" type='{type}'" if type else ""
    romeo.send(f"<presence id='p' to='{to}'{attribute}><status>x</status></presence>")
    for resource, client in juliet.items():
        if resource in outcome.split():
            await client.receives(
                f"<presence id='p' from='{romeo.jid}' to='{to}'{attribute}><status>x</status></presence>"
            )
        await client.receives_nothing()
    await romeo.receives_nothing()


# -- iq

UNKNOWN = "<query xmlns='urn:example:unknown'/>"
PING = "<ping xmlns='urn:xmpp:ping'/>"


@pytest.mark.parametrize("there", [SEVERAL, NEGATIVE, CONNECTED, NOBODY, None])
@pytest.mark.parametrize("type", ["get", "set"])
async def test_a_request_to_the_bare_address_is_answered_by_the_server(
    world: World, there: dict[str, int | None] | None, type: str
) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    romeo.send(f"<iq type='{type}' id='q' to='{BARE}'>{UNKNOWN}</iq>")
    await romeo.receives(f"<iq type='error' id='q' from='{BARE}' to='{romeo.jid}'>{UNAVAILABLE}</iq>")
    for client in juliet.values():
        await client.receives_nothing()


@pytest.mark.parametrize("there", [SEVERAL, NEGATIVE, CONNECTED, NOBODY])
async def test_a_request_that_the_server_knows_is_answered_for_the_account_and_shown_to_nobody(
    world: World, there: dict[str, int | None]
) -> None:
    """§8.5.2.1.3, §8.5.2.2.3: a result or the error that belongs to the payload."""
    vcard = "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>"
    owner = await world.connect(f"{BARE}/owner")
    assert (await owner.request("set", vcard)).get("type") == "result"
    await owner.disconnect()
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    romeo.send(f"<iq type='get' id='q' to='{BARE}'><vCard xmlns='vcard-temp'/></iq>")
    await romeo.receives(f"<iq type='result' id='q' from='{BARE}' to='{romeo.jid}'>{vcard}</iq>")
    romeo.send(f"<iq type='set' id='q' to='{BARE}'><vCard xmlns='vcard-temp'/></iq>")
    forbidden = f"<error><forbidden xmlns='{STANZAS}'/></error>"
    await romeo.receives(f"<iq type='error' id='q' from='{BARE}' to='{romeo.jid}'>{forbidden}</iq>")
    for client in juliet.values():
        await client.receives_nothing()


@pytest.mark.parametrize("there", [SEVERAL, NEGATIVE, CONNECTED])
async def test_an_answer_reaches_a_resource_that_is_there(world: World, there: dict[str, int | None]) -> None:
    """§8.5.3.1: whatever its priority, also if it is connected and not available, and whoever answers."""
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    romeo.send(f"<iq type='result' id='r' to='{HERE}'>{UNKNOWN}</iq>")
    romeo.send(f"<iq type='error' id='e' to='{HERE}'>{UNAVAILABLE}</iq>")
    balcony = juliet.pop("balcony")
    await balcony.receives(f"<iq type='result' id='r' from='{romeo.jid}' to='{HERE}'>{UNKNOWN}</iq>")
    await balcony.receives(f"<iq type='error' id='e' from='{romeo.jid}' to='{HERE}'>{UNAVAILABLE}</iq>")
    for client in (romeo, balcony, *juliet.values()):
        await client.receives_nothing()


@pytest.mark.parametrize("to", [BARE, GONE, "localhost"])
@pytest.mark.parametrize("there", [SEVERAL, NOBODY, None])
async def test_an_answer_that_nobody_waits_for_is_ignored(
    world: World, to: str, there: dict[str, int | None] | None
) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, there)
    romeo.send(f"<iq type='result' id='r' to='{to}'/><iq type='error' id='e' to='{to}'>{UNAVAILABLE}</iq>")
    await romeo.receives_nothing()
    for client in juliet.values():
        await client.receives_nothing()


@pytest.mark.parametrize("there", [SEVERAL, NOBODY, None])
@pytest.mark.parametrize("type", ["get", "set"])
async def test_a_request_to_a_resource_that_is_not_there_is_answered_with_an_error(
    world: World, there: dict[str, int | None] | None, type: str
) -> None:
    await world.account("romeo@localhost")
    if there is not None:
        await world.subscribe("romeo@localhost", BARE)
    romeo = await world.login("romeo@localhost/orchard")
    await arrive(world, there)
    romeo.inbox.clear()
    romeo.send(f"<iq type='{type}' id='q' to='{GONE}'>{PING}</iq>")
    await romeo.receives(f"<iq type='error' id='q' from='{GONE}'>{UNAVAILABLE}</iq>")


@pytest.mark.parametrize(
    ("subscription", "delivered"), [("none", False), ("from", False), ("to", True), ("both", True)]
)
@pytest.mark.parametrize("priority", [None, -1, 1])
async def test_a_request_reaches_a_resource_if_the_sender_may_see_its_presence(
    world: World, subscription: str, delivered: bool, priority: int | None
) -> None:
    """§8.5.3.1; the subscription is that of the sender."""
    await world.subscribe("romeo@localhost", BARE, subscription)  # type: ignore[arg-type]
    romeo = await world.login("romeo@localhost/orchard")
    juliet = (await arrive(world, {"balcony": priority}))["balcony"]
    romeo.inbox.clear()
    romeo.send(f"<iq type='get' id='q' to='{HERE}'>{UNKNOWN}</iq>")
    if delivered:
        await juliet.receives(f"<iq type='get' id='q' from='{romeo.jid}' to='{HERE}'>{UNKNOWN}</iq>")
        juliet.send(f"<iq type='result' id='q' to='{romeo.jid}'>{UNKNOWN}</iq>")
        await romeo.receives(f"<iq type='result' id='q' from='{HERE}' to='{romeo.jid}'>{UNKNOWN}</iq>")
    else:
        await juliet.receives_nothing()
        await romeo.receives(f"<iq type='error' id='q' from='{HERE}'>{UNAVAILABLE}</iq>")
        juliet.send(f"<iq type='result' id='q' to='{romeo.jid}'/>")
        await romeo.receives("<iq type='result'/>")


async def test_directed_presence_lets_its_receiver_ask_until_it_is_taken_back(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = (await arrive(world, {"balcony": 1}))["balcony"]
    for presence, delivered in (("", True), (" type='unavailable'", False)):
        juliet.send(f"<presence to='{romeo.jid}'{presence}/>")
        await romeo.receives(f"<presence from='{HERE}'{presence}/>")
        romeo.send(f"<iq type='get' id='q' to='{HERE}'>{UNKNOWN}</iq>")
        if delivered:
            await juliet.receives(f"<iq type='get' id='q' from='{romeo.jid}'>{UNKNOWN}</iq>")
        else:
            await romeo.receives(f"<iq type='error' id='q' from='{HERE}'>{UNAVAILABLE}</iq>")
        await juliet.receives_nothing()


async def test_whether_a_resource_or_an_account_is_there_cannot_be_told_from_the_answer(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await arrive(world, SEVERAL)
    answers = set()
    for to in (HERE, GONE, "nobody@localhost/balcony"):
        answer = await romeo.request("get", PING, to)
        del answer.attrs["id"], answer.attrs["from"]
        answers.add(answer.to_bytes())
    assert len(answers) == 1


@pytest.mark.parametrize(
    "iq",
    [
        f"<iq id='q' to='{HERE}'>{PING}</iq>",
        f"<iq type='ask' id='q' to='{HERE}'>{PING}</iq>",
        f"<iq type='get' to='{HERE}'>{PING}</iq>",
        "<iq type='get' id='q'/>",
        f"<iq type='set' id='q'>{PING}{PING}</iq>",
        "<iq type='get' id='q' to='localhost'/>",
    ],
)
async def test_an_iq_that_breaks_the_rules_is_answered_with_bad_request(world: World, iq: str) -> None:
    """RFC 6120 §8.2.3."""
    await world.subscribe("romeo@localhost", BARE)
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await arrive(world, {"balcony": 1})
    romeo.inbox.clear()
    romeo.send(iq)
    await romeo.receives(f"<iq type='error'><error type='modify'><bad-request xmlns='{STANZAS}'/></error></iq>")
    await juliet["balcony"].receives_nothing()


# -- RFC 6120 §10.3: no `to`


@pytest.mark.parametrize("type", ["chat", "normal", "headline"])
async def test_a_message_without_an_address_is_for_the_own_account(world: World, type: str) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    street = await world.login("romeo@localhost/street")
    low = await world.login("romeo@localhost/tomb", "<presence><priority>-1</priority></presence>")
    for client in (romeo, street):
        client.inbox.clear()
    romeo.send(f"<message type='{type}' id='m'><body>note</body></message>")
    for client in (romeo, street):
        await client.receives(
            f"<message type='{type}' id='m' from='{romeo.jid}' to='romeo@localhost'><body>note</body></message>"
        )
        await client.receives_nothing()
    await low.receives_nothing()


async def test_a_request_without_an_address_is_for_the_own_account(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    assert (await romeo.request("get", "<query xmlns='jabber:iq:roster'/>")).get("type") == "result"
    assert (await romeo.request("get", PING)).get("type") == "result"
    answer = await romeo.request("get", UNKNOWN)
    assert answer.get("type") == "error"
    assert answer.get("from") in ("", "romeo@localhost")
    romeo.send("<iq type='result' id='r'/>")
    await romeo.receives_nothing()


# -- §8.1.2: the sender


@pytest.mark.parametrize("stanza", ["message", "presence", "iq"])
@pytest.mark.parametrize("sender", ["juliet@localhost", "romeo@localhost/street", "localhost", "romeo@capulet.example"])
async def test_a_forged_sender_ends_the_stream_and_the_stanza_goes_nowhere(
    world: World, stanza: str, sender: str
) -> None:
    juliet = (await arrive(world, {"balcony": 1}))["balcony"]
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<{stanza} from='{sender}' to='{HERE}' type='get' id='f'><body>x</body></{stanza}>")
    await world.settle()
    assert romeo.error == "invalid-from"
    await juliet.receives_nothing()


@pytest.mark.parametrize("sender", ["romeo@localhost", "Romeo@LOCALHOST/orchard"])
async def test_the_senders_own_address_is_made_whole(world: World, sender: str) -> None:
    juliet = (await arrive(world, {"balcony": 1}))["balcony"]
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<message from='{sender}' to='{HERE}'><body>x</body></message>")
    await juliet.receives("<message from='romeo@localhost/orchard'><body>x</body></message>")
