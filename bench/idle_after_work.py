"""Memory of idle sessions that have worked: KiB of PSS for each session, on a server that was just started.

    python -m bench.idle_after_work --name ours --start bench/start.sh --port 21000 --work W --out out.jsonl

Each session logs in, sends 20 messages to its neighbour and gets 20, then sends and gets one stanza of 60 KB. Memory is
taken after each of these, as `load.py idle` takes it: without stream management, on plain TCP and under TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop

from bench.load import Client, close_many, gather, login_many, mem, register

MESSAGES = 20
LARGE = 60_000  # bytes
QUIET = 3.0  # seconds before memory is looked at


@contextmanager
def running(start: str, folder: str, port: int) -> Iterator[int]:
    """A server on this data, by its start script; its pid."""
    output = subprocess.run([start, folder, str(port)], stdout=subprocess.PIPE, check=True, timeout=120).stdout
    pid = int(output.split()[-1])
    try:
        yield pid
    finally:
        end(pid)


def end(pid: int) -> None:
    """SIGTERM, and SIGKILL after 15 seconds."""
    with suppress(OSError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(150):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)


def options(port: int, count: int, *, tls: bool) -> argparse.Namespace:
    """What the clients of `load.py` want to know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return argparse.Namespace(
        host="127.0.0.1", port=port, domain="localhost", tls=tls, ctx=context, auth="scram", sm=False, label="",
        no_xml_decl=False, users_prefix="user", password="password", server_pid=0, loop="uvloop", count=count,
    )  # fmt: skip


async def exchange(clients: list[Client], size: int, times: int) -> None:
    """Each client sends so many messages with a body of this size to its neighbour, one after the other."""

    async def one(number: int) -> None:
        client, neighbour = clients[number], clients[number ^ 1]
        body = b"m" * size
        to = neighbour.jid.split(b"/")[0]
        for turn in range(times):
            arrived = neighbour.until(re.compile(rb"</message>"))
            client.send(b"<message to='%s' type='chat' id='%d'><body>%s</body></message>" % (to, turn, body))
            await arrived

    await gather(len(clients), one, 20)


async def measure(name: str, pid: int, o: argparse.Namespace) -> dict[str, object]:
    """The figures of one server that was just started."""
    await asyncio.sleep(QUIET)
    before = mem(pid)[0]
    row: dict[str, object] = {"scenario": "idle_after_work", "label": name, "tls": o.tls, "sm": False, "count": o.count}
    clients = await login_many(o, o.count)

    async def look(after: str) -> None:
        await asyncio.sleep(QUIET)
        row[f"kib_{after}"] = round((mem(pid)[0] - before) / o.count, 2)

    await look("login")
    await exchange(clients, 200, MESSAGES)
    await look("messages")
    await exchange(clients, LARGE, 1)
    await look("large_stanza")
    row["alive"] = sum(not client.closed for client in clients)
    await close_many(clients)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--start", required=True, help="script, called with DIR PORT")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--work", help="folder for the data")
    parser.add_argument("--out", help="file that lines are appended to")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    start = os.path.abspath(given.start)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        with running(start, folder, given.port):
            uvloop.run(register(options(given.port, given.count, tls=False)))
        for tls in (False, True) * given.repeat:
            with running(start, folder, given.port) as pid:
                line = json.dumps(uvloop.run(measure(given.name, pid, options(given.port, given.count, tls=tls))))
            print(line, flush=True)
            if given.out:
                with open(given.out, "a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
