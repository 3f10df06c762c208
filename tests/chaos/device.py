"""A device of somebody: a client that speaks XEP-0198 exactly, sends again what was not acknowledged as Conversations
and Gajim do (same id and origin-id, every other one with a `<delay/>`), shows a stanza-id once, and with an archive
asks for what it missed (XEP-0313) before it shows what came meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError

from tests.server.raw_client import Closed, RawClient
from tests.server.running import PASSWORD
from xmpp_server.protocol.element import Element

from .journal import Journal

SM: Final = "urn:xmpp:sm:3"
MAM: Final = "urn:xmpp:mam:2"
_CLIENT: Final = "jabber:client"
_DELAY: Final = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
_MOST_WAITING: Final = 40
_STANZAS: Final = ("message", "presence", "iq")


@dataclass(eq=False)
class Sent:
    """A message of ours: the `number`-th from `sender` (a full address) to the account `to`."""

    sender: str
    to: str
    number: int
    id: str
    acknowledged: bool = False
    tried: bool = False
    """Whether it was sent before."""
    refused: str = ""
    """The condition of the error that answered it."""

    @property
    def text(self) -> str:
        return f"{self.sender} {self.to} {self.number}"

    def xml(self) -> str:
        """To be sent now."""
        origin = f"<origin-id xmlns='urn:xmpp:sid:0' id='{self.id}'/>"
        delay = _DELAY if self.tried and self.number % 2 else ""
        self.tried = True
        return f"<message to='{self.to}' type='chat' id='{self.id}'><body>{self.text}</body>{origin}{delay}</message>"


class Shown(NamedTuple):
    """What a user sees; `at` on the clock of all devices."""

    at: float
    text: str


class Device:
    """One device. `port` is where it connects to, `archive` whether it asks for what it missed. Its ids and pauses are
    drawn from `chance`."""

    hang_up: list[Callable[[], None]]
    direct_tls_port = 0
    domain = "localhost"

    def __init__(
        self, account: str, resource: str, port: int, journal: Journal, *, archive: bool, chance: random.Random
    ) -> None:
        self.account = account
        self.jid = f"{account}/{resource}"
        self.port = port
        self.archive = archive
        self.away = False
        self.sent: list[Sent] = []
        self.shown: list[Shown] = []
        """What its user sees, in that order, of others."""
        self.wrong: list[str] = []
        """What the server must not say."""
        self.online = False
        self.hang_up = []
        self._journal = journal
        self._resource = resource
        self._chance = chance
        self._numbers: dict[str, int] = {}
        self._client: RawClient | None = None
        self._id = ""
        self._h = 0
        self._queue: deque[Sent | str] = deque()
        """Stanzas since `<enable/>` that are not acknowledged; those that are no messages as they were sent."""
        self._acknowledged = 0
        self._new: deque[Sent] = deque()
        self._by_id: dict[str, Sent] = {}
        self._ids: set[str] = set()
        """Stanza ids that were shown."""
        self._held: list[tuple[str, str]] | None = None
        """What came while the archive is asked."""
        self._last = ""
        self._over = False

    # -- its user

    def say(self, to: str) -> None:
        """Write to an account, unless too much waits already."""
        if len(self._queue) + len(self._new) >= _MOST_WAITING:
            return
        number = self._numbers[to] = self._numbers.get(to, 0) + 1
        message = Sent(self.jid, to, number, f"{self._chance.getrandbits(64):016x}")
        self.sent.append(message)
        self._by_id[message.id] = message
        if self.online:
            self._send(message)
            if self._chance.random() < 0.3:
                self._write(f"<r xmlns='{SM}'/>")
        else:
            self._new.append(message)

    def drop(self) -> None:
        """The network is gone."""
        if self._client is not None:
            self._client.abort()

    def forget(self) -> None:
        """The app is started anew: it remembers its messages, not its stream."""
        self._id = ""
        self.drop()

    def end(self) -> None:
        self._over = True
        self.drop()

    @property
    def is_quiet(self) -> bool:
        """Whether all that it sent is acknowledged, and it has asked for what it missed."""
        return self.online and self._held is None and not self._queue and not self._new

    # -- the stream

    async def live(self) -> None:
        """Be connected, whenever that is possible."""
        while not self._over:
            if not self.away:
                # AssertionError: RawClient was told of an error in place of what it waits for. RuntimeError: uvloop's,
                # of a connection that was closed meanwhile. ExpatError: a new stream right behind <success/>.
                with suppress(OSError, Closed, TimeoutError, AssertionError, RuntimeError, ExpatError):
                    await self._connect()
            if self.online:
                self._note("offline")
            self.online = False
            self.drop()
            self.hang_up.clear()
            await asyncio.sleep(0.02 + self._chance.random() * 0.15)

    async def _connect(self) -> None:
        name = self.account.partition("@")[0]
        client = await RawClient.open(self, tls="none")  # type: ignore[arg-type]
        self._client = client
        answer = await client.authenticate(name, PASSWORD)
        if answer.name != "success":
            raise Closed
        await client.open_stream()
        if not (self._id and await self._resume(client)):
            await self._begin(client)
        self.online = True
        while self._new:
            self._send(self._new.popleft())
        self._write(f"<r xmlns='{SM}'/>")
        while True:
            element = await client.read()
            self._note(f"< {element.to_bytes().decode()}")
            self._came(element)

    async def _resume(self, client: RawClient) -> bool:
        await client.send(f"<resume xmlns='{SM}' h='{self._h}' previd='{self._id}'/>")
        answer = await client.read()
        self._note(f"< {answer.to_bytes().decode()}")
        if answer.ns != SM:
            raise Closed
        if "h" in answer.attrs:
            self._accept(int(answer.get("h")))
        if answer.name != "resumed":
            self._id = ""
            return False
        for message in self._queue:
            self._write(message if isinstance(message, str) else message.xml())
        return True

    async def _begin(self, client: RawClient) -> None:
        self._note("a new session")
        await client.bind(self._resource)
        # what was not acknowledged goes first whatever happens from here on
        self._new.extendleft(reversed([message for message in self._queue if not isinstance(message, str)]))
        self._queue.clear()
        self._acknowledged = self._h = 0
        await client.send(f"<enable xmlns='{SM}' resume='true'/>")
        answer = await client.read()
        if answer.name != "enabled":
            raise Closed
        self._id = answer.get("id")
        self._count("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        if self.archive:
            if self._held is None:
                self._held = []
            self._ask()
        self._count("<presence/>")

    def _ask(self) -> None:
        after = f"<after>{self._last}</after>" if self._last else ""
        page = f"<set xmlns='http://jabber.org/protocol/rsm'><max>50</max>{after}</set>"
        self._count(f"<iq type='set' id='archive'><query xmlns='{MAM}'>{page}</query></iq>")
        self._write(f"<r xmlns='{SM}'/>")

    def _send(self, message: Sent) -> None:
        self._queue.append(message)
        self._write(message.xml())

    def _count(self, xml: str) -> None:
        self._queue.append(xml)
        self._write(xml)

    def _note(self, what: str) -> None:
        self._journal.note(self.jid, what)

    def _write(self, xml: str) -> None:
        self._note(f"> {xml}")
        if self._client is not None and not self._client.writer.is_closing():
            self._client.writer.write(xml.encode())

    def _accept(self, h: int) -> None:
        count = h - self._acknowledged
        if count > len(self._queue):
            self.wrong.append(f"{self.jid}: h {h} is more than was sent")
        for _ in range(min(count, len(self._queue))):
            message = self._queue.popleft()
            if not isinstance(message, str):
                message.acknowledged = True
                self._note(f"acknowledged {message.number} to {message.to}")
        self._acknowledged = max(h, self._acknowledged)

    # -- what comes

    def _came(self, element: Element) -> None:
        if element.ns == SM:
            if element.name == "r":
                self._write(f"<a xmlns='{SM}' h='{self._h}'/>")
            elif element.name == "a":
                self._accept(int(element.get("h")))
            return
        if element.name in _STANZAS:
            self._h += 1
        if element.name == "message":
            self._message(element)
        elif element.name == "iq" and element.get("id") == "archive":
            self._page(element)

    def _message(self, element: Element) -> None:
        if element.get("type") == "error":
            error = element.child(_CLIENT, "error")
            message = self._by_id.get(element.get("id"))
            if message is not None and error is not None:
                message.refused = next(iter(error)).name
            return
        result = element.child(MAM, "result")
        if result is not None:
            self._last = result.get("id")
            self._show(_forwarded(result), self._last)
            return
        copy = element.child("urn:xmpp:carbons:2", "received") or element.child("urn:xmpp:carbons:2", "sent")
        inner = _forwarded(copy) if copy is not None else element
        ids = [each.get("id") for each in inner if each.name == "stanza-id" and each.get("by") == self.account]
        id = ids[0] if ids else ""
        if self._held is None:
            if id and id not in self._ids and self.archive:
                self._last = id
            self._show(inner, id)
        else:
            self._held.append((inner.child_text(_CLIENT, "body"), id))

    def _page(self, answer: Element) -> None:
        fin = answer.child(MAM, "fin")
        if fin is None:  # refused while the database is away: ask again, on a new connection
            self.forget()
        elif fin.get("complete") != "true":
            self._ask()
        elif self._held is not None:
            held, self._held = self._held, None
            for text, id in held:
                if id and id not in self._ids:
                    self._last = id
                self._show_text(text, id)

    def _show(self, message: Element, id: str) -> None:
        self._show_text(message.child_text(_CLIENT, "body"), id)

    def _show_text(self, text: str, id: str) -> None:
        if not text or text.startswith(self.account):  # our own messages are known by their origin-id
            return
        if id:
            if id in self._ids:
                return
            self._ids.add(id)
        self._note(f"shows {text} {id}")
        self.shown.append(Shown(time.monotonic(), text))


def _forwarded(wrapper: Element) -> Element:
    forwarded = wrapper.child("urn:xmpp:forward:0", "forwarded")
    message = forwarded.child(_CLIENT, "message") if forwarded is not None else None
    return message if message is not None else Element("", "")
