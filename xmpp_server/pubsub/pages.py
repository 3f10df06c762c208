"""Which items of a node make a page (XEP-0059, XEP-0060 §6.5.4), by the node's table of contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.rsm import Page, PageRequest
from xmpp_server.storage.pubsub_tables import Entry

LAST: Final = 2**62
"""Behind the last item of any node."""
_OCTETS: Final = 1_048_576
"""What a page holds, if it holds more than one item."""


def choose(contents: Sequence[Entry], request: PageRequest, most: int | None) -> tuple[Sequence[Entry], Page | None]:
    """The items of the page, in their order, and what is said of it: None if nobody asked and nothing is left out.

    Without a page the newest of all that is to be given goes out, for those clients that know no pages; `most` newest
    items are looked at. Raises StanzaError item-not-found if the item that the page stands behind or before is not
    there (XEP-0059 §2.2).
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
    backwards = request.before is not None or not asked
    some = contents[first:behind]
    chosen = _fitting(some[::-1] if backwards else some, request.limit(len(some)))
    chosen = chosen[::-1] if backwards else chosen
    if not asked and len(chosen) == len(contents):
        return chosen, None
    if not chosen:
        return chosen, Page(count=len(contents))
    index = contents.index(chosen[0])
    return chosen, Page(chosen[0].id, chosen[-1].id, index, len(contents))


def _index(contents: Sequence[Entry], id: str) -> int:
    for index, entry in enumerate(contents):
        if entry.id == id:
            return index
    raise StanzaError("item-not-found")


def _fitting(entries: Sequence[Entry], most: int) -> Sequence[Entry]:
    """As many of the first as make a page."""
    octets = 0
    for number, entry in enumerate(entries[:most]):
        octets += entry.octets
        if octets > _OCTETS and number:
            return entries[:number]
    return entries[:most]
