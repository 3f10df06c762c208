"""Two people find each other and talk encrypted, and beside it stands what the server keeps of it.

`make demo`, or `python -m tests.demo`: a server of its own on a free port with its data in a temporary folder, and two
clients with slixmpp and OMEMO. In half a minute it is over, and nothing is left. It exits with 1 where something is not
as it is told here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import sqlite3
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path
from typing import Final

import uvloop

from tests.server.omemo_person import Keys, OmemoPerson
from tests.server.person import DEADLINE
from tests.server.running import RunningServer

ANN: Final = "ann@localhost"
BEN: Final = "ben@localhost"
_PAUSE: Final = 1.2  # seconds, for who reads along
_WIDTH: Final = max(80, min(shutil.get_terminal_size((120, 24)).columns, 150))
_LEFT: Final = _WIDTH * 2 // 5
_COLOURS: Final = {"ann": "36", "ben": "33", "server": "35", "note": "1"}
_PAYLOAD: Final = re.compile(rb"<payload>([^<]*)</payload>")


def paint(text: str, colour: str) -> str:
    """The text in the colour, where it is a terminal that shows it."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


async def tell(text: str, who: str = "note") -> None:
    """A line on the side of the people."""
    for line in textwrap.wrap(text, _LEFT - 2) if who != "note" else [text]:
        print(paint(line, who), flush=True)
    await asyncio.sleep(_PAUSE / 2)


async def stored(text: str) -> None:
    """A line on the side of the server."""
    for line in textwrap.wrap(text, _WIDTH - _LEFT - 2):
        print(" " * _LEFT + paint(f"│ {line}", "server"), flush=True)
    await asyncio.sleep(_PAUSE / 2)


class Demo:
    """A server with its database, and what was said."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self._folder = folder
        self._server = server
        self._database = folder / "demo.db"
        self._said: list[str] = []

    async def comes(self, address: str, keys: Keys | None = None) -> OmemoPerson:
        """Somebody goes online, with the keys of the device."""
        person = OmemoPerson(self._server, f"{address}/phone", keys=keys)
        self._server.hang_up.append(person.abort)
        await person.log_in()
        await person.come_online()
        await person.omemo_ready()
        await tell(f"{_name(address)} is online", _name(address))
        return person

    async def says(self, person: OmemoPerson, to: str, text: str) -> None:
        """It is sent encrypted; what the archive got of it is shown."""
        self._said.append(text)
        await tell(f"{_name(person.boundjid.bare)}: {text}", _name(person.boundjid.bare))
        await person.say_encrypted(to, text)
        await person.sees_nothing_more("message_error")
        await self._show_archive(person.boundjid.bare)

    async def reads(self, person: OmemoPerson) -> None:
        """What comes is decrypted."""
        text = await person.reads()
        assert text in self._said
        await tell(f"{_name(person.boundjid.bare)} reads: {text}", _name(person.boundjid.bare))

    async def leaves(self, person: OmemoPerson) -> None:
        """Somebody goes offline."""
        await person.disconnect()
        await tell(f"{_name(person.boundjid.bare)} is away", _name(person.boundjid.bare))

    async def waiting(self, address: str) -> None:
        """How much waits for who is away."""
        (number,) = self._select("SELECT count(*) FROM inbox WHERE account = ?", address)[0]
        await stored(f"waiting for {_name(address)}: {number}")

    async def search(self) -> None:
        """Every file of the server is searched for every word that was said."""
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        content = b"".join(path.read_bytes() for path in files)
        for text in self._said:
            assert text.encode() not in content, text
        sizes = f"{len(files)} files ({len(content) // 1024} KiB)"
        await stored(f"searched {sizes} for each of the {len(self._said)} messages: not one is found")

    async def _show_archive(self, account: str) -> None:
        rows = self._select("SELECT n, stanza FROM archive WHERE account = ? ORDER BY n DESC LIMIT 5", account)
        found = next((stanza, payload) for _, stanza in rows if (payload := _PAYLOAD.search(stanza)) is not None)
        await stored(f"{len(found[0])} octets, of them {found[1][0].decode()}")

    def _select(self, query: str, *values: object) -> list[tuple[int, bytes]]:
        connection = sqlite3.connect(self._database)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()


def _name(address: str) -> str:
    return address.partition("@")[0]


async def play(demo: Demo, server: RunningServer) -> None:
    """The whole conversation."""
    await tell(f"{'What people see':<{_LEFT}}│ What the server stores")
    for address in (ANN, BEN):
        await server.account(address)
    ann, ben = await demo.comes(ANN), await demo.comes(BEN)
    ann.send_presence_subscription(BEN)
    await ben.next("presence_subscribe")
    ben.send_presence(pto=ANN, ptype="subscribed")
    ben.send_presence_subscription(ANN)
    await ann.next("presence_subscribe")
    ann.send_presence(pto=BEN, ptype="subscribed")
    await ben.next("presence_subscribed")
    await tell("ann and ben found each other, and each other's keys")
    await stored("public keys of 2 devices, open to everybody; no private ones")

    await demo.says(ann, BEN, "Ben, is that you?")
    await demo.reads(ben)
    await demo.says(ben, ANN, "Yes! Nobody else can read this.")
    await demo.reads(ann)
    await demo.leaves(ben)
    await demo.says(ann, BEN, "Then meet me at the old mill")
    await demo.says(ann, BEN, "at half past nine, and bring the map")
    await demo.waiting(BEN)
    await demo.leaves(ann)
    ben = await demo.comes(BEN, ben.keys)
    await demo.reads(ben)
    await demo.reads(ben)
    await demo.says(ben, ANN, "I will be there")
    await demo.waiting(ANN)
    await demo.leaves(ben)
    ann = await demo.comes(ANN, ann.keys)
    await demo.reads(ann)
    await ann.disconnect()
    await demo.search()


async def main() -> None:
    """Start the server, play, stop it, and remove what it left."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xmpp-demo-") as name:
        folder = Path(name)
        server = await RunningServer.start(folder / "data", f"sqlite:///{folder / 'demo.db'}")
        try:
            async with asyncio.timeout(5 * DEADLINE):
                await play(Demo(folder, server), server)
        finally:
            for hang_up in server.hang_up:
                hang_up()
            await server.stop()
    await tell(f"That took {time.monotonic() - started:.0f} seconds. `make run` starts a server that stays.")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
