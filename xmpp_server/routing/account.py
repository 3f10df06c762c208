"""Accounts of ours that somebody is logged in to, with what routing has to know of them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.roster import Roster

if TYPE_CHECKING:
    from .effects import Budget, Receipt
    from .entry import Line
    from .host import Host
    from .resends import Beginnings


class Session(Protocol):
    """A bound resource, as routing sees it."""

    jid: JID
    account: Account
    host: Host
    directed: set[JID] | None
    """Whom it sent directed presence to (RFC 6121 §4.6)."""
    presence: Stanza | None
    """The last available presence, dated (XEP-0203); None while the resource is not available."""
    priority: int | None
    """Its priority; None while the resource is not available."""
    interested: bool
    """Whether it asked for the roster, and so gets roster pushes (RFC 6121 §2.2)."""
    interests: frozenset[str] | None
    """The nodes whose notifications its client wants (XEP-0163 §4, `+notify`); None while that is not known."""
    carbons: bool
    """Whether it enabled carbons (XEP-0280 §4)."""
    blocklist_pushes: bool
    """Whether it asked for the blocklist, and so gets its changes (XEP-0191 §3.2)."""
    budget: Budget
    """What of its messages is under way and not safe yet."""
    beginnings: Beginnings | None
    """Where it may repeat what was said in a session that is gone; None: it knows what it is to send again."""
    commit: asyncio.Future[Any] | None
    """The commit that the last of its messages waited for, so that what comes after it stays behind it."""

    @property
    def resource(self) -> str: ...

    @property
    def is_managed(self) -> bool:
        """Whether its client counts stanzas (XEP-0198), and so knows what to send again."""
        ...

    @property
    def can_resume(self) -> bool:
        """Whether its client may come back to it (XEP-0198 §5) when its connection is lost."""
        ...

    @property
    def hibernates(self) -> bool:
        """Whether it waits for its client to come back (XEP-0198 §5); what is delivered is kept for that."""
        ...

    def deliver(self, stanza: Stanza, receipt: Receipt | None = None) -> bool:
        """Put the stanza into the session's outbox. Never waits. False: the session is gone or its outbox is full, and
        the receipt will not be used."""
        ...

    def deliver_bytes(self, data: bytes, receipt: Receipt | None = None) -> bool:
        """The same for a stanza that was kept as bytes which name their namespace."""
        ...

    async def drained(self) -> bool:
        """Wait until the client's connection took what was delivered; False: the session is gone."""
        ...

    def hold(self) -> None:
        """Hold live messages back until `release` is called as often, for what is older goes first."""
        ...

    def release(self) -> None:
        """Deliver what was held back, if nobody else holds."""
        ...

    def oldest_held(self) -> Receipt | None:
        """The first receipt of what is held back."""
        ...

    async def rest(self, seconds: float) -> None:
        """Return when all that its client sent is handled, and no later than this."""
        ...

    async def hurried(self, seconds: float) -> None:
        """Ask its client for what it has got, and wait for the answer, no longer than this."""
        ...

    def hurry(self) -> None:
        """Ask the client for what it has got, if it counts stanzas (XEP-0198 §4)."""
        ...

    def close(self, error: StreamError | None = None) -> None:
        """End the stream, with this error if there is one."""
        ...

    def detach(self) -> bool:
        """Nothing is delivered from here on, and what was not acknowledged is lost; False if that was so before."""
        ...


class Account:
    """An account of ours while it is in use: its sessions by resource, roster and blocklist, its messages in flight
    (None: there never were any), and whether others may wait for it. `photo` is the hash of the photo in its vCard
    (XEP-0153), empty if there is none."""

    __slots__ = ("_lock", "blocked", "jid", "line", "photo", "roster", "sessions", "users", "waiting")

    def __init__(
        self, jid: JID, roster: Roster, blocked: frozenset[JID], *, waiting: bool = True, photo: str = ""
    ) -> None:
        self.jid = jid
        self.photo = photo
        self.roster = roster
        self.blocked = blocked
        self.sessions: dict[str, Session] = {}
        self.users = 0
        self.waiting = waiting
        self.line: Line | None = None
        self._lock: asyncio.Lock | None = None

    @property
    def lock(self) -> asyncio.Lock:
        """Held while roster or blocklist are changed in memory and in the database, so that both see one order."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    def available(self) -> list[Session]:
        """The sessions that sent available presence."""
        return [session for session in self.sessions.values() if session.presence is not None]

    def knows(self, sender: JID) -> bool:
        """Whether the sender is no stranger: in the roster, the account itself, or its host."""
        contact = self.roster.items.get(sender.bare)
        return (contact is not None and contact.listed) or sender.bare == self.jid or str(sender) == self.jid.domain

    def shows_presence_to(self, viewer: JID) -> bool:
        """Whether the viewer may see the account's presence: it is his own, or he has a subscription to it."""
        if viewer.bare == self.jid:
            return True
        item = self.roster.items.get(viewer.bare)
        return item is not None and item.subscription in ("from", "both")


Loader = Callable[[JID], Awaitable[Account | None]]


class _Loading:
    """An account on its way from the database, and how many wait for it: each of them uses it from the moment it is
    there, so that there is never a second object while one of them has not woken up yet."""

    __slots__ = ("task", "waiters")

    def __init__(self) -> None:
        self.task: asyncio.Task[Account | None]
        self.waiters = 0


class Accounts:
    """The accounts in use: one object each, so that whoever changes roster or blocklist changes the same.

    `hold` is for the hot path; `use` brings an account that nobody is logged in to from the database for a while.
    """

    def __init__(self, load: Loader) -> None:
        self._load = load
        self._accounts: dict[JID, Account] = {}
        self._loading: dict[JID, _Loading] = {}

    def get(self, jid: JID) -> Account | None:
        """The account of this bare address if it is in use, else None. It may be gone after the next await."""
        return self._accounts.get(jid)

    def hold(self, jid: JID) -> Account | None:
        """The account if it is in use, which it is until `release`; else None."""
        account = self._accounts.get(jid)
        if account is not None:
            account.users += 1
        return account

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._accounts.values()))

    @property
    def busy(self) -> bool:
        """Whether any account is in use."""
        return bool(self._accounts)

    async def acquire(self, jid: JID) -> Account | None:
        """The account, which stays in memory until `release`; None if it does not exist."""
        account = self.hold(jid)
        if account is not None:
            return account
        loading = self._loading.get(jid)
        if loading is None:
            loading = self._loading[jid] = _Loading()
            loading.task = asyncio.ensure_future(self._bring(jid, loading))
        loading.waiters += 1
        try:
            return await asyncio.shield(loading.task)
        except asyncio.CancelledError:
            loading.waiters -= 1
            if loading.task.done() and not loading.task.cancelled() and loading.task.exception() is None:
                account = loading.task.result()
                if account is not None:
                    self.release(account)
            raise

    def release(self, account: Account) -> None:
        """Give back what `acquire` gave; the last one drops it from memory."""
        account.users -= 1
        if account.users == 0 and self._accounts.get(account.jid) is account:
            del self._accounts[account.jid]

    def forget(self, account: Account) -> None:
        """The account was removed: its sessions keep this object to their end, but nobody else finds it."""
        if self._accounts.get(account.jid) is account:
            del self._accounts[account.jid]

    @asynccontextmanager
    async def use(self, jid: JID) -> AsyncIterator[Account | None]:
        """The account for the length of a block; None if it does not exist."""
        account = await self.acquire(jid)
        try:
            yield account
        finally:
            if account is not None:
                self.release(account)

    async def may_see(self, viewer: JID, owner: JID) -> bool:
        """Whether the viewer may see the presence of this bare address; False if there is no such account.

        A change of its roster that is being written counts already: the caller does not hold the account's lock.
        """
        async with self.use(owner) as account:
            if account is None:
                return False
            async with account.lock:
                return account.shows_presence_to(viewer)

    async def _bring(self, jid: JID, loading: _Loading) -> Account | None:
        try:
            account = await self._load(jid)
        finally:
            del self._loading[jid]
        if account is not None and loading.waiters:
            account.users = loading.waiters
            self._accounts[jid] = account
        return account
