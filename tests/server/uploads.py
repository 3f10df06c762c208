"""Slots by slixmpp, and what is done with them over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest_asyncio
import slixmpp

from components.http_upload import HttpUpload

from .person import Person
from .running import ADDRESS, RunningServer

NS = "urn:xmpp:http:upload:0"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as client:
        yield client


async def slot(person: Person, name: str, size: int, type: str = "") -> tuple[str, dict[str, str]]:
    """The URL that a file is put to and had from, and the headers that go with it."""
    put, _, headers = await both_urls(person, name, size, type)
    return put, headers


async def both_urls(person: Person, name: str, size: int, type: str = "") -> tuple[str, str, dict[str, str]]:
    """The URLs for PUT and for GET, and the headers of the PUT."""
    person.register_plugin("xep_0363")
    answer = await person.plugin["xep_0363"].request_slot(
        slixmpp.JID("upload.localhost"), name, size, type or None, timeout=20
    )
    put, get = answer["http_upload_slot"]["put"], answer["http_upload_slot"]["get"]
    headers = {header.attrib["name"]: header.text for header in put.xml.iter(f"{{{NS}}}header")}
    return put["url"], get["url"], headers


def plain(server: RunningServer, url: str) -> str:
    """The URL at the port without TLS."""
    return f"http://{ADDRESS}:{server.http_port}{urlsplit(url).path}"


async def serve_plain(server: RunningServer) -> None:
    """Give out URLs without TLS, for clients that would not trust the certificate."""
    await server.reload(f'[http]\nurl = "http://{ADDRESS}:{server.http_port}"')


async def status(server: RunningServer, client: aiohttp.ClientSession, url: str) -> int:
    """Of a GET."""
    async with client.get(plain(server, url)) as answer:
        return answer.status


async def keep_up(server: RunningServer) -> None:
    """What the component does each minute."""
    component = server.app.core.components.running["upload.localhost"]
    assert isinstance(component, HttpUpload)
    await component.keep_up()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def begin(
    server: RunningServer, url: str, headers: dict[str, str], size: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A PUT whose body is still to come."""
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    lines = [f"PUT {urlsplit(url).path} HTTP/1.1", "Host: a", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


async def put(server: RunningServer, client: Any, url: str, headers: dict[str, str], data: Any) -> int:
    """Its status."""
    async with client.put(plain(server, url), data=data, headers=headers, skip_auto_headers=["Content-Type"]) as answer:
        return int(answer.status)
