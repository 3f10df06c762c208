"""Accounts made in-band by a real client, over STARTTLS, and what a client without TLS gets."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import slixmpp

from xmpp_server.protocol.jid import JID

from .conftest import MakeServer
from .running import RunningServer

OPEN = "[modules.register]\nopen = true\n"
HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"
)
GET = b"<iq type='get' id='reg1' to='localhost'><query xmlns='jabber:iq:register'/></iq>"
SET = (
    b"<iq type='set' id='reg2' to='localhost'><query xmlns='jabber:iq:register'>"
    b"<username>%s</username><password>%s</password></query></iq>"
)


class Stream:
    """A client's stream before authentication."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, server: RunningServer) -> Stream:
        stream = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        stream.writer.write(HEADER)
        return stream

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def start_tls(self, server: RunningServer) -> bytes:
        """The features after TLS."""
        self.writer.write(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.until(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        context = ssl.create_default_context(cafile=str(server.certificate))
        await self.writer.start_tls(context, server_hostname="localhost")
        self.writer.write(HEADER)
        return await self.until(b"</stream:features>")


async def log_in(server: RunningServer, address: str, password: str) -> Any:
    client: Any = slixmpp.ClientXMPP(address, password)
    client.register_plugin("xep_0077")
    client.ca_certs = server.certificate
    started, failed = asyncio.Event(), asyncio.Event()
    client.add_event_handler("session_start", lambda _: started.set())
    client.add_event_handler("failed_all_auth", lambda _: failed.set())
    client.connect("127.0.0.1", server.port)
    async with asyncio.timeout(20):
        waits = [asyncio.ensure_future(event.wait()) for event in (started, failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    return None if failed.is_set() else client


async def test_an_account_is_made_used_changed_and_removed(make_server: MakeServer) -> None:
    server = await make_server(OPEN)
    stream = await Stream.open(server)
    assert b"iq-register" not in await stream.until(b"</stream:features>"), "before TLS nothing else is offered"
    assert b"<register xmlns='http://jabber.org/features/iq-register'/>" in await stream.start_tls(server)
    stream.writer.write(GET)
    assert b"<username/><password/>" in await stream.until(b"</iq>")
    stream.writer.write(SET % (b"Bill", b"Calliope"))
    assert await stream.until(b">") == b"<iq type='result' id='reg2' from='localhost'/>"
    stream.writer.write(SET % (b"bill", b"other"))
    assert b"<conflict" in await stream.until(b"</iq>")
    stream.writer.close()

    bill = await log_in(server, "bill@localhost/globe", "Calliope")
    home = await log_in(server, "bill@localhost/home", "Calliope")
    errors: list[str] = []
    home.add_event_handler("stream_error", lambda error: errors.append(error["condition"]))
    gone = asyncio.Event()
    home.add_event_handler("disconnected", lambda _: gone.set())
    await bill.plugin["xep_0077"].change_password("groundlings")
    async with asyncio.timeout(20):
        await gone.wait()
    assert errors == ["reset"]
    assert await log_in(server, "bill@localhost/home", "Calliope") is None
    ended = asyncio.Event()
    bill.add_event_handler("stream_error", lambda error: errors.append(error["condition"]))
    bill.add_event_handler("disconnected", lambda _: ended.set())
    answer = await bill.plugin["xep_0077"].cancel_registration()
    assert answer["type"] == "result"
    async with asyncio.timeout(20):
        await ended.wait()
    assert errors == ["reset", "not-authorized"]
    assert not await server.store.accounts.exists(JID.parse("bill@localhost"))


async def test_where_tls_is_required_no_password_is_asked_for_without_it(make_server: MakeServer) -> None:
    server = await make_server(OPEN)
    for request in (GET, SET % (b"bill", b"Calliope")):
        stream = await Stream.open(server)
        await stream.until(b"</stream:features>")
        stream.writer.write(request)
        rest = await stream.rest()
        assert b"<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in rest
        assert b"jabber:iq:register" not in rest
    assert await server.store.accounts.list("localhost") == []


async def test_where_it_is_closed_nothing_is_offered_and_requests_are_refused(make_server: MakeServer) -> None:
    server = await make_server("[modules.invitations]\nenabled = false")
    stream = await Stream.open(server)
    await stream.until(b"</stream:features>")
    assert b"iq-register" not in await stream.start_tls(server)
    for request in (GET, SET % (b"bill", b"Calliope")):
        stream.writer.write(request)
        assert b"<service-unavailable" in await stream.until(b"</iq>")
    stream.writer.close()


async def test_what_else_is_sent_before_logging_in_ends_the_stream(make_server: MakeServer) -> None:
    server = await make_server(OPEN)
    for stanza in (b"<message to='localhost'><body>x</body></message>", b"<presence/>", b"<iq type='result' id='1'/>"):
        stream = await Stream.open(server)
        await stream.until(b"</stream:features>")
        await stream.start_tls(server)
        stream.writer.write(stanza)
        assert b"<not-authorized" in await stream.rest()
