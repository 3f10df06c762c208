"""A BOSH session's requests and responses (XEP-0124), without HTTP and without a clock: which request is taken up next,
which is held, what each is answered with, and when. Multiple streams (§15) are not offered.

The driver gives each request that it has read to `receive`, with a *slot* of its own to answer it by; takes those that
are due by `next_request`, in the order of their rid; gives what the stream has to say to `say`; and answers the slots
that `answers` names. Times are seconds of any clock that goes forward.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, TypeVar

from ..protocol import ns
from ..protocol.element import Element
from .header import Context

MAX_RID: Final = 9_007_199_254_740_991  # §14.1
_VERSION: Final = (1, 11)
_REPEATS: Final = 10
"""How often one request may be sent again while it is not answered (§14.3)."""

Slot = TypeVar("Slot")


class Terminated(Exception):  # noqa: N818
    """A terminal binding condition (§17.2): the session, if there is one, has ended. `uri`: where to go instead."""

    def __init__(self, condition: str, uri: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.uri = uri

    def body(self) -> bytes:
        """What the client is told."""
        uri = [Element(ns.BOSH, "uri", {}, [self.uri])] if self.uri else []
        return Element(ns.BOSH, "body", {"type": "terminate", "condition": self.condition}, uri).to_bytes()


@dataclass(frozen=True, slots=True)
class Settings:
    """What sessions are given: seconds, and how many requests are held at once."""

    wait: int = 60
    hold: int = 1
    polling: int = 2
    inactivity: int = 60
    maxpause: int = 120


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the attributes of its `<body/>` by name, those of XEP-0206 as `xmpp:restart`, and whether there is
    something in it: `content`, as it stands below `context`."""

    attrs: dict[str, str]
    empty: bool
    content: bytes = b""
    context: Context | None = None

    @property
    def rid(self) -> int:
        """Raises Terminated if it is no rid."""
        rid = number(self.attrs.get("rid", ""), MAX_RID)
        if not rid:
            raise Terminated("bad-request")
        return rid

    @property
    def terminates(self) -> bool:
        return self.attrs.get("type") == "terminate"

    @property
    def sid(self) -> str:
        """Empty: it asks for a session."""
        return self.attrs.get("sid", "")

    @property
    def pause(self) -> str:
        return self.attrs.get("pause", "")

    @property
    def restarts(self) -> bool:
        """XEP-0206 §6"""
        return self.attrs.get("xmpp:restart") in ("true", "1")


def number(text: str, most: int) -> int | None:
    """A whole number from 0 to `most`, or None."""
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > most:
        return None
    return int(text)


class Session(Generic[Slot]):
    """One session, made by its first request, which is given to `receive` too. Raises Terminated if that is none."""

    def __init__(self, sid: str, first: Request, settings: Settings) -> None:
        self.sid = sid
        wait, hold = _number(first, "wait", settings.wait), _number(first, "hold", settings.hold)
        self.wait = min(wait, settings.wait)
        self.hold = min(hold, settings.hold)
        self.polls = self.wait == 0 or self.hold == 0
        self.legacy = "ver" not in first.attrs
        """Whether the client expects the statuses of HTTP for errors (§17.1)."""
        self.requests = self.hold + 1
        self._settings = settings
        self._due = first.rid
        """The rid that comes next in order."""
        self._taken = first.rid
        """The rid that is handled next; what comes before it may be answered."""
        self._early: dict[int, Request] = {}
        """What came before its turn."""
        self._turn: deque[Request] = deque()
        self._waiting: OrderedDict[int, _Waiting[Slot]] = OrderedDict()
        """What is not answered, by rid."""
        self._given: OrderedDict[int, bytes] = OrderedDict()
        """The last answers, to be repeated."""
        self._answers: list[tuple[Slot, bytes]] = []
        self._said: list[bytes] = []
        self._created = first
        self._fresh = True
        self._acks = first.attrs.get("ack") == "1"
        self._key = first.attrs.get("newkey", "").lower()
        self._arrival = -1e9
        self._poll: float | None = None
        """When an empty request came that was answered with nothing, or may yet be."""
        self._inactivity = float(settings.inactivity * 2 if self.polls else settings.inactivity)
        self._quiet: float | None = None
        """Since when nothing is held."""
        self._last_words = Terminated("item-not-found").body()
        """What a request is told that comes after the end."""
        self.over = False

    # -- requests

    def receive(self, request: Request, slot: Slot, now: float) -> None:
        """Take a request. Raises Terminated; then the session is over, and this request is among those answered."""
        rid = request.rid
        if self.over:
            self._answers.append((slot, self._last_words))
            return
        if rid < self._due or rid in self._waiting:
            self._repeat(rid, slot)
            return
        if rid >= self._due + self.requests + (request.terminates or bool(request.pause)):  # §14.2
            self._end("item-not-found", slot)
        self._check_frequency(request, slot, now)
        self._arrival = now
        self._quiet = None
        self._waiting[rid] = _Waiting(slot, now + self.wait)
        self._early[rid] = request
        while (following := self._early.pop(self._due, None)) is not None:
            self._check_key(following, slot)
            self._turn.append(following)
            self._due += 1
        self._waiting = OrderedDict(sorted(self._waiting.items()))
        self._acknowledged(request)

    def next_request(self) -> Request | None:
        """The next request in order, to be handled; while it is not asked for none is answered, and so no more come."""
        if not self._turn:
            return None
        self._taken += 1
        return self._turn.popleft()

    def _check_frequency(self, request: Request, slot: Slot, now: float) -> None:
        if request.terminates or request.pause:
            return
        if len(self._waiting) >= self.requests:  # §11
            self._end("policy-violation", slot)
        if not request.empty or request.restarts:
            self._poll = None
            return
        if any(rid > request.rid for rid in self._early):  # it was overtaken, on another connection, by what is newer
            return
        hasty = now - self._arrival < self._settings.polling
        if hasty and not self.polls and len(self._waiting) + 1 == self.requests:
            self._end("policy-violation", slot)
        if self.polls:  # §12
            if self._poll is not None and now - self._poll < self._settings.polling:
                self._end("policy-violation", slot)
            self._poll = now

    def _check_key(self, request: Request, slot: Slot) -> None:
        """§14.4: the hash of a key is the key before it."""
        if request is self._created:
            return
        key = request.attrs.get("key", "").lower()
        if self._key:
            expected = hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
            if not hmac.compare_digest(expected.encode(), self._key.encode()):
                self._end("item-not-found", slot)
        self._key = request.attrs.get("newkey", key if self._key else "").lower()

    def _repeat(self, rid: int, slot: Slot) -> None:
        """§14.3: a request that was received already."""
        waiting = self._waiting.get(rid)
        if waiting is not None:
            waiting.repeats += 1
            if waiting.repeats > _REPEATS:
                self._end("policy-violation", slot)
            if waiting.slot is not None:
                self._answers.append((waiting.slot, _body({"type": "error"})))
            waiting.slot = slot
            self._quiet = None
        elif rid in self._given:
            self._answers.append((slot, self._given[rid]))
        else:
            self._end("item-not-found", slot)

    def _acknowledged(self, request: Request) -> None:
        """§9.2: the client has the answers up to `ack`."""
        if self._acks and request is not self._created:
            ack = number(request.attrs.get("ack", ""), MAX_RID)
            for rid in [rid for rid in self._given if ack is not None and rid <= ack]:
                del self._given[rid]

    def dropped(self, slot: Slot, now: float) -> None:
        """The connection of a request is gone; the client may send it again."""
        for waiting in self._waiting.values():
            if waiting.slot == slot:
                waiting.slot = None
        self._settle_quiet(now)

    # -- answers

    def say(self, parts: Iterable[bytes]) -> None:
        """What the client is to be told next: elements that stand alone."""
        self._said += parts

    @property
    def can_say(self) -> bool:
        """Whether a request waits by which something could be said: the oldest."""
        rid, oldest = next(iter(self._waiting.items()), (0, None))
        return oldest is not None and oldest.slot is not None and rid < self._taken

    def settle(self, now: float) -> None:
        """After what came was handled: answer what is to be answered."""
        if self.over:
            return
        while self.can_say:
            rid, held = next(iter(self._waiting.items()))
            if not self._said and len(self._handled()) <= self.hold and held.until > now:
                break
            self._answer(rid, held, self._compose({}))
        self._settle_quiet(now)

    def pause(self, request: Request, now: float) -> None:
        """§10: answer all that waits with nothing, and allow for a longer silence. Raises Terminated."""
        seconds = number(request.pause, self._settings.maxpause)
        if seconds is None:
            self._end("policy-violation", None)
        said, self._said = self._said, []
        for rid, held in list(self._waiting.items()):
            self._answer(rid, held, self._compose({}))
        self._said = said
        self._quiet = now + seconds - self._inactivity

    def close(self, condition: str = "", last: Iterable[bytes] = ()) -> None:
        """End the session: the oldest request learns of it, with what was to be said and `last`; the others get nothing
        (§13). With `condition` it is an error."""
        if self.over:
            return
        self.over = True
        self._said += last
        attrs = {"type": "terminate"}
        if condition:
            attrs["condition"] = condition
        self._last_words = body = self._compose(attrs)
        for held in self._waiting.values():
            if held.slot is not None:
                self._answers.append((held.slot, body))
                body = _body({})
        self._waiting.clear()
        self._early.clear()

    def answers(self) -> list[tuple[Slot, bytes]]:
        """The slots that are to be answered now, and with what; once."""
        answers, self._answers = self._answers, []
        return answers

    def due(self) -> float | None:
        """When to call `tick` at the latest."""
        times = [held.until for held in self._handled().values() if held.slot is not None]
        if self._quiet is not None:
            times.append(self._quiet + self._inactivity)
        return min(times, default=None)

    def tick(self, now: float) -> bool:
        """Answer what has waited long enough. False: the client has been silent for too long, and the session is
        over (§10)."""
        self.settle(now)
        if self._quiet is not None and now >= self._quiet + self._inactivity:
            self.over = True
        return not self.over

    def _handled(self) -> dict[int, _Waiting[Slot]]:
        return {rid: held for rid, held in self._waiting.items() if rid < self._taken}

    def _settle_quiet(self, now: float) -> None:
        if any(held.slot is not None for held in self._waiting.values()):
            self._quiet = None
        elif self._quiet is None:
            self._quiet = now

    def _answer(self, rid: int, held: _Waiting[Slot], body: bytes) -> None:
        del self._waiting[rid]
        self._given[rid] = body
        while len(self._given) > self.requests:
            self._given.popitem(last=False)
        if held.slot is not None:
            self._answers.append((held.slot, body))

    def _compose(self, attrs: dict[str, str]) -> bytes:
        if self._fresh:
            self._fresh = False
            attrs = attrs | self._creation()
        elif self._waiting and (highest := self._due - 1) != next(iter(self._waiting)):
            attrs = attrs | {"ack": str(highest)}  # §9.1
        said, self._said = self._said, []
        if said:
            self._poll = None
        return _body(attrs, said)

    def _creation(self) -> dict[str, str]:
        """§7.2; XEP-0206 §4"""
        settings = self._settings
        return {
            "sid": self.sid,
            "wait": str(self.wait),
            "requests": str(self.requests),
            "hold": str(self.hold),
            "ver": _version(self._created.attrs.get("ver", "")),
            "polling": str(settings.polling),
            "inactivity": str(int(self._inactivity)),
            "maxpause": str(settings.maxpause),
            "ack": str(self._created.rid),
            "from": self._created.attrs.get("to", ""),
            f"{{{ns.XBOSH}}}version": "1.0",
            f"{{{ns.XBOSH}}}restartlogic": "true",
        }

    def _end(self, condition: str, slot: Slot | None) -> NoReturn:
        """End the session with this error for all that wait, and for this request."""
        error = Terminated(condition)
        self._last_words = body = error.body()
        self.over = True
        self._answers += [(held.slot, body) for held in self._waiting.values() if held.slot is not None]
        if slot is not None and all(held.slot != slot for held in self._waiting.values()):
            self._answers.append((slot, body))
        self._waiting.clear()
        raise error


@dataclass(slots=True)
class _Waiting(Generic[Slot]):
    slot: Slot | None
    until: float
    repeats: int = 0


def _number(request: Request, name: str, default: int) -> int:
    if name not in request.attrs:
        return default
    found = number(request.attrs[name], MAX_RID)
    if found is None:
        raise Terminated("bad-request")
    return found


def _version(asked: str) -> str:
    """§7.2: the lower one of the client's and ours."""
    major, _, minor = asked.partition(".")
    theirs = (number(major, 1000), number(minor, 1000))
    if theirs[0] is None or theirs[1] is None:
        return f"{_VERSION[0]}.{_VERSION[1]}"
    return "{}.{}".format(*min((theirs[0], theirs[1]), _VERSION))


def _body(attrs: dict[str, str], said: Iterable[bytes] = ()) -> bytes:
    """`<body/>` around elements that stand alone; it declares the prefix that those of the stream have."""
    empty = Element(ns.BOSH, "body", attrs).to_bytes()
    content = b"".join(said)
    if not content:
        return empty
    stream = f" xmlns:stream='{ns.STREAMS}'".encode() if b"<stream:" in content else b""
    return b"".join((empty[:-2], stream, b">", content, b"</body>"))
