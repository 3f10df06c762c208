"""Serving until a signal comes, and what a person is told meanwhile."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import Final

import uvloop

from xmpp_server.config import Config

from .server import App

_GARBAGE: Final = (50_000, 20, 20)
"""Objects until the search for garbage. Messages in flight are none, and there are many objects to each: with Python's
700 the search took two fifths of the CPU of a message with the archive on. What is there when the server has started
stays, and is not searched at all."""


def run(config: Config) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP reloads. Raises what `App.start` raises."""
    gc.set_threshold(*_GARBAGE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config))


async def _serve(config: Config) -> None:
    app = App(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(app.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await app.start()
    gc.collect()
    gc.freeze()
    loop.add_signal_handler(signal.SIGHUP, reload)
    _greet(app)
    await stop.wait()
    _say("Stopping: telling the clients, and writing what is left.")
    await app.stop()


def _greet(app: App) -> None:
    """How to connect, for whoever started the server."""
    domain = next(iter(app.config.hosts))
    _say(f"Serving {', '.join(app.config.hosts)}:")
    for kind, address, port in app.addresses:
        _say(f"  {kind:15} {f'[{address}]' if ':' in address else address}:{port}")
    for account, password in app.passwords.items():
        _say(f"Made the account {account} with the password {password}")
        _say("  (it is shown this once; `xmpp-server account password` sets another)")
    _, address, port = app.addresses[0]
    _say(f"Connect a client: account NAME@{domain}, server {address}, port {port}, and trust the certificate in")
    _say(f"  {app.config.certificate_files(domain)[0]}")
    _say("Make accounts with `xmpp-server account create NAME@" + domain + "`. Stop with Ctrl-C.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
