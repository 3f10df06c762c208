"""Result set management: asking for a page of a long answer.

XEP: 0059 (1.0) complete
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .element import Element
from .errors import StanzaError

NS: Final = "http://jabber.org/protocol/rsm"
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for. None: not said; `max` 0 asks for the count alone; `before` empty asks for the last page
    (§2.5); `index` is the number of items before the page."""

    max: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None

    @classmethod
    def parse(cls, request: Element) -> PageRequest:
        """From the `<set/>` in `request`, or all of it if there is none; raises StanzaError bad-request."""
        page = request.child(NS, "set")
        if page is None:
            return cls()
        after = page.child(NS, "after")
        before = page.child(NS, "before")
        return cls(
            _number(page, "max"),
            after.text if after is not None and after.text else None,
            before.text if before is not None else None,
            _number(page, "index"),
        )

    def limit(self, most: int) -> int:
        """How many items to give, of which the server gives `most` at a time (§2.1: it may give fewer than asked)."""
        return most if self.max is None else min(self.max, most)


@dataclass(frozen=True, slots=True)
class Page:
    """What is said of a page that was given: the ids of its first and last item (None: an empty page), the number of
    items before it, and the number of all; None where it costs too much to know."""

    first: str | None = None
    last: str | None = None
    index: int | None = None
    count: int | None = None

    def element(self) -> Element:
        """The `<set/>`."""
        page = Element(NS, "set")
        if self.first is not None and self.last is not None:
            attrs = {} if self.index is None else {"index": str(self.index)}
            page.add(Element(NS, "first", attrs, [self.first]), Element(NS, "last", {}, [self.last]))
        if self.count is not None:
            page.add(Element(NS, "count", {}, [str(self.count)]))
        return page


def _number(page: Element, name: str) -> int | None:
    child = page.child(NS, name)
    if child is None:
        return None
    text = child.text.strip()
    if not (text.isascii() and text.isdecimal()):
        raise StanzaError("bad-request", f"<{name}/> is a number of zero or more.")
    return int(text) if len(text) <= _DIGITS else 10**_DIGITS
