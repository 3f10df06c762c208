"""Uploads and downloads, beside nginx: CPU a megabyte, and memory over idle while many are under way.

    python -m bench.transfers [--way plain ...] [--count 50] [--size 104857616] [--store-runs 1.0] [--out LINES]

All files are put at once, then had at once and their SHA-256 compared, over plain HTTP; ours also with TLS, and on to a
bucket of S3 (SeaweedFS). nginx (`apt-get install nginx-light`; its DAV module) has one worker; it knows no digests,
slots or quotas, and syncs nothing. CPU is that of the server's processes, user and system. Memory is their resident set
(RSS): idle before the first file comes, and the most of it as the kernel counts it (VmHWM), which misses no peak. Exit
code 1: ours took more than it may, a file did not come or did not come back as it was, or something was left over.
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
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import slixmpp
import uvloop

from bench.load import cpu, tree
from tests.s3 import S3

ROOT: Final = Path(__file__).parent.parent
SIZE: Final = 104_857_616  # the most that is taken by default
WAYS: Final = ("plain", "nginx", "tls", "s3", "s3-tls")
BLOCK: Final = os.urandom(1_048_576)
TAIL: Final = 16
OURS: Final = "xmpp-server"
ACCOUNT: Final = "romeo@localhost"
PASSWORD: Final = "bench"
MOST: Final = 64  # MiB over idle
TURN: Final = 0.5  # seconds in which a store that is made slow runs and stands once
FOLDER: Final = "[components.http_upload]\n"
GOOD: Final = {"upload": "201", "download": "sha256 equal"}

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
    """Where a file is put and had, and the headers that go with the PUT. No two files are the same: they end with their
    number."""

    url: str
    headers: dict[str, str]
    number: int


@dataclass(frozen=True)
class Server:
    """What runs. `folder` is where it keeps all that it writes, temporary files too."""

    name: str
    pid: int
    port: int
    folder: Path

    def files(self) -> set[str]:
        """All that it has now, with what is open though it was removed."""
        names = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        targets = [os.readlink(link) for link in Path(f"/proc/{self.pid}/fd").iterdir() if link.is_symlink()]
        return names | {target for target in targets if target.endswith(" (deleted)")}


@dataclass(frozen=True)
class Figures:
    """What was measured of one server in one direction; memory in MiB."""

    server: str
    what: str
    files: int
    size: int
    cpu_ms_per_mb: float
    idle: float
    most: float
    seconds: float
    outcomes: dict[str, int]
    left: list[str] = field(default_factory=list)

    @property
    def over_idle(self) -> float:
        return round(self.most - self.idle, 1)

    @property
    def is_good(self) -> bool:
        return self.over_idle <= MOST and self.outcomes == {GOOD[self.what]: self.files} and not self.left


# -- servers


@contextmanager
def ours(name: str, scheme: str = "http", uploads: str = FOLDER) -> Iterator[Server]:
    """A server with one account; the port is that for XMPP."""
    with _folder() as folder:
        c2s, http, https = _free_port(), _free_port(), _free_port()
        web = https if scheme == "https" else http
        file = folder / "xmpp-server.toml"
        text = CONFIGURATION.format(folder=folder, c2s=c2s, http=http, https=https, scheme=scheme, web=web)
        file.write_text(text + uploads + UNLIMITED)
        command = [Path(sys.executable).with_name("xmpp-server")]
        create = [*command, "account", "create", ACCOUNT, "--password-stdin", "--config", file]
        subprocess.run(create, input=f"{PASSWORD}\n".encode(), check=True, stdout=subprocess.DEVNULL)
        with _running([*command, "serve", "--config", file], http, folder) as pid:
            yield Server(name, pid, c2s, folder)


@contextmanager
def nginx() -> Iterator[Server]:
    """nginx."""
    with _folder() as folder:
        port, user = _free_port(), "root" if os.getuid() == 0 else "nobody"
        (folder / "files").mkdir()
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=port, user=user))
        with _running(["nginx", "-p", folder, "-c", file], port, folder) as pid:
            yield Server("nginx", pid, port, folder)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xmpp-transfers-") as name:
        (Path(name) / "tmp").mkdir()
        yield Path(name)


@asynccontextmanager
async def bucket(store_runs: float) -> AsyncIterator[S3]:
    """A store with a bucket, that is stopped in between so that it runs for this share of the time."""
    s3 = S3()
    slow = None
    try:
        await s3.make_bucket()
        if store_runs < 1:
            slow = asyncio.create_task(_in_turns(s3, store_runs))
        yield s3
    finally:
        if slow is not None:
            slow.cancel()
        s3.stop()


async def _in_turns(s3: S3, share: float) -> None:
    while True:
        s3.pause()
        await asyncio.sleep(TURN * (1 - share))
        s3.go_on()
        await asyncio.sleep(TURN * share)


@contextmanager
def _running(command: list[str | Path], port: int, folder: Path) -> Iterator[int]:
    environment = dict(os.environ, TMPDIR=str(folder / "tmp"))
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(command, cwd="/", env=environment, stdout=log, stderr=log) as process:
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
    for number in range(1, count + 1):
        answer = await client.plugin["xep_0363"].request_slot(slixmpp.JID("upload.localhost"), f"{number}.bin", size)
        put = answer["http_upload_slot"]["put"]
        header = put.xml[0]
        places.append(Place(put["url"], {header.get("name"): header.text}, number))
    await client.disconnect()
    return places


# -- clients


async def put(place: Place, size: int) -> str:
    """One file; the status of the answer."""
    async with _request("PUT", place, {"Content-Length": str(size), **place.headers}) as (reader, writer):
        with suppress(OSError):  # an error may be answered before the end
            for start in range(0, size - TAIL, len(BLOCK)):
                writer.write(BLOCK[: size - TAIL - start])
                await writer.drain()
            writer.write(_tail(place))
        return await _status(reader)


async def get(place: Place, size: int) -> str:
    """The same file: whether it is as it was; or the status of another answer than 200."""
    async with _request("GET", place, {}) as (reader, _):
        if (status := await _status(reader)) != "200":
            return status
        found, left = hashlib.sha256(), size
        while left and (piece := await reader.read(min(left, len(BLOCK)))):
            found.update(piece)
            left -= len(piece)
    wanted = _digest(size - TAIL).copy()
    wanted.update(_tail(place))
    return "sha256 equal" if found.digest() == wanted.digest() else "sha256 differs"


@cache
def _digest(size: int) -> hashlib._Hash:
    """Of what is the same in all files."""
    digest = hashlib.sha256()
    for start in range(0, size, len(BLOCK)):
        digest.update(BLOCK[: size - start])
    return digest


def _tail(place: Place) -> bytes:
    return place.number.to_bytes(TAIL)


async def _status(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
    except (OSError, EOFError):
        return "no answer"


@asynccontextmanager
async def _request(
    method: str, place: Place, headers: dict[str, str]
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(place.url)
    assert url.hostname is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=len(BLOCK), ssl=tls)
    lines = [f"{method} {url.path} HTTP/1.1", "Host: localhost", *(f"{name}: {text}" for name, text in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        yield reader, writer
    finally:
        writer.close()


# -- measuring


def resident(pid: int, key: str = "VmRSS") -> float:
    """MiB of a process and those that it started, now; or with `VmHWM` the most since `forget_most`."""
    texts = [Path(f"/proc/{each}/status").read_text() for each in tree(pid)]
    return sum(int(text.partition(f"\n{key}:")[2].split()[0]) for text in texts) / 1024


def forget_most(pid: int) -> None:
    """The most that is resident is what is now."""
    for each in tree(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


async def measure(
    server: Server, idle: float, what: str, work: Callable[[Place, int], Awaitable[str]], places: list[Place], size: int
) -> tuple[Figures, list[Place]]:
    """All at once. Returns the places with which it went well too."""
    await asyncio.sleep(1)
    forget_most(server.pid)
    before, began = cpu(server.pid), time.monotonic()
    outcomes = await asyncio.gather(*(work(place, size) for place in places))
    seconds = time.monotonic() - began
    used = (cpu(server.pid) - before) * 1_000_000_000 / (len(places) * size)
    most = resident(server.pid, "VmHWM")
    numbers = (round(used, 3), round(idle, 1), round(most, 1), round(seconds, 1))
    figures = Figures(server.name, what, len(places), size, *numbers, dict(Counter(outcomes)))
    good = [place for place, outcome in zip(places, outcomes, strict=True) if outcome == GOOD[what]]
    return figures, good


async def compare(
    ways: Collection[str] = WAYS, count: int = 50, size: int = SIZE, store_runs: float = 1.0
) -> list[Figures]:
    """Ours in these ways, and nginx if it is there."""
    figures: list[Figures] = []

    async def both(server: Server, places: list[Place], stored: Callable[[str], bool], s3: S3 | None = None) -> None:
        """`stored`: whether a file of the server's is one that was put."""
        await asyncio.sleep(1)
        idle, before = resident(server.pid), server.files()
        uploads, there = await measure(server, idle, "upload", put, places, size)
        left = sorted(name for name in server.files() - before if not stored(name))
        if s3 is not None:
            left += await s3.unfinished()
        figures.append(replace(uploads, left=left))
        figures.append((await measure(server, idle, "download", get, there, size))[0])
        if not all(each.is_good for each in figures[-2:]):
            print((server.folder / "log").read_text()[-4000:], file=sys.stderr)

    async def on_disk(name: str, scheme: str = "http") -> None:
        with ours(name, scheme) as server:
            places = await slots(server.port, count, size)
            await both(server, places, lambda name: name.startswith("uploads/") and not name.endswith(".part"))

    async def on_s3(name: str, scheme: str = "http") -> None:
        async with bucket(store_runs) as s3:
            with ours(name, scheme, s3.options()) as server:
                await both(server, await slots(server.port, count, size), lambda _: False, s3)

    if "plain" in ways:
        await on_disk(OURS)
    if "nginx" in ways and shutil.which("nginx"):
        with nginx() as server:
            places = [Place(f"http://127.0.0.1:{server.port}/{n}.bin", {}, n) for n in range(1, count + 1)]
            await both(server, places, lambda name: name.startswith("files/"))
    if "tls" in ways:
        await on_disk(f"{OURS}, TLS", "https")
    if "s3" in ways:
        await on_s3(f"{OURS}, S3")
    if "s3-tls" in ways:
        await on_s3(f"{OURS}, TLS, S3", "https")
    return figures


def table(figures: Iterable[Figures]) -> str:
    """Markdown."""
    heads = ("", "server", "CPU ms a MB", "RSS idle, MiB", "at most", "over idle", "seconds", "outcome", "left over")
    lines = [f"| {' | '.join(heads)} |".replace("|  |", "| |"), "|---" * len(heads) + "|"]
    for each in sorted(figures, key=lambda each: each.what, reverse=True):
        what = f"{each.what} of {each.files} x {each.size / 1_000_000:.1f} MB at once"
        memory = f"{each.idle:.1f} | {each.most:.1f} | {each.over_idle:.1f}"
        outcomes = ", ".join(f"{number} x {outcome}" for outcome, number in each.outcomes.items())
        left = ", ".join(each.left) or "nothing"
        cells = (what, each.server, f"{each.cpu_ms_per_mb:.2f}", memory, f"{each.seconds:.1f}", outcomes, left)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", dest="ways", action="append", choices=WAYS, help="one of them; without it all")
    parser.add_argument("--count", type=int, default=50, help="files at once")
    parser.add_argument("--size", type=int, default=SIZE, help="octets of each")
    parser.add_argument("--store-runs", type=float, default=1.0, help="the share of the time that the S3 is let run")
    parser.add_argument("--out", type=Path, help="file for the lines of JSON")
    given = parser.parse_args()
    figures = uvloop.run(compare(given.ways or WAYS, given.count, given.size, given.store_runs))
    if given.out:
        with given.out.open("a") as out:
            out.writelines(json.dumps(asdict(each)) + "\n" for each in figures)
    print(table(figures))
    return int(any(each.server.startswith(OURS) and not each.is_good for each in figures))


if __name__ == "__main__":
    sys.exit(main())
