"""Limits on what strangers and clients may do: rates, attempts, connections. Clocks are monotonic, in seconds.

Every table is bounded, so that nobody fills the memory with the keys that he makes up.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_IPV6_SITE: Final = 64  # bits: what one customer is given at least (RFC 6177 §2)


def address_key(ip: str) -> str:
    """Whose address this is, for limits: an IPv4 address itself (also where it is mapped into IPv6, RFC 4291 §2.5.5.2),
    an IPv6 address by its /64. Raises ValueError if it is neither."""
    address: IPv4Address | IPv6Address | None = ip_address(ip)
    if isinstance(address, IPv6Address):
        if (mapped := address.ipv4_mapped) is None:
            return f"{IPv6Address(int(address) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
        address = mapped
    return str(address)


class TokenBucket:
    """`rate` a second, and `burst` at once, for what has been read already: it may go into debt, and whoever reads
    pauses until the debt is paid. Both may be changed at any time."""

    __slots__ = ("_clock", "_level", "_then", "burst", "rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._level = burst
        self._then = clock()

    def take(self, amount: float = 1) -> float:
        """Account for `amount`; returns for how many seconds to read no more (0: read on)."""
        now = self._clock()
        self._level = min(self.burst, self._level + (now - self._then) * self.rate) - amount
        self._then = now
        return -self._level / self.rate if self._level < 0 else 0.0


class SlowDown:
    """Makes guesses at passwords slow: after `free` failures the next attempt waits `first` seconds, and twice as long
    after each one more, up to `longest`. A key that did not fail for `forget` seconds is forgotten, and so is the one
    that failed longest ago when there are more than `keys`.

    As soon as the outcome of an attempt is known, whatever it is, and whether or not there is such an account: ask for
    the `delay`, tell `failed` or `succeeded`, and hold the answer back for so long. So attempts at the same time queue
    behind each other, and many connections guess no faster than one; up to `longest`, because a user whose account is
    under attack waits in the same queue.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        free: int = 3,
        first: float = 1.0,
        longest: float = 30.0,
        forget: float = 900.0,
        keys: int = 65536,
    ) -> None:
        self._clock = clock
        self.free = free
        self._first = first
        self._longest = longest
        self._forget = forget
        self._keys = keys
        # By the hash of the key, so that an entry is small however long names are. Least recently failed first.
        self._entries: OrderedDict[int, _Failures] = OrderedDict()

    def delay(self, key: str) -> float:
        """For how many seconds to hold back the answer to this attempt; takes its place in the queue."""
        now = self._clock()
        entry = self._entries.get(hash(key))
        if entry is None or now - entry.last >= self._forget:
            return 0.0
        if entry.count < self.free:
            return 0.0
        interval = min(self._longest, self._first * 2.0 ** min(entry.count - self.free, 32))
        entry.turn = max(now, min(entry.turn + interval, now + self._longest))
        return entry.turn - now

    def is_full(self, key: str) -> bool:
        """Whether so many attempts queue already that another would not wait longer than they: it should be refused
        before it is looked at. For addresses; never for accounts, whose users anybody could lock out so."""
        entry = self._entries.get(hash(key))
        return entry is not None and entry.count >= self.free and entry.turn >= self._clock() + self._longest

    def failed(self, key: str) -> None:
        """The attempt was a wrong guess."""
        now = self._clock()
        digest = hash(key)
        entry = self._entries.pop(digest, None)
        if entry is None or now - entry.last >= self._forget:
            entry = _Failures()
        self._entries[digest] = entry
        entry.count += 1
        entry.last = now
        entry.turn = max(entry.turn, now)
        if len(self._entries) > self._keys:
            self._entries.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the key. For accounts; never for addresses, where an account of his own would free a guesser."""
        self._entries.pop(hash(key), None)


class _Failures:
    """`turn`: when the last attempt that queued gets its answer."""

    __slots__ = ("count", "last", "turn")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.turn = 0.0


class Places:
    """Counts what is open at the same time, such as connections: up to `each` of one key, up to `total` of all."""

    def __init__(self, each: int, total: int) -> None:
        self.each = each
        self.total = total
        self._taken: Counter[str] = Counter()
        self._sum = 0

    def enter(self, key: str) -> bool:
        """Take a place, to be left again; False: there is none."""
        if self._sum >= self.total or self._taken[key] >= self.each:
            return False
        self._taken[key] += 1
        self._sum += 1
        return True

    def leave(self, key: str) -> None:
        """Give back a place that was taken."""
        self._sum -= 1
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Allowance:
    """How often something may be done: `count` times at once, and again at the rate of `count` in `period` seconds, by
    each key. What is refused does not count. Remembers the `keys` that used it last."""

    def __init__(self, clock: Callable[[], float], *, count: int, period: float, keys: int = 65536) -> None:
        self._clock = clock
        self._count = count
        self._period = period
        self._keys = keys
        self._used: OrderedDict[int, tuple[float, float]] = OrderedDict()  # by the key's hash: how much, and when

    def take(self, key: str) -> bool:
        """Do it once more; False: not now."""
        now = self._clock()
        digest = hash(key)
        used, then = self._used.pop(digest, (0.0, now))
        used = max(0.0, used - (now - then) * self._count / self._period)
        allowed = used + 1 <= self._count
        self._used[digest] = (used + allowed, now)
        if len(self._used) > self._keys:
            self._used.popitem(last=False)
        return allowed
