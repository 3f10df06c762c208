"""The router: an ordered list of routes, the first of which takes a stanza: local, components, other servers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.errors import StorageError

from .hooks import Dropped, Filter
from .host import Host, Passage

if TYPE_CHECKING:
    from .components import LocalPort, OutsidePort

_log = structlog.get_logger()


class Route(Protocol):
    """A way for stanzas to leave the router."""

    name: str

    async def take(self, passage: Passage) -> bool:
        """Handle the stanza (its `to` and `sender` are set), or False: it is not for this route."""
        ...


class Router:
    """Sends every stanza on its way."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.components: dict[str, LocalPort | OutsidePort] = {}
        """By domain, those in this process and those outside."""
        self.routes: list[Route] = []

    def is_ours(self, jid: JID) -> bool:
        """Whether the address is in a domain that we serve, or of a component of ours."""
        return jid.domain in self.hosts or jid.domain in self.components

    async def route(self, passage: Passage, hook: Filter[Passage] | None = None) -> None:
        """Give the stanza to the first route that takes it; its sender gets an error if none does.

        A stanza of a session of ours passes the hook of its host that is for such stanzas before that.
        """
        try:
            if hook is not None:
                verdict = hook.ask(passage)
                if verdict is not None and (isinstance(verdict, Dropped) or await verdict is not None):
                    return
            for route in self.routes:
                if await route.take(passage):
                    return
            raise StanzaError("remote-server-not-found")
        except StanzaError as error:
            await self.bounce(passage, error)
        except StorageError:
            await self.bounce(passage, StanzaError("resource-constraint", "the database is away"))
        except Exception:
            _log.exception("route_failed", kind=passage.stanza.name)
            await self.bounce(passage, StanzaError("internal-server-error"))
        finally:
            if passage.archived is not None:  # it was refused before its receiver's archive waited for both
                with suppress(Exception):
                    await passage.archived
            if passage.origin is not None:
                passage.origin.finish(passage.effect)

    async def send(self, stanza: Stanza) -> None:
        """Route a stanza that the server itself sends."""
        await self.route(Passage(stanza))

    async def bounce(self, passage: Passage, error: StanzaError) -> None:
        """Answer the stanza with the error, where the kind of stanza is one to be answered (RFC 6120 §8.3.1)."""
        stanza = passage.stanza
        if stanza.type == "error" or (stanza.name == "iq" and stanza.type == "result"):
            return
        if stanza.name == "presence" and stanza.type in ("unavailable", "unsubscribed", "probe"):
            return
        answer = stanza.error(error)
        session = passage.session
        if session is not None:
            if session.deliver(answer) and stanza.name == "message":
                returned = Passage(answer, None, session.account)
                returned.targets.append(session)
                await session.host.hooks.message_delivered.run(returned)
        elif answer.to is not None:
            await self.send(answer)
