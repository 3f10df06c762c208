"""A whole server for a test: its sockets, its data folder and its database; on the test's own loop.

async def test_something(server: RunningServer) -> None:
    await server.account("romeo")                # with the password PASSWORD
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from components import all_components
from xmpp_server.app.server import App
from xmpp_server.config import load
from xmpp_server.modules import all_modules
from xmpp_server.net.connection import Connection
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Account
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import make_verifiers

PASSWORD: Final = "neither, fair saint"
ADDRESS: Final = "127.0.0.1"

_CONFIGURATION = """
[server]
data = '{data}'
[database]
url = '{url}'
[log]
level = "{level}"
[listen]
addresses = ["{address}"]
[listen.c2s]
port = 0
[listen.direct_tls]
port = 0
[listen.http]
port = 0
addresses = ["{address}"]
[listen.https]
port = 0
[components.proxy65]
port = 0
host = "{address}"
"""


def configuration(data: Path, url: str, more: str = "", level: str = "error") -> str:
    """TOML for a server with its data in this folder, on the database of this URL, with further sections."""
    return _CONFIGURATION.format(data=data, url=url, address=ADDRESS, level=level) + more


class RunningServer:
    """A server that listens; with default options but for what the test asks for. Made by `start`."""

    def __init__(self, app: App, store: Store, file: Path) -> None:
        self.app = app
        self.file = file
        """Its configuration; to be read again by `app.reload()`."""
        self.port = self._port("c2s")
        """Of STARTTLS."""
        self.direct_tls_port = self._port("c2s direct TLS")
        self.http_port = self._port("http")
        self.https_port = self._port("https")
        self.component_port = self._port("components")
        """0, where the test does not ask for it."""
        self.hang_up: list[Callable[[], None]] = []
        """What ends the connections that a test may have left open, so that the server need not wait for them."""
        self._store = store
        self._stopped = False

    @classmethod
    async def start(cls, data: Path, url: str, more: str = "") -> RunningServer:
        """A server with its data in this folder, on the database of this URL. `more` is TOML: further sections."""
        data.mkdir(parents=True, exist_ok=True)
        file = data / "xmpp-server.toml"
        file.write_text(configuration(data, url, more))
        app = App(load(file, all_modules(), components=all_components()))
        await app.start()
        return cls(app, await Store.open(url), file)

    async def stop(self) -> None:
        """Stop it as a signal does, once."""
        if not self._stopped:
            self._stopped = True
            await self.app.stop()
            await self._store.close()

    async def reload(self, more: str = "", level: str = "error") -> None:
        """Take other options while it runs, as a signal makes it: `more` in place of what there was."""
        config = self.app.config
        self.file.write_text(configuration(config.data, config.database_url, more, level))
        await self.app.reload()

    @property
    def store(self) -> Store:
        """The database on a connection of the test's own, as the command line has it."""
        return self._store

    @property
    def connections(self) -> Collection[Connection]:
        """What is connected now."""
        return self.app._shared.connections

    @property
    def users(self) -> Collection[Account]:
        """The accounts that are in memory now."""
        return list(self.app.core.accounts)

    @property
    def domain(self) -> str:
        """The first host."""
        return next(iter(self.app.config.hosts))

    @property
    def certificate(self) -> Path:
        """The PEM file of the first host's certificate, which signed itself."""
        return self.app.config.certificate_files(self.domain)[0]

    async def account(self, name: str, password: str = PASSWORD) -> JID:
        """A new account of this name at the first host, or of this address; raises AccountExists."""
        jid = JID.parse(name if "@" in name else f"{name}@{self.domain}")
        await self._store.accounts.create(jid, make_verifiers(password))
        return jid

    def _port(self, kind: str) -> int:
        return next((port for name, _, port in self.app.addresses if name == kind), 0)
