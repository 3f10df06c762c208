"""Uploads over the whole way: a slot by XMPP, the bytes by HTTPS."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
import slixmpp

from .conftest import LogIn
from .person import Person
from .running import ADDRESS, RunningServer

NS = "urn:xmpp:http:upload:0"
HTML = b"<script>alert(1)</script>"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as client:
        yield client


async def slot(person: Person, name: str, size: int, type: str = "") -> tuple[str, dict[str, str]]:
    person.register_plugin("xep_0363")
    answer = await person.plugin["xep_0363"].request_slot(
        slixmpp.JID("upload.localhost"), name, size, type or None, timeout=20
    )
    put = answer["http_upload_slot"]["put"]
    header = put.xml.find(f"{{{NS}}}header")
    return put["url"], {header.attrib["name"]: header.text}


def plain(server: RunningServer, url: str) -> str:
    return f"http://{ADDRESS}:{server.http_port}{urlsplit(url).path}"


async def put(server: RunningServer, client: Any, url: str, headers: dict[str, str], data: Any) -> int:
    async with client.put(plain(server, url), data=data, headers=headers, skip_auto_headers=["Content-Type"]) as answer:
        return int(answer.status)


async def test_what_is_uploaded_is_downloaded_whole_and_in_parts(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    data = os.urandom(1_000_016)
    url, headers = await slot(romeo, "très cool.jpg", len(data), "image/jpeg")
    assert url.endswith("/tr%C3%A8s%20cool.jpg")
    assert await put(server, client, url, headers, data) == 201
    assert await put(server, client, url, headers, data) == 409
    async with client.get(plain(server, url)) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
        assert answer.headers["Content-Type"] == "image/jpeg"
        etag = answer.headers["ETag"]
    async with client.get(plain(server, url), headers={"Range": "bytes=-16"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[-16:])
    async with client.get(plain(server, url), headers={"Range": "bytes=2000000-"}) as answer:
        assert answer.status == 416
    async with client.get(plain(server, url), headers={"If-None-Match": etag}) as answer:
        assert answer.status == 304
    async with client.head(plain(server, url)) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))


async def test_a_slot_takes_only_what_it_was_given_for(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.png", 3, "image/png")
    assert await put(server, client, url, {}, b"abc") == 403
    assert await put(server, client, url, {"Authorization": "Bearer " + "0" * 64}, b"abc") == 403
    assert await put(server, client, url, headers, b"abcd") == 413
    assert await put(server, client, url, {**headers, "Content-Type": "text/html"}, b"abc") == 415
    other, _ = await slot(romeo, "b.png", 3, "image/png")
    assert await put(server, client, other, headers, b"abc") == 403
    assert await put(server, client, url, headers, b"abc") == 201


async def test_uploaded_pages_cannot_run(server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    for name, type in (("a.html", "text/html"), ("a.svg", "image/svg+xml")):
        url, headers = await slot(romeo, name, len(HTML), type)
        assert await put(server, client, url, headers, HTML) == 201
        async with client.get(plain(server, url)) as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_upload_that_breaks_off_leaves_nothing(server: RunningServer, log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 500_000)
    _, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    lines = [f"PUT {urlsplit(url).path} HTTP/1.1", "Host: a", "Content-Length: 500000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + bytes(300_000))
    folder = server.app.config.data / "uploads"
    async with asyncio.timeout(20):
        while not list(folder.iterdir()):
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while list(folder.iterdir()):
            await asyncio.sleep(0.01)


async def test_the_quota_of_a_day_and_large_files_get_their_errors(server: RunningServer, log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    with pytest.raises(slixmpp.exceptions.IqError) as error:
        await slot(romeo, "a.bin", 104_857_617)
    assert error.value.condition == "not-acceptable"
    assert error.value.iq.xml.find(f".//{{{NS}}}max-file-size").text == "104857616"
    await server.reload("[components.http_upload]\ndaily_bytes = 50")
    with pytest.raises(slixmpp.exceptions.IqError) as error:
        await slot(romeo, "a.bin", 100)
    assert error.value.condition == "resource-constraint"
    assert error.value.iq.xml.find(f".//{{{NS}}}retry").get("stamp").endswith("Z")
