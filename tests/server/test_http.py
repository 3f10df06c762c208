"""The HTTP server, with routes of the test's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from xmpp_server.net.certificates import generate
from xmpp_server.storage.errors import Unavailable
from xmpp_server.util.http import Request, Route

from .conftest import MakeServer
from .running import ADDRESS, RunningServer


async def echo(request: Request) -> web.StreamResponse:
    await request.accept_body()
    answer = {
        "address": request.address,
        "secure": request.secure,
        "rest": request.rest,
        "body": (await request.read()).decode(),
    }
    return web.json_response(answer)


async def fail(request: Request) -> web.StreamResponse:
    raise RuntimeError("a bug")


async def lack(request: Request) -> web.StreamResponse:
    raise Unavailable("the database is away")


async def wait(request: Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    await asyncio.sleep(3600)
    return response


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as client:
        yield client


def url(server: RunningServer, path: str, scheme: str = "http") -> str:
    port = server.http_port if scheme == "http" else server.https_port
    for route in (
        Route("/echo/", {"GET": echo, "POST": echo}, below=True, cross_origin=("Content-Type",)),
        Route("/fail", {"GET": fail}),
        Route("/lack", {"GET": lack}),
        Route("/wait", {"GET": wait}),
    ):
        found = server.app.core.http.find("", route.path)
        if found is None or found[0].path != route.path:  # what stands there else is all that is below /
            server.app.core.http.add(route)
    return f"{scheme}://{ADDRESS}:{port}{path}"


def trusting(server: RunningServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.certificate))
    context.check_hostname = False
    return context


async def test_routes_answer_plain_and_with_tls(server: RunningServer, client: aiohttp.ClientSession) -> None:
    async with client.get(url(server, "/echo/a%2Fb?c")) as plain:
        assert await plain.json() == {"address": ADDRESS, "secure": False, "rest": "a%2Fb", "body": ""}
        assert (plain.headers["Server"], plain.headers["X-Content-Type-Options"]) == ("xmpp-server", "nosniff")
    async with client.post(url(server, "/echo/", "https"), data=b"Hi", ssl=trusting(server)) as secure:
        assert await secure.json() == {"address": ADDRESS, "secure": True, "rest": "", "body": "Hi"}


async def test_what_is_not_there_is_said(server: RunningServer, client: aiohttp.ClientSession) -> None:
    async with client.get(url(server, "/nothing")) as response:
        assert response.status == 404
    async with client.delete(url(server, "/echo/")) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    async with client.get(url(server, "/fail")) as response:
        assert (response.status, await response.text()) == (500, "Something went wrong here.\n")
    async with client.get(url(server, "/lack")) as response:
        assert response.status == 503
    async with client.head(url(server, "/echo/")) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_pages_of_other_origins_may_use_what_allows_it(
    server: RunningServer, client: aiohttp.ClientSession
) -> None:
    async with client.options(url(server, "/echo/"), headers={"Origin": "https://a.example"}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, HEAD, OPTIONS"
        assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"
    async with client.get(url(server, "/echo/"), headers={"Origin": "https://a.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with client.options(url(server, "/fail"), headers={"Origin": "https://a.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


FORWARDED = {"X-Forwarded-For": "9.9.9.9, 2001:db8::1, 10.1.2.3", "X-Forwarded-Proto": "https"}


async def test_only_a_trusted_proxy_is_believed_who_its_client_is(
    make_server: MakeServer, client: aiohttp.ClientSession
) -> None:
    server = await make_server()
    async with client.get(url(server, "/echo/"), headers=FORWARDED) as response:
        seen = await response.json()
        assert (seen["address"], seen["secure"]) == (ADDRESS, False)
    await server.reload('[http]\nproxies = ["127.0.0.0/8", "10.0.0.0/8"]')
    async with client.get(url(server, "/echo/"), headers=FORWARDED) as response:
        seen = await response.json()
        assert (seen["address"], seen["secure"]) == ("2001:db8::1", True)
    async with client.get(url(server, "/echo/"), headers={"X-Forwarded-For": "nobody"}) as response:
        assert (await response.json())["address"] == ADDRESS


async def test_a_proxy_that_encrypts_what_its_client_did_not_is_believed(
    make_server: MakeServer, client: aiohttp.ClientSession
) -> None:
    server = await make_server('[http]\nproxies = ["127.0.0.0/8"]')
    for protocol, secure in (("http", False), ("https", True), ("", True)):
        headers = {"X-Forwarded-For": "9.9.9.9"} | ({"X-Forwarded-Proto": protocol} if protocol else {})
        async with client.get(url(server, "/echo/", "https"), headers=headers, ssl=trusting(server)) as response:
            assert (await response.json())["secure"] is secure, protocol


async def test_a_malformed_request_is_refused_and_writes_no_trace_to_the_log(
    server: RunningServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()
    assert "Traceback" not in "".join(capfd.readouterr())
    assert caplog.records == []  # where aiohttp would write it


async def test_connections_of_an_address_are_limited_also_before_tls(make_server: MakeServer) -> None:
    server = await make_server("[http]\nconnections_per_address = 2")
    open_ = [await asyncio.open_connection(ADDRESS, port) for port in (server.http_port, server.https_port)]
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    async with asyncio.timeout(20):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    open_[1][1].close()
    places = server.app._http.limits.places
    async with asyncio.timeout(20):
        while not places.enter(ADDRESS):
            await asyncio.sleep(0.01)
    open_[0][1].close()


async def test_requests_at_the_same_time_are_limited_behind_a_proxy(
    make_server: MakeServer, client: aiohttp.ClientSession
) -> None:
    server = await make_server('[http]\nconnections_per_address = 1\nproxies = ["127.0.0.1"]')
    one, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    async with client.get(url(server, "/wait"), headers=one) as waiting:
        assert await waiting.content.readexactly(5) == b"begun"
        async with client.get(url(server, "/echo/"), headers=one) as response:
            assert response.status == 429
        async with client.get(url(server, "/echo/"), headers=other) as response:
            assert response.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_who_sends_no_whole_request_is_cut_off(make_server: MakeServer, sent: bytes) -> None:
    server = await make_server("[http]\nidle_seconds = 1")
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    writer.write(sent)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET " + b"/x" * 10_000,
        b"POST /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab",
        b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /echo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=[
        "TLS",
        "long header",
        "two lengths",
        "long path",
        "lengths that differ",
        "a sign",
        "not chunked last",
        "a space",
    ],
)
async def test_what_is_no_request_gets_an_error(server: RunningServer, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    writer.write(sent)
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    writer.close()


async def test_a_body_is_limited(make_server: MakeServer, client: aiohttp.ClientSession) -> None:
    server = await make_server("[http]\nbody_bytes = 1024")
    async with client.post(url(server, "/echo/"), data=b"x" * 1025) as response:
        assert response.status == 413


async def test_a_certificate_is_exchanged_without_a_restart(
    server: RunningServer, client: aiohttp.ClientSession
) -> None:
    async def served() -> Any:
        _, writer = await asyncio.open_connection(
            ADDRESS, server.https_port, ssl=trusting(server), server_hostname="localhost"
        )
        certificate = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        return certificate

    before = await served()
    generate("localhost", server.certificate.parent)
    await server.reload()
    assert await served() != before


async def test_each_host_is_served_with_its_own_certificate(make_server: MakeServer) -> None:
    """By the name that is asked for (RFC 6066 §3); by any other the first host's."""
    server = await make_server('[hosts."localhost"]\n[hosts."b.example"]')
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for asked, served in (("b.example", "b.example"), ("localhost", "localhost"), ("c.example", "localhost")):
        _, writer = await asyncio.open_connection(ADDRESS, server.https_port, ssl=context, server_hostname=asked)
        certificate = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        file = server.app.config.certificate_files(served)[0]
        assert certificate == ssl.PEM_cert_to_DER_cert(file.read_text())


async def test_what_begins_to_speak_tls_and_stops_leaves_no_place_taken(make_server: MakeServer) -> None:
    server = await make_server("[http]\nconnections_per_address = 1")
    for sent in (b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
        _, writer = await asyncio.open_connection(ADDRESS, server.https_port)
        writer.write(sent)
        await writer.drain()
        writer.close()
        async with asyncio.timeout(20):
            while server.app._http.limits.places._sum:
                await asyncio.sleep(0.01)
