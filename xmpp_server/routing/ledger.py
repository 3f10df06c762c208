"""The ledger: how no message is lost between the one who sends it and the devices that it is for (`docs/ledger.md`).

Every message worth keeping that goes to sessions of ours has an *entry* while it is in flight. It is resolved when all
of them have acknowledged it or ended. If that takes longer than the deadline, it is written to the inbox, and if all
end without an acknowledgement, it stays there and waits for the next session. What goes to nobody is written at once.
So what is acknowledged in time costs no write.

Ids count up in the order in which messages come, and rows are read in their order, whenever they were written. All
that is due at the same time is written together, and an account's younger messages with its older ones, so that a crash
leaves no later message without an earlier one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, Protocol

import structlog

from xmpp_server.protocol import ns, retraction
from xmpp_server.protocol.delay import delay
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount, StorageError, Unavailable
from xmpp_server.storage.offline import Message
from xmpp_server.util.tasks import keep

from .account import Account, Accounts, Session
from .entry import DOUBTFUL, NEW, WRITING, WRITTEN, Entry, Line
from .fate import Fate, fate
from .host import Host, Passage
from .resends import ORIGIN_ID, is_same
from .router import Router

_log = structlog.get_logger()

DEADLINE: Final = 0.3
"""Seconds after which a message that is not acknowledged is written."""
_FORGET: Final = 0.2  # seconds for which rows that are no longer needed are gathered
_MOST_FORGOTTEN: Final = 500  # rows that are deleted at once
_MOST: Final = 64_000_000
"""Octets of messages that may wait for a database that is slow or away; further ones are answered with an error."""
_LARGE: Final = 500  # messages that are written at once, about
_PAUSES: Final = (0.1, 0.5, 2.0, 5.0)  # seconds until the next attempt while the database is away
_KEEP, _DROP = Fate.KEEP, Fate.DROP  # looking up a member is a call in Python 3.11
_NOT_ANSWERED: Final = ("error", "headline")
_DAYS: Final = 30
_DAY: Final = 86_400_000_000  # microseconds


class Inbox(Protocol):
    """What the ledger needs of the inbox (`storage.offline.Offline`)."""

    async def keep(self, messages: list[Message]) -> Collection[tuple[JID, int]]: ...

    async def delete(self, messages: Iterable[tuple[JID, int]]) -> None: ...

    async def former(
        self, wanted: Sequence[tuple[JID, int]], *, before: int
    ) -> Sequence[Sequence[tuple[int, bytes]]]: ...


class Ledger:
    """The messages in flight to all accounts, and the way of those that stay into the inbox."""

    def __init__(self, router: Router, accounts: Accounts, inbox: Inbox) -> None:
        self._router = router
        self._accounts = accounts
        self._inbox = inbox
        self._last = 0
        self._started = time.time_ns() // 1000
        self.size = 0
        """Octets of what is in memory only."""
        self._new: list[Entry] = []
        """What came in this turn of the loop: most is resolved at its end, by the flush."""
        self._fresh: dict[Entry, None] = {}
        self._older: dict[Entry, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due: dict[Account, None] = {}
        self._handed: Counter[Account] = Counter()
        self._forgotten: dict[JID, dict[int, None]] = {}
        self._forgetting: asyncio.TimerHandle | None = None
        self._forget_now = False
        self._writer: asyncio.Task[None] | None = None
        self._round: asyncio.Future[None] | None = None
        self._again: asyncio.Event | None = None
        self._closing = False

    # -- on its way to sessions

    def open(self, host: Host, passage: Passage) -> Entry | None:
        """The entry for a message to an account of the host, to be given to sessions; None for one that may get lost.

        Raises StanzaError while too much waits for the database.
        """
        stanza, account = passage.stanza, passage.account
        assert account is not None
        judged = fate(stanza)
        if judged is _KEEP and host.keeping is not None:
            if self.size > _MOST:
                raise StanzaError("resource-constraint", "the server cannot keep messages at the moment")
            return Entry(self, account, stanza, passage.session, kept=True)
        if judged is _DROP or stanza.type in _NOT_ANSWERED:
            return None
        return Entry(self, account, stanza, passage.session, kept=False)

    def enter(self, entry: Entry) -> None:
        """Take the entry in, whose message some sessions have in their outboxes; `entry.complete` follows."""
        if not self._new:
            asyncio.get_running_loop().call_soon(self._admit)
        self._new.append(entry)

    def _admit(self) -> None:
        """Give ids to what is still in flight."""
        new, self._new = self._new, []
        now = time.time_ns() // 1000
        for entry in new:
            if entry.done:
                continue
            self._last = max(now, self._last + 1)
            entry.number(self._last, now)
            account = entry.account
            account.users += 1
            if account.line is None:
                account.line = Line()
            account.line.unwritten[entry.id] = entry
            self._fresh[entry] = None
            self.size += entry.size
        if self._fresh and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DEADLINE / 2, self._tick)

    @property
    def newest(self) -> int:
        """The id of the newest message."""
        if self._new:
            self._admit()
        return self._last

    def found(self, id: int) -> None:
        """A message of this id stands in the inbox: later ones get greater ids."""
        self._last = max(self._last, id)

    def keep(self, entry: Entry) -> None:
        """Write the message, which goes to no session now, to the inbox."""
        self.enter(entry)
        self._admit()
        entry.complete()

    def resolve(self, entry: Entry) -> None:
        """No session has it any more: each has acknowledged it or ended."""
        if entry.state is NEW and entry.kept and not entry.seen:
            self._admit()
        if not entry.kept or entry.state is NEW:
            if entry.seen:
                entry.stands()
            else:
                self._answer(entry, StanzaError("service-unavailable"))
        elif entry.seen:
            if entry.state < WRITING:
                self._drop(entry)
            elif entry.state is WRITTEN:
                self._leave(entry)
                self.forget(entry.account, entry.row)
            entry.stands()
        else:
            account = entry.account
            account.waiting = True
            if entry.state < WRITING:
                self._write_soon(account)
            elif entry.state is WRITTEN:
                self._leave(entry)
                if account.sessions:
                    keep(self._tell(account), "messages waiting")

    # -- out of the inbox

    @contextmanager
    def handing(self, account: Account) -> Iterator[None]:
        """Meanwhile the account's inbox is read for `hand`."""
        self._handed[account] += 1
        try:
            yield
        finally:
            self._handed[account] -= 1
            if not self._handed[account]:
                del self._handed[account]

    def hand(self, account: Account, id: int, data: bytes, session: Session, *, last: int, share: bool) -> bool:
        """Give a session, which holds back what is younger than `last`, a message that stands in the inbox; False: the
        session is gone.

        Nothing happens if the session has it, if somebody acknowledged it, or if it is in flight to another session and
        `share` is not set. What was sent again since a crash and is held back comes twice: it has its place here.
        """
        line = account.line
        if line is None:
            line = account.line = Line()
        entry = line.rows.get(id)
        if entry is not None:
            if entry.id > last and session in entry.sessions:
                return entry.give_bytes(session, data)
            if not share or entry.seen or entry.private or session in entry.sessions:
                return True
            return entry.give_bytes(session, data)
        if self.forgets(account, id):
            return True
        entry = self.take_up(account, id)
        given = entry.give_bytes(session, data)
        if given:
            entry.complete()
        else:
            self._leave(entry)
        return given

    def take_up(self, account: Account, id: int) -> Entry:
        """An entry for a message in the inbox; to be given to sessions and completed."""
        entry = Entry(self, account, None, None, kept=True)
        entry.done = True
        entry.number(id, 0)
        entry.state = WRITTEN
        account.users += 1
        if account.line is None:
            account.line = Line()
        account.line.rows[id] = entry
        return entry

    def is_with(self, account: Account, id: int, session: Session) -> bool:
        """Whether the message, which stands in the inbox, is in flight to this session."""
        entry = account.line.rows.get(id) if account.line is not None else None
        return entry is not None and session in entry.sessions

    def has_for(self, account: Account, session: Session) -> bool:
        """Whether a new session of the account has to be handed what is in flight to others, or soon will be when it is
        read, or to wait for what they acknowledged (`forgotten`)."""
        self._admit()
        if account in self._handed or account.jid in self._forgotten:
            return True
        line = account.line
        if line is None:
            return False
        return any(
            not entry.seen and session not in entry.sessions
            for entries in (line.unwritten, line.rows)
            for entry in entries.values()
        )

    def forget(self, account: Account, id: int) -> None:
        """Delete the message, soon, from the inbox."""
        self._forgotten.setdefault(account.jid, {})[id] = None
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(_FORGET, self._start_forgetting)

    def forgets(self, account: Account, id: int) -> bool:
        """Whether the message is to be deleted, and is not yet."""
        return id in self._forgotten.get(account.jid, ())

    async def settled(self, account: Account) -> None:
        """Write what is in flight to this account and came before now; return when it stands in the inbox."""
        last = self.newest
        while (line := account.line) is not None and line.unwritten:
            oldest = next(iter(line.unwritten.values()))
            if oldest.id > last:
                return
            if oldest.state < WRITING:
                self._write_soon(account)
            await self._next_round()

    async def forgotten(self, account: Account) -> None:
        """Delete what is no longer needed of this account now; return when it is gone, so that after a crash no session
        is handed it behind younger messages."""
        while account.jid in self._forgotten:
            self._forget_at_once()
            await self._next_round()

    # -- the writer

    def _tick(self) -> None:
        """Half of the deadline is over: what was there before is due."""
        due, self._older, self._fresh = self._older, self._fresh, {}
        for entry in due:
            if entry.state < WRITING:
                self._due[entry.account] = None
        if self._due:
            self._start()
        self._timer = asyncio.get_running_loop().call_later(DEADLINE / 2, self._tick) if self._older else None

    def _write_soon(self, account: Account) -> None:
        self._due[account] = None
        self._start()

    def _start_forgetting(self) -> None:
        self._forgetting = None
        self._forget_now = True
        self._start()

    def _forget_at_once(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._start_forgetting()

    def _start(self) -> None:
        if self._writer is None:
            self._writer = keep(self._write(), "ledger")

    async def _write(self) -> None:
        failures = 0
        try:
            while self._due or self._forget_now:
                try:
                    if self._due:
                        await self._keep(self._take())
                    if self._forget_now:
                        await self._delete()
                    failures = 0
                except StorageError as error:
                    if failures == 0 or self._closing:
                        _log.warning("messages_wait_for_the_database", reason=str(error), octets=self.size)
                    if self._closing:
                        return
                    await self._pause(_PAUSES[min(failures, len(_PAUSES) - 1)])
                    failures += 1
                self._end_round()
        finally:
            self._writer = None
            self._end_round()

    async def _pause(self, seconds: float) -> None:
        self._again = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._again.wait()

    def _take(self) -> list[Entry]:
        """What is due, whole accounts at a time; an account's younger messages go with its older ones."""
        batch: list[Entry] = []
        while self._due and len(batch) < _LARGE:
            account = next(iter(self._due))
            del self._due[account]
            if account.line is not None:
                batch += account.line.unwritten.values()
        for entry in batch:
            entry.state = WRITING
        return batch

    async def _keep(self, batch: list[Entry]) -> None:
        try:
            former = await self._former(batch)
            await self._keep_together([entry for entry in batch if entry not in former])
        except Unavailable:
            self._doubt(batch)
            raise
        for entry, rows in former.items():
            entry.row, *copies = rows
            for row in copies:
                self.forget(entry.account, row)
            if self.forgets(entry.account, entry.row):
                entry.seen = True
        await self._stand(former)

    async def _former(self, batch: list[Entry]) -> dict[Entry, list[int]]:
        """The rows, oldest first, of what was kept before a crash and is sent again now. It keeps its row: as a younger
        one it would come behind what was sent after it, if the next crash came before all is sent again."""
        again = [entry for entry in batch if self._may_stand(entry)]
        if not again:
            return {}
        wanted = [
            (entry.account.jid, retraction.mark(entry.stanza.sender, entry.stanza.id))
            for entry in again
            if entry.stanza is not None and entry.stanza.sender is not None
        ]
        former: dict[Entry, list[int]] = {}
        for entry, rows in zip(again, await self._inbox.former(wanted, before=self._started), strict=True):
            same = [id for id, kept in rows if entry.stanza is not None and is_same(kept, entry.stanza)]
            if same:
                former[entry] = sorted(same)
        return former

    def _may_stand(self, entry: Entry) -> bool:
        """Whether it may be in the inbox since before the server was started: who has an origin-id sends again."""
        stanza, account = entry.stanza, entry.account
        if stanza is None or not stanza.id or ORIGIN_ID not in stanza.keys:
            return False
        return account.waiting or account in self._handed or (account.line is not None and bool(account.line.rows))

    async def _keep_together(self, batch: list[Entry]) -> None:
        if not batch:
            return
        try:
            refused = await self._inbox.keep([self._message(entry) for entry in batch])
        except Unavailable:
            raise
        except Exception as error:
            accounts = dict.fromkeys(entry.account for entry in batch)
            if len(accounts) > 1:  # the others have no part in it
                for account in accounts:
                    await self._keep_together([entry for entry in batch if entry.account is account])
                return
            if not isinstance(error, NoSuchAccount):
                _log.exception("messages_refused", account=str(batch[0].account.jid))
            refused = {(entry.account.jid, entry.id) for entry in batch}
        await self._kept(batch, refused)

    def _message(self, entry: Entry) -> Message:
        stanza, account = entry.stanza, entry.account
        assert stanza is not None
        assert stanza.sender is not None
        host = self._router.hosts.get(account.jid.domain)
        keeping = host.keeping if host is not None else None
        days = keeping.days if keeping is not None else _DAYS
        quota = None
        if not entry.sessions and not entry.seen and keeping is not None:  # what sessions have, their outboxes bound
            quota = keeping.quota if account.knows(stanza.sender) else min(keeping.strangers, keeping.quota)
        kept = stanza.with_child(delay(JID.parse(account.jid.domain), entry.received))
        expires = entry.received + days * _DAY
        return Message(
            account.jid,
            entry.id,
            stanza.sender,
            kept.to_bytes(ns.CLIENT),
            entry.received,
            expires,
            quota,
            retraction.mark(stanza.sender, stanza.id) if stanza.id else None,
            stanza if retraction.retracted_id(stanza) else None,
        )

    def _doubt(self, batch: list[Entry]) -> None:
        """Perhaps it was committed, perhaps not: it is written again, which changes nothing if it was."""
        for entry in batch:
            if entry.state is WRITING:
                entry.state = DOUBTFUL
                if entry.is_resolved:
                    self._drop(entry)
                else:
                    self._due[entry.account] = None

    async def _kept(self, batch: list[Entry], refused: Collection[tuple[JID, int]]) -> None:
        kept: list[Entry] = []
        for entry in batch:
            if (entry.account.jid, entry.id) in refused:
                self._refused(entry)
            else:
                kept.append(entry)
        await self._stand(kept)

    async def _stand(self, entries: Iterable[Entry]) -> None:
        """They have their rows."""
        waiting: dict[Account, None] = {}
        for entry in entries:
            account = entry.account
            entry.written()
            self.size -= entry.size
            entry.stands()
            if entry.sessions or not entry.sent:
                continue
            self._leave(entry)
            if entry.seen:
                self.forget(account, entry.row)
            else:
                account.waiting = True
                if account.sessions:
                    waiting[account] = None
        for account in waiting:
            await self._tell(account)

    def _refused(self, entry: Entry) -> None:
        self._drop(entry)
        if entry.is_resolved:
            return
        entry.kept = False
        if entry.sent and not entry.sessions:
            self._answer(entry, StanzaError("service-unavailable"))

    async def _delete(self) -> None:
        while batch := list(islice(self._rows_to_delete(), _MOST_FORGOTTEN)):
            await self._inbox.delete(batch)
            for jid, id in batch:
                ids = self._forgotten[jid]
                del ids[id]
                if not ids:
                    del self._forgotten[jid]
        self._forget_now = False

    def _rows_to_delete(self) -> Iterator[tuple[JID, int]]:
        return ((jid, id) for jid, ids in self._forgotten.items() for id in ids)

    # -- the end of an entry

    def _drop(self, entry: Entry) -> None:
        """It is not, or no longer, to be written."""
        line = entry.account.line
        assert line is not None
        del line.unwritten[entry.id]
        self._fresh.pop(entry, None)
        self._older.pop(entry, None)
        self.size -= entry.size
        if entry.state is DOUBTFUL:
            self.forget(entry.account, entry.id)
        self._accounts.release(entry.account)

    def _leave(self, entry: Entry) -> None:
        """It is in the inbox, and nobody's any more."""
        line = entry.account.line
        assert line is not None
        if line.rows.get(entry.row) is entry:
            del line.rows[entry.row]
        self._accounts.release(entry.account)

    def _answer(self, entry: Entry, error: StanzaError) -> None:
        keep(self._bounce(entry, error), "bounce")

    async def _bounce(self, entry: Entry, error: StanzaError) -> None:
        assert entry.stanza is not None
        await self._router.bounce(Passage(entry.stanza, entry.sender), error)
        entry.stands()

    async def _tell(self, account: Account) -> None:
        host = self._router.hosts.get(account.jid.domain)
        if host is not None:
            await host.hooks.messages_waiting.run(account)

    # -- rounds of the writer

    def _next_round(self) -> asyncio.Future[None]:
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._round)

    def _end_round(self) -> None:
        finished, self._round = self._round, None
        if finished is not None:
            finished.set_result(None)

    async def quiet(self) -> None:
        """Return when all that is due is written, and what is no longer needed is deleted."""
        if self._forgotten:
            self._forget_at_once()
        while self._writer is not None:
            await self._next_round()

    async def close(self) -> None:
        """Write everything that is in flight, once; for the end of the server."""
        self._closing = True
        self._admit()
        for entry in (*self._older, *self._fresh):
            self._due[entry.account] = None
        if self._due:
            self._start()
        if self._again is not None:
            self._again.set()
        await self.quiet()
        if self._timer is not None:
            self._timer.cancel()
        if self._forgetting is not None:
            self._forgetting.cancel()
