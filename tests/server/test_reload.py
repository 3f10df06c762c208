"""Other options while the server runs: they count, and nobody is disturbed."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient, stanza_error
from tests.server.running import RunningServer
from xmpp_server.protocol import ns

PING = "<iq type='get' id='p' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>"
HOSTS = '[hosts."localhost"]\n[hosts."b.example"]\n'


async def test_limits_count_for_new_connections(server: RunningServer) -> None:
    await server.account("romeo")
    pair = await bystanders(server)
    old = await RawClient.login(server, "romeo")
    big = "<message to='{}' id='big'><body>" + "a" * 30_000 + "</body></message>"
    async with pair.undisturbed():
        await server.reload("[limits]\nstanza_bytes = 20000\nconnections_per_address = 5\nsessions_per_account = 2")
        new = await RawClient.login(server, "romeo")
        assert new.features.child("urn:xmpp:stream-limits:0", "limits") is not None
        await new.send(big.format(old.jid))
        assert await new.ended() == ([], "policy-violation")
        new.abort()
        await old.send(big.format(old.jid))
        assert (await old.read()).get("id") == "big"
        await server.reload("[limits]\nconnections_per_address = 3")
        await (await RawClient.connect(server)).gone()
        await server.reload()
        await (await RawClient.login(server, "romeo")).leave()
    await old.leave()


async def test_modules_come_and_go_and_have_other_options(server: RunningServer) -> None:
    pair = await bystanders(server)
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    register = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>"
    async with pair.undisturbed():
        assert (await romeo.ask(PING.format("localhost"), "p")).get("type") == "result"
        stranger = await RawClient.open(server)
        assert stanza_error(await stranger.ask(register, "r")) != ""
        stranger.abort()
        await server.reload("[modules.ping]\nenabled = false\n[modules.register]\nopen = true")
        assert stanza_error(await romeo.ask(PING.format("localhost"), "p")) == "service-unavailable"
        stranger = await RawClient.open(server)
        assert stranger.features.child("http://jabber.org/features/iq-register", "register") is not None
        assert (await stranger.ask(register, "r")).get("type") == "result"
        stranger.abort()
        await server.reload()
        assert (await romeo.ask(PING.format("localhost"), "p")).get("type") == "result"
    await romeo.leave()


async def test_a_host_is_added_and_removed(make_server: MakeServer) -> None:
    server = await make_server('[hosts."localhost"]')
    await server.account("romeo")
    pair = await bystanders(server)
    romeo = await RawClient.login(server, "romeo", resource="orchard")
    async with pair.undisturbed():
        stranger = await RawClient.connect(server, "b.example")
        await stranger.send("<stream:stream to='b.example' xmlns='jabber:client' ")
        await stranger.send("xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>")
        assert await stranger.ended() == ([], "host-unknown")
        await server.reload(HOSTS)
        await server.account("juliet@b.example")
        juliet = await RawClient.login(server, "juliet", domain="b.example", resource="balcony")
        waiting = await RawClient.open(server, "b.example")
        assert (await waiting.authenticate("juliet")).name == "success"
        await waiting.open_stream()
        await romeo.send("<message to='juliet@b.example/balcony' id='1'/>")
        assert (await juliet.read()).get("from") == "romeo@localhost/orchard"
        await server.reload('[hosts."localhost"]')
        assert await juliet.ended() == ([], "host-gone")  # RFC 6120 §4.9.3.5
        await waiting.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
        assert await waiting.ended() == ([], "host-gone")
        await romeo.send("<message to='juliet@b.example/balcony' id='2'/>")
        assert stanza_error(await romeo.read()) == "remote-server-not-found"
    await romeo.leave()


async def test_the_log_level_changes(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    async def fail() -> str:
        client = await RawClient.open(server)
        await client.authenticate("nobody", "a secret")
        client.abort()
        return capsys.readouterr().err

    assert await fail() == ""
    await server.reload(level="info")
    capsys.readouterr()
    said = await fail()
    assert "authentication_failed" in said
    assert "a secret" not in said
    await server.reload(level="error")
    capsys.readouterr()
    assert await fail() == ""


@pytest.mark.parametrize("wrong", ["[limits]\ndepth = 'deep'", "[nonsense]", "[[["])
async def test_a_configuration_with_a_mistake_changes_nothing(
    server: RunningServer, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = await bystanders(server)
    async with pair.undisturbed():
        await server.reload()  # which takes the log to where it is captured
        await server.reload(wrong)
    assert "reload_refused" in capsys.readouterr().err
    await pair.chat()


async def test_reloads_at_the_same_time_disturb_nobody(server: RunningServer) -> None:
    pair = await bystanders(server)
    async with pair.undisturbed():
        await asyncio.gather(*(server.app.reload() for _ in range(10)))
    await pair.chat()
