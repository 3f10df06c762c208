"""What makes a page (XEP-0059): of the items of a node by its table of contents (XEP-0060 §6.5.4), and of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_tables import Entry

LAST: Final = 2**62
"""Behind the last item of any node."""
_OCTETS: Final = 1_048_576
"""What a page holds, if it holds more than one item."""
_AROUND: Final = 100
"""Octets of an entry besides what it holds and its name, about."""
LISTED: Final = 500
"""Relations that one answer lists."""


def choose(
    contents: Sequence[Entry], request: PageRequest, most: int | None, *, newest: bool = True
) -> tuple[Sequence[Entry], Page | None]:
    """The items of the page, in their order, and what is said of it: None if nobody asked and nothing is left out.

    Without a page the newest of all that is to be given goes out, for those clients that know no pages, or the first if
    `newest` is not wanted; `most` newest items are looked at. Raises StanzaError item-not-found if the item that the
    page stands behind or before is not there (XEP-0059 §2.2).
    """
    if most is not None:
        contents = contents[len(contents) - min(most, len(contents)) :]
    first, behind = 0, len(contents)
    if request.after is not None:
        first = _index(contents, request.after) + 1
    if request.before:
        behind = _index(contents, request.before)
    if request.index is not None:
        first = min(request.index, behind)
    asked = request != PageRequest()
    backwards = request.before is not None or (newest and not asked)
    some = contents[first:behind]
    chosen = _fitting(some[::-1] if backwards else some, request.limit(len(some)))
    chosen = chosen[::-1] if backwards else chosen
    if not asked and len(chosen) == len(contents):
        return chosen, None
    if not chosen:
        return chosen, Page(count=len(contents))
    index = contents.index(chosen[0])
    return chosen, Page(chosen[0].id, chosen[-1].id, index, len(contents))


def named(contents: Sequence[Entry], ids: Sequence[str]) -> tuple[Sequence[Entry], Page | None]:
    """The items of these ids in that order, as many of the first as make a page; what is said if some are left out."""
    by_id = {entry.id: entry for entry in contents}
    wanted = [by_id[id] for id in dict.fromkeys(ids) if id in by_id]
    chosen = _fitting(wanted, len(wanted))
    page = Page(chosen[0].id, chosen[-1].id, 0, len(wanted)) if len(chosen) < len(wanted) else None
    return chosen, page


def listed(entries: Sequence[tuple[str, Element]], request: PageRequest) -> tuple[Sequence[Element], Page | None]:
    """The page of a list whose entries are called so."""
    contents = [Entry(id, n, 0, sum(map(len, each.attrs.values()))) for n, (id, each) in enumerate(entries)]
    chosen, page = choose(contents, request, None, newest=False)
    return [entries[entry.n][1] for entry in chosen], page


def bounds(request: PageRequest) -> tuple[str | None, str | None, int]:
    """What storage is asked for: `after`, `before`, how many. Raises feature-not-implemented for an index (XEP-0059
    §2.6): addresses are not counted."""
    if request.index is not None:
        raise StanzaError("feature-not-implemented")
    return request.after, request.before, request.limit(LISTED)


def said(ids: Sequence[str], count: int, request: PageRequest) -> Page | None:
    """What is said of a page of `count` relations that storage has chosen; None as `choose` has it."""
    if request == PageRequest() and len(ids) == count:
        return None
    return Page(ids[0], ids[-1], None, count) if ids else Page(count=count)


def _index(contents: Sequence[Entry], id: str) -> int:
    for index, entry in enumerate(contents):
        if entry.id == id:
            return index
    raise StanzaError("item-not-found")


def _fitting(entries: Sequence[Entry], most: int) -> Sequence[Entry]:
    """As many of the first as make a page."""
    octets = 0
    for number, entry in enumerate(entries[:most]):
        octets += entry.octets + len(entry.id) + _AROUND
        if octets > _OCTETS and number:
            return entries[:number]
    return entries[:most]
