"""Pages of archives: what a query (XEP-0313 §4) finds, and its messages, read so many at a time as memory is given to
them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from xmpp_server.protocol.archive import Query, fin
from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.rsm import Page
from xmpp_server.storage.archive import LAST, Archive, ArchivedMessage, Found, Matching

_BURST: Final = 65_536
"""Octets that are read and written before the client's connection must have taken them."""
_LARGEST: Final = 524_288
"""Octets of a page, if it has more than one message: less than a session may leave unacknowledged."""
_COUNTED: Final = 1000
"""So many messages are counted for one who asks how many there are."""
_INDEXED: Final = 10_000
"""So far into an archive a page can be asked for by its index."""


@dataclass(frozen=True, slots=True)
class FoundPage:
    """What was found, and the `<fin/>` that ends the answer."""

    matching: Matching
    found: Sequence[Found]
    fin: Element


class Pages:
    """Queries to archives whose ids are these."""

    def __init__(self, archive: Archive, ids: ArchiveIds) -> None:
        self._archive = archive
        self._ids = ids

    async def find(self, account: JID, query: Query, most: int) -> FoundPage:
        """A page of at most so many messages, and not too many octets. Raises StanzaError item-not-found for an id that
        is not in the archive, and feature-not-implemented for an index that is too far in."""
        matching = await self._matching(account, query)
        page = query.page
        limit = page.limit(most)
        backwards = page.before is not None
        index = None if backwards or page.after is not None else page.index or 0
        if limit == 0:  # XEP-0059 §2.7
            if query.ids:
                count: int | None = len(await self._picked(account, query, matching))
            else:
                count = await self._archive.count(account, matching, _COUNTED)
            return FoundPage(matching, (), fin(Page(count=count), complete=False))
        if index is not None and index > _INDEXED:
            raise StanzaError("feature-not-implemented", "A page so far in can be asked for by an id only.")
        if query.ids:
            found = await self._picked(account, query, matching)
            found = found[-limit - 1 :] if backwards else found[index or 0 :][: limit + 1]
        else:
            found = await self._archive.page(account, matching, limit=limit + 1, backwards=backwards, offset=index or 0)
        complete = len(found) <= limit
        if not complete:
            found = found[1:] if backwards else found[:limit]
        fit = fitting(found, backwards=backwards)
        complete, found = complete and len(fit) == len(found), fit
        count = index + len(found) if complete and index is not None and (found or not index) else None
        if not found:
            return FoundPage(matching, (), fin(Page(count=count), complete=complete))
        first, last = (self._ids.seal(account, each.n) for each in (found[0], found[-1]))
        return FoundPage(matching, found, fin(Page(first, last, index, count), complete=complete))

    async def load(self, account: JID, query: Query, answer: FoundPage) -> AsyncIterator[Sequence[ArchivedMessage]]:
        """The messages of a page in the order in which they are sent."""
        found = answer.found
        for part in _parts(found[::-1] if query.flip else found):
            numbers = [each.n for each in part]
            if query.ids:
                yield await self._archive.each(account, numbers)
            else:
                messages = await self._archive.load(account, answer.matching, min(numbers), max(numbers))
                yield messages[::-1] if query.flip else messages

    async def _matching(self, account: JID, query: Query) -> Matching:
        """What the query asks for, less the page."""
        low, high = -1, LAST
        known: list[int] = []
        for id, is_upper in (
            (query.after_id, False),
            (query.page.after, False),
            (query.before_id, True),
            (query.page.before, True),
        ):
            if id:
                n = self._opened(account, id)
                known.append(n)
                if is_upper:
                    high = min(high, n)
                else:
                    low = max(low, n)
        if known and not await self._archive.has(account, known):
            raise _unknown()
        start = 0 if query.start is None else query.start
        end = LAST if query.end is None else query.end
        return Matching(query.peer, low, high, start, end)

    async def _picked(self, account: JID, query: Query, matching: Matching) -> Sequence[Found]:
        picked = await self._archive.pick(account, [self._opened(account, id) for id in query.ids], matching)
        if picked is None:
            raise _unknown()
        return picked

    def _opened(self, account: JID, id: str) -> int:
        n = self._ids.open(account, id)
        if n is None:
            raise _unknown()
        return n


def _unknown() -> StanzaError:
    return StanzaError("item-not-found", "No message of this archive has that id.")


def fitting(found: Sequence[Found], *, backwards: bool = False) -> Sequence[Found]:
    """What of the page is not too large for a session that has not acknowledged it; one message at least."""
    size = 0
    for number, each in enumerate(reversed(found) if backwards else found):
        size += each.size
        if number and size > _LARGEST:
            return found[-number:] if backwards else found[:number]
    return found


def _parts(found: Sequence[Found]) -> Sequence[Sequence[Found]]:
    """The page in parts of some tens of kilobytes, or one message."""
    parts: list[list[Found]] = []
    size = 0
    for each in found:
        if not parts or size + each.size > _BURST:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += each.size
    return parts
