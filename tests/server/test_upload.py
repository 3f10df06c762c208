"""Uploads over the whole way: a slot by XMPP, the bytes by HTTPS."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import resource
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import aiohttp
import pytest
import slixmpp
from structlog.testing import capture_logs
from yarl import URL

import components.http_upload as http_upload
from components.http_upload import web as upload_web
from components.http_upload.files import FilesError
from components.http_upload.folder import Folder
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.uploads import Uploads

from .conftest import LogIn, MakeServer
from .person import Person
from .raw_client import RawClient
from .running import ADDRESS, RunningServer
from .uploads import NS, begin, client, keep_up, plain, put, serve_plain, slot, status, until

__all__ = ["client"]

HTML = b"<script>alert(1)</script>"


def kept(server: RunningServer) -> list[str]:
    """The files in the folder."""
    return sorted(file.name for file in (server.app.config.data / "uploads").iterdir())


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


async def test_files_are_under_the_path_that_the_operator_chose(
    make_server: MakeServer, client: aiohttp.ClientSession
) -> None:
    server = await make_server("[components.http_upload]\npath = '/our/files/'\n")
    await server.account("romeo")
    romeo = await RawClient.login(server, "romeo")
    request = f"<request xmlns='{NS}' filename='a.txt' size='5'/>"
    answer = await romeo.ask(f"<iq type='get' id='s' to='upload.localhost'>{request}</iq>", "s")
    given = answer.child(NS, "slot")
    assert given is not None
    end = given.child(NS, "put")
    assert end is not None
    url = end.get("url")
    assert urlsplit(url).path.startswith("/our/files/upload.localhost/")
    headers = {header.get("name"): header.text for header in end}
    assert await put(server, client, url, headers, b"hello") == 201
    assert await status(server, client, url) == 200


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


async def test_a_name_is_found_by_whatever_of_it_a_library_encodes(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """Some libraries, such as aiohttp, put `(` in the place of `%28` before they ask."""
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a (1)!.jpg", 3)
    assert url.endswith("/a%20%281%29%21.jpg")
    assert await put(server, client, url, headers, b"abc") == 201
    for name in ("a%20(1)!.jpg", "a%20%281%29%21.jpg", "%61%20(1)%21.jp%67"):
        other = URL(plain(server, url).rpartition("/")[0] + "/" + name, encoded=True)
        async with client.get(other) as answer:
            assert answer.status == 200, name


async def test_a_signature_of_any_bytes_is_none(server: RunningServer, log_in: LogIn) -> None:
    """What is no UTF-8 is no fault of the server either."""
    romeo = await log_in("romeo@localhost/orchard")
    url, _ = await slot(romeo, "a.png", 3)
    reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
    head = f"PUT {urlsplit(url).path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAuthorization: Bearer "
    writer.write(head.encode() + b"\xff\r\n\r\nabc")
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
    writer.close()


async def test_a_file_without_its_length_is_refused_and_its_slot_is_there_still(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """§7: the length is what is compared with the slot's size; in chunks, nobody tells it."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.png", 3, "image/png")
    assert await put(server, client, url, headers, chunks()) == 411
    assert kept(server) == []
    assert await put(server, client, url, headers, b"abc") == 201


async def test_chunks_do_not_come_in_under_a_length(server: RunningServer, log_in: LogIn) -> None:
    """RFC 9112 §6.3: with both, the length means nothing; more than the slot's size could come."""
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.png", 3)
    reader, writer = await begin(server, url, headers | {"Transfer-Encoding": "chunked"}, 3)
    writer.write(b"5\r\nabcde\r\n0\r\n\r\n")
    async with asyncio.timeout(20):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert kept(server) == []


async def test_what_is_compressed_is_kept_as_it_came(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """Its length is that of the slot; unpacked it would be any."""
    romeo = await log_in("romeo@localhost/orchard")
    data = gzip.compress(bytes(1_000_000))
    url, headers = await slot(romeo, "a.gz", len(data))
    assert await put(server, client, url, headers | {"Content-Encoding": "gzip"}, data) == 201
    async with client.get(plain(server, url)) as answer:
        assert await answer.read() == data


async def test_a_file_without_a_purpose_is_one_of_a_message(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """§5: it ends as files of messages do, and no type is application/octet-stream (§7)."""
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 3)
    at = time.time()
    assert await put(server, client, url, headers, b"abc") == 201
    async with client.get(plain(server, url)) as answer:
        left = parsedate_to_datetime(answer.headers["Expires"]).timestamp() - at
        assert 30 * 86_400 - 2 <= left <= 30 * 86_400 + 20
        assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_a_slot_is_good_for_five_minutes(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 3)
    now = upload_web.now()
    monkeypatch.setattr(upload_web, "now", lambda: now + 301_000_000)
    assert await put(server, client, url, headers, b"abc") == 403
    monkeypatch.setattr(upload_web, "now", lambda: now + 290_000_000)
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


async def test_pictures_are_shown_and_all_is_saved_under_its_name(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    for name, type, shown in (
        ("a.png", "image/png", "inline"),
        ("b.pdf", "application/pdf", "attachment"),
        ("Grüße.png", "image/png", "inline"),
    ):
        url, headers = await slot(romeo, name, 3, type)
        assert await put(server, client, url, headers, b"abc") == 201
        async with client.get(plain(server, url)) as answer:
            assert answer.headers["Content-Disposition"] == f"{shown}; filename*=UTF-8''{quote(name)}"
            age = re.fullmatch(r"private, max-age=(\d+), immutable", answer.headers["Cache-Control"])
            assert age is not None
            assert 30 * 86_400 - 60 <= int(age[1]) <= 30 * 86_400


async def test_an_upload_that_breaks_off_leaves_nothing(server: RunningServer, log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 500_000)
    _, writer = await begin(server, url, headers, 500_000)
    writer.write(bytes(300_000))
    await until(lambda: bool(kept(server)))
    writer.transport.abort()
    await until(lambda: not kept(server))


async def test_the_quota_of_a_day_and_large_files_get_their_errors(server: RunningServer, log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    with pytest.raises(slixmpp.exceptions.IqError) as error:
        await slot(romeo, "a.bin", 104_857_617)
    assert error.value.condition == "not-acceptable"
    assert error.value.iq.xml.find(f".//{{{NS}}}max-file-size").text == "104857616"
    await server.reload("[components.http_upload]\ndaily_bytes = 150")
    await slot(romeo, "a.bin", 100)
    with pytest.raises(slixmpp.exceptions.IqError) as error:
        await slot(romeo, "a.bin", 100)
    assert error.value.condition == "resource-constraint"
    assert error.value.iq.xml.find(f".//{{{NS}}}retry").get("stamp").endswith("Z")


async def test_a_slow_upload_is_ended_with_an_error_and_leaves_nothing(
    server: RunningServer, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_web, "_SECONDS", 0.5)
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 500_000)
    reader, writer = await begin(server, url, headers, 500_000)
    writer.write(bytes(300_000))
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    assert kept(server) == []
    writer.close()


async def test_who_reads_nothing_of_a_download_is_cut_off(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free again, and the log is none of its affair."""
    monkeypatch.setattr(upload_web, "_SECONDS", 0.2)
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 20_000_000)
    assert await put(server, client, url, headers, bytes(20_000_000)) == 201
    await client.close()
    places = server.app._http.limits.places
    await until(lambda: not places._sum)
    with capture_logs() as logs:
        reader, writer = await asyncio.open_connection(ADDRESS, server.http_port)
        reader._transport.pause_reading()
        writer.write(f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await until(lambda: bool(places._sum))
        await until(lambda: not places._sum)
    assert logs == []
    writer.close()


async def test_two_cannot_fill_a_slot_at_the_same_time(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 500_000)
    reader, writer = await begin(server, url, headers, 500_000)
    writer.write(bytes(300_000))
    await until(lambda: bool(kept(server)))
    assert await put(server, client, url, headers, b"x" * 500_000) == 409
    writer.write(bytes(200_000))
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()
    async with client.get(plain(server, url)) as answer:
        assert await answer.read() == bytes(500_000)


async def test_a_file_that_is_put_again_while_it_is_noted_stays(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a client that is tired of waiting for a database that is slow."""
    began, goes_on = asyncio.Event(), asyncio.Event()
    fill = Uploads.fill

    async def slow(self: Uploads, *arguments: Any, **options: Any) -> bool:
        began.set()
        await goes_on.wait()
        return await fill(self, *arguments, **options)

    monkeypatch.setattr(Uploads, "fill", slow)
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 3)
    first = asyncio.create_task(put(server, client, url, headers, b"abc"))
    async with asyncio.timeout(20):
        await began.wait()
    second = asyncio.create_task(put(server, client, url, headers, b"xyz"))
    await asyncio.wait([second], timeout=1)
    goes_on.set()
    assert (await first, await second) == (201, 409)
    async with client.get(plain(server, url)) as answer:
        assert (answer.status, await answer.read()) == (200, b"abc")


async def test_an_upload_goes_on_while_a_host_is_added(make_server: MakeServer) -> None:
    """All hosts have their files in one folder, and each looks there at its start for what a crash left."""
    server = await make_server('[hosts."localhost"]')
    await server.account("romeo")
    romeo = Person(server, "romeo@localhost/orchard")
    await romeo.log_in()
    server.hang_up.append(romeo.abort)
    url, headers = await slot(romeo, "a.bin", 500_000)
    reader, writer = await begin(server, url, headers, 500_000)
    writer.write(bytes(300_000))
    await until(lambda: bool(kept(server)))
    await server.reload('[hosts."localhost"]\n[hosts."b.example"]')
    await until(lambda: server.app.core.http.find("", "/upload/upload.b.example/") is not None)  # it has started
    writer.write(bytes(200_000))
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_a_disk_that_is_full_is_told_of_and_nothing_is_left(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """As the system tells it of a file that may not grow: the same way, and no other program has to suffer."""
    romeo = await log_in("romeo@localhost/orchard")
    size = 20_000_000
    url, headers = await slot(romeo, "a.bin", size)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        assert await put(server, client, url, headers, bytes(size)) == 507
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kept(server) == []
    assert await put(server, client, url, headers, bytes(size)) == 201


async def test_what_a_crash_left_of_an_upload_goes_at_the_start(make_server: MakeServer) -> None:
    server = await make_server()
    await server.stop()
    folder = server.app.config.data / "uploads"
    (folder / ("a" * 32 + ".part")).write_bytes(b"half of it")
    (folder / ("b" * 32)).write_bytes(b"whole")
    server = await make_server()
    assert kept(server) == ["b" * 32]


async def test_files_of_a_removed_account_cannot_be_had_any_more_and_their_bytes_go(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 3)
    assert await put(server, client, url, headers, b"abc") == 201
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    assert await status(server, client, url) == 404
    await server.account("romeo")
    assert await status(server, client, url) == 404
    await keep_up(server)
    assert kept(server) == []


async def test_an_upload_whose_account_goes_meanwhile_is_refused_also_if_another_takes_the_name(
    server: RunningServer, log_in: LogIn
) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 500_000)
    reader, writer = await begin(server, url, headers, 500_000)
    writer.write(bytes(300_000))
    await until(lambda: bool(kept(server)))
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    await server.account("romeo")
    writer.write(bytes(200_000))
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
    writer.close()
    assert kept(server) == []


async def test_what_is_over_goes_also_if_nothing_can_be_swept(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with keys of a bucket that may not list uploads in parts."""

    async def sweep(self: Folder) -> None:
        raise FilesError("AccessDenied")

    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.bin", 3)
    assert await put(server, client, url, headers, b"abc") == 201
    await server.store.accounts.delete(JID.parse("romeo@localhost"))
    monkeypatch.setattr(Folder, "sweep", sweep)
    with pytest.raises(FilesError):
        await keep_up(server)
    assert kept(server) == []


async def test_a_file_of_a_message_is_there_for_30_days_and_then_goes_by_itself(
    make_server: MakeServer, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, keep_up = 0, http_upload.HttpUpload.keep_up

    async def counted(self: http_upload.HttpUpload) -> None:
        nonlocal rounds
        await keep_up(self)
        rounds += 1

    monkeypatch.setattr(http_upload, "_EVERY", 0.05)
    monkeypatch.setattr(http_upload.HttpUpload, "keep_up", counted)
    server = await make_server()
    await server.account("romeo")
    romeo = Person(server, "romeo@localhost/orchard")
    await romeo.log_in()
    url, headers = await slot(romeo, "a.bin", 3)
    assert await put(server, client, url, headers, b"abc") == 201
    await romeo.disconnect()
    days, clock = 24 * 3600 * 10**9, time.time_ns
    for after, there in ((29 * days, True), (31 * days, False)):
        monkeypatch.setattr("time.time_ns", lambda after=after: clock() + after)
        assert await status(server, client, url) == (200 if there else 404)
        before = rounds
        await until(lambda before=before: rounds > before + 1)  # one may have begun before
        assert len(kept(server)) == there


async def test_an_ephemeral_file_ends_when_it_was_told_to(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """§5.3"""
    romeo = await log_in("romeo@localhost/orchard")
    end = time.time() + 3
    stamp = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    iq = romeo.make_iq_get(ito="upload.localhost")
    iq.append(ElementTree.fromstring(
        f"<request xmlns='{NS}' filename='a.png' size='3' content-type='image/png'>"
        f"<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='{stamp}'/></request>"
    ))  # fmt: skip
    answer = await iq.send(timeout=20)
    asked = answer.xml.find(f".//{{{NS}}}put")
    url, headers = asked.get("url"), {"Authorization": asked[0].text}
    assert await put(server, client, url, headers, b"abc") == 201
    async with client.get(plain(server, url)) as answer:
        assert answer.status == 200
        assert int(answer.headers["Cache-Control"].partition("max-age=")[2].partition(",")[0]) <= 3
        expires = parsedate_to_datetime(answer.headers["Expires"]).timestamp()
        assert expires <= end
    await asyncio.sleep(end - time.time())
    assert await status(server, client, url) == 404
    assert await put(server, client, url, headers, b"abc") == 409
    await keep_up(server)
    assert kept(server) == []


async def test_an_ephemeral_file_that_comes_after_its_end_is_refused(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§7: 201 would say that it can be had."""
    romeo = await log_in("romeo@localhost/orchard")
    now = upload_web.now()
    iq = romeo.make_iq_get(ito="upload.localhost")
    iq.append(ElementTree.fromstring(
        f"<request xmlns='{NS}' filename='a.png' size='3'>"
        f"<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='{format_time(now + 60_000_000)}'/></request>"
    ))  # fmt: skip
    asked = (await iq.send(timeout=20)).xml.find(f".//{{{NS}}}put")
    url, headers = asked.get("url"), {"Authorization": asked[0].text}
    monkeypatch.setattr(upload_web, "now", lambda: now + 61_000_000)
    assert await put(server, client, url, headers, b"abc") == 403
    assert kept(server) == []


async def test_a_new_file_of_a_profile_takes_the_place_of_the_former(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """§5.2: kept without an end until then"""
    romeo = await log_in("romeo@localhost/orchard")
    urls = []
    for _ in range(2):
        iq = romeo.make_iq_get(ito="upload.localhost")
        iq.append(ElementTree.fromstring(
            f"<request xmlns='{NS}' filename='a.png' size='3'>"
            "<profile xmlns='urn:xmpp:http:upload:purpose:0'/></request>"
        ))  # fmt: skip
        asked = (await iq.send(timeout=20)).xml.find(f".//{{{NS}}}put")
        urls.append(asked.get("url"))
        assert await put(server, client, urls[-1], {"Authorization": asked[0].text}, b"abc") == 201
    assert await status(server, client, urls[0]) == 404
    async with client.get(plain(server, urls[1])) as answer:
        assert answer.status == 200
        assert "Expires" not in answer.headers
    await keep_up(server)
    assert len(kept(server)) == 1


async def test_pages_of_other_origins_may_upload_and_download(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """§8: CORS"""
    romeo = await log_in("romeo@localhost/orchard")
    url, headers = await slot(romeo, "a.png", 3, "image/png")
    origin = {"Origin": "https://web.example"}
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}
    async with client.options(plain(server, url), headers=origin | asked) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert {"PUT", "GET", "HEAD"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
        assert {"Authorization", "Content-Type"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    async with client.put(
        plain(server, url), data=b"abc", headers=headers | origin | {"Content-Type": "image/png"}
    ) as put:
        assert (put.status, put.headers["Access-Control-Allow-Origin"]) == (201, "*")
    async with client.get(plain(server, url), headers=origin) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Length" in answer.headers["Access-Control-Expose-Headers"]


async def test_conditions_and_ranges_of_a_download_are_as_http_has_them(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    """RFC 9110 §13, §14"""
    romeo = await log_in("romeo@localhost/orchard")
    data = bytes(range(256))
    url, headers = await slot(romeo, "a.png", len(data), "image/png")
    assert await status(server, client, url) == 404
    assert await put(server, client, url, headers, data) == 201
    async with client.head(plain(server, url)) as answer:
        etag = answer.headers["ETag"]
        assert etag == f'"{hashlib.sha256(data).hexdigest()}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
    for asked, (code, expected) in {
        ("Range", "bytes=0-0"): (206, data[:1]),
        ("Range", "bytes=250-999"): (206, data[250:]),
        ("Range", "bytes=-300"): (206, data),
        ("Range", "bytes=5-4"): (200, data),
        ("Range", "bytes=256-256"): (416, b""),
        ("Range", "bytes=-0"): (416, b""),
        ("Range", "bytes=0-1,5-6"): (200, data),
        ("Range", "bits=0-1"): (200, data),
        ("Range", "bytes=-"): (416, b""),
        ("If-None-Match", "*"): (304, b""),
        ("If-None-Match", f'"x", W/{etag}'): (304, b""),
        ("If-None-Match", '"x"'): (200, data),
    }.items():
        async with client.get(plain(server, url), headers=dict([asked])) as answer:
            assert (answer.status, await answer.read()) == (code, expected), asked
    async with client.head(plain(server, url), headers={"Range": "bytes=1-2"}) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))
    async with client.get(plain(server, url), headers={"Range": "bytes=1-2", "If-Range": '"x"'}) as answer:
        assert (answer.status, await answer.read()) == (200, data)
    async with client.get(plain(server, url), headers={"Range": "bytes=1-2", "If-Range": etag}) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 1-2/256")
    for path in (url.rpartition("/")[0], url + "x", url.replace("a.png", "b.png")):
        assert await status(server, client, path) == 404


async def test_what_slixmpps_plugin_uploads_is_the_same_on_the_other_side(
    server: RunningServer, log_in: LogIn, client: aiohttp.ClientSession
) -> None:
    await serve_plain(server)
    romeo, juliet = await log_in("romeo@localhost/orchard"), await log_in("juliet@localhost/balcony")
    romeo.register_plugin("xep_0363")
    data = os.urandom(3_000_000)
    url = await romeo.plugin["xep_0363"].upload_file("a.jpg", len(data), input_file=BytesIO(data), timeout=20)
    romeo.send_message(mto="juliet@localhost", mbody=url, mtype="chat")
    async with client.get((await juliet.next("message"))["body"]) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
