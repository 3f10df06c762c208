"""A domain that we serve: its hooks, its handlers of requests, and what its modules say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from xmpp_server.protocol.disco import Identity
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.protocol.vcard import Photo
from xmpp_server.storage.roster import RosterItem
from xmpp_server.util.http import Routes

from .account import Account, Session
from .commands import Command
from .effects import Effect, Later, Origin
from .entry import Entry
from .hooks import Collector, Filter, Notice
from .iq import Requests
from .pep import Pep, Published, Retracted


class Passage:
    """One stanza on its way through the hooks: mutable, for a listener may put another stanza in its place.

    `session` is the session of ours that sent it (None: another server, a component, or we ourselves), `account` the
    account of ours that it goes to (None before that is known, and if it goes elsewhere), `targets` the sessions that
    it is delivered to, once this is decided. `effect` is what it brings about and does not stand yet; None where that
    is safe when routing returns, or nothing that is kept. `archived` is done when the message is in the archive of its
    sender (None: it is, or is to be in none), `copy` the message as other sessions of its sender are to see it (None:
    as it is). `entry` is what copies for other sessions of the account are given with, so that they count like the
    message itself (None: they do not), `origin` what the message is recognised by when it comes again (None: it is
    not), `sent_again` whether it is in the archive of its sender since before a crash. `later` stands when its effect
    does, for a session that did not wait for it. `tracked`: somebody wants to know who acknowledges it.
    """

    __slots__ = (
        "account",
        "archived",
        "copy",
        "effect",
        "entry",
        "later",
        "origin",
        "sent_again",
        "session",
        "stanza",
        "targets",
        "tracked",
    )

    def __init__(self, stanza: Stanza, session: Session | None = None, account: Account | None = None) -> None:
        self.stanza = stanza
        self.session = session
        self.account = account
        self.targets: list[Session] = []
        self.effect: Effect | None = None
        self.entry: Entry | None = None
        self.origin: Origin | None = None
        self.archived: asyncio.Future[Any] | None = None
        self.copy: Stanza | None = None
        self.sent_again = False
        self.tracked = True
        self.later: Later | None = None


@dataclass(slots=True)
class DiscoInfo:
    """An answer to disco#info (XEP-0030 §3) while it is collected."""

    to: JID
    sender: JID
    node: str
    identities: list[Identity] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    forms: list[Form] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DiscoItem:
    """An item in an answer to disco#items (XEP-0030 §4)."""

    jid: JID
    node: str = ""
    name: str = ""


@dataclass(slots=True)
class DiscoItems:
    """An answer to disco#items while it is collected."""

    to: JID
    sender: JID
    node: str
    items: list[DiscoItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Interests:
    """What the client of a session wants to be told of is known, to `account` alone or (None) to all."""

    session: Session
    account: JID | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """An account of ours blocked an address (XEP-0191 §3.3); `item` is the `<item/>` of the request."""

    account: JID
    jid: JID
    item: Element


@dataclass(frozen=True, slots=True)
class VCardChange:
    """A client of this account put another vCard in the place of what there was (XEP-0054 §3.2), with this photo."""

    account: JID
    photo: Photo | None
    is_other_photo: bool


@dataclass(frozen=True, slots=True)
class RosterChange:
    """An item of this account's roster is another than before; None: it is gone. `Account.lock` is held."""

    account: JID
    before: RosterItem
    after: RosterItem | None


@dataclass(slots=True)
class PrivateXMLRequest:
    """A client of this account gets or sets this element of its private XML storage (XEP-0049). A listener that takes
    care of it sets `handled`, and `element` to what is answered; or just `element`, to what is stored."""

    account: JID
    element: Element
    handled: bool = False


@dataclass(slots=True)
class StreamFeatures:
    """The features offered on a client's stream while they are collected: before or after authentication."""

    encrypted: bool
    authenticated: bool
    elements: list[Element] = field(default_factory=list)


class Keeping(Protocol):
    """How messages are kept at a host: how many for one account, how many of them from strangers, for how many days."""

    @property
    def quota(self) -> int: ...

    @property
    def strangers(self) -> int: ...

    @property
    def days(self) -> int: ...


class Hooks:
    """All hooks of a host.

    A stanza from a session of ours passes `*_out` of its sender's host; what goes to an account of ours passes `*_in`
    of the account's host, once for the account, before it is decided which sessions get it.
    """

    def __init__(self) -> None:
        self.message_out = Filter[Passage]("message_out")
        self.presence_out = Filter[Passage]("presence_out")
        self.iq_out = Filter[Passage]("iq_out")
        # available presence of a session of ours, once and before it goes to all who see it; nothing stops it
        self.available_out = Collector[Passage]("available_out")
        self.message_in = Filter[Passage]("message_in")
        self.presence_in = Filter[Passage]("presence_in")
        self.iq_in = Filter[Passage]("iq_in")
        # a message that no session takes; a listener that keeps it returns DROPPED; `passage.account` is set
        self.message_offline = Filter[Passage]("message_offline")
        # messages wait for an account that has sessions
        self.messages_waiting = Notice[Account]("messages_waiting")
        # a message that went to `passage.targets`
        self.message_delivered = Notice[Passage]("message_delivered")
        self.session_bound = Notice[Session]("session_bound")
        # the first available presence (RFC 6121 §4.2), after its broadcast
        self.session_available = Notice[Session]("session_available")
        # every further available presence, its priority may be another
        self.session_updated = Notice[Session]("session_updated")
        # unavailable presence, sent by the client or for it; the stanza is the one that is broadcast
        self.session_unavailable = Notice[tuple[Session, Stanza]]("session_unavailable")
        # it was there before the server was started anew, and waits for its client (XEP-0198 §5)
        self.session_restored = Notice[Session]("session_restored")
        # the client came back to its session, which stood all the while (XEP-0198 §5)
        self.session_resumed = Notice[Session]("session_resumed")
        self.session_closed = Notice[Session]("session_closed")
        # what an available session wants to be told of is known, or another than before; after its presence is out
        self.interests_known = Notice[Interests]("interests_known")
        # at a node of an account, once it is committed
        self.pep_published = Notice[Published]("pep_published")
        self.pep_retracted = Notice[Retracted]("pep_retracted")
        self.roster_changed = Notice[RosterChange]("roster_changed")
        self.vcard_changed = Notice[VCardChange]("vcard_changed")
        # may answer for, or take, what a client keeps in private XML storage
        self.private_xml_wanted = Collector[PrivateXMLRequest]("private_xml_wanted")
        self.private_xml_given = Collector[PrivateXMLRequest]("private_xml_given")
        self.blocked = Notice[Block]("blocked")
        self.account_created = Notice[JID]("account_created")
        self.account_removed = Notice[JID]("account_removed")
        self.disco_info = Collector[DiscoInfo]("disco_info")
        self.disco_items = Collector[DiscoItems]("disco_items")
        self.stream_features = Collector[StreamFeatures]("stream_features")

    def all(self) -> Iterable[Filter[Passage] | Collector[DiscoInfo] | Notice[Session]]:
        """Every hook, for explaining them."""
        return vars(self).values()


@dataclass(frozen=True, slots=True)
class StreamManagement:
    """How far stream management goes: for how many seconds a session waits for its client (0: none does), and how many
    octets for a client that acknowledges nothing."""

    seconds: int
    octets: int


class Host:
    """A domain that we serve. `features` are advertised by disco on the domain, `account_features` on each account."""

    def __init__(self, domain: str) -> None:
        self.jid = JID.parse(domain)
        self.hooks = Hooks()
        self.requests = Requests()
        self.components: list[DiscoItem] = []
        """The services of components at this host, for its list."""
        self.features: set[str] = set()
        self.account_features: set[str] = set()
        self.pep: Pep | None = None
        """None: accounts have no nodes."""
        self.keeping: Keeping | None = None
        """None: no message is kept."""
        self.stream_management: StreamManagement | None = None
        """None: it is not offered."""
        self.web = Routes()
        """What is served over HTTP under the host's name."""
        self.reserved: Set[str] = frozenset()
        """Names that no account gets by itself."""
        self.is_open = False
        """Whether everybody may make an account."""
        self.commands: dict[str, Command] = {}
        """What is done by ad-hoc command, by node."""
        self.admins: Set[JID] = frozenset()
        """The accounts that may administrate it."""
        self._offered: dict[tuple[bool, bool], tuple[Element, ...]] = {}

    async def stream_features(self, *, encrypted: bool, authenticated: bool) -> tuple[Element, ...]:
        """What modules offer on a client's stream in this state: collected once, for it depends on nothing else."""
        offered = self._offered
        elements = offered.get((encrypted, authenticated))
        if elements is None:
            collected = await self.hooks.stream_features.run(StreamFeatures(encrypted, authenticated))
            elements = offered[encrypted, authenticated] = tuple(collected.elements)
        return elements

    @property
    def domain(self) -> str:
        return self.jid.domain

    def reset(self) -> None:
        """Forget everything that modules put here, so that they can be put here anew."""
        for hook in self.hooks.all():
            hook.clear()
        self.requests.clear()
        self._offered = {}
        self.pep = None
        self.keeping = None
        self.stream_management = None
        self.web = Routes()
        self.reserved = frozenset()
        self.is_open = False
        self.commands = {}
        self.features.clear()
        self.account_features.clear()
