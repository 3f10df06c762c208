"""What TLS costs: KiB of PSS for an idle connection, CPU µs for a message, ms for a handshake.

    python -m bench.tls_memory [CONNECTIONS]

The server is this process: one uvloop Protocol for each connection, which echoes. The clients are a child process with
Python's own `ssl`. The same run without TLS gives what is to be taken off. Messages have 300 bytes; an idle connection
has exchanged 20 of them and one stanza of 60 KB.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from xmpp_server.net.certificates import generate
from xmpp_server.net.tls import TLSSession
from xmpp_server.net.tls_contexts import TLSContexts

MESSAGE = b"m" * 300
STANZA = b"s" * 60_000
PHASES = ("handshake and 1 message", "20 messages", "a stanza of 60 KB")


class Plain(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Encrypted(asyncio.Protocol):
    __slots__ = ("session", "transport")

    def __init__(self, contexts: TLSContexts) -> None:
        self.session = TLSSession(contexts)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        plaintext = self.session.receive(data)
        if plaintext:
            self.session.send(plaintext)
        if output := self.session.data_to_send():
            self.transport.write(output)

    def connection_lost(self, _reason: Exception | None) -> None:
        self.session.close()


def pss() -> int:
    """KiB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel tells no PSS")


def clients(port: int, count: int, context: ssl.SSLContext | None, done: int, go_on: int) -> None:
    """Runs the phases one after the other on all connections; tells the parent after each and waits for its word."""
    sockets: list[socket.socket] = []

    def exchange(connection: socket.socket, data: bytes, times: int) -> None:
        for _ in range(times):
            connection.sendall(data)
        missing = times * len(data)
        while missing:
            missing -= len(connection.recv(65536))

    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(context.wrap_socket(connection, server_hostname="localhost") if context else connection)
        exchange(sockets[-1], MESSAGE, 1)
    for data, times in ((b"", 0), (MESSAGE, 20), (STANZA, 1)):
        for connection in sockets:
            exchange(connection, data, times)
        os.write(done, b".")
        os.read(go_on, 1)


async def measure(name: str, count: int, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
    done_read, done = os.pipe()
    go_on, go_on_write = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    child = os.fork()
    if child == 0:
        clients(listener.getsockname()[1], count, tls, done, go_on)
        os._exit(0)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, sock=listener)
    before = pss()
    for phase in PHASES:
        cpu = time.process_time()
        finished = asyncio.Event()
        loop.add_reader(done_read, finished.set)
        await finished.wait()
        loop.remove_reader(done_read)
        os.read(done_read, 1)
        cpu = time.process_time() - cpu
        gc.collect()
        kib = (pss() - before) / count
        print(f"{name:6} after {phase:24} {kib:6.1f} KiB a connection, {cpu / count * 1e6:5.0f} µs CPU for each")
        os.write(go_on_write, b".")
    server.close()
    await asyncio.to_thread(os.waitpid, child, 0)


def handshake(contexts: TLSContexts, client: ssl.SSLContext) -> tuple[TLSSession, ssl.SSLObject, ssl.MemoryBIO, float]:
    """A session in memory with its client, the client's output, and the seconds that the server's side took."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    session, seconds = TLSSession(contexts), 0.0
    while not session.handshake_done:
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.do_handshake()
        data = to_server.read()
        start = time.process_time()
        session.receive(data)
        output = session.data_to_send()
        seconds += time.process_time() - start
        to_client.write(output)
    return session, peer, to_server, seconds


def measure_cpu(contexts: TLSContexts, client: ssl.SSLContext, times: int = 10_000) -> None:
    seconds = statistics.median(handshake(contexts, client)[-1] for _ in range(200))
    print(f"handshake {seconds * 1e3:.2f} ms of the server")
    session, peer, to_server, _ = handshake(contexts, client)
    records = []
    for _ in range(times):
        peer.write(MESSAGE)
        records.append(to_server.read())
    start = time.process_time()
    for record in records:
        session.receive(record)
    received = time.process_time()
    for _ in range(times):
        session.send(MESSAGE)
        session.data_to_send()
    sent = time.process_time()
    print(f"a message in {(received - start) / times * 1e6:.1f} µs, out {(sent - received) / times * 1e6:.1f} µs")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as directory:
        certificate = generate("localhost", Path(directory))
        contexts = TLSContexts({"localhost": certificate.files})
        client = ssl.create_default_context(cafile=str(certificate.files.chain))
        uvloop.run(measure("plain", count, Plain, None))
        uvloop.run(measure("TLS", count, lambda: Encrypted(contexts), client))
        measure_cpu(contexts, client)


if __name__ == "__main__":
    main()
