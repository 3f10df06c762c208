"""Components in the process, shown with one that does next to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from xmpp_server.port import Component, ComponentOptions, Delivery, Port
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import Unavailable

from . import world as worlds
from .conftest import HOSTS, MakeWorld
from .world import World

BODY = Element("jabber:client", "body", children=["Hi"])


class EchoOptions(ComponentOptions):
    subdomain: str = "echo"
    loud: bool = False


class Echo(Component):
    """Sends everything back, and keeps what it is told to keep."""

    name = "echo"
    title = "Echo"
    Options = EchoOptions

    def __init__(self, port: Port, database: Database, options: EchoOptions) -> None:
        self.port = port
        self.database = database
        self.events: list[str] = []
        self.received: list[Stanza] = []
        self.deliveries: list[Delivery | None] = []
        self.pending: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self.events.append("start")
        self.port.receive(self.handle)

    async def announce_stop(self) -> None:
        self.events.append("announce_stop")

    async def stop(self) -> None:
        self.events.append("stop")

    async def handle(self, stanza: Stanza) -> asyncio.Future[Any] | None:
        self.received.append(stanza)
        if stanza.type == "error":
            return None
        assert stanza.to is not None
        if stanza.to.localpart == "refuse":
            raise StanzaError("not-allowed", "No.")
        if stanza.to.localpart == "break":
            raise RuntimeError
        self.deliveries.append(await self.port.send(stanza.stamped(sender=stanza.to, to=stanza.sender)))
        return self.pending


@pytest_asyncio.fixture
async def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(worlds.COMPONENTS, "echo", Echo)
    return await make_world(HOSTS)


def echo(world: World, domain: str = "echo.localhost") -> Echo:
    component = world.core.components.running[domain]
    assert isinstance(component, Echo)
    return component


async def test_what_is_sent_to_its_domain_and_to_any_address_at_it_reaches_the_component(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    for address in ("echo.localhost", "cave@echo.localhost", "cave@echo.localhost/deep"):
        romeo.send(f"<message to='{address}' id='1'><body>Hi</body></message>")
        await romeo.receives(f"<message from='{address}' to='{romeo.jid}' id='1'><body>Hi</body></message>")
    romeo.send("<presence to='echo.localhost'/>")
    await romeo.receives("<presence from='echo.localhost'/>")
    romeo.send("<iq type='get' id='2' to='echo.localhost'><query xmlns='jabber:iq:version'/></iq>")
    await romeo.receives("<iq type='get' id='2' from='echo.localhost'><query xmlns='jabber:iq:version'/></iq>")


async def test_its_sender_is_stamped_before_it_comes_to_the_component(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<message to='echo.localhost' from='romeo@localhost'><body>Hi</body></message>")
    await world.settle()
    assert str(echo(world).received[-1].sender) == romeo.jid


async def test_a_component_may_not_send_in_the_name_of_others(world: World) -> None:
    port = echo(world).port
    for sender in ("romeo@localhost", "echo.capulet.example", "localhost"):
        stanza = Stanza.build("message", sender=JID.parse(sender), to=JID.parse("juliet@localhost"))
        with pytest.raises(ValueError, match="is not from"):
            await port.send(stanza)
    with pytest.raises(ValueError, match="to somebody"):
        await port.send(Stanza.build("message"))


async def test_what_it_sends_without_a_sender_is_from_its_domain(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    await echo(world).port.send(Stanza.build("message", to=JID.parse(romeo.jid), type="headline"))
    await romeo.receives("<message from='echo.localhost' type='headline'/>")


async def test_what_it_refuses_and_what_it_fails_at_is_answered_with_an_error(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<message to='refuse@echo.localhost' id='1'><body>Hi</body></message>")
    await romeo.receives(
        "<message type='error' from='refuse@echo.localhost' id='1'><error type='cancel'>"
        "<not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    romeo.send("<iq type='get' to='break@echo.localhost' id='2'><query xmlns='x:y'/></iq>")
    await romeo.receives(
        "<iq type='error' from='break@echo.localhost' id='2'><error type='cancel'>"
        "<internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )


async def test_an_error_that_answers_the_component_comes_to_it_after_it_has_sent(world: World) -> None:
    component = echo(world)
    message = Stanza.build("message", to=JID.parse("nobody@localhost"), type="groupchat", id="7")
    await component.port.send(message)
    assert component.received == []
    await world.settle()
    (error,) = component.received
    assert (error.type, error.id, str(error.to)) == ("error", "7", "echo.localhost")


async def test_what_it_did_counts_as_handled_only_when_it_is_safe(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    component = echo(world)
    component.pending = asyncio.get_running_loop().create_future()
    stanza = Stanza.build("message", to=JID.parse("echo.localhost"), id="1")
    effect = await romeo.session.receive(stanza)
    assert effect is not None
    assert not effect.done
    assert romeo.session.budget.used > 0
    component.pending.set_result(None)
    await asyncio.sleep(0)  # futures call back in the next turn
    assert effect.done
    assert romeo.session.budget.used == 0


@pytest.mark.parametrize(
    ("failure", "condition"),
    [
        (Unavailable("away"), "resource-constraint"),
        (StanzaError("policy-violation"), "policy-violation"),
        (RuntimeError(), "internal-server-error"),
    ],
)
async def test_the_sender_is_told_when_it_could_not_be_made_safe(
    world: World, failure: Exception, condition: str
) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    component = echo(world)
    component.pending = asyncio.get_running_loop().create_future()
    effect = await romeo.session.receive(Stanza.build("message", to=JID.parse("echo.localhost"), id="1"))
    assert effect is not None
    romeo.forget("message")
    component.pending.set_exception(failure)
    await asyncio.sleep(0)
    await world.settle()
    assert effect.done
    await romeo.receives(
        "<message type='error' id='1'><error>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )


async def test_it_learns_whether_a_message_was_acknowledged(world: World) -> None:
    juliet = await world.login("juliet@localhost/balcony")
    juliet.stalled = True
    delivery = await echo(world).port.send(
        Stanza.build("message", sender=JID.parse("room@echo.localhost"), to=JID.parse(juliet.jid), type="groupchat")
    )
    assert delivery is not None
    seen: list[bool] = []
    delivery.when_standing(lambda: seen.append(delivery.seen))
    assert seen == []
    juliet.go_on()
    assert seen == [True]


async def test_a_message_for_somebody_who_is_away_is_kept_for_the_component(world: World) -> None:
    await world.account("juliet@localhost")
    delivery = await echo(world).port.send(Stanza.build("message", BODY, to=JID.parse("juliet@localhost")))
    assert delivery is not None
    kept: list[bool] = []
    delivery.when_standing(lambda: kept.append(delivery.seen))
    await world.settle()
    assert kept == [False]
    juliet = await world.login("juliet@localhost/balcony")
    await juliet.receives("<message from='echo.localhost'><body>Hi</body></message>")


async def test_a_host_lists_its_own_components(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    answer = await romeo.request("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost")
    listed = {(item.get("jid"), item.get("name")) for item in next(iter(answer))}
    assert ("echo.localhost", "Echo") in listed
    assert "echo.capulet.example" not in {jid for jid, _ in listed}


async def test_ids_that_claim_to_be_a_components_are_cut_out_unless_they_are_its_own(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    stanza_id = "<stanza-id xmlns='urn:xmpp:sid:0' by='echo.localhost' id='1'/>"
    romeo.send(f"<message to='romeo@localhost' type='headline'><x xmlns='x:y'/>{stanza_id}</message>")
    message = await romeo.receives("<message><x xmlns='x:y'/></message>")
    assert message.child("urn:xmpp:sid:0", "stanza-id") is None


async def test_components_are_started_and_stopped_with_the_server_and_on_reload(world: World) -> None:
    first = echo(world)
    world.reconfigure(HOSTS + "[components.echo]\nloud = true")
    assert echo(world) is first
    assert first.options.loud
    world.reconfigure(HOSTS + "[components.echo]\nsubdomain = 'cave'")
    await world.settle()
    assert first.events == ["start", "stop"]
    second = echo(world, "cave.localhost")
    assert second.events == ["start"]
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send("<message to='echo.localhost' id='1'><body>Hi</body></message>")
    await romeo.receives("<message type='error' id='1'><error type='cancel'/></message>")
    await world.core.components.announce_stop()
    await world.core.stop()
    assert second.events == ["start", "announce_stop", "stop"]
