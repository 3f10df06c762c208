"""Components outside, at the level of bytes (XEP-0114): who may connect, what they may send, and what becomes of what
is sent to them."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient
from tests.server.raw_component import DOMAIN, OUTSIDE, SECRET, RawComponent
from tests.server.running import RunningServer
from tests.waiting import until

ITEMS = "<iq type='get' id='items' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
MESSAGE = f"<message type='chat' id='1' to='macbeth@{DOMAIN}'><body>Hail!</body></message>"


@pytest_asyncio.fixture
async def server(make_server: MakeServer) -> RunningServer:
    """A server with a place for a component."""
    server = await make_server(OUTSIDE)
    await server.account("romeo")
    return server


async def test_a_component_speaks_for_all_addresses_of_its_domain(server: RunningServer) -> None:
    component = await RawComponent.establish(server)
    romeo = await RawClient.login(server, "romeo")
    await romeo.send(f"<presence/>{MESSAGE}")
    message = await component.read_until("message")
    assert (message.get("from"), message.get("to")) == (str(romeo.jid), f"macbeth@{DOMAIN}")
    assert message.ns == "jabber:component:accept"
    await component.send(f"<message from='macbeth@{DOMAIN}/x' to='{romeo.jid}' type='chat'><body>Who?</body></message>")
    answer = await romeo.read_until("message")
    assert answer.get("from") == f"macbeth@{DOMAIN}/x"
    assert answer.child_text("jabber:client", "body") == "Who?"
    items = await romeo.ask(ITEMS, "items")
    assert [item.get("name") for item in next(iter(items)) if item.get("jid") == DOMAIN] == ["Plays"]


@pytest.mark.parametrize("secret", ["", "wrong"])
async def test_who_does_not_know_the_secret_is_not_authorized(server: RunningServer, secret: str) -> None:
    component = await RawComponent.at(server)
    assert next(iter(await component.prove(secret))).name == "not-authorized"


@pytest.mark.parametrize("domain", ["localhost", "conference.localhost", "other.example", "", "@"])
async def test_only_domains_that_have_a_place_are_known(server: RunningServer, domain: str) -> None:
    component = await RawComponent.at(server, domain)
    assert (await component.ended())[1] == "host-unknown"


async def test_a_domain_has_one_component_at_a_time(server: RunningServer) -> None:
    first = await RawComponent.establish(server)
    second = await RawComponent.at(server)
    assert next(iter(await second.prove(SECRET))).name == "conflict"
    await first.leave()
    await RawComponent.establish(server)


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<message from='romeo@localhost' to='romeo@localhost'/>", "invalid-from"),
        ("<message from='conference.localhost' to='romeo@localhost'/>", "invalid-from"),
        ("<message from='@' to='romeo@localhost'/>", "invalid-from"),
        ("<message to='romeo@localhost'/>", "improper-addressing"),
        (f"<message from='{DOMAIN}'/>", "improper-addressing"),
        ("<log/>", "unsupported-stanza-type"),
    ],
)
async def test_a_component_does_not_speak_for_others(server: RunningServer, stanza: str, condition: str) -> None:
    component = await RawComponent.establish(server)
    await component.send(stanza)
    assert (await component.ended())[1] == condition


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (f"<message id='1' from='{DOMAIN}' to='@'/>", "jid-malformed"),
        (f"<iq id='1' type='other' from='{DOMAIN}' to='localhost'/>", "bad-request"),
        (f"<message id='1' from='{DOMAIN}' to='nowhere.example'/>", "remote-server-not-found"),
        (
            f"<iq id='1' type='get' from='{DOMAIN}' to='romeo@localhost/x'><x xmlns='urn:x'/></iq>",
            "service-unavailable",
        ),
    ],
)
async def test_what_cannot_be_delivered_comes_back_and_the_stream_goes_on(
    server: RunningServer, stanza: str, condition: str
) -> None:
    component = await RawComponent.establish(server)
    await component.send(stanza)
    answer = await component.read()
    assert (answer.get("type"), answer.get("id")) == ("error", "1")
    assert next(iter(answer)).child("urn:ietf:params:xml:ns:xmpp-stanzas", condition) is not None


async def test_who_writes_to_a_component_that_is_away_is_told(server: RunningServer) -> None:
    romeo = await RawClient.login(server, "romeo")
    for _ in range(2):
        await romeo.send(MESSAGE)
        error = next(iter(await romeo.read_until("message", type="error")))
        assert error.get("type") == "wait"
        assert next(iter(error)).name == "remote-server-timeout"
        component = await RawComponent.establish(server)
        component.abort()
        await until(lambda: server.app.core.router.components[DOMAIN].link is None)


async def test_a_component_that_does_not_read_takes_a_bounded_outbox_and_what_it_did_not_get_comes_back(
    server: RunningServer,
) -> None:
    await server.reload(OUTSIDE + "[limits]\noutbox_bytes = 262144\nbytes_per_second = 0\n")
    component = await RawComponent.establish(server)
    component.writer.transport.pause_reading()
    romeo = await RawClient.login(server, "romeo")
    large = MESSAGE.replace("Hail!", "x" * 100_000)
    for _ in range(200):
        await romeo.send(large)
        if server.app.core.router.components[DOMAIN].link is None:
            break
    await until(lambda: server.app.core.router.components[DOMAIN].link is None)
    error = next(iter(await romeo.read_until("message", type="error")))
    assert next(iter(error)).name == "remote-server-timeout"


async def test_a_component_says_nothing_for_long_before_its_handshake(make_server: MakeServer) -> None:
    server = await make_server(OUTSIDE + "[limits]\nlogin_seconds = 1\n")
    component = await RawComponent.at(server)
    assert (await component.ended())[1] == "connection-timeout"


async def test_guesses_at_the_secret_get_slow(server: RunningServer) -> None:
    for _ in range(4):
        component = await RawComponent.at(server)
        await component.prove("wrong")
    guesses = server.app._outsiders.guesses
    assert guesses.delay("127.0.0.1") > 1


async def test_a_reload_takes_places_away_and_changes_secrets(server: RunningServer) -> None:
    component = await RawComponent.establish(server)
    await server.reload(OUTSIDE)
    await component.send(f"<iq type='get' id='1' from='{DOMAIN}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (await component.read()).get("type") == "result", "nothing changed for it"
    await server.reload(OUTSIDE.replace(SECRET, "another long secret"))
    assert (await component.ended())[1] == "reset"
    component = await RawComponent.at(server)
    assert (await component.prove("another long secret")).name == "handshake"
    await server.reload()
    assert (await component.ended())[1] == "host-gone"
    assert (await (await RawComponent.at(server)).ended())[1] == "host-unknown"


async def test_a_component_is_told_that_the_server_stops(server: RunningServer) -> None:
    component = await RawComponent.establish(server)
    await server.stop()
    assert (await component.ended())[1] == "system-shutdown"
