"""A component of ours in a process of its own: its port is a stream to a server of any make (XEP-0114), by slixmpp.

The streams have no acknowledgements. What is sent while the server is away is lost, and so is what a broken connection
had not delivered: rooms keep their log all the same, and who joins again gets what he missed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Any, Final
from xml.etree import ElementTree as ET

import slixmpp
import structlog
import uvloop

from xmpp_server.config import Config
from xmpp_server.port import Component, Delivery, Handler, Port, addressed
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream.rewrite import extra, plain
from xmpp_server.util import log
from xmpp_server.util.tasks import keep

from .components import make
from .lock import DataLock

_log = structlog.get_logger()

_STANZAS: Final = ("message", "presence", "iq")
_MOST: Final = 1000
"""Stanzas that wait for the component; with more the server is read no further."""
_AGAIN: Final = 2.0  # seconds until the next attempt to connect


class CannotRun(Exception):  # noqa: N818
    """Why the component cannot run outside."""


class StreamPort:
    """The port of a component whose server is at the other end of a stream."""

    def __init__(self, jid: JID, secret: str, admins: Collection[JID] = ()) -> None:
        self.jid = jid
        self.admins = admins
        self.connected = asyncio.Event()
        self._stream = _Stream(self, secret)
        self._handler: Handler | None = None
        self._queue: asyncio.Queue[Stanza] = asyncio.Queue()
        self._pending = 0
        self._worker: asyncio.Task[None] | None = None
        self._ending = False

    def connect(self, host: str, port: int) -> None:
        """Connect, and again whenever the connection is lost."""
        self._worker = keep(self._work(), "component outside")
        self._stream.connect(host, port)

    async def close(self) -> None:
        """End the stream, and receive nothing more."""
        self._ending = True
        self._stream.cancel_connection_attempt()
        if self._stream.is_connected():
            await self._stream.disconnect(wait=1.0)
        if self._worker is not None:
            self._worker.cancel()

    @property
    def is_idle(self) -> bool:
        """Whether everything that came is handled."""
        return not self._pending

    # -- as `Port` has it

    async def send(self, stanza: Stanza, *, tracked: bool = True) -> Delivery | None:
        """As `Port` has it; what becomes of the stanza is not known."""
        stanza = addressed(stanza, self.jid)
        await self._stream.writable.wait()
        if self.connected.is_set():
            self._stream.send_raw(stanza.to_bytes())
        return None

    def resumes(self, jid: JID) -> bool:
        """As `Port` has it: nothing is known of them."""
        return False

    def receive(self, handler: Handler) -> None:
        """As `Port` has it."""
        self._handler = handler

    # -- what comes

    def came(self, element: Element) -> None:
        """A stanza from the server."""
        stanza = _stanza(element)
        if stanza is None:
            return
        self._pending += 1
        if self._pending == _MOST:
            self._stream.pause(paused=True)
        self._queue.put_nowait(stanza)

    async def _work(self) -> None:
        """One after the other, so that each sender's are in their order."""
        while True:
            stanza = await self._queue.get()
            try:
                if self._handler is None:
                    raise StanzaError("service-unavailable")
                pending = await self._handler(stanza)
            except Exception as error:
                await self._refuse(stanza, error)
                self._handled()
            else:
                if pending is None:
                    self._handled()
                else:
                    keep(self._settle(stanza, pending), "effect")

    async def _settle(self, stanza: Stanza, pending: asyncio.Future[Any]) -> None:
        try:
            await pending
        except Exception as error:
            await self._refuse(stanza, error)
        finally:
            self._handled()

    def _handled(self) -> None:
        self._pending -= 1
        if self._pending == _MOST // 2:
            self._stream.pause(paused=False)

    async def _refuse(self, stanza: Stanza, error: Exception) -> None:
        if isinstance(error, StorageError):
            error = StanzaError("resource-constraint", "This cannot be kept at the moment.")
        elif not isinstance(error, StanzaError):
            _log.error("component_failed", kind=stanza.name, exc_info=error)
            error = StanzaError("internal-server-error")
        if stanza.type == "error" or (stanza.name == "iq" and stanza.type == "result"):
            return  # RFC 6120 §8.3.1
        if stanza.name == "presence" and stanza.type in ("unavailable", "unsubscribed", "probe"):
            return
        await self.send(stanza.error(error))

    def stream_started(self) -> None:
        """The server took the handshake."""
        _log.info("connected", domain=str(self.jid))
        self.connected.set()

    def stream_ended(self) -> None:
        """The connection is gone."""
        self.connected.clear()
        if not self._ending:
            _log.warning("connection_lost", domain=str(self.jid), again=_AGAIN)
            asyncio.get_running_loop().call_later(_AGAIN, self._connect_again)

    def _connect_again(self) -> None:
        if not self._ending:
            self._stream.connect()


class _Stream(slixmpp.ComponentXMPP):
    """slixmpp's side: handshake and parser. Stanzas do not become slixmpp's, but ours."""

    def __init__(self, port: StreamPort, secret: str) -> None:
        super().__init__(str(port.jid), secret)  # type: ignore[no-untyped-call]
        self._port = port
        self.writable = asyncio.Event()
        self.writable.set()
        self.add_event_handler("session_start", lambda _: port.stream_started())
        self.add_event_handler("disconnected", lambda _: port.stream_ended())

    def recv_stanza(self, stanza: Any) -> None:
        """As slixmpp has it; handshakes and stream errors are its own."""
        element = _element(stanza.xml)
        if element.ns == ns.COMPONENT and element.name in _STANZAS:
            self._port.came(element)
        else:
            super().recv_stanza(stanza)

    def pause(self, *, paused: bool) -> None:
        """Read no more for a while, or on."""
        if self.transport is not None:
            (self.transport.pause_reading if paused else self.transport.resume_reading)()

    def pause_writing(self) -> None:
        """As asyncio has it."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """As asyncio has it."""
        self.writable.set()

    def connection_lost(self, exception: BaseException | None) -> None:
        """As asyncio has it."""
        self.writable.set()
        super().connection_lost(exception)


def _element(xml: ET.Element) -> Element:
    """A tree of ours."""
    uri, _, name = xml.tag.removeprefix("{").rpartition("}")
    attrs = {key.replace(f"{{{ns.XML}}}", "xml:"): value for key, value in xml.attrib.items()}
    element = Element(uri, name, attrs, [xml.text] if xml.text else [])
    for child in xml:
        element.add(_element(child))
        if child.tail:
            element.add(child.tail)
    return element


def _stanza(element: Element) -> Stanza | None:
    """The stanza that came as this element; None if its addresses are none."""
    attrs = element.attrs
    try:
        sender, to = JID.parse(attrs["from"]), JID.parse(attrs["to"])
    except (KeyError, InvalidJID):
        _log.warning("stanza_without_addresses", kind=element.name)
        return None
    type, id, lang = (attrs.get(key, "") for key in ("type", "id", "xml:lang"))
    return Stanza(element.name, sender, to, type, id, lang, extra(attrs), *plain(element, ns.COMPONENT))


# -- the process


class Outside:
    """A component with its port and its database."""

    def __init__(self, config: Config, name: str, domain: str | None = None) -> None:
        """Raises CannotRun."""
        cls = config.components.get(name)
        if cls is None:
            raise CannotRun(f"there is no component {name}, but {', '.join(sorted(config.components))}")
        first, host = next(iter(config.hosts.items()))
        options = host.components[name].options
        self.domain = domain or JID.parse(f"{options.subdomain}.{first}").domain
        if self.domain not in config.outside:
            raise CannotRun(f'the secret is missing in the configuration: [outside."{self.domain}"] secret = "…"')
        self._config = config
        self._cls = cls
        self._options = options
        self._admins = frozenset(JID.parse(admin) for admin in host.admins)
        self._undo = AsyncExitStack()
        self.port: StreamPort
        self.component: Component

    async def start(self, host: str, port: int) -> None:
        """Bring the component up and connect it; raises CannotRun, StorageError or OSError."""
        config = self._config
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with AsyncExitStack() as undo:
            undo.callback(DataLock(config.data).release)
            await migrate(config.database_url)
            store = await Store.open(config.database_url)
            undo.push_async_callback(store.close)
            self.port = StreamPort(JID.parse(self.domain), config.outside[self.domain].secret, self._admins)
            parts = {Port: self.port, self._cls.Options: self._options, Database: store.database}
            try:
                self.component = make(self._cls, parts, self._options)
            except TypeError as error:
                raise CannotRun(f"this component runs inside of a server alone: {error}") from None
            await self.component.start()
            undo.push_async_callback(self.component.stop)
            self.port.connect(host, port)
            undo.push_async_callback(self.port.close)
            self._undo = undo.pop_all()

    async def stop(self) -> None:
        """Disconnect, and write what is to be written."""
        await self.component.announce_stop()
        await self._undo.aclose()


def run(config: Config, name: str, domain: str | None, host: str, port: int) -> None:
    """Run a component until SIGINT or SIGTERM; raises CannotRun, StorageError or OSError."""
    log.configure(config.options.log.level, config.options.log.format)
    outside = Outside(config, name, domain)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(outside, host, port))


async def _until_stopped(outside: Outside, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await outside.start(host, port)
    await stop.wait()
    await outside.stop()
