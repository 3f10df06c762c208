"""A group while the server and its database are killed, the server is stopped, and links are cut: everybody in it
writes to it, and then all devices have to have shown every message that was acknowledged, none under two ids, and all
in one order.

    python -m tests.chaos.groups --seed 7 --rounds 30 --database sqlite
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from tests.server.raw_client import Closed, RawClient
from tests.server.running import PASSWORD
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

from .device import Device, Sent
from .journal import Journal
from .links import Links
from .processes import PostgreSQL, Server, free_port

ROOM: Final = "cave@conference.localhost"
_MUC: Final = "http://jabber.org/protocol/muc"
_EVERY: Final = 5  # rounds between two comparisons
_REST: Final = 60.0  # seconds until all must have everything
_SHOWN: Final = 5  # of each kind of finding


@dataclass(eq=False)
class Said(Sent):
    """A message to the room."""

    def xml(self) -> str:
        return super().xml().replace("type='chat'", "type='groupchat'", 1)


class Member(Device):
    """A device in the room. It enters it with each new session, and when it is told that it is not there."""

    def __init__(self, account: str, resource: str, port: int, journal: Journal, chance: random.Random) -> None:
        super().__init__(account, resource, port, journal, archive=False, chance=chance)
        self.order: list[str] = []
        """What its user sees, its own messages too."""
        self.twice: list[str] = []
        self._rows: dict[str, str] = {}
        self._texts: set[str] = set()

    def speak(self) -> None:
        """Write to the room, unless too much waits already."""
        if len(self._queue) + len(self._new) >= 40:
            return
        message = Said(self.jid, ROOM, len(self.sent) + 1, f"{self._chance.getrandbits(64):016x}")
        self.sent.append(message)
        self._by_id[message.id] = message
        if self.online:
            self._send(message)
        else:
            self._new.append(message)

    def _enter(self) -> None:
        nick = self.account.partition("@")[0]
        self._count(f"<presence to='{ROOM}/{nick}'><x xmlns='{_MUC}'/></presence>")

    async def _begin(self, client: RawClient) -> None:
        await super()._begin(client)
        self._enter()

    def _message(self, element: Element) -> None:
        text = element.child_text("jabber:client", "body")
        if element.get("type") == "error":
            message = self._by_id.get(element.get("id"))
            super()._message(element)
            if message is not None and message.refused == "not-acceptable":  # XEP-0410
                message.refused = ""
                message.acknowledged = False
                self._enter()
                self._send(message)
        elif element.get("type") == "groupchat" and text:
            id = next((each.get("id") for each in element if each.name == "stanza-id" and each.get("by") == ROOM), "")
            if id in self._rows:
                return
            self._rows[id] = text
            self._note(f"shows {text} {id}")
            if text in self._texts:
                self.twice.append(f"{self.jid}: {text}")
            self._texts.add(text)
            self.order.append(text)


class Groups:
    """A run in this folder."""

    def __init__(self, folder: Path, options: argparse.Namespace, database: str) -> None:
        self._options = options
        self._chance = random.Random(options.seed)
        self._postgresql = PostgreSQL(folder, {}) if database == "postgresql" else None
        self._url = self._postgresql.url if self._postgresql else f"sqlite:///{folder / 'chaos.sqlite'}"
        self._port = free_port()
        self._journal = Journal(folder / "journal.txt")
        self._server = Server(folder, self._url, self._port, {}, archive=True)
        self._members: list[Member] = []
        self._talking = False
        self.kills = self.stops = self.database_kills = 0

    async def run(self) -> bool:
        """Whether all was right."""
        links = await self._people()
        tasks = [asyncio.create_task(member.live()) for member in self._members]
        tasks.append(asyncio.create_task(self._talk()))
        good = True
        try:
            await self._rest()  # everybody is in the room before the first word
            for number in range(1, self._options.rounds + 1):
                self._talking = True
                await self._round(links)
                if number % _EVERY == 0 or number == self._options.rounds:
                    good = await self._compare(links, number)
                    if not good:
                        break
        finally:
            self._journal.flush()
            for member in self._members:
                member.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.close()
            links.close()
            if self._postgresql is not None:
                self._postgresql.stop()
        return good

    async def _people(self) -> Links:
        await migrate(self._url)
        store = await Store.open(self._url)
        verifiers = make_verifiers(PASSWORD)
        names = [f"person{number}" for number in range(self._options.people)]
        for name in names:
            await store.accounts.create(JID.parse(f"{name}@localhost"), verifiers)
        await store.close()
        await self._server.start()
        links = await Links.open(self._port)
        for name in names:
            for resource in ("phone", "laptop")[: 1 + (self._chance.random() < 0.3)]:
                port = links.port if self._chance.random() < 0.5 else self._port
                own = random.Random(f"{self._options.seed} {name} {resource}")
                self._members.append(Member(f"{name}@localhost", resource, port, self._journal, own))
        await self._make_room(names)
        return links

    async def _make_room(self, names: list[str]) -> None:
        owner = None
        while owner is None:
            with suppress(AssertionError, Closed):  # the server is busy with its start
                owner = await RawClient.login(self._members[0], names[0], resource="maker", tls="none")  # type: ignore[arg-type]
        await owner.send(f"<presence/><presence to='{ROOM}/{names[0]}'><x xmlns='{_MUC}'/></presence>")
        await owner.read_until("message", type="groupchat")
        field = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
        form = f"<query xmlns='{_MUC}#owner'><x xmlns='jabber:x:data' type='submit'>{field}</x></query>"
        items = "".join(f"<item jid='{name}@localhost' affiliation='member'/>" for name in names[1:])
        for id, payload in (("make", form), ("members", f"<query xmlns='{_MUC}#admin'>{items}</query>")):
            answer = await owner.ask(f"<iq type='set' id='{id}' to='{ROOM}'>{payload}</iq>", id)
            assert answer.get("type") == "result", answer
        await owner.leave()

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(1 / self._options.rate)
            if self._talking:
                self._chance.choice(self._members).speak()

    async def _round(self, links: Links) -> None:
        if self._server.ended:
            await self._server.start()
        await asyncio.sleep(self._chance.random())
        for link in self._chance.sample(links.open_links, len(links.open_links) // 3):
            self._chance.choice((link.ended, link.vanish))()
        for member in self._chance.sample(self._members, len(self._members) // 6):
            member.forget()
        if self._postgresql is not None and self._chance.random() < 0.3:
            self.database_kills += 1
            self._postgresql.kill()
            await asyncio.sleep(self._chance.random())
            await asyncio.to_thread(self._postgresql.start)
        await asyncio.sleep(self._chance.random())
        if self._chance.random() < 0.3:
            self.stops += 1
            await self._server.stop()
        else:
            self.kills += 1
            await self._server.kill()

    async def _rest(self) -> None:
        """Until everybody has sent and seen all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST):
                count = -1
                while (
                    not all(member.is_quiet for member in self._members)
                    or any(self._acknowledged() - set(member.order) for member in self._members)
                    or count != len(self._members[0].order)
                ):
                    count = len(self._members[0].order)
                    await asyncio.sleep(0.5)

    def _acknowledged(self) -> set[str]:
        return {
            message.text
            for member in self._members
            for message in member.sent
            if message.acknowledged and not message.refused
        }

    async def _compare(self, links: Links, number: int) -> bool:
        self._talking = False
        links.heal()
        await self._server.start()
        await self._rest()
        sent = [message for member in self._members for message in member.sent]
        acknowledged = self._acknowledged()
        found = {
            "lost": [f"{member.jid}: {text}" for member in self._members for text in acknowledged - set(member.order)],
            "reordered": [member.jid for member in self._members if member.order != self._members[0].order],
            "twice": [text for member in self._members for text in member.twice],
            "refused": [f"{message.text}: {message.refused}" for message in sent if message.refused],
            "restless": [member.jid for member in self._members if not member.is_quiet],
            "wrong": [text for member in self._members for text in member.wrong],
        }
        counts = ", ".join(f"{kind} {len(texts)}" for kind, texts in found.items())
        devices = len(self._members)
        print(
            f"  round {number}, {self.kills} kills, {self.database_kills} of the database, {self.stops} stops: "
            f"{devices} devices, sent {len(sent)}, acknowledged {len(acknowledged)}, {counts}",
            flush=True,
        )
        for kind, texts in found.items():
            for text in texts[:_SHOWN]:
                print(f"    {kind}: {text}")
        await self._server.kill()
        return not any(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second")
    options = parser.parse_args()
    for database in ("sqlite", "postgresql") if options.database == "both" else (options.database,):
        folder = Path(tempfile.mkdtemp(prefix="xmpp-chaos-groups-"))
        print(f"groups, {database}, seed {options.seed}, in {folder}", flush=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if not runner.run(Groups(folder, options, database).run()):
                return 1
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
