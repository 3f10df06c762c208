"""A server in memory, and people who talk to it: real framer, sessions, routes, modules and SQLite, and no socket.

    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    romeo.send("<message to='juliet@localhost' type='chat'><body>Hi</body></message>")
    await juliet.receives("<message from='romeo@localhost/orchard'><body>Hi</body></message>")
    await romeo.receives_nothing()

Before anything is expected, everything that was sent is handled to its end; so nothing here waits for a time.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from components import all_components
from xmpp_server.app.core import Core
from xmpp_server.config import Config, load
from xmpp_server.modules import all_modules
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.host import Passage, StreamFeatures
from xmpp_server.session.session import Session
from xmpp_server.storage.errors import AccountExists
from xmpp_server.storage.roster import RosterItem, Subscription
from xmpp_server.storage.store import Store
from xmpp_server.stream.framing import Framer, Limits, Malformed, StreamClosed, StreamOpened
from xmpp_server.util import tasks

COMPONENTS = all_components()
"""What configurations are read with; a test may add one of its own."""
_HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
_LIMITS = Limits(262_144, 64, 64)
_WITH = {"to": ("to", "from"), "from": ("from", "to"), "both": ("both", "both"), "none": ("none", "none")}


class World:
    """One server with its clients. Made by `open`."""

    def __init__(self, core: Core, store: Store) -> None:
        self.core = core
        self.store = store
        self.clients: list[Client] = []

    @classmethod
    async def open(cls, url: str, configuration: str) -> World:
        """A server on the database of this URL, whose schema is there, with this configuration (TOML)."""
        store = await Store.open(url)
        core = Core(configured(configuration), store)
        await core.start()
        return cls(core, store)

    def reconfigure(self, configuration: str) -> None:
        """Another configuration for the running server."""
        self.core.reconfigure(configured(configuration))

    async def account(self, address: str) -> JID:
        """The account of this address, made if there is none."""
        jid = JID.parse(address).bare
        with suppress(AccountExists):
            await self.store.accounts.create(jid, {})
        return jid

    async def subscribe(self, user: str, contact: str, subscription: Subscription = "both") -> None:
        """Put the two into each other's rosters: `to`, the user sees the contact; `from`, the contact the user."""
        jids = [await self.account(user), await self.account(contact)]
        for owner, other, kind in zip(jids, reversed(jids), _WITH[subscription], strict=True):
            async with self.core.accounts.use(owner) as account:
                assert account is not None
                async with account.lock:
                    await self.core.rosters.put(account, RosterItem(other, subscription=kind))  # type: ignore[arg-type]

    async def connect(self, address: str) -> Client:
        """A client whose resource is bound, and that has sent nothing; its account is made if there is none."""
        jid = JID.parse(address)
        client = Client(self)
        await self.account(address)
        host = self.core.router.hosts[jid.domain]
        client.session = await self.core.binder.bind(host, jid.bare, jid.resource, client)
        self.clients.append(client)
        return client

    async def login(self, address: str, presence: str = "<presence/>") -> Client:
        """A client that has sent its first presence. What presence this brought to it, and of it to others, is read."""
        client = await self.connect(address)
        client.send(presence)
        await self.settle()
        client.forget("presence")
        for other in self.clients:
            other.forget("presence", sender=client.jid)
        return client

    async def features(self, domain: str = "localhost", *, authenticated: bool = True) -> Element:
        """The features that a stream to the domain is offered by modules."""
        hook = self.core.router.hosts[domain].hooks.stream_features
        collected = await hook.run(StreamFeatures(encrypted=True, authenticated=authenticated))
        return Element("", "features", children=collected.elements)

    def elsewhere(self) -> list[Stanza]:
        """Stand for all domains that are not ours: what is routed there from now on comes into the list."""
        route = _Elsewhere()
        self.core.router.routes.append(route)
        return route.stanzas

    async def settle(self) -> None:
        """Return when all that any client sent is handled, and what the server does because of it in the background."""
        await self._work()
        await self.core.ledger.quiet()
        await self._work()

    async def _work(self) -> None:
        while working := [client.worker for client in self.clients if client.worker is not None] + list(tasks._kept):
            await asyncio.gather(*working)

    async def close(self) -> None:
        """End all sessions, and close the database."""
        await self.settle()
        for client in self.clients:
            await client.disconnect()
        await self.core.stop()
        await self.core.ledger.close()
        await self.store.close()


class Client:
    """Somebody's device. It is the sink of its session."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._framer = Framer(_LIMITS)
        self._framer.feed(_HEADER)
        self._sent: deque[bytes] = deque()
        self._requests = 0
        self.session: Session
        self.worker: asyncio.Task[None] | None = None
        self.inbox: deque[Element] = deque()
        """What came and was not looked at yet."""
        self.error = ""
        """The condition of the stream error that ended the stream."""
        self.closed = False
        self.stalled = False
        """Whether its connection takes no bytes: what is written to it stays in the server's outbox."""
        self._when_written: Callable[[], None] | None = None

    @property
    def jid(self) -> str:
        """Its full address."""
        return str(self.session.jid)

    # -- what it does

    def send(self, xml: str | bytes) -> None:
        """Send one or more stanzas, or parts of them."""
        self._sent.append(xml.encode() if isinstance(xml, str) else xml)
        if self.worker is None:
            self.worker = asyncio.get_running_loop().create_task(self._work())

    async def disconnect(self) -> None:
        """The connection is gone."""
        await self._world.settle()
        self.closed = True
        await self._world.core.binder.unbind(self.session)

    async def request(self, type: str, payload: str, to: str = "") -> Element:
        """Send an iq, and take its answer, which need not be the next stanza."""
        self._requests += 1
        id = f"request-{self._requests}"
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{type}' id='{id}'{address}>{payload}</iq>")
        await self._world.settle()
        for stanza in self.inbox:
            if stanza.name == "iq" and stanza.get("id") == id and stanza.get("type") in ("result", "error"):
                self.inbox.remove(stanza)
                return stanza
        raise AssertionError(f"{self.jid}: no answer, but {_text(self.inbox)}")

    # -- what it sees

    async def receives(self, expected: str) -> Element:
        """The next stanza has at least these attributes, children and texts; children may be in another order."""
        await self._world.settle()
        assert self.inbox, f"{self.jid} received nothing\nexpected {expected}"
        stanza = self.inbox.popleft()
        assert matches(parse(expected.strip().encode()), stanza), (
            f"{self.jid} received\n{_text([stanza])}\nexpected\n{expected}\nand then comes\n{_text(self.inbox)}"
        )
        return stanza

    async def receives_all(self, *expected: str) -> None:
        """The next stanzas are these, in any order."""
        await self._world.settle()
        came = [self.inbox.popleft() for _ in range(min(len(expected), len(self.inbox)))]
        for xml in expected:
            pattern = parse(xml.strip().encode())
            match = next((stanza for stanza in came if matches(pattern, stanza)), None)
            assert match is not None, f"{self.jid} did not receive {xml}, but {_text(came)}"
            came.remove(match)

    async def receives_nothing(self) -> None:
        """Nothing has come that was not looked at."""
        await self._world.settle()
        assert not self.inbox, f"{self.jid} received\n{_text(self.inbox)}"

    def forget(self, name: str, *, sender: str = "") -> None:
        """Look no more at the stanzas of this name, or those among them from this address."""
        kept = [stanza for stanza in self.inbox if stanza.name != name or (sender and stanza.get("from") != sender)]
        self.inbox = deque(kept)

    # -- the server's side of it

    def write(self, data: bytes) -> bool:
        """As `session.Sink` has it."""
        if self.closed:
            return False
        self.inbox.append(parse(data))
        return True

    def when_written(self, callback: Callable[[], None]) -> None:
        """As `session.Sink` has it."""
        if self.stalled:
            self._when_written = callback
        else:
            callback()

    def go_on(self) -> None:
        """Its connection takes again what it was sent, and what waited."""
        self.stalled = False
        callback, self._when_written = self._when_written, None
        if callback is not None:
            callback()

    async def drained(self) -> bool:
        """As `session.Sink` has it."""
        return not self.closed

    def close(self, error: StreamError | None = None) -> None:
        """As `session.Sink` has it."""
        self.closed = True
        self.error = error.condition if error is not None else ""

    async def _work(self) -> None:
        try:
            while self._sent and not self.closed:
                self._framer.feed(self._sent.popleft())
                while (event := self._framer.next_event()) is not None and not self.closed:
                    if isinstance(event, Stanza):
                        await self.session.receive(event)
                    elif isinstance(event, Malformed):
                        self.session.deliver(
                            event.stanza.stamped(sender=self.session.jid).error(StanzaError("jid-malformed"))
                        )
                    elif isinstance(event, StreamClosed):
                        self.close()
                    else:
                        assert isinstance(event, StreamOpened)
        except StreamError as error:
            self.close(error)
        finally:
            self.worker = None
        if self.closed:
            await self._world.core.binder.unbind(self.session)


class _Elsewhere:
    name = "elsewhere"

    def __init__(self) -> None:
        self.stanzas: list[Stanza] = []

    async def take(self, passage: Passage) -> bool:
        self.stanzas.append(passage.stanza)
        return True


_NO_SOCKETS = "\n[components.proxy65]\nenabled = false\n"


def configured(configuration: str) -> Config:
    """The configuration that a file of this text makes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.toml"
        file.write_text(configuration if "[components.proxy65]" in configuration else configuration + _NO_SOCKETS)
        return load(file, all_modules(), components=COMPONENTS)


def matches(expected: Element, actual: Element) -> bool:
    """Whether all that stands in `expected` stands in `actual`: an attribute `*` has any value, white space around text
    does not count."""
    if expected.name != actual.name or expected.ns != actual.ns:
        return False
    for key, value in expected.attrs.items():
        if key not in actual.attrs or value not in ("*", actual.attrs[key]):
            return False
    if expected.text.strip() and expected.text.strip() != actual.text.strip():
        return False
    left = list(actual)
    for child in expected:
        match = next((candidate for candidate in left if matches(child, candidate)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _text(stanzas: Iterable[Element]) -> str:
    return "\n".join(stanza.to_bytes().decode() for stanza in stanzas) or "nothing"
