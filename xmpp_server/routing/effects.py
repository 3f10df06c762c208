"""What a stanza brings about until that is safe, and what those who deliver it report back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .account import Session


class Effect:
    """What an inbound stanza brings about, until it stands: in a committed transaction, acknowledged by all whom it went
    to, or answered with an error. Until then the server must not say that it has handled the stanza (XEP-0198 §4)."""

    __slots__ = ("_callbacks", "done")

    def __init__(self) -> None:
        self.done = False
        self._callbacks: list[Callable[[], None]] | None = None

    def stands(self) -> None:
        """It is safe. Whoever waits for it is called at once; a second call does nothing."""
        if self.done:
            return
        self.done = True
        callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            for callback in callbacks:
                callback()

    def when_standing(self, callback: Callable[[], None]) -> None:
        """Call this once it stands: at once, if it does already. It must not raise."""
        if self.done:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)


class Receipt(Protocol):
    """Told by a session what became of a stanza that it took: one of the two, once."""

    def acknowledged(self, session: Session) -> None:
        """The client has it: it acknowledged it (XEP-0198 §4), or without stream management its bytes were written."""
        ...

    def lost(self, session: Session) -> None:
        """The session ended for good without that."""
        ...
