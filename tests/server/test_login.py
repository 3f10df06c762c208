"""Authentication over sockets (RFC 6120 §6): what is wrong fails, and what was tampered with on the way too."""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import HEADER, RawClient
from tests.server.running import ADDRESS, PASSWORD, RunningServer
from tests.unit.sasl_client import ScramClient
from xmpp_server.net.certificates import generate
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

PLUS = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"]
BINDINGS = ["tls-exporter", "tls-server-end-point"]


def failure(answer: Element) -> str:
    """The condition of a `<failure/>` (RFC 6120 §6.5)."""
    assert (answer.ns, answer.name) == (ns.SASL, "failure"), answer
    return next(iter(answer)).name


# -- mechanisms


async def test_every_mechanism_that_is_offered_logs_in(server: RunningServer) -> None:
    await server.account("romeo")
    stranger = await RawClient.open(server)
    assert stranger.mechanisms == [
        *("SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"),
        *("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"),
    ]
    for mechanism in stranger.mechanisms:
        for binding in BINDINGS if mechanism in PLUS else [""]:
            for direct in (False, True):
                client = await RawClient.open(server, tls="direct" if direct else "starttls")
                answer = await client.authenticate("romeo", mechanism=mechanism, binding=binding)
                assert answer.name == "success", (mechanism, binding, answer)
                await client.open_stream()
                assert client.mechanisms == []
                await client.bind()
                client.abort()


# -- what is wrong


async def test_what_is_wrong_in_an_exchange_fails_and_another_may_follow(make_server: MakeServer) -> None:
    server = await make_server("[sasl]\nattempts = 100")
    await server.account("romeo")
    await server.account("juliet")
    pair = await bystanders(server)
    async with pair.undisturbed():
        romeo = await RawClient.open(server)

        async def auth(data: bytes, mechanism: str) -> str:
            return failure(await romeo.sasl("auth", data, mechanism))

        plain, scram = "PLAIN", "SCRAM-SHA-256"
        password = PASSWORD.encode()
        assert await auth(b"juliet@localhost\0romeo\0" + password, plain) == "invalid-authzid"
        assert await auth(b"romeo@example.com\0romeo\0" + password, plain) == "invalid-authzid"
        assert await auth(b"romeo\0" + password, plain) == "malformed-request"
        assert await auth(b"\0romeo\0", plain) == "malformed-request"
        assert await auth(b"\0\0" + password, plain) == "malformed-request"
        assert await auth(b"\0romeo\0\xff", plain) == "malformed-request"
        assert await auth(b"n,a=juliet@localhost,n=romeo,r=abc", scram) == "invalid-authzid"
        assert await auth(b"n,,n=romeo", scram) == "malformed-request"
        assert await auth(b"n,,m=x,n=romeo,r=abc", scram) == "malformed-request"
        assert await auth(b"p=tls-exporter,,n=romeo,r=abc", scram) == "malformed-request"
        assert await auth(b"p=tls-unique,,n=romeo,r=abc", f"{scram}-PLUS") == "not-authorized"
        assert await auth(b"n,,n=romeo,r=abc", f"{scram}-PLUS") == "malformed-request"
        assert await auth(b"", "DIGEST-MD5") == "invalid-mechanism"
        assert await auth(b"", "EXTERNAL") == "invalid-mechanism"
        await romeo.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>no base64!</auth>")
        assert failure(await romeo.read()) == "incorrect-encoding"
        for wrong in ("wrong", PASSWORD + "x"):
            assert failure(await romeo.authenticate("romeo", wrong)) == "not-authorized"
        assert (await romeo.authenticate("romeo")).name == "success"


async def test_an_aborted_exchange_is_over(server: RunningServer) -> None:
    await server.account("romeo")
    romeo = await RawClient.open(server)
    scram = ScramClient("sha256", "romeo", PASSWORD)
    challenge = await romeo.sasl("auth", scram.first(), "SCRAM-SHA-256")
    assert failure(await romeo.sasl("abort", b"")) == "aborted"
    await romeo.send(f"<response xmlns='{ns.SASL}'/>")  # of which exchange?
    assert await romeo.ended() == ([], "unsupported-stanza-type")
    again = await RawClient.open(server)
    assert (await again.sasl("auth", scram.first(), "SCRAM-SHA-256")).name == "challenge"
    answer = await again.sasl("response", scram.final(b64decode(challenge.text)))
    assert failure(answer) == "not-authorized"


async def test_messages_of_scram_that_were_seen_are_worth_nothing_again(server: RunningServer) -> None:
    await server.account("romeo")
    romeo = await RawClient.open(server)
    scram = ScramClient("sha256", "romeo", PASSWORD)
    first = scram.first()
    final = scram.final(b64decode((await romeo.sasl("auth", first, "SCRAM-SHA-256")).text))
    assert (await romeo.sasl("response", final)).name == "success"
    replay = await RawClient.open(server)
    assert (await replay.sasl("auth", first, "SCRAM-SHA-256")).name == "challenge"
    assert failure(await replay.sasl("response", final)) == "not-authorized"
    assert (await replay.sasl("auth", first, "SCRAM-SHA-256")).name == "challenge"
    assert failure(await replay.sasl("response", first)) == "malformed-request"


async def test_a_stream_ends_after_too_many_failures(server: RunningServer) -> None:
    stranger = await RawClient.open(server)
    for _ in range(5):
        await stranger.send(f"<auth xmlns='{ns.SASL}' mechanism='NONE'/>")
    failures, error = await stranger.ended()
    assert [failure(each) for each in failures] == ["invalid-mechanism"] * 5
    assert error == "policy-violation"  # RFC 6120 §6.4.5


@pytest.mark.parametrize("what", ["<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "<message/>", "<iq/>"])
async def test_what_is_out_of_turn_in_an_exchange_ends_the_stream(server: RunningServer, what: str) -> None:
    stranger = await RawClient.open(server)
    if what[1] != "r":
        assert (await stranger.sasl("auth", b"n,,n=romeo,r=abc", "SCRAM-SHA-1")).name == "challenge"
    await stranger.send(what)
    assert (await stranger.ended())[1] in ("not-authorized", "unsupported-stanza-type")


async def test_a_stream_stays_at_the_host_of_its_account(make_server: MakeServer) -> None:
    server = await make_server('[hosts."localhost"]\n[hosts."b.example"]\n')
    await server.account("romeo@b.example")
    headers = {"localhost": "not-authorized", "c.example": "not-authorized", "@": "not-authorized"}
    for to, expected in headers.items():
        client = await RawClient.open(server, "b.example")
        assert (await client.authenticate("romeo")).name == "success"
        client.domain = to
        await client.send(HEADER.format(to=to))
        assert await client.ended() == ([], expected)
    for to in ("b.example", "B.Example", None):
        client = await RawClient.open(server, "b.example")
        assert (await client.authenticate("romeo")).name == "success"
        header = HEADER.format(to=to)
        await client.send(header if to else header.replace(" to='None'", ""))
        await client.read()
        assert client.header["from"] == "b.example"
        assert (await client.bind("orchard")).domain == "b.example"
        client.abort()
    client = await RawClient.open(server, "localhost")  # whose account is another
    assert failure(await client.authenticate("romeo")) == "not-authorized"


# -- channel binding


class Relay:
    """Somebody between client and server who has a certificate of his own, decrypts, reads and encrypts again."""

    def __init__(self, server: RunningServer, certificate: Path, key: Path) -> None:
        self.port = 0
        self.seen = bytearray()
        self._server = server
        self._towards_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._towards_client.load_cert_chain(certificate, key)
        self._towards_server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._towards_server.check_hostname, self._towards_server.verify_mode = False, ssl.CERT_NONE
        self.strip = b""
        """What is cut from what the server says, a regular expression."""

    async def listen(self) -> asyncio.Server:
        listener = await asyncio.start_server(self._serve, ADDRESS, 0, ssl=self._towards_client)
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(
            ADDRESS, self._server.direct_tls_port, ssl=self._towards_server, server_hostname="localhost"
        )
        await asyncio.gather(self._pass_on(reader, there[1]), self._pass_on(there[0], writer, self.strip))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, strip: bytes = b"") -> None:
        try:
            while data := await reader.read(65536):
                self.seen += data
                writer.write(re.sub(strip, b"", data) if strip else data)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture
async def relay(server: RunningServer, tmp_path: Path) -> AsyncIterator[Relay]:
    files = generate("localhost", tmp_path / "relay").files
    relay = Relay(server, files.chain, files.key)
    listener = await relay.listen()
    yield relay
    listener.close()


async def test_a_relay_that_encrypts_anew_is_noticed_by_channel_binding_alone(
    server: RunningServer, relay: Relay
) -> None:
    await server.account("romeo")
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        client = await RawClient.login(server, "romeo", mechanism=mechanism, tls="direct", port=relay.port)
        await client.send(f"<message to='{client.jid}' id='secret'/>")
        assert (await client.read()).get("id") == "secret"
        client.abort()
    assert b"id='secret'" in relay.seen
    for mechanism in PLUS:
        for binding in BINDINGS:
            client = await RawClient.open(server, tls="direct", port=relay.port)
            answer = await client.authenticate("romeo", mechanism=mechanism, binding=binding)
            assert failure(answer) == "not-authorized", (mechanism, binding)
            client.abort()


async def test_who_could_bind_but_was_offered_no_binding_is_told_that_it_was_cut(
    server: RunningServer, relay: Relay
) -> None:
    await server.account("romeo")
    relay.strip = rb"<mechanism>[A-Z0-9-]*-PLUS</mechanism>"
    client = await RawClient.open(server, tls="direct", port=relay.port)
    assert client.mechanisms == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
    assert failure(await client.authenticate("romeo", gs2="y,,")) == "not-authorized"  # RFC 5802 §6
    assert (await client.authenticate("romeo", gs2="n,,")).name == "success"


# -- guessing


async def timed(client: RawClient, name: str, password: str = "wrong") -> tuple[str, float]:
    """The outcome of an attempt and its seconds."""
    clock = asyncio.get_running_loop().time
    started = clock()
    answer = await client.authenticate(name, password, mechanism="PLAIN")
    return answer.name, clock() - started


async def test_guesses_become_slow_for_an_account_wherever_they_come_from(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nlogin_seconds = 9")
    for name in ("romeo", "juliet"):
        await server.account(name)
    for name in ("romeo", "nobody"):  # who exists is not told
        times = []
        for number in range(5):
            client = await RawClient.open(server, source=f"127.0.{len(name)}.{number + 1}")
            outcome, seconds = await timed(client, name)
            assert outcome == "failure"
            times.append(seconds)
        assert max(times[:3]) < 0.9
        assert times[3] > 0.9
        assert times[4] > 1.9
    other = await RawClient.open(server)
    assert (await timed(other, "juliet", PASSWORD))[1] < 0.9


async def test_guesses_become_slow_for_an_address_whoever_they_are_about(make_server: MakeServer) -> None:
    server = await make_server()
    await server.account("romeo")
    pair = await bystanders(server)
    async with pair.undisturbed():
        client = await RawClient.open(server)
        times = [(await timed(client, f"name{number}"))[1] for number in range(4)]
        assert max(times[:3]) < 0.9
        assert times[3] > 0.9
        elsewhere = await RawClient.open(server, source="127.0.0.2")
        assert (await timed(elsewhere, "romeo", PASSWORD))[1] < 0.9


async def test_many_connections_at_once_guess_no_faster_than_one(make_server: MakeServer) -> None:
    server = await make_server("[limits]\nlogin_seconds = 9")
    pair = await bystanders(server)
    clients = [await RawClient.open(server) for _ in range(12)]
    async with pair.undisturbed():
        guesses = [timed(client, f"name{number}") for number, client in enumerate(clients)]
        times = sorted([seconds for _, seconds in await asyncio.gather(*guesses)])
    assert times[3] > 0.9  # the first three are free, then each waits for those before it: 1 s, 3 s,
    assert times[4] > 2.5  # and three seconds, a third of the time to log in, is the longest wait here


async def test_an_unknown_name_looks_like_a_known_one_for_ever(make_server: MakeServer) -> None:
    server = await make_server()
    await server.account("romeo")

    async def challenge(name: str, mechanism: str) -> dict[str, str]:
        client = await RawClient.open(server)
        answer = await client.sasl("auth", f"n,,n={name},r=abc".encode(), mechanism)
        client.abort()
        return dict(part.split("=", 1) for part in b64decode(answer.text).decode().split(","))

    before = {}
    for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        known, unknown = await challenge("romeo", mechanism), await challenge("nobody", mechanism)
        assert list(known) == list(unknown) == ["r", "s", "i"]
        assert known["i"] == unknown["i"]
        assert len(known["s"]) == len(unknown["s"])
        assert len(known["r"]) == len(unknown["r"])
        assert (await challenge("nobody", mechanism))["s"] == unknown["s"]
        assert (await challenge("somebody", mechanism))["s"] != unknown["s"]
        before[mechanism] = unknown["s"]
    assert len(set(before.values())) == 3
    await server.stop()
    server = await make_server()
    for mechanism, salt in before.items():
        assert (await challenge("nobody", mechanism))["s"] == salt
    client = await RawClient.open(server)
    wrong = [
        await client.authenticate(name, "wrong", mechanism=mechanism)
        for mechanism in ("PLAIN", "SCRAM-SHA-256")
        for name in ("romeo", "nobody")
    ]
    assert len({answer.to_bytes() for answer in wrong}) == 1
