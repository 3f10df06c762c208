"""Uploads and downloads, beside nginx: CPU a megabyte, and memory over idle while many are under way.

    python -m bench.transfers [--count 50] [--megabytes 100] [--out LINES]

All files are put at once, then had at once, over plain HTTP; ours also with TLS, and on to a bucket of S3. nginx
(`apt-get install nginx-light`; its DAV module) has one worker; it knows no digests, slots or quotas, and syncs nothing.
CPU is that of the server's processes, user and system; memory is PSS. Exit code 1: ours took more than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import slixmpp
import uvloop

from bench.load import cpu, mem
from tests.s3 import S3

ROOT: Final = Path(__file__).parent.parent
MEGABYTE: Final = 1_000_000
BLOCK: Final = os.urandom(MEGABYTE)
OURS: Final = "xmpp-server"
ACCOUNT: Final = "romeo@localhost"
PASSWORD: Final = "bench"
MOST: Final = 64  # MiB over idle
EVERY: Final = 0.05  # seconds between two looks at the memory

CONFIGURATION: Final = """
[server]
data = '{folder}'
[listen.c2s]
port = {c2s}
[listen.direct_tls]
enabled = false
[listen.http]
port = {http}
[listen.https]
port = {https}
[http]
url = "{scheme}://127.0.0.1:{web}"
"""
UNLIMITED: Final = """
daily_bytes = 0
slots = 10000
"""
NGINX: Final = """
daemon off; user {user}; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""


@dataclass(frozen=True)
class Place:
    """Where a file is put and had, and the headers that go with the PUT."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Figures:
    """What was measured of one server in one direction."""

    server: str
    what: str
    files: int
    megabytes: int
    cpu_ms_per_mb: float
    mib_over_idle: float
    seconds: float


# -- servers


@contextmanager
def ours(scheme: str = "http", uploads: str = "[components.http_upload]\n") -> Iterator[tuple[int, int]]:
    """A server with one account: its pid, and its port for XMPP."""
    with tempfile.TemporaryDirectory(prefix="xmpp-transfers-") as folder:
        c2s, http, https = _free_port(), _free_port(), _free_port()
        web = https if scheme == "https" else http
        file = Path(folder) / "xmpp-server.toml"
        text = CONFIGURATION.format(folder=folder, c2s=c2s, http=http, https=https, scheme=scheme, web=web)
        file.write_text(text + uploads + UNLIMITED)
        command = [Path(sys.executable).with_name("xmpp-server")]
        create = [*command, "account", "create", ACCOUNT, "--password-stdin", "--config", file]
        subprocess.run(create, input=f"{PASSWORD}\n".encode(), check=True, stdout=subprocess.DEVNULL)
        with _running([*command, "serve", "--config", file], http) as pid:
            yield pid, c2s


@contextmanager
def nginx() -> Iterator[tuple[int, int]]:
    """nginx: its pid and its port."""
    with tempfile.TemporaryDirectory(prefix="xmpp-transfers-") as folder:
        port, user = _free_port(), "root" if os.getuid() == 0 else "nobody"
        (Path(folder) / "files").mkdir()
        file = Path(folder) / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=port, user=user))
        with _running(["nginx", "-p", folder, "-c", file], port) as pid:
            yield pid, port


@contextmanager
def _running(command: list[str | Path], port: int) -> Iterator[int]:
    with subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        raise
                    time.sleep(0.1)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def slots(port: int, count: int, size: int) -> list[Place]:
    """As many slots, by XMPP."""
    client = slixmpp.ClientXMPP(ACCOUNT, PASSWORD)
    client.ssl_context.check_hostname = False
    client.ssl_context.verify_mode = 0
    client.register_plugin("xep_0363")
    started = asyncio.Event()
    client.add_event_handler("session_start", lambda _: started.set())
    client.connect("127.0.0.1", port)
    await asyncio.wait_for(started.wait(), 30)
    places = []
    for number in range(count):
        answer = await client.plugin["xep_0363"].request_slot(slixmpp.JID("upload.localhost"), f"{number}.bin", size)
        put = answer["http_upload_slot"]["put"]
        header = put.xml[0]
        places.append(Place(put["url"], {header.get("name"): header.text}))
    await client.disconnect()
    return places


# -- clients


async def put(place: Place, megabytes: int) -> None:
    """One file of as many blocks."""
    async with _request("PUT", place, {"Content-Length": str(megabytes * MEGABYTE), **place.headers}) as (
        reader,
        writer,
    ):
        for _ in range(megabytes):
            writer.write(BLOCK)
            await writer.drain()
        status = await reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 201"), status


async def get(place: Place, megabytes: int) -> None:
    """The same file, looked at to its end."""
    async with _request("GET", place, {}) as (reader, _):
        status = await reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200"), status
        left = megabytes * MEGABYTE
        while left:
            left -= len(await reader.readexactly(min(left, MEGABYTE // 2)))


async def is_whole(place: Place, megabytes: int) -> bool:
    """Whether what is had is what was put."""
    async with _request("GET", place, {}) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        found = hashlib.sha256(await reader.readexactly(megabytes * MEGABYTE))
    wanted = hashlib.sha256()
    for _ in range(megabytes):
        wanted.update(BLOCK)
    return found.digest() == wanted.digest()


@asynccontextmanager
async def _request(
    method: str, place: Place, headers: dict[str, str]
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(place.url)
    assert url.hostname is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=MEGABYTE, ssl=tls)
    lines = [f"{method} {url.path} HTTP/1.1", "Host: localhost", *(f"{name}: {text}" for name, text in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        yield reader, writer
    finally:
        writer.close()


# -- measuring


async def measure(
    server: str, pid: int, what: str, work: Callable[[Place, int], object], places: list[Place], megabytes: int
) -> Figures:
    """All at once."""
    await asyncio.sleep(1)
    idle, before, began, most = mem(pid)[0], cpu(pid), time.monotonic(), 0
    tasks = [asyncio.ensure_future(work(place, megabytes)) for place in places]  # type: ignore[arg-type]
    while True:
        most = max(most, mem(pid)[0])
        done, waiting = await asyncio.wait(tasks, timeout=EVERY)
        for task in done:
            task.result()
        if not waiting:
            break
    seconds = time.monotonic() - began
    used = (cpu(pid) - before) * 1000 / (len(places) * megabytes)
    return Figures(
        server, what, len(places), megabytes, round(used, 3), round((most - idle) / 1024, 1), round(seconds, 1)
    )


async def compare(count: int = 50, megabytes: int = 100) -> list[Figures]:
    """Ours in all ways, and nginx if it is there."""

    async def ours_by(name: str, scheme: str = "http", uploads: str = "[components.http_upload]\n") -> None:
        with ours(scheme, uploads) as (pid, port):
            await both(name, pid, await slots(port, count + 1, megabytes * MEGABYTE))

    async def both(name: str, pid: int, places: list[Place]) -> None:
        warm, *places = places
        await put(warm, megabytes)
        figures.append(await measure(name, pid, "upload", put, places, megabytes))
        assert await is_whole(places[-1], megabytes)
        figures.append(await measure(name, pid, "download", get, places, megabytes))

    figures: list[Figures] = []
    await ours_by(OURS)
    if shutil.which("nginx"):
        with nginx() as (pid, port):
            await both("nginx", pid, [Place(f"http://127.0.0.1:{port}/{n}.bin", {}) for n in range(count + 1)])
    await ours_by(f"{OURS}, TLS", "https")
    s3 = S3()
    try:
        await s3.make_bucket()
        await ours_by(f"{OURS}, S3", uploads=s3.options())
    finally:
        s3.stop()
    return figures


def table(figures: list[Figures]) -> str:
    """Markdown."""
    lines = ["| | server | CPU ms a MB | MiB over idle, at most | seconds |", "|---|---|---|---|---|"]
    for each in sorted(figures, key=lambda each: each.what, reverse=True):
        numbers = f"{each.cpu_ms_per_mb:.2f} | {each.mib_over_idle:.1f} | {each.seconds:.1f}"
        lines.append(f"| {each.what} of {each.files} x {each.megabytes} MB at once | {each.server} | {numbers} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--out", type=Path, help="file for the lines of JSON")
    given = parser.parse_args()
    figures = uvloop.run(compare(given.count, given.megabytes))
    if given.out:
        with given.out.open("a") as out:
            out.writelines(json.dumps(asdict(each)) + "\n" for each in figures)
    print(table(figures))
    return int(any(each.server.startswith(OURS) and each.mib_over_idle > MOST for each in figures))


if __name__ == "__main__":
    sys.exit(main())
