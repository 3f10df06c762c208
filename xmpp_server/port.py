"""How a component is written, and how it speaks to the server.

A component is a service with a domain of its own, such as `conference.chat.example`: a class in a package of its own in
`components/`, one object of it for each host. Its constructor names what it needs by type (its `Options`, the `Port`,
the `Database` for a store of its own) and gets just that:

    class Echo(Component):
        name = "echo"
        Options = EchoOptions

        def __init__(self, port: Port, options: EchoOptions) -> None:
            self._port = port
            self.options = options

        async def start(self) -> None:
            self._port.receive(self.handle)

        async def handle(self, stanza: Stanza) -> None:
            await self._port.send(stanza.stamped(sender=stanza.to, to=stanza.sender))

Nothing in it says whether the port is inside the process or a stream to a server (XEP-0114). What differs is what may
be promised: in the process a stanza counts as handled when its effect is safe, by the ledger's rules
(`docs/ledger.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, ClassVar, Protocol

import msgspec

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

Handler = Callable[[Stanza], Awaitable["asyncio.Future[Any] | None"]]
"""What a component does with a stanza, whose sender is checked and set.

It returns when the stanza's effect is safe (it is committed, or was answered), or earlier with a future that is done
when it is, such as that of `Database.submit`: the next stanza of the sender comes meanwhile. To refuse the stanza it
raises StanzaError, or the future does; the sender of anything else that is raised gets an error that says no more.
"""


class Delivery(Protocol):
    """What becomes of a message that was given to sessions."""

    seen: bool
    """Whether one of them has acknowledged it."""

    def hurry(self) -> None:
        """Ask for acknowledgements now: somebody waits for it to be safe."""
        ...

    def when_standing(self, callback: Callable[[], None]) -> None:
        """Call this once, when the message is safe: it was acknowledged, is kept for who is away, or came back as an
        error. It must not raise."""
        ...


class Port(Protocol):
    """A component's side of its connection to the server."""

    jid: JID
    """The component's domain."""
    admins: Collection[JID]
    """The accounts that may administrate it."""

    async def send(self, stanza: Stanza, *, tracked: bool = True) -> Delivery | None:
        """Send a stanza, whose `to` is set and whose sender is an address of the component's domain, or left out for
        the domain itself; raises ValueError if it is another.

        What becomes of a message, if that is known here: None if it is not, for presence and iq, and if the component
        does not want to know it (`tracked`). An error comes back as a stanza, never from within this call.
        """
        ...

    def resumes(self, jid: JID) -> bool:
        """Whether this full address is a session of ours whose client can come back to it (XEP-0198 §5), also when the
        server was stopped and started meanwhile; False where nothing is known of it."""
        ...

    def receive(self, handler: Handler) -> None:
        """Give every stanza to the domain, and to all addresses at it, to this handler. One sender's stanzas come in
        their order."""
        ...


def addressed(stanza: Stanza, domain: JID) -> Stanza:
    """The stanza that a component of this domain sends, with its sender; raises ValueError as `Port.send` does."""
    if stanza.to is None:
        raise ValueError("a stanza of a component is to somebody")
    if stanza.sender is None:
        return stanza.stamped(sender=domain)
    if stanza.sender.domain != domain.domain:
        raise ValueError(f"a stanza of {domain} is not from {stanza.sender}")
    return stanza


class ComponentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can be chosen for every component."""

    subdomain: str
    """What stands before the host's domain in that of the component."""


class Component:
    """Base of all components.

    `name` is the component's name in the configuration, `title` in the host's list of services. A change of options on
    reload is given to `reconfigure`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    optional: ClassVar[bool] = True
    Options: ClassVar[type[ComponentOptions]]

    options: Any = None

    def reconfigure(self, options: Any) -> None:
        """Take new options without a restart."""
        self.options = options

    async def start(self) -> None:
        """Bring up what is kept, and receive from now on."""

    async def announce_stop(self) -> None:
        """The server stops soon. Its sessions are still there to be told."""

    async def stop(self) -> None:
        """No stanza comes any more; write what is to be written."""
