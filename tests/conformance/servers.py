"""The servers that are tried: each by its script in `bench/`, with fresh data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_DEADLINE: Final = 30.0  # seconds


@dataclass(frozen=True)
class Server:
    """`program` has to be installed; `product` is the name that it gives itself; `certificate` lies in its folder; it
    listens on `ports` and after."""

    name: str
    script: str
    program: str
    product: str
    certificate: str
    ports: int


SERVERS: Final = (
    Server("xmpp-server", "start.sh", "", "xmpp-server", "certificates/localhost.crt", 23000),
    Server("prosody", "peers/prosody.sh", "prosody", "Prosody", "localhost.crt", 24000),
    Server("ejabberd", "peers/ejabberd.sh", "ejabberdctl", "ejabberd", "c", 25000),
)


@dataclass(frozen=True)
class Running:
    """A server that answers, and where."""

    server: Server
    folder: Path
    port: int
    direct_tls: int
    http: int
    https: int


def installed(server: Server) -> bool:
    """Whether it can be started here."""
    return not server.program or shutil.which(server.program) is not None


@contextmanager
def running(server: Server, folder: Path, beside: int = 0, **more: str) -> Iterator[Running]:
    """Start it with fresh data in this folder, and stop it in the end; `beside` keeps the ports of two starts apart,
    `more` is what the script is told besides."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = Running(server, folder, *_free_ports(server.ports + beside, 4))
    environment = {
        **os.environ,
        "FULL": "1",
        "MAM": "1",
        "HTTP_PORT": str(started.http),
        "HTTPS_PORT": str(started.https),
        "DIRECT_TLS_PORT": str(started.direct_tls),
        **more,
    }
    script = ROOT / "bench" / server.script
    output = subprocess.run(
        [script, folder, str(started.port)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    pid = int(output.stdout.split()[-1])
    try:
        yield started
    finally:
        _stop(pid)


def _free_ports(at: int, count: int) -> list[int]:
    """Ports from there on that nobody listens on, each with a free one above it, which ejabberd's script takes."""
    found: list[int] = []
    while len(found) < count:
        at += 2
        if _free(at) and _free(at + 1):
            found.append(at)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _stop(pid: int) -> None:
    end = time.monotonic() + _DEADLINE
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < end:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
