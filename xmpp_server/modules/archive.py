"""An archive of the messages of each account, and queries to it.

A message that people would miss is kept in the archive of its sender and in that of its receiver, each once, and only
then goes on: to other sessions with the id that it has in their archive (`<stanza-id/>`), to others without. What is
kept are the bytes that came, less what was cut out of them on the way. Kept are messages of type chat and normal with a
body, encrypted content, a receipt, marker, reaction, retraction, invitation or the set-up of a call, and what carries
the hint `store`; nothing with `no-store` or `no-permanent-store`; no typing, no errors, headlines or messages of rooms,
which have archives of their own.

A page is pulled from the database as fast as the client's connection takes it, and live messages may come between its
messages: they are newer than all of them, or among them under the same id. A retracted message leaves a tombstone
(XEP-0424 §4) in each archive of ours.

Not done: the feature `urn:xmpp:mam:2#groupchat-available`, which is optional (§4.1.4).

XEP: 0313 (1.1.3) complete
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import msgspec

from xmpp_server.module import Module, iq_get, iq_set, on
from xmpp_server.protocol import ns, retraction
from xmpp_server.protocol.archivable import archivable
from xmpp_server.protocol.archive import Query, Results, metadata, query_form
from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.archive_preferences import Default, Preferences
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.protocol.stanza_ids import with_stanza_id
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.iq import Answer, Request, Target
from xmpp_server.routing.paced import PacedAnswers
from xmpp_server.routing.resends import ORIGIN_ID, is_same, sent_again
from xmpp_server.routing.router import Router
from xmpp_server.storage.archive import SENT_AGAIN
from xmpp_server.storage.archive import Archive as Repository
from xmpp_server.storage.archive_pages import Pages
from xmpp_server.storage.archive_preferences import ArchivePreferences
from xmpp_server.storage.archive_writer import Commit, Key, is_refused
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.patience import patiently
from xmpp_server.storage.secrets import Secrets
from xmpp_server.util.turns import Turns

T = TypeVar("T")

_STREAM_LANG: Final = "en"
"""What our stream headers say. It is the language of a client's stanza that names none where its stream named none
either (RFC 6120 §4.7.4), and in an archive there is no stream that could tell."""
_REMEMBERED: Final = 20_000
"""Accounts whose preferences are kept in memory."""


class ArchiveOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept, and for how long."""

    days: Annotated[int, msgspec.Meta(ge=0)] = 30
    """For how long a message stays; 0: for ever."""
    kinds: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    """The same for accounts of a kind (`xmpp-server account kind`), such as `{ bot = 7, guest = 1 }`."""
    default: Default = "always"
    """Whose messages are kept for users who chose nothing themselves: always, never, or roster (contacts only)."""
    page: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    """The most messages that are given at a time."""


class _Book:
    """What is known of an archive: its highest number, and what its owner chose (None: nothing). By `turns` what comes
    is delivered in the order of its ids: a client asks for what is behind the last one it saw."""

    __slots__ = ("last", "preferences", "turns")

    def __init__(self, last: int, preferences: Preferences | None) -> None:
        self.last = last
        self.preferences = preferences
        self.turns = Turns()


class Archive(Module):
    """Keeps messages, and finds them."""

    name = "archive"
    features = (retraction.NS,)
    account_features = (
        ns.MAM,
        f"{ns.MAM}#extended",
        f"{ns.MAM}#groupchat-field",
        retraction.NS,
        f"{retraction.NS}#tombstone",
    )
    Options = ArchiveOptions

    def __init__(
        self,
        host: Host,
        router: Router,
        archive: Repository,
        preferences: ArchivePreferences,
        secrets: Secrets,
        options: ArchiveOptions,
    ) -> None:
        self._host = host
        self._router = router
        self._archive = archive
        self._preferences = preferences
        self._secrets = secrets
        self._key = b""
        self._ids: ArchiveIds
        self._books: dict[JID, _Book] = {}
        self._answers = PacedAnswers()
        self._written: tuple[Stanza, bytes] | None = None
        """The last message that was written down, mostly for its sender, and then once more for its receiver."""
        self.reconfigure(options)

    def reconfigure(self, options: ArchiveOptions) -> None:
        """Take new options without a restart."""
        self.options = options
        self._default = Preferences(options.default)

    # -- keeping

    @on("message_out", Stage.KEEP)
    def sent(self, passage: Passage) -> Coroutine[Any, Any, None] | None:
        """Into the archive of the sender, except what he sends to himself, which comes to him."""
        message = passage.stanza
        session = passage.session
        to = message.to
        assert to is not None
        if session is None or to.bare == session.account.jid:
            return None
        if not archivable(message):
            return _behind(passage)
        account = session.account
        book = self._books.get(account.jid)
        if book is None or retraction.RETRACT in message.keys or sent_again(message):
            return self._sent_slowly(passage, session, to)
        if not self._wanted(book, account, to):
            return _behind(passage)
        if (said := session.beginnings) is not None and ORIGIN_ID in message.keys and said.is_open(to.bare):
            return self._sent_slowly(passage, session, to)
        return self._sent(passage, session, book, to, self._mark(account.jid, to, message))

    async def _sent_slowly(self, passage: Passage, session: Session, to: JID) -> None:
        account, message = session.account, passage.stanza
        book = await self._book(account.jid)
        if not self._wanted(book, account, to):
            pending = _behind(passage)
        else:
            mark = self._mark(account.jid, to, message)
            if (n := await self._kept_before(account.jid, message, mark)) is not None:
                passage.sent_again = True
                passage.copy = self._with_id(message, account.jid, n)
                return
            if session.beginnings is not None:
                session.beginnings.close(to.bare)
            entombed = await self._retracted(account.jid, to, message)
            pending = self._sent(passage, session, book, to, mark, entombed)
        if pending is not None:
            await pending

    def _sent(
        self,
        passage: Passage,
        session: Session,
        book: _Book,
        to: JID,
        mark: int | None,
        entombed: Sequence[tuple[int, bytes]] = (),
    ) -> Coroutine[Any, Any, None] | None:
        account = session.account
        n, commit = self._add(book, account.jid, to, passage, mark, entombed)
        if len(account.sessions) == 1:
            receiver = self._router.hosts.get(to.domain)
            if receiver is not None and to.localpart and ns.MAM in receiver.account_features:
                passage.archived = commit  # it waits for both archives together
                return None
        return self._sent_to_others(passage, account.jid, book, n, commit)

    async def _sent_to_others(self, passage: Passage, account: JID, book: _Book, n: int, commit: Commit) -> None:
        _goes_behind(passage, commit)
        if is_refused(account, n, await _settled(commit)):
            raise StanzaError("service-unavailable")
        # it takes no turn of its own: what comes never waits for what is sent, or each could wait for the other
        if book.turns.is_early(n):
            await book.turns.comes(n)
        passage.copy = self._with_id(passage.stanza, account, n)

    @on("message_in", Stage.KEEP)
    def received(self, passage: Passage) -> Coroutine[Any, Any, None] | None:
        """Into the archive of the receiver, and what is delivered bears its id there."""
        account = passage.account
        assert account is not None
        message = passage.stanza
        if not archivable(message):
            return _behind(passage)
        sender = message.sender
        assert sender is not None
        book = self._books.get(account.jid)
        if book is None or retraction.RETRACT in message.keys or passage.sent_again or sent_again(message):
            return self._received_slowly(passage, account, sender)
        if not self._wanted(book, account, sender):
            return _behind(passage)
        said = passage.session.beginnings if passage.session is not None else None
        if said is not None and ORIGIN_ID in message.keys and said.is_open(account.jid):
            return self._received_slowly(passage, account, sender)
        n, commit = self._add(book, account.jid, sender, passage, self._mark(account.jid, sender, message))
        return self._received(passage, account.jid, book, n, commit)

    async def _received_slowly(self, passage: Passage, account: Account, sender: JID) -> None:
        message = passage.stanza
        book = await self._book(account.jid)
        if not self._wanted(book, account, sender):
            if (pending := _behind(passage)) is not None:
                await pending
            return
        mark = self._mark(account.jid, sender, message)
        if (n := await self._kept_before(account.jid, message, mark)) is not None:
            if (pending := _behind(passage)) is not None:
                await pending
            passage.stanza = self._with_id(passage.stanza, account.jid, n)
            return
        if not passage.sent_again and passage.session is not None and passage.session.beginnings is not None:
            passage.session.beginnings.close(account.jid)
        entombed = await self._retracted(account.jid, sender, message)
        n, commit = self._add(book, account.jid, sender, passage, mark, entombed)
        await self._received(passage, account.jid, book, n, commit)

    async def _received(self, passage: Passage, account: JID, book: _Book, n: int, commit: Commit) -> None:
        archived = passage.archived
        _goes_behind(passage, commit)
        turns = book.turns
        turns.take(n)
        try:
            refused = await _settled(commit)
            if archived is not None and archived is not commit:
                await _settled(archived)
            if turns.is_early(n):
                await turns.comes(n)
        finally:
            turns.leave(n)
        if refused and is_refused(account, n, refused):
            raise StanzaError("service-unavailable")
        passage.stanza = self._with_id(passage.stanza, account, n)

    @on("message_offline", Stage.LAST)
    def waiting(self, passage: Passage) -> Verdict:
        """What is in the archive is no failure of delivery when it does not wait elsewhere too."""
        account = passage.account
        if account is None:
            return None
        by = str(account.jid)
        stanza_id = passage.stanza.find(ns.STANZA_ID, "stanza-id")
        return DROPPED if stanza_id is not None and stanza_id.get("by") == by else None

    def _wanted(self, book: _Book, account: Account, target: JID) -> bool:
        decided = (book.preferences or self._default).decided(target)
        if decided is not None:
            return decided
        contact = account.roster.items.get(target.bare)
        return (contact is not None and contact.listed) or target.bare == account.jid

    def _mark(self, account: JID, peer: JID, message: Stanza) -> int | None:
        """What the message is found by later; None if it has no id."""
        assert message.sender is not None
        return self._ids.mark(account, peer.bare, message.sender.bare, message.id) if message.id else None

    def _add(
        self,
        book: _Book,
        account: JID,
        peer: JID,
        passage: Passage,
        mark: int | None,
        entombed: Sequence[tuple[int, bytes]] = (),
    ) -> tuple[int, Commit]:
        """Its number, and what it is written with. Raises StanzaError if too much waits for the database."""
        message = passage.stanza
        n = book.last = self._archive.number(book.last)
        written = self._written
        if written is None or written[0] is not message:
            named = message.stamped(lang=_STREAM_LANG) if not message.lang and passage.session is not None else message
            written = self._written = message, named.to_bytes(ns.CLIENT)
        at = min(time.time_ns() // 1000, n)
        try:
            commit = self._archive.add(account, n, written[1], at=at, peer=peer, mark=mark, entombed=entombed)
        except StorageError as error:
            raise StanzaError("resource-constraint", "the server cannot keep messages at the moment") from error
        return n, commit

    def _with_id(self, message: Stanza, account: JID, n: int) -> Stanza:
        """The message as it is delivered."""
        return with_stanza_id(message, account, self._ids.seal(account, n))

    async def _kept_before(self, account: JID, message: Stanza, mark: int | None) -> int | None:
        """The number of a message that is sent again and was kept by a server of before a crash: it goes on once more,
        for nobody knows whom it reached, under the id that it had."""
        if mark is None or ORIGIN_ID not in message.keys:
            return None
        await self._archive.settled()
        oldest = time.time_ns() // 1000 - SENT_AGAIN
        for n, original in await self._read(partial(self._archive.marked, account, mark)):
            if n > oldest and (is_same(original, message) or retraction.is_left_of(original, message)):
                return n
        return None

    async def _retracted(self, account: JID, peer: JID, message: Stanza) -> Sequence[tuple[int, bytes]]:
        """The message that this one retracts, with what takes its place; of several with the same id the newest."""
        id = retraction.retracted_id(message)
        if not id:
            return ()
        assert message.sender is not None
        mark = self._ids.mark(account, peer.bare, message.sender.bare, id)
        await self._archive.settled()
        for n, original in await self._read(partial(self._archive.marked, account, mark)):
            tombstone = retraction.tombstone(original, message, time.time_ns() // 1000)
            if tombstone is not None:
                return ((n, tombstone),)
        return ()

    async def _book(self, account: JID) -> _Book:
        """Raises StanzaError if the database refuses."""
        book = self._books.get(account)
        return book if book is not None else await self._read(partial(self._open, account))

    async def _open(self, account: JID) -> _Book:
        if not self._key:
            self._key = await self._secrets.get("", "archive ids")
            self._ids = ArchiveIds(self._key)
        last, preferences = await self._archive.last(account), await self._preferences.load(account)
        if len(self._books) >= _REMEMBERED:
            del self._books[next(iter(self._books))]
        return self._books.setdefault(account, _Book(last, preferences))

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        """What a message needs to know before it goes on: it waits for a database that is away."""
        try:
            return await patiently(read)
        except StorageError as error:
            raise StanzaError("resource-constraint", "the server cannot keep messages at the moment") from error

    @on("account_removed")
    def removed(self, account: JID) -> None:
        """Its rows go with it."""
        self._books.pop(account, None)

    # -- finding

    @iq_get(ns.MAM, "query", Target.OWN, Target.ACCOUNT)
    def fields(self, request: Request) -> Element:
        """The fields of a query (§4.1.5)."""
        _own(request)
        return query_form()

    @iq_get(ns.MAM, "metadata", Target.OWN, Target.ACCOUNT)
    async def ends(self, request: Request) -> Element:
        """The first and the last message (§5)."""
        account = _own(request).account.jid
        await self._book(account)
        ends = await self._archive.ends(account)
        if ends is None:
            return metadata(None)
        first, last = ((self._ids.seal(account, n), at) for n, at in ends)
        return metadata((first, last))

    @iq_set(ns.MAM, "query", Target.OWN, Target.ACCOUNT)
    async def query(self, request: Request) -> Answer:
        """A page of what is asked for (§4). Raises StanzaError item-not-found for an id that is not in the archive,
        feature-not-implemented for an index that is too far in, and resource-constraint for one query too many."""
        session = _own(request)
        account = session.account.jid
        query = Query.parse(request.payload)
        await self._archive.settled()  # what the client has sent before is found
        await self._book(account)
        pages = Pages(self._archive, self._ids)
        answer = await pages.find(account, query, self.options.page)
        if not answer.found:
            return answer.fin
        results = Results(account, session.jid, query.queryid)
        parts = (
            [results.message(self._ids.seal(account, each.n), each.at, each.stanza) for each in messages]
            async for messages in pages.load(account, query, answer)
        )
        return self._answers.give(session, request, parts, answer.fin)

    # -- choosing

    @iq_get(ns.MAM, "prefs", Target.OWN, Target.ACCOUNT)
    async def preferences(self, request: Request) -> Element:
        """What is archived (XEP-0441 §2.1)."""
        book = await self._book(_own(request).account.jid)
        return (book.preferences or self._default).element()

    @iq_set(ns.MAM, "prefs", Target.OWN, Target.ACCOUNT)
    async def choose(self, request: Request) -> Element:
        """Choose what is archived from now on; the answer says what holds (XEP-0441 §2.1)."""
        account = _own(request).account.jid
        chosen = Preferences.parse(request.payload)
        book = await self._book(account)
        await self._preferences.save(account, chosen)
        book.preferences = chosen
        return chosen.element()


def _own(request: Request) -> Session:
    """The session that asks for its own archive; raises StanzaError forbidden (§8.1), also for an account that does
    not exist, so that nobody learns whether it does."""
    session = request.session
    if session is None or session.account.jid != request.to:
        raise StanzaError("forbidden")
    return session


async def _settled(commit: asyncio.Future[Any]) -> Collection[Key]:
    """What was refused, once it is committed; raises StanzaError if the server stops meanwhile."""
    try:
        refused: Collection[Key] = await commit
    except StorageError as error:
        raise StanzaError("resource-constraint") from error
    return refused


def _goes_behind(passage: Passage, commit: asyncio.Future[Any]) -> None:
    """The message goes on after this commit, and the session's next ones after it."""
    passage.archived = None
    if passage.session is not None:
        passage.session.commit = commit


def _behind(passage: Passage) -> Coroutine[Any, Any, None] | None:
    """A message that is not kept here goes behind those before it that were, and after its commit elsewhere."""
    commit = passage.archived
    if commit is None and passage.session is not None:
        commit = passage.session.commit
    return None if commit is None or commit.done() else _after(passage, commit)


async def _after(passage: Passage, commit: asyncio.Future[Any]) -> None:
    _goes_behind(passage, commit)
    await _settled(commit)
