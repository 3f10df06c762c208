"""Somebody with slixmpp: what comes is queued by the name of slixmpp's event, and every wait has a deadline.

juliet = await log_in("juliet@localhost/balcony")
romeo = await log_in("romeo@localhost/orchard")
romeo.send_message(mto="juliet@localhost", mbody="Hi", mtype="chat")
message = await juliet.next("message")
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, Literal

import slixmpp

from xmpp_server.net.tls import ALPN_CLIENT

from .running import ADDRESS, PASSWORD, RunningServer

DEADLINE: Final = 20.0
EVENTS: Final = (
    "message",
    "message_error",
    "presence_available",
    "presence_away",
    "presence_unavailable",
    "presence_subscribe",
    "presence_subscribed",
    "presence_unsubscribe",
    "presence_unsubscribed",
    "receipt_received",
    "chatstate_composing",
    "carbon_received",
    "carbon_sent",
    "roster_update",
    "blocked",
    "unblocked",
    "marker_displayed",
    "message_correction",
    "reactions",
    "session_start",
    "failed_auth",
    "failed_all_auth",
    "disconnected",
)
PLUGINS: Final = (
    *("0012", "0030", "0085", "0092", "0115", "0184", "0191", "0199", "0202", "0203", "0280", "0308", "0333"),
    *("0334", "0359", "0444"),
)
TLS = Literal["starttls", "direct"]


class Person(slixmpp.ClientXMPP):  # type: ignore[misc]
    """One client of one account."""

    def __init__(self, server: RunningServer, address: str, password: str = PASSWORD, *, mechanism: str = "") -> None:
        config = {"feature_mechanisms": {"use_mech": mechanism}} if mechanism else {}
        super().__init__(address, password, plugin_config=config)
        self._server = server
        self.ca_certs = server.certificate
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        self.came: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        for plugin in PLUGINS:
            self.register_plugin(f"xep_{plugin}")
        for event in EVENTS:
            self.add_event_handler(event, self.came[event].put_nowait)

    async def log_in(self, tls: TLS = "starttls") -> None:
        """Connect and bind, without presence. Raises AssertionError where the server does not take the password."""
        self.enable_direct_tls = tls == "direct"
        self.enable_starttls = tls == "starttls"
        if tls == "direct":
            self.ssl_context.set_alpn_protocols([ALPN_CLIENT])
        self.connect(ADDRESS, self._server.direct_tls_port if tls == "direct" else self._server.port)
        outcomes = [asyncio.ensure_future(self.came[name].get()) for name in ("session_start", "failed_all_auth")]
        done, waiting = await asyncio.wait(outcomes, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        for outcome in waiting:
            outcome.cancel()
        assert done, "no answer to the login"
        assert outcomes[0] in done, "the login failed"

    async def come_online(self) -> None:
        """Fetch the roster, and be available; returns once the own presence is back."""
        await self.get_roster(timeout=DEADLINE)
        self.send_presence()
        await self.next("presence_available", lambda presence: presence["from"] == self.boundjid)

    async def next(self, event: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next event of this name that is wanted; others before it are passed over."""
        async with asyncio.timeout(DEADLINE):
            while True:
                came = await self.came[event].get()
                if wanted(came):
                    return came

    async def sees_nothing_more(self, event: str) -> None:
        """All that was on its way has come, and nothing of this name was among it."""
        await self.plugin["xep_0199"].send_ping(self.boundjid.domain, timeout=DEADLINE)
        queue = self.came[event]
        assert queue.empty(), str(queue.get_nowait())

    @property
    def tls_version(self) -> str:
        """As `ssl` names it."""
        assert isinstance(self.socket, ssl.SSLObject)
        return self.socket.version() or ""
