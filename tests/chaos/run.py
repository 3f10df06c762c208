"""One run: some people, one server, one database, and what is done to them."""

from __future__ import annotations

import asyncio
import random
from argparse import Namespace
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.server.running import PASSWORD
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

from . import disk
from .archives import Archives
from .checker import Checker, Findings
from .device import Device
from .disk import Disk
from .journal import Journal
from .links import Links
from .plan import Plan, Round, Trouble
from .processes import PostgreSQL, Server, free_port

_REST: Final = 30.0  # seconds until all must be quiet
_SILENCE: Final = 0.5  # seconds in which nothing more may come
_EVERY: Final = 20  # rounds between two comparisons
_TALKS: Final = 4  # conversations of each device
_PATIENCE: Final = 2.0  # seconds for which a point is waited for


class Chaos:
    """A run in this folder."""

    def __init__(self, folder: Path, options: Namespace, plan: Plan) -> None:
        self.ends: Counter[str] = Counter()
        """What ended the server, and how often."""
        self.troubles: Counter[str] = Counter()
        self.unsynced = 0
        """Writes that were lost, or some of them."""
        self.journal = Journal(folder / "journal.txt")
        self._options = options
        self._plan = plan
        sqlite = plan.database == "sqlite"
        database = folder / ("chaos.sqlite" if sqlite else "postgres")
        self._disk = Disk(folder, database)
        self._postgresql = None if sqlite else PostgreSQL(folder, self._disk.environment(notes=False))
        self._url = self._postgresql.url if self._postgresql else f"sqlite:///{database}"
        self._port = free_port()
        self._server = Server(folder, self._url, self._port, self._preloaded(), archive=plan.archive)
        self._devices: list[Device] = []
        self._talks: list[tuple[Device, str]] = []
        self._say = random.Random()
        self._talking = True
        self._tasks: list[asyncio.Task[None]] = []
        self._database = asyncio.Lock()
        """One trouble at a time makes the database unusable."""

    async def run(self) -> Findings:
        """All rounds; the last findings, or the first bad ones."""
        await self._people()
        checker = Checker(self._devices, archive=self._plan.archive)
        archives = Archives(self._url, {device.account for device in self._devices} if self._plan.archive else ())
        tasks = self._tasks = [asyncio.create_task(device.live()) for device in self._devices]
        tasks.append(asyncio.create_task(self._talk()))
        findings = Findings()
        first, rounds = self._options.first, self._options.rounds
        try:
            for number in range(first, first + rounds):
                await self._round(self._plan.round(number))
                if (number - first + 1) % _EVERY == 0 or number == first + rounds - 1:
                    findings = await self._compare(checker, archives)
                    kills = self.ends.total() - self.ends["stop"]
                    print(f"  round {number}, {kills} kills: {findings}", flush=True)
                    if not findings.good:
                        break
                    self.journal.begin()
        finally:
            self.journal.flush()
            for device in self._devices:
                device.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.close()
            self._links.close()
            if self._postgresql is not None:
                for what, text in (("no room", "No space left on device"), ("PANIC", "PANIC:")):
                    self.troubles[f"{what} in PostgreSQL's log"] = self._postgresql.logged(text)
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
        chance = self._plan.chance("people")
        for name in names:
            for resource in ("phone", "laptop")[: 1 + (chance.random() < 0.3)]:
                port = self._links.port if chance.random() < 0.5 else self._port
                archive = self._plan.archive and chance.random() < 0.7
                own = self._plan.chance(name, resource)
                device = Device(f"{name}@localhost", resource, port, self.journal, archive=archive, chance=own)
                self._devices.append(device)
        for device in self._devices:
            others = [name for name in names if not device.account.startswith(f"{name}@")]
            self._talks += [(device, f"{name}@localhost") for name in chance.sample(others, _TALKS)]

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(1 / self._options.rate)
            if self._talking:
                device, to = self._say.choice(self._talks)
                device.say(to)

    # -- a round

    async def _round(self, planned: Round) -> None:
        self.journal.note("====", str(planned))
        if self._options.show:
            print(f"  {planned}", flush=True)
        self._say = self._plan.chance("talk", planned.number)
        if self._server.ended:
            await self._server.start(self._environment(planned.point, planned.count))
        troubles = [
            asyncio.create_task(self._trouble(trouble, self._plan.chance("trouble", planned.number, each)))
            for each, trouble in enumerate(planned.troubles)
        ]
        if planned.point:
            await self._server.died(_PATIENCE)
        else:
            await asyncio.sleep(planned.seconds)
            if planned.stops:
                await self._server.stop()
            else:
                await self._server.kill()
        self.journal.note("====", "the server has ended")
        for task in troubles:
            await task
        if self._postgresql is None:
            loses = self._plan.chance("loss", planned.number) if planned.loss == "some" else None
            self.unsynced += self._disk.lose(loses)
        self.ends[planned.kind] += 1

    def _environment(self, point: str = "", count: int = 0) -> dict[str, str]:
        names = {"CHAOS_SYNCHRONOUS": self._options.synchronous} if self._options.synchronous else {}
        if point:
            kind = "CHAOS_DISK" if point in disk.POINTS else "CHAOS"
            names |= {f"{kind}_POINT": point, f"{kind}_COUNT": str(count)}
        return names

    def _preloaded(self) -> dict[str, str]:
        return self._disk.environment() if self._postgresql is None else {}

    async def _trouble(self, trouble: Trouble, chance: random.Random) -> None:
        await asyncio.sleep(trouble.at)
        self.journal.note("====", trouble.kind)
        self.troubles[trouble.kind] += 1
        if trouble.kind in ("cut", "vanish", "stall"):
            links = [link for link in self._links.open_links if not link.stalled]
            for link in chance.sample(links, len(links) // 3):
                {"cut": link.ended, "vanish": link.vanish, "stall": link.stall}[trouble.kind]()
            if trouble.kind == "stall":
                await asyncio.sleep(trouble.seconds)
                self._links.heal()
        elif trouble.kind == "full":
            async with self._database:
                self._disk.fill()
                if self._postgresql is not None and chance.random() < 0.5:
                    await self._postgresql.end_log_file()
                await asyncio.sleep(trouble.seconds)
                self._disk.free()
                if self._postgresql is not None:
                    await asyncio.to_thread(self._postgresql.start)
        elif trouble.kind == "database":
            assert self._postgresql is not None
            async with self._database:
                self._postgresql.kill()
                await asyncio.sleep(trouble.seconds)
                await asyncio.to_thread(self._postgresql.start)
        else:
            for device in chance.sample(self._devices, len(self._devices) // 8):
                if trouble.kind == "forget":
                    device.forget()
                else:
                    device.away = not device.away
                    if device.away:
                        device.drop()

    async def _compare(self, checker: Checker, archives: Archives) -> Findings:
        self._talking = False
        self._links.heal()
        for device in self._devices:
            device.away = False
        if self._postgresql is not None:
            await asyncio.to_thread(self._postgresql.start)
        await self._server.start(self._environment())
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST):
                while not all(device.is_quiet for device in self._devices):
                    await asyncio.sleep(0.05)
        shown = -1
        while shown != (shown := sum(len(device.shown) for device in self._devices)):
            await asyncio.sleep(_SILENCE)
        for task in self._tasks:
            if task.done():
                task.result()  # it ends by an error only
        restless = [device.jid for device in self._devices if not device.is_quiet]
        findings = checker.check(await archives.newer())
        findings.restless = restless
        self._talking = True
        await self._server.kill()
        return findings
