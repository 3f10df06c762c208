"""Which nodes are in which collections (XEP-0248 §4.1): a directed graph without cycles, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from xmpp_server.storage.pubsub_links import Link, Links


class Graph:
    """The nodes of one owner by their names. Nodes that are in no collection need not be told of."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self._parents: dict[str, set[str]] = {}
        self._children: dict[str, set[str]] = {}
        for link in links:
            self._add(link)

    def parents(self, node: str) -> Sequence[str]:
        """The collections that the node is in, by name."""
        return sorted(self._parents.get(node, ()))

    def children(self, node: str) -> Sequence[str]:
        """What is in the collection, by name."""
        return sorted(self._children.get(node, ()))

    def above(self, node: str) -> dict[str, int]:
        """All collections from which the node is reached, with how many steps it takes, the nearest first; itself too
        if it is in a cycle."""
        found: dict[str, int] = {}
        steps, level = 0, [node]
        while level:
            steps += 1
            level = list(dict.fromkeys(each for below in level for each in self.parents(below)))
            level = [each for each in level if each not in found]
            found.update(dict.fromkeys(level, steps))
        return found

    @contextmanager
    def tried(self, links: Links) -> Iterator[None]:
        """How it would be with these changes, which all are changes."""
        self.apply(links)
        try:
            yield
        finally:
            self.apply(Links(links.removed, links.added))

    def apply(self, links: Links) -> None:
        """Make these changes."""
        for link in links.removed:
            self._remove(link)
        for link in links.added:
            self._add(link)

    def forget(self, node: str) -> None:
        """The node is gone; what was in it stays."""
        gone = [(parent, node) for parent in self.parents(node)] + [(node, child) for child in self.children(node)]
        self.apply(Links(removed=tuple(gone)))

    def _add(self, link: Link) -> None:
        parent, child = link
        self._parents.setdefault(child, set()).add(parent)
        self._children.setdefault(parent, set()).add(child)

    def _remove(self, link: Link) -> None:
        parent, child = link
        for here, key, value in ((self._parents, child, parent), (self._children, parent, child)):
            left = here.get(key, set())
            left.discard(value)
            if not left:
                here.pop(key, None)
