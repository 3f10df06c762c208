"""What a stanza brings about until that is safe, and what those who deliver it report back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .account import Session


class Effect:
    """What an inbound stanza brings about, until it stands.

    That is: until it is in a committed transaction, acknowledged by all whom it went to, or answered with an error.
    Until then the server must not say that it has handled the stanza (XEP-0198 §4).
    """

    __slots__ = ("_callbacks", "done")

    def __init__(self) -> None:
        self.done = False
        self._callbacks: list[Callable[[], None]] | None = None

    def stands(self) -> None:
        """It is safe. Whoever waits for it is called at once; a second call does nothing."""
        if self.done:
            return
        self.done = True
        if self._callbacks is not None:
            self._call_back()

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()

    def when_standing(self, callback: Callable[[], None]) -> None:
        """Call this once it stands: at once, if it does already. It must not raise."""
        if self.done:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)


class Later(Effect):
    """What a stanza brings about that is not handled to its end yet. `gated`: it waits for its commit."""

    __slots__ = ("gated", "size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.gated = False

    def follow(self, effect: Effect | None) -> None:
        """It is handled, and stands when this does."""
        if effect is None:
            self.stands()
        else:
            effect.when_standing(self.stands)


class Origin(Effect):
    """A message that may come again; it stands when what it brought about does."""

    __slots__ = ("_waiting", "digest", "is_new", "taken")

    def __init__(self, digest: int) -> None:
        super().__init__()
        self.digest = digest
        self.is_new = True
        """Whether it is on its way still."""
        self.taken = False
        """Whether it brought something about; what did not is handled once more when it comes again."""
        self._waiting: asyncio.Future[None] | None = None

    def finish(self, effect: Effect | None) -> None:
        """It was handled, and this is what it brings about."""
        self.is_new = False
        if effect is not None:
            self.taken = True
            effect.when_standing(self.stands)
        if self._waiting is not None:
            self._waiting.set_result(None)

    async def handled(self) -> None:
        """Wait until it was handled."""
        if self.is_new:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)


class Budget:
    """How many octets of a session's stanzas are under way and not safe yet; beyond `most` it is not read further."""

    __slots__ = ("_waiting", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._waiting: asyncio.Future[None] | None = None

    def take(self, size: int) -> None:
        """So much more is under way."""
        self.used += size

    def give(self, size: int) -> None:
        """So much is safe now."""
        self.used -= size
        if self._waiting is not None and self.used <= self.most:
            self.go_on()

    def go_on(self) -> None:
        """Let whoever waits for room go on."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set_result(None)

    async def room(self) -> None:
        """Wait until there is room, or until `go_on`."""
        if self.used > self.most:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)


class Receipt(Protocol):
    """Told by a session what became of a stanza that it took: one of the two, once."""

    @property
    def kept(self) -> bool:
        """Whether the stanza is kept until it is acknowledged, so that this had better be soon."""
        ...

    def acknowledged(self, session: Session) -> None:
        """The client has it: it acknowledged it (XEP-0198 §4), or without stream management its bytes were written."""
        ...

    def lost(self, session: Session) -> None:
        """The session ended for good without that."""
        ...
