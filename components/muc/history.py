"""The newest messages of a room, and which of them a newcomer is shown (XEP-0045 §7.2.13, §7.2.14)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import delay, parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import BODY, Stanza, qname
from xmpp_server.protocol.stanza_ids import STANZA_ID

from .names import MUC, OCCUPANT_ID_KEY

_MOST: Final = 100
_MOST_OCTETS: Final = 1_000_000
ORIGIN_ID: Final = qname(ns.STANZA_ID, "origin-id")
_ADDED: Final = frozenset((STANZA_ID, qname(ns.DELAY, "delay"), OCCUPANT_ID_KEY))
"""What the room, or whoever sends something again, adds to a message."""
_SUBJECT: Final = qname(ns.CLIENT, "subject")
_THREAD: Final = qname(ns.CLIENT, "thread")


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """How much of the history is asked for; None: not said. `since` is in microseconds."""

    maxchars: int | None = None
    maxstanzas: int | None = None
    seconds: int | None = None
    since: int | None = None

    @classmethod
    def parse(cls, join: Element) -> HistoryRequest | None:
        """From the `<x/>` of a join; None if it asks for nothing. Raises StanzaError bad-request."""
        history = join.child(MUC, "history")
        if history is None:
            return None
        since = history.get("since")
        try:
            then = parse_time(since) if since else None
        except ValueError as error:
            raise StanzaError("bad-request", "since is a time as XEP-0082 has it.") from error
        return cls(_number(history, "maxchars"), _number(history, "maxstanzas"), _number(history, "seconds"), then)


def _number(history: Element, name: str) -> int | None:
    text = history.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise StanzaError("bad-request", f"{name} is a number of zero or more.")
    return int(text[:18])


class Entry:
    """A message that was reflected: its number, when it came (microseconds), and the stanza without `to`."""

    __slots__ = ("_late", "at", "n", "size", "stanza")

    def __init__(self, n: int, at: int, stanza: Stanza) -> None:
        self.n = n
        self.at = at
        self.stanza = stanza
        self.size = len(stanza.payload) + 200
        self._late: Stanza | None = None

    @property
    def is_subject(self) -> bool:
        return is_subject(self.stanza)

    def late(self, room: JID) -> Stanza:
        """The message as those get it who were not there: dated (XEP-0203)."""
        if self._late is None:
            self._late = self.stanza.with_child(delay(room, self.at))
        return self._late


def is_subject(message: Stanza) -> bool:
    """Whether it changes the subject (§7.2.15): it has a subject, and neither body nor thread."""
    keys = message.keys
    return _SUBJECT in keys and BODY not in keys and _THREAD not in keys


def is_same(kept: Stanza, message: Stanza, occupant: str) -> bool:
    """Whether it is the message that was kept: its sender, who has this occupant id, sends it again because the server
    crashed before it could tell that it has it (XEP-0198 §5)."""
    return kept.attribute(OCCUPANT_ID_KEY, "id") == occupant and _content(kept) == _content(message)


def _content(message: Stanza) -> list[bytes]:
    return [message.parse(child).to_bytes() for child in message.children if child.key not in _ADDED]


class History:
    """The newest messages, in their order; what is older is in the log alone."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._octets = 0
        self._origins: dict[str, Entry] = {}
        self.floor = 0
        """The number of the newest message that is not here any more."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, n: int, at: int, stanza: Stanza) -> None:
        """Append a message; the oldest go where there are too many."""
        entry = Entry(n, at, stanza)
        self._entries.append(entry)
        self._octets += entry.size
        if ORIGIN_ID in stanza.keys and (id := stanza.attribute(ORIGIN_ID, "id")):
            self._origins[id] = entry
        while len(self._entries) > _MOST or (self._octets > _MOST_OCTETS and len(self._entries) > 1):
            oldest = self._entries.popleft()
            self._forget(oldest)
            self.floor = oldest.n

    def discard(self, n: int) -> None:
        """This message is not to be shown any more."""
        for entry in self._entries:
            if entry.n == n:
                self._entries.remove(entry)
                self._forget(entry)
                return

    def _forget(self, entry: Entry) -> None:
        self._octets -= entry.size
        id = entry.stanza.attribute(ORIGIN_ID, "id")
        if self._origins.get(id) is entry:
            del self._origins[id]

    def same(self, message: Stanza, occupant: str) -> Stanza | None:
        """The message itself as it was reflected, if it is here already (`is_same`); found by its origin-id."""
        entry = self._origins.get(message.attribute(ORIGIN_ID, "id")) if self._origins else None
        return entry.stanza if entry is not None and is_same(entry.stanza, message, occupant) else None

    def after(self, n: int) -> list[Entry]:
        """The messages with a higher number, less the subjects."""
        return [entry for entry in self._entries if entry.n > n and not entry.is_subject]

    def asked(self, request: HistoryRequest | None, default: int, now: int) -> Iterable[Entry]:
        """The newest messages that meet all that is asked for, `default` of them if their number is not; oldest first.
        `maxchars` counts characters of whole stanzas."""
        request = request or HistoryRequest()
        most = default if request.maxstanzas is None else min(request.maxstanzas, _MOST)
        if request.maxstanzas is None and request != HistoryRequest():
            most = _MOST
        since = request.since or 0
        if request.seconds is not None:
            since = max(since, now - request.seconds * 1_000_000)
        room_for = request.maxchars
        chosen: list[Entry] = []
        for entry in reversed(self._entries):
            if len(chosen) >= most or entry.at < since:
                break
            if entry.is_subject:
                continue
            if room_for is not None:
                room_for -= len(entry.stanza.to_bytes().decode())
                if room_for < 0:
                    break
            chosen.append(entry)
        return reversed(chosen)
