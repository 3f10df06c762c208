"""Uploads that are kept in a bucket of S3, through the server and past it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

import components.http_upload as http_upload
from components.http_upload import bucket, direct
from components.http_upload import web as upload_web
from tests.s3 import BUCKET, S3
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.uploads import DAY

from .conftest import MakeServer
from .person import DEADLINE, Person
from .running import RunningServer
from .uploads import begin, both_urls, client, keep_up, plain, put, slot, status

__all__ = ["client"]

LARGE = 20_000_016  # more than one part
ERROR = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
REFUSAL = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(ERROR), ERROR)

Start = Callable[..., Awaitable[tuple[RunningServer, Person]]]


@pytest.fixture(scope="module")
def seaweed() -> Iterator[S3]:
    s3 = S3()
    yield s3
    s3.stop()


@pytest_asyncio.fixture
async def s3(seaweed: S3) -> S3:
    """With an empty bucket."""
    await seaweed.make_bucket()
    return seaweed


@pytest_asyncio.fixture
async def start(s3: S3, make_server: MakeServer) -> Start:
    """A server that keeps files there, and Romeo online."""

    async def make(**options: str | bool) -> tuple[RunningServer, Person]:
        server = await make_server(s3.options(**options))
        await server.account("romeo")
        romeo = Person(server, "romeo@localhost/orchard")
        await romeo.log_in()
        server.hang_up.append(romeo.abort)
        return server, romeo

    return make


@pytest.mark.parametrize("size", [3, LARGE], ids=["one PUT", "parts"])
async def test_a_file_passes_through_to_the_bucket_and_back(
    start: Start, s3: S3, client: aiohttp.ClientSession, size: int
) -> None:
    server, romeo = await start()
    data = os.urandom(size)
    url, headers = await slot(romeo, "a.png", size, "image/png")
    assert await put(server, client, url, headers, data) == 201
    assert len(await s3.keys()) == 1
    assert await s3.unfinished() == []
    digest = hashlib.sha256(data)
    async with client.get(plain(server, url)) as answer:
        assert hashlib.sha256(await answer.read()).digest() == digest.digest()
        assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    async with client.get(plain(server, url), headers={"Range": "bytes=1-"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[1:])
    async with client.head(plain(server, url)) as answer:
        assert answer.headers["Content-Length"] == str(size)
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    assert await status(server, client, url) == 404
    await keep_up(server)
    assert await s3.keys() == []


@pytest.mark.parametrize("sent", [100_000, LARGE - 100_000], ids=["in the first part", "in the second"])
async def test_an_upload_that_breaks_off_leaves_nothing_in_the_bucket(start: Start, s3: S3, sent: int) -> None:
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", LARGE)
    _, writer = await begin(server, url, headers, LARGE)
    writer.write(bytes(sent))
    await begun(s3)
    writer.transport.abort()
    await nothing_is_left(s3)


async def test_a_slow_upload_to_the_bucket_is_ended(start: Start, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_web, "_SECONDS", 0.5)
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", LARGE)
    reader, writer = await begin(server, url, headers, LARGE)
    writer.write(bytes(300_000))
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await nothing_is_left(s3)


async def test_an_upload_may_take_longer_than_the_bucket_may_for_an_answer(
    start: Start, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_SECONDS", 2)
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", LARGE)
    reader, writer = await begin(server, url, headers, LARGE)
    for _part in range(10):
        writer.write(bytes(LARGE // 10))
        await asyncio.sleep(0.4)  # the client is slow: the first part alone takes longer than 2 seconds
    writer.write(bytes(LARGE % 10))
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_other_sizes_than_the_slots_are_refused(start: Start, s3: S3, client: aiohttp.ClientSession) -> None:
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", 3)
    assert await put(server, client, url, headers, b"ab") == 413
    assert await put(server, client, url, headers, b"abcd") == 413
    assert await s3.keys() == []
    assert await put(server, client, url, headers, b"abc") == 201


@pytest.mark.parametrize(
    "options",
    [{"s3_access_key": "tybalt"}, {"s3_secret_key": "wrong"}, {"s3_bucket": "no-such-bucket"}],
    ids=["unknown key", "wrong secret", "no bucket"],
)
async def test_a_bucket_that_does_not_let_us_in_is_told_of_and_the_server_goes_on(
    start: Start, s3: S3, client: aiohttp.ClientSession, options: dict[str, str]
) -> None:
    server, romeo = await start(**options)
    for size in (3, LARGE):
        url, headers = await slot(romeo, "a.bin", size)
        assert await put(server, client, url, headers, bytes(size)) == 503
        assert await status(server, client, url) == 404
    assert await s3.keys() == []
    await romeo.plugin["xep_0199"].send_ping("localhost", timeout=DEADLINE)


async def test_a_store_that_is_killed_in_an_upload_is_told_of_and_nothing_is_left_when_it_is_back(
    start: Start, s3: S3, client: aiohttp.ClientSession
) -> None:
    server, romeo = await start()
    kept, its_headers = await slot(romeo, "kept.bin", 3)
    assert await put(server, client, kept, its_headers, b"abc") == 201
    url, headers = await slot(romeo, "a.bin", LARGE)
    reader, writer = await begin(server, url, headers, LARGE)
    writer.write(bytes(LARGE - 1_000_000))
    await begun(s3)
    s3.kill()
    try:
        writer.write(bytes(1_000_000))
        async with asyncio.timeout(DEADLINE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
        assert await status(server, client, kept) == 503
        assert await status(server, client, url) == 404
    finally:
        await asyncio.to_thread(s3.start)
    await keep_up(server)
    assert await s3.unfinished() == []
    assert len(await s3.keys()) == 1
    async with asyncio.timeout(DEADLINE):  # it answers before it has found all that it has
        while await status(server, client, kept) != 200:
            await asyncio.sleep(0.1)
    assert await put(server, client, url, headers, bytes(LARGE)) == 201


async def test_what_a_crash_left_unfinished_is_aborted_at_the_start_and_what_is_of_others_is_not(
    start: Start, s3: S3
) -> None:
    async with s3.client() as client:
        for key in ("upload.localhost/left", "upload.other.example/theirs"):
            await client.create_multipart_upload(Bucket=BUCKET, Key=key)
    await start()
    async with asyncio.timeout(DEADLINE):
        while await s3.unfinished() != ["upload.other.example/theirs"]:
            await asyncio.sleep(0.05)


# -- a store that is slow


async def test_a_store_that_stops_in_an_upload_is_told_of_and_nothing_is_left_when_it_goes_on(
    start: Start, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_SECONDS", 1)
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", LARGE)
    reader, writer = await begin(server, url, headers, LARGE)
    writer.write(bytes(300_000))
    await begun(s3)
    s3.pause()
    try:
        writer.write(bytes(LARGE - 300_000))
        async with asyncio.timeout(DEADLINE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
    finally:
        s3.go_on()
    await keep_up(server)
    await nothing_is_left(s3)


async def test_a_store_that_is_killed_while_the_client_sends_nothing_is_told_of(start: Start, s3: S3) -> None:
    server, romeo = await start()
    url, headers = await slot(romeo, "a.bin", LARGE)
    reader, writer = await begin(server, url, headers, LARGE)
    writer.write(bytes(300_000))
    await begun(s3)
    await asyncio.sleep(0.5)  # so that it waits for the client
    s3.kill()
    try:
        async with asyncio.timeout(DEADLINE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
    finally:
        await asyncio.to_thread(s3.start)


@pytest.mark.parametrize("size", [3, LARGE], ids=["one PUT", "parts"])
async def test_a_store_that_is_too_busy_is_asked_again(
    start: Start, s3: S3, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(bucket, "_PAUSE", 0.01)
    data = os.urandom(size)
    async with Gate(s3, refuses=True) as gate:
        server, romeo = await start(s3_endpoint=gate.url)
        url, headers = await slot(romeo, "a.bin", size)
        assert await put(server, client, url, headers, data) == 201
        async with client.get(plain(server, url)) as answer:
            assert await answer.read() == data
    assert await s3.unfinished() == []


async def test_a_store_that_stays_too_busy_is_told_of(
    start: Start, s3: S3, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_PAUSE", 0.01)
    monkeypatch.setattr(bucket, "_SECONDS", 0.5)
    async with Gate(s3, refuses=True, always=True) as gate:
        server, romeo = await start(s3_endpoint=gate.url)
        url, headers = await slot(romeo, "a.bin", 3)
        assert await put(server, client, url, headers, b"abc") == 503
    assert gate.refused > 3


async def test_a_store_gets_only_some_parts_at_the_same_time(
    start: Start, s3: S3, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_PLACES", 2)
    monkeypatch.setattr(bucket, "_SLOW", DEADLINE)  # whatever else this machine does
    async with Gate(s3) as gate:
        server, romeo = await start(s3_endpoint=gate.url)
        slots = [await slot(romeo, "a.bin", LARGE) for _ in range(8)]
        uploads = [put(server, client, url, headers, bytes(LARGE)) for url, headers in slots]
        assert await asyncio.gather(*uploads) == [201] * 8
    assert gate.most == 2
    assert await s3.unfinished() == []


async def test_clients_that_are_slow_do_not_keep_others_waiting(
    start: Start, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_PLACES", 1)
    server, romeo = await start()
    writers = []
    for sent in (0, 300_000):
        url, headers = await slot(romeo, "a.bin", LARGE)
        _, writer = await begin(server, url, headers, LARGE)
        writer.write(bytes(sent))
        writers.append(writer)
    await asyncio.sleep(0.5)
    url, headers = await slot(romeo, "b.bin", LARGE)
    assert await put(server, client, url, headers, bytes(LARGE)) == 201
    for writer in writers:
        writer.close()


# -- straight to the bucket


async def test_clients_put_and_get_straight_to_and_from_the_bucket(
    start: Start, s3: S3, client: aiohttp.ClientSession
) -> None:
    server, romeo = await start(s3_direct=True)
    data = os.urandom(1_000_016)
    there, here, headers = await both_urls(romeo, "très cool.png", len(data), "image/png")
    assert there.startswith(s3.url)
    assert headers == {}
    assert await status(server, client, here) == 404
    image = {"Content-Type": "image/png"}
    for wrong, kind in ((data[1:], image), (data + b"x", image), (data, {"Content-Type": "text/html"})):
        async with client.put(there, data=wrong, headers=kind) as answer:
            assert answer.status == 403
    async with client.put(there, data=data, headers=image) as answer:
        assert answer.status == 200
    async with client.get(plain(server, here), allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["Location"].startswith(s3.url)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    async with client.get(plain(server, here)) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''tr%C3%A8s%20cool.png"
    async with client.get(plain(server, here), headers={"Range": "bytes=-16"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[-16:])
    async with client.head(plain(server, here), allow_redirects=True) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))
    async with client.put(plain(server, here), data=b"x") as answer:
        assert answer.status == 405
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    assert await status(server, client, here) == 404
    await keep_up(server)
    assert await s3.keys() == []


async def test_a_page_that_is_straight_in_the_bucket_is_saved_and_not_shown(
    start: Start, client: aiohttp.ClientSession
) -> None:
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.html", 3, "text/html")
    async with client.put(there, data=b"<p>", headers={"Content-Type": "text/html"}) as answer:
        assert answer.status == 200
    async with client.get(plain(server, here)) as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_a_file_that_nobody_asked_for_is_found_before_its_slot_is_forgotten(
    start: Start, s3: S3, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.bin", 3)
    _, never, _ = await both_urls(romeo, "b.bin", 3)
    async with client.put(there, data=b"abc", headers={"Content-Type": "application/octet-stream"}) as answer:
        assert answer.status == 200
    later = upload_web.now() + DAY + 600_000_000
    with monkeypatch.context() as patch:
        patch.setattr(http_upload, "now", lambda: later)
        await keep_up(server)
    assert len(await s3.keys()) == 1
    assert await status(server, client, here) == 200
    assert await status(server, client, never) == 404
    assert await server.store.uploads.find(never.split("/")[-2]) is None


async def test_pages_put_and_get_straight_with_the_rule_that_the_documentation_has(
    start: Start, s3: S3, client: aiohttp.ClientSession
) -> None:
    """§8: CORS is the bucket's there."""
    rule = re.search("```json\n(.+?)```", (Path(__file__).parents[2] / "docs" / "operations.md").read_text(), re.DOTALL)
    assert rule is not None
    async with s3.client() as owner:
        await owner.put_bucket_cors(Bucket=BUCKET, CORSConfiguration=json.loads(rule[1]))
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.png", 3, "image/png")
    page = {"Origin": "https://web.example"}
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    async with client.options(there, headers=page | asked) as answer:
        assert answer.status in (200, 204)
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", page["Origin"])
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"].lower() in ("*", "content-type")
    async with client.put(there, data=b"abc", headers=page | {"Content-Type": "image/png"}) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", page["Origin"])
    async with client.get(plain(server, here), headers=page, allow_redirects=False) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        signed = answer.headers["Location"]
    async with client.get(URL(signed, encoded=True), headers={"Origin": "null"}) as answer:
        assert (answer.status, await answer.read()) == (200, b"abc")
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", "null")
    async with s3.client() as owner:
        await owner.delete_bucket_cors(Bucket=BUCKET)


async def test_all_who_ask_first_for_a_file_get_it(
    start: Start, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the devices of a group do, at the same moment; whoever looks into the bucket first notes that it is there."""
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.bin", 3)
    async with client.put(there, data=b"abc", headers={"Content-Type": "application/octet-stream"}) as answer:
        assert answer.status == 200
    find, all_looked = bucket.Bucket.find, asyncio.Barrier(3)

    async def together(self: bucket.Bucket, id: str) -> tuple[int, int] | None:
        found = await find(self, id)
        await all_looked.wait()
        return found

    monkeypatch.setattr(bucket.Bucket, "find", together)
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*(status(server, client, here) for _ in range(3))) == [200] * 3


async def test_a_url_of_the_bucket_does_not_outlive_its_file(
    start: Start, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§5.3: S3 signs for whole seconds, and for one at least; where less is left, the file is gone."""
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.bin", 3)
    async with client.put(there, data=b"abc", headers={"Content-Type": "application/octet-stream"}) as answer:
        assert answer.status == 200
    assert await status(server, client, here) == 200
    found = await server.store.uploads.find(here.split("/")[-2])
    assert found is not None
    end = found.expires_at
    for left, expected in ((2_500_000, "2"), (1_000_000, "1"), (999_999, None)):
        monkeypatch.setattr(direct, "now", lambda left=left: end - left)
        async with client.get(plain(server, here), allow_redirects=False) as answer:
            assert answer.status == (302 if expected else 404)
            if expected:
                assert parse_qs(urlsplit(answer.headers["Location"]).query)["X-Amz-Expires"] == [expected]


async def test_what_nobody_asked_for_goes_with_its_account_also_if_another_takes_the_name(
    start: Start, s3: S3, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, romeo = await start(s3_direct=True)
    there, here, _ = await both_urls(romeo, "a.bin", 3)
    async with client.put(there, data=b"abc", headers={"Content-Type": "application/octet-stream"}) as answer:
        assert answer.status == 200
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    await server.account("romeo")
    assert await status(server, client, here) == 404
    later = upload_web.now() + DAY + 600_000_000
    monkeypatch.setattr(http_upload, "now", lambda: later)
    await keep_up(server)
    assert await s3.keys() == []


async def test_a_slot_for_a_bucket_that_is_away_is_given_and_a_download_gets_an_error(
    start: Start, s3: S3, client: aiohttp.ClientSession
) -> None:
    """A URL is signed without asking the bucket."""
    server, romeo = await start(s3_direct=True)
    s3.kill()
    try:
        _, here, _ = await both_urls(romeo, "a.bin", 3)
        assert await status(server, client, here) == 503
    finally:
        await asyncio.to_thread(s3.start)
    assert await status(server, client, here) == 404


async def begun(s3: S3) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await s3.unfinished():
            await asyncio.sleep(0.05)


async def nothing_is_left(s3: S3) -> None:
    async with asyncio.timeout(DEADLINE):
        while await s3.unfinished() or await s3.keys():
            await asyncio.sleep(0.05)


class Gate:
    """Stands before the store: counts how many PUTs with a body are under way, and refuses every other request that
    writes (or all), as a store that is too busy does."""

    def __init__(self, s3: S3, *, refuses: bool = False, always: bool = False) -> None:
        self._port = urlsplit(s3.url).port
        self._refuses = refuses
        self._always = always
        self._under_way: set[asyncio.StreamWriter] = set()
        self._asked = 0
        self.most = self.refused = 0
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith((b"PUT ", b"POST ")) and self._refuses:
                self._asked += 1
                if self._always or self._asked % 2:
                    self.refused += 1
                    writer.write(REFUSAL)
                    await writer.drain()
                    writer.close()
                    return
            if head.startswith(b"PUT "):
                self._under_way.add(writer)
                self.most = max(self.most, len(self._under_way))
            await self._pass(head, reader, writer)
        self._under_way.discard(writer)
        writer.close()

    async def _pass(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection for each request."""
        there, store = await asyncio.open_connection("127.0.0.1", self._port)
        store.write(head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
        body = asyncio.create_task(self._copy(reader, store))
        await self._copy(there, writer)
        body.cancel()
        store.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if data.startswith(b"HTTP/1.1 200"):
                    self._under_way.discard(writer)
                writer.write(data)
                await writer.drain()
