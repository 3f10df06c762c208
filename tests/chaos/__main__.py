"""`make chaos`: people talk while the server and its database are killed and links are cut; then ids are compared.

python -m tests.chaos --seed 7 --rounds 50 --database sqlite --archive on
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from tests.server.running import PASSWORD
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

from .checker import Findings, check
from .device import Device
from .launch import POINTS
from .links import Links
from .processes import PostgreSQL, Server

_REST: Final = 30.0  # seconds until all must be quiet
_SILENCE: Final = 1.0  # seconds in which nothing more may come
_EVERY: Final = 10  # rounds between two comparisons


class Chaos:
    """One run: some people, one server, one database."""

    def __init__(self, folder: Path, options: argparse.Namespace, *, database: str, archive: bool) -> None:
        self.kills: Counter[str] = Counter()
        self._folder = folder
        self._options = options
        self._archive = archive
        self._chance = random.Random(f"{options.seed} {database} {archive}")
        self._postgresql = PostgreSQL(folder) if database == "postgresql" else None
        self._url = self._postgresql.url if self._postgresql else f"sqlite:///{folder / 'chaos.sqlite'}"
        self._port = self._chance.randrange(20_000, 30_000)
        self._server = Server(folder, self._url, self._port, archive=archive)
        self._devices: list[Device] = []
        self._talks: list[tuple[Device, str]] = []
        self._talking = True
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> Findings:
        """All rounds; the last findings, or the first bad ones."""
        await self._people()
        tasks = self._tasks = [asyncio.create_task(device.live()) for device in self._devices]
        tasks.append(asyncio.create_task(self._talk()))
        findings = Findings()
        try:
            for number in range(1, self._options.rounds + 1):
                await self._round()
                if number % _EVERY == 0 or number == self._options.rounds:
                    findings = await self._compare()
                    print(f"  {number} rounds, {sum(self.kills.values())} kills: {findings}", flush=True)
                    if not findings.good:
                        break
        finally:
            for device in self._devices:
                device.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._server.ended:
                self._server.kill()
            self._links.close()
            if self._postgresql is not None:
                self._postgresql.stop()
        return findings

    async def _people(self) -> None:
        await migrate(self._url)
        store = await Store.open(self._url)
        verifiers = make_verifiers(PASSWORD)  # the same for all: a client derives its keys once
        names = [f"person{number}" for number in range(self._options.people)]
        for name in names:
            await store.accounts.create(JID.parse(f"{name}@localhost"), verifiers)
        await store.close()
        self._links = await Links.open(self._port)
        chance = self._chance
        for name in names:
            for resource in ("phone", "laptop")[: 1 + (chance.random() < 0.3)]:
                port = self._links.port if chance.random() < 0.5 else self._port
                archive = self._archive and chance.random() < 0.7
                device = Device(f"{name}@localhost", resource, port, archive=archive, chance=chance)
                self._devices.append(device)
        for device in self._devices:
            others = [name for name in names if not device.account.startswith(f"{name}@")]
            self._talks += [(device, f"{name}@localhost") for name in chance.sample(others, 2)]

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(1 / self._options.rate)
            if self._talking:
                device, to = self._chance.choice(self._talks)
                device.say(to)

    # -- a round

    async def _round(self) -> None:
        chance = self._chance
        fault = chance.choice(("kill", "point", "point", "stop" if chance.random() < 0.3 else "point"))
        point = chance.choice(POINTS) if fault == "point" else ""
        if self._server.ended:
            await self._server.start(point, chance.randint(1, 60 if "bytes" not in point else 2000))
        trouble = [asyncio.create_task(self._trouble()) for _ in range(chance.randint(0, 2))]
        if point:
            await self._server.died(3.0)
        else:
            await asyncio.sleep(chance.random())
            if fault == "stop":
                await self._server.stop()
            else:
                self._server.kill()
        self.kills[point or fault] += 1
        for task in trouble:
            await task

    async def _trouble(self) -> None:
        chance = self._chance
        await asyncio.sleep(chance.random())
        kind = chance.choice(("cut", "stall", "leave", "forget", "database"))
        if kind in ("cut", "stall"):
            links = list(self._links.open_links)
            for link in chance.sample(links, len(links) // 3):
                link.ended() if kind == "cut" else link.stall()
            if kind == "stall":
                await asyncio.sleep(chance.random())
                self._links.heal()
        elif kind == "database":
            if self._postgresql is not None:
                self._postgresql.kill()
                self.kills["PostgreSQL"] += 1
                await asyncio.sleep(chance.random())
                await asyncio.to_thread(self._postgresql.start)
        else:
            for device in chance.sample(self._devices, len(self._devices) // 8):
                if kind == "forget":
                    device.forget()
                else:
                    device.away = not device.away
                    if device.away:
                        device.drop()

    async def _compare(self) -> Findings:
        self._talking = False
        self._links.heal()
        for device in self._devices:
            device.away = False
        if self._server.ended:
            await self._server.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST):
                while not all(device.is_quiet for device in self._devices):
                    await asyncio.sleep(0.1)
        shown = -1
        while shown != (shown := sum(len(device.shown) for device in self._devices)):
            await asyncio.sleep(_SILENCE)
        for task in self._tasks:
            if task.done():
                task.result()  # it ends by an error only
        findings = check(self._devices)
        findings.restless = [device.jid for device in self._devices if not device.is_quiet]
        self._talking = True
        return findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--archive", choices=("on", "off", "both"), default="both")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rate", type=float, default=150.0, help="messages a second")
    options = parser.parse_args()
    for database in ("sqlite", "postgresql") if options.database == "both" else (options.database,):
        for archive in (True, False) if options.archive == "both" else (options.archive == "on",):
            print(f"{database}, archive {'on' if archive else 'off'}, seed {options.seed}", flush=True)
            folder = Path(tempfile.mkdtemp(prefix="xmpp-chaos-"))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                chaos = Chaos(folder, options, database=database, archive=archive)
                findings = runner.run(chaos.run())
            print(f"  {dict(chaos.kills)}")
            if not findings.good:
                print(f"  the server's log and data: {folder}")
                return 1
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
