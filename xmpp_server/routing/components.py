"""The route to components, and their ports: in this process, and outside of it (XEP-0114)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

import structlog

from xmpp_server.port import Delivery, Handler, addressed
from xmpp_server.protocol.errors import StanzaError, StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.errors import StorageError
from xmpp_server.util.tasks import keep

from .account import Accounts
from .effects import Effect
from .entry import Entry
from .host import Passage
from .router import Router

_log = structlog.get_logger()

_ENVELOPE: Final = 500  # octets that a stanza takes beside its payload, about


class LocalPort:
    """The port of a component in this process."""

    def __init__(self, router: Router, accounts: Accounts, jid: JID, admins: Collection[JID]) -> None:
        self.jid = jid
        self.admins = admins
        self.handler: Handler | None = None
        self._router = router
        self._accounts = accounts

    async def send(self, stanza: Stanza, *, tracked: bool = True) -> Delivery | None:
        """As `Port` has it."""
        passage = Passage(addressed(stanza, self.jid))
        passage.tracked = tracked
        await self._router.route(passage)
        effect = passage.effect
        return effect if isinstance(effect, Entry) else passage.entry

    def resumes(self, jid: JID) -> bool:
        """As `Port` has it."""
        account = self._accounts.get(jid.bare)
        session = account.sessions.get(jid.resource) if account is not None else None
        return session is not None and session.can_resume

    def receive(self, handler: Handler) -> None:
        """As `Port` has it."""
        self.handler = handler


class Link(Protocol):
    """The stream that a component outside is connected by."""

    def write(self, data: bytes) -> bool:
        """Append to what is sent at the end of this turn; False: it is closed, or its bound is reached."""
        ...

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call this once, when what was appended so far has been given to the socket; never, if it is closed before."""
        ...

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with this error, if there is one."""
        ...


class OutsidePort:
    """The place of a component outside, whether it is connected or not. `secret` is what it proves itself by.

    A stream has no acknowledgements: a stanza counts as handled when its bytes were given to the socket. What a lost
    connection did not take is answered with an error.
    """

    def __init__(self, jid: JID, secret: str) -> None:
        self.jid = jid
        self.secret = secret
        self.handler: Handler = self.give
        self.link: Link | None = None
        """None while it is away."""
        self._unwritten: asyncio.Future[None] | None = None

    async def give(self, stanza: Stanza) -> asyncio.Future[None]:
        """As `Handler` has it. While the component is away everybody hears that it cannot be reached, which leaves
        those who were in its rooms in doubt, as it should (XEP-0410 §3.2)."""
        link = self.link
        if link is None or not link.write(stanza.to_bytes()):
            raise _away()
        unwritten = self._unwritten
        if unwritten is None:
            unwritten = self._unwritten = asyncio.get_running_loop().create_future()
            unwritten.add_done_callback(asyncio.Future.exception)  # it may be for nobody
            link.when_written(self._written)
        return unwritten

    def _written(self) -> None:
        unwritten, self._unwritten = self._unwritten, None
        if unwritten is not None:
            unwritten.set_result(None)

    def lost(self) -> None:
        """The component is not connected any more."""
        self.link = None
        unwritten, self._unwritten = self._unwritten, None
        if unwritten is not None:
            unwritten.set_exception(_away())


def _away() -> StanzaError:
    return StanzaError("remote-server-timeout", "The component is not connected.", type="wait")


class ComponentRoute:
    """Takes every stanza to the domain of a component."""

    name = "components"

    def __init__(self, router: Router) -> None:
        self._router = router

    async def take(self, passage: Passage) -> bool:
        """Give the stanza to its component; False if its domain is none. Raises StanzaError for its sender."""
        stanza = passage.stanza
        assert stanza.to is not None
        port = self._router.components.get(stanza.to.domain)
        if port is None:
            return False
        if port.handler is None:
            raise StanzaError("service-unavailable")
        if stanza.type == "error":
            # it may answer what the component is sending right now, and must not come to it in the middle of that
            keep(_tell(port.handler, stanza), "error for a component")
            return True
        pending = await port.handler(stanza)
        if pending is not None:
            self._wait(passage, pending)
        return True

    def _wait(self, passage: Passage, pending: asyncio.Future[Any]) -> None:
        effect = passage.effect = Effect()
        session = passage.session
        size = len(passage.stanza.payload) + _ENVELOPE
        if session is not None:
            session.budget.take(size)

        def done(pending: asyncio.Future[Any]) -> None:
            if session is not None:
                session.budget.give(size)
            error = asyncio.CancelledError() if pending.cancelled() else pending.exception()
            if error is None:
                effect.stands()
            else:
                keep(self._refuse(passage, error, effect), "bounce")

        pending.add_done_callback(done)

    async def _refuse(self, passage: Passage, error: BaseException, effect: Effect) -> None:
        if isinstance(error, StorageError):
            error = StanzaError("resource-constraint", "the server cannot keep this at the moment")
        elif not isinstance(error, StanzaError):
            _log.error("component_failed", kind=passage.stanza.name, exc_info=error)
            error = StanzaError("internal-server-error")
        await self._router.bounce(passage, error)
        effect.stands()


async def _tell(handler: Handler, stanza: Stanza) -> None:
    await handler(stanza)
