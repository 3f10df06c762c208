"""Messages for accounts that are away: kept, and delivered when a resource becomes available.

What waits goes to the first resource that sends available presence with a priority of zero or more, or changes to one:
in the order in which it came, a page at a time, as fast as the client's connection takes it, and every message is
forgotten only when the client has it (`routing/ledger.py`). A resource that comes newly gets as well what another one
was given and has not acknowledged, for that one may be gone without anybody having noticed, and what it would get
later would come after younger messages. Live messages of a session wait behind what it is handed; another resource
takes over if it goes away. What comes while the session is too far behind is kept, and follows. What another resource
has acknowledged is deleted first: a crash must not bring it back behind younger messages.

A message that is only a chat state is dropped; others that are not kept (no-store, nothing in it) and what is beyond
the quota are answered with `service-unavailable` (§2, 3), for their sender would believe that they are read one day.

XEP: 0160 (1.0.1) complete
"""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.routing.account import Account, Accounts, Session
from xmpp_server.routing.blocklist import blocks
from xmpp_server.routing.entry import Entry
from xmpp_server.routing.fate import Fate, fate
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.ledger import Ledger
from xmpp_server.storage.offline import Offline as Waiting
from xmpp_server.storage.offline import OfflineMessage
from xmpp_server.util.tasks import keep

_PAGE: Final = 50
_BURST: Final = 65_536
"""Octets that are written before the client's connection must have taken them."""


class OfflineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept, and for how long."""

    quota: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """Messages that may wait for one account; further ones are answered with an error."""
    strangers: Annotated[int, msgspec.Meta(ge=0)] = 500
    """With so many waiting, only senders who are in the account's roster may add to them."""
    days: Annotated[int, msgspec.Meta(ge=1)] = 30
    """For how long a message waits."""


class _Round:
    """The handing over of what waits to one session, which holds back what comes meanwhile.

    `last` is the id of the newest message that goes before what it holds back; `share`: what others have not
    acknowledged goes to it as well. `passed_over`: something that they did acknowledge is not deleted yet.
    """

    __slots__ = ("last", "passed_over", "share")

    def __init__(self, last: int, *, share: bool) -> None:
        self.last = last
        self.share = share
        self.passed_over = False


class Offline(Module):
    """Keeps messages, and hands them over."""

    name = "offline"
    features = ("msgoffline",)
    Options = OfflineOptions

    def __init__(
        self, host: Host, accounts: Accounts, ledger: Ledger, waiting: Waiting, options: OfflineOptions
    ) -> None:
        self._host = host
        self._accounts = accounts
        self._ledger = ledger
        self._waiting = waiting
        self._rounds: dict[Session, _Round] = {}
        """Sessions that are handed what waits."""
        self._interrupted: set[Session] = set()
        """Sessions whose clients went away in the middle of it, and may come back; they hold back what comes."""
        self.options = options

    def attach(self, host: Host) -> None:
        super().attach(host)
        host.keeping = self.options

    # -- keeping

    @on("message_offline", Stage.KEEP)
    def keep(self, passage: Passage) -> Verdict:
        """Keep what is to be kept."""
        decided = fate(passage.stanza)
        if decided is Fate.DROP:
            return DROPPED
        if decided is Fate.REFUSE or passage.account is None:
            return None
        entry = self._ledger.open(self._host, passage)
        assert entry is not None
        passage.effect = entry
        self._ledger.keep(entry)
        return DROPPED

    # -- handing over

    @on("session_available")
    def available(self, session: Session) -> None:
        """What waits goes to this session, if its priority is not negative (RFC 6121 §8.5.2.1.1)."""
        account = session.account
        if _takes(session) and (account.waiting or self._ledger.has_for(account, session)):
            self._start(session, share=True)

    @on("session_updated")
    def updated(self, session: Session) -> None:
        """The same, but for what others have."""
        if _takes(session) and session.account.waiting:
            self._start(session)

    @on("session_restored")
    def restored(self, session: Session) -> None:
        """It holds back what comes, for older messages may wait that it was not given."""
        if session.priority is not None and session.priority >= 0 and session.account.waiting:
            session.hold()
            self._interrupted.add(session)

    @on("session_resumed")
    def resumed(self, session: Session) -> None:
        """It goes on where it was; what fell to the inbox while the server was started anew follows as well."""
        interrupted = session in self._interrupted
        if _takes(session) and session.account.waiting:
            self._start(session)
        if interrupted:
            self._interrupted.discard(session)
            session.release()

    @on("session_closed")
    def closed(self, session: Session) -> None:
        """It does not; what it held back is lost to it."""
        if session in self._interrupted:
            self._interrupted.discard(session)
            session.release()

    @on("messages_waiting")
    def more(self, account: Account) -> None:
        """Messages wait that no session has any more."""
        self._continue(account, None)

    def _continue(self, account: Account, gone: Session | None) -> None:
        receiver = _receiver(account, gone)
        if receiver is not None and account.waiting:
            self._start(receiver)

    def _start(self, session: Session, *, share: bool = False) -> None:
        if session not in self._rounds:
            self._rounds[session] = self._begin(session, share=share)
            keep(self._drain(session), "offline drain")

    def _begin(self, session: Session, *, share: bool) -> _Round:
        held = session.oldest_held()
        session.hold()
        return _Round(held.id - 1 if isinstance(held, Entry) else self._ledger.newest, share=share)

    async def _drain(self, session: Session) -> None:
        account = session.account
        try:
            async with self._accounts.use(account.jid):  # the same object for all, as long as this lasts
                with self._ledger.handing(account):
                    complete = await self._hand_all(account, session)
        finally:
            del self._rounds[session]
        self._continue(account, None if complete else session)

    async def _hand_all(self, account: Account, session: Session) -> bool:
        """Round after round, until nothing waits any more; False: the session went away meanwhile."""
        while True:
            complete = False
            try:
                complete = await self._hand_over(account, session)
                if complete and self._rounds[session].passed_over:
                    await self._ledger.forgotten(account)
            finally:
                if not complete:
                    account.waiting = True
                if not complete and session.hibernates:
                    self._interrupted.add(session)
                else:
                    session.release()
            if not complete or not account.waiting or not _takes(session):
                return complete
            self._rounds[session] = self._begin(session, share=False)

    async def _hand_over(self, account: Account, session: Session) -> bool:
        """Deliver what waits and is older than what the session holds back; False: it went away meanwhile."""
        round_ = self._rounds[session]
        await self._ledger.settled(account)
        account.waiting = False  # what falls to the inbox from here on says otherwise
        last = size = 0
        while page := await self._waiting.load(account.jid, now=_now(), after=last, limit=_PAGE):
            for message in page:
                if message.id > round_.last:
                    if self._ledger.is_with(account, message.id, session):
                        continue
                    account.waiting = True
                    return True
                if not self._hand(account, message, session, round_):
                    return False
                size += len(message.stanza)
                if size >= _BURST or message is page[-1]:
                    if not await session.drained():
                        return False
                    size = 0
            last = page[-1].id
        return True

    def _hand(self, account: Account, message: OfflineMessage, session: Session, round_: _Round) -> bool:
        # XEP-0191 §3.3: nothing is delivered from whom the account has blocked in the meantime
        if blocks(account.blocked, account.jid, message.sender):
            self._ledger.forget(account, message.id)
            return True
        if round_.share and self._ledger.forgets(account, message.id):
            round_.passed_over = True
        return self._ledger.hand(account, message.id, message.stanza, session, last=round_.last, share=round_.share)


def _takes(session: Session) -> bool:
    return session.priority is not None and session.priority >= 0 and not session.hibernates


def _now() -> int:
    return time.time_ns() // 1000


def _receiver(account: Account, gone: Session | None) -> Session | None:
    """The session that is to get what waits: the one of the highest priority that is not negative."""
    candidates = [session for session in account.sessions.values() if session is not gone and _takes(session)]
    return max(candidates, key=lambda session: session.priority or 0, default=None)
