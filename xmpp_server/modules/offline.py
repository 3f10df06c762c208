"""Messages for accounts that are away: kept, and delivered when a resource becomes available.

What waits goes to the first resource that sends available presence with a priority of zero or more, or changes to one:
in the order in which it was kept, a page at a time, as fast as the client's connection takes it, and every message is
forgotten only after its bytes were taken. Live messages of that session wait behind; another resource that comes in the
meantime takes over if the first one goes away. What comes while the session is too far behind is kept, and follows.

A message that is only a chat state is dropped; others that are not kept (no-store, nothing in it) and what is beyond
the quota are answered with `service-unavailable` (§2, 3), for their sender would believe that they are read one day.

XEP: 0160 (1.0.1) complete
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Final

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import delay
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.hints import NO_STORE, STORE, hinted
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.routing.account import Account, Accounts, Session
from xmpp_server.routing.blocklist import blocks
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.router import Router
from xmpp_server.storage.errors import NoSuchAccount, QuotaExceeded
from xmpp_server.storage.offline import Offline as Waiting
from xmpp_server.storage.offline import OfflineMessage
from xmpp_server.util.tasks import keep

_DAY: Final = 86_400_000_000  # microseconds
_PAGE: Final = 50
_BURST: Final = 65_536
"""Octets that are written before the client's connection must have taken them."""

_CHAT_STATES: Final = "http://jabber.org/protocol/chatstates\n"
_THREAD: Final = qname(ns.CLIENT, "thread")
_ASIDE: Final = (f"{ns.HINTS}\n", f"{ns.STANZA_ID}\n")


class OfflineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept, and for how long."""

    quota: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """Messages that may wait for one account; further ones are answered with an error."""
    strangers: Annotated[int, msgspec.Meta(ge=0)] = 500
    """With so many waiting, only senders who are in the account's roster may add to them."""
    days: Annotated[int, msgspec.Meta(ge=1)] = 30
    """For how long a message waits."""


class Fate(Enum):
    """What becomes of a message for an account that is away."""

    KEEP = "keep"
    DROP = "drop"
    REFUSE = "refuse"


def fate(message: Stanza) -> Fate:
    """By type and content: §3 of the XEP, hints (XEP-0334 §4.2, §4.4), and standalone chat states (XEP-0085 §5.1)."""
    if message.type in ("error", "groupchat", "headline"):
        return Fate.REFUSE
    if hinted(message, NO_STORE):
        return Fate.DROP if _is_chat_state(message) else Fate.REFUSE
    if hinted(message, STORE):
        return Fate.KEEP
    if _is_chat_state(message):
        return Fate.DROP
    return Fate.KEEP if any(map(_is_content, message.keys)) else Fate.REFUSE


def _is_content(key: str) -> bool:
    return key != _THREAD and not key.startswith(_ASIDE)


def _is_chat_state(message: Stanza) -> bool:
    content = [key for key in message.keys if _is_content(key)]
    return bool(content) and all(key.startswith(_CHAT_STATES) for key in content)


class _Round:
    """The handing over of what waits to one session, which holds back what comes meanwhile."""

    __slots__ = ("late",)

    def __init__(self) -> None:
        self.late = 0
        """The first id of a message that the session had no place for any more; 0: none."""


class Offline(Module):
    """Keeps messages, and hands them over."""

    name = "offline"
    features = ("msgoffline",)
    Options = OfflineOptions

    def __init__(
        self, host: Host, router: Router, accounts: Accounts, waiting: Waiting, options: OfflineOptions
    ) -> None:
        self._host = host
        self._router = router
        self._accounts = accounts
        self._waiting = waiting
        self._storing: dict[JID, set[asyncio.Future[None]]] = {}
        """Messages on their way into the database."""
        self._rounds: dict[JID, _Round] = {}
        """Accounts that are handed what waits."""
        self.options = options

    # -- keeping

    @on("message_offline", Stage.KEEP)
    async def keep(self, passage: Passage) -> Verdict:
        """Keep what is to be kept; raises StanzaError if it cannot be."""
        decided = fate(passage.stanza)
        if decided is Fate.DROP:
            return DROPPED
        if decided is Fate.REFUSE or passage.account is None:
            return None
        await self._store(passage.account, passage.stanza)
        return DROPPED

    async def _store(self, account: Account, message: Stanza) -> None:
        assert message.sender is not None
        jid = account.jid
        now = time.time_ns() // 1000
        options = self.options
        round_ = self._rounds.get(jid)
        kept = message.with_child(delay(self._host.jid, now)).to_bytes(ns.CLIENT)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._storing.setdefault(jid, set()).add(done)
        account.waiting = True
        try:
            id_ = await self._waiting.store(
                jid,
                message.sender,
                kept,
                received=now,
                expires=now + options.days * _DAY,
                quota=options.quota if self._knows(account, message.sender) else min(options.strangers, options.quota),
            )
            if round_ is not None:
                round_.late = min(round_.late or id_, id_)
        except (QuotaExceeded, NoSuchAccount) as error:
            raise StanzaError("service-unavailable") from error
        finally:
            done.set_result(None)
            self._storing[jid].discard(done)
            if not self._storing[jid]:
                del self._storing[jid]
        receiver = _receiver(account)
        if receiver is not None:  # it became available in the meantime
            self._start(receiver)

    def _knows(self, account: Account, sender: JID) -> bool:
        contact = account.roster.items.get(sender.bare)
        return (contact is not None and contact.listed) or sender.bare in (account.jid, self._host.jid)

    # -- handing over

    @on("session_available")
    @on("session_updated")
    def available(self, session: Session) -> None:
        """What waits goes to this session, if its priority is not negative (RFC 6121 §8.5.2.1.1)."""
        if session.priority is not None and session.priority >= 0 and session.account.waiting:
            self._start(session)

    def _start(self, session: Session) -> None:
        jid = session.account.jid
        if jid not in self._rounds:
            self._rounds[jid] = _Round()
            session.hold()
            keep(self._drain(session), "offline drain")

    async def _drain(self, first: Session) -> None:
        account = first.account
        try:
            async with self._accounts.use(account.jid):  # the same object for all, as long as this lasts
                session: Session | None = first
                while session is not None:
                    try:
                        complete = await self._hand_over(account, session)
                    finally:
                        left = session.release()
                    for message in left:
                        await self._store_again(account, message)
                    if complete and not account.waiting:
                        return
                    session = _receiver(account) if complete else _receiver(account, gone=session)
                    if session is not None:
                        self._rounds[account.jid] = _Round()
                        session.hold()
        finally:
            del self._rounds[account.jid]

    async def _hand_over(self, account: Account, session: Session) -> bool:
        """Deliver what waits and did not come too late for this; False: the session went away meanwhile."""
        while page := await self._page(account):
            burst: list[int] = []
            size = 0
            for message in page:
                # XEP-0191 §3.3: nothing is delivered from whom the account has blocked in the meantime
                is_blocked = blocks(account.blocked, account.jid, message.sender)
                if not is_blocked and not session.deliver_bytes(message.stanza):
                    return False
                burst.append(message.id)
                size += len(message.stanza)
                if size >= _BURST or message is page[-1]:
                    if not await session.drained():
                        return False
                    await self._waiting.delete(account.jid, burst)
                    burst, size = [], 0
        return True

    async def _page(self, account: Account) -> Sequence[OfflineMessage]:
        """The oldest of what waits, less what came after messages that the session holds back."""
        await self._stored(account)
        account.waiting = False  # what is kept from here on says otherwise
        try:
            page = await self._waiting.load(account.jid, now=time.time_ns() // 1000, limit=_PAGE)
        except BaseException:
            account.waiting = True
            raise
        if page:
            account.waiting = True
        await self._stored(account)  # then it is known which of them came too late
        late = self._rounds[account.jid].late
        return [message for message in page if message.id < late] if late else page

    async def _stored(self, account: Account) -> None:
        while storing := self._storing.get(account.jid):
            await asyncio.wait(storing)

    async def _store_again(self, account: Account, message: Stanza) -> None:
        """Keep what a session held back when it went away."""
        passage = Passage(message, None, account)
        try:
            if await self.keep(passage) is None:
                raise StanzaError("service-unavailable")
        except StanzaError as error:
            await self._router.bounce(passage, error)


def _receiver(account: Account, *, gone: Session | None = None) -> Session | None:
    """The session that is to get what waits: the one of the highest priority that is not negative."""
    candidates = [s for s in account.sessions.values() if s is not gone and s.priority is not None and s.priority >= 0]
    return max(candidates, key=lambda session: session.priority or 0, default=None)
