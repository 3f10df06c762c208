"""One message in flight, as the ledger has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_server.protocol.hints import NO_COPY
from xmpp_server.protocol.stanza import Stanza, qname

from .account import Account, Session
from .effects import Effect

if TYPE_CHECKING:
    from .ledger import Ledger

NEW: Final = 0
"""It came in this turn of the loop, and has no id yet."""
IN_MEMORY: Final = 1
DOUBTFUL: Final = 2
"""The database went away while it was written: it may stand in the inbox."""
WRITING: Final = 3
WRITTEN: Final = 4

_ENVELOPE: Final = 500
"""Octets that a message takes beside its payload, about."""
_PRIVATE: Final = (qname("urn:xmpp:carbons:2", "private"), NO_COPY)


class Line:
    """An account's messages in flight, by id, in their order: those that are not in the inbox yet, and the others."""

    __slots__ = ("rows", "unwritten")

    def __init__(self) -> None:
        self.unwritten: dict[int, Entry] = {}
        self.rows: dict[int, Entry] = {}


class Entry(Effect):
    """A message to an account of ours: what its sender brought about, and the receipt of every session that it is given
    to. One that is not `kept` is answered with an error if nobody gets it.

    `size` and `received` (microseconds) are known once it has an id. `row` is its id in the inbox: another one if it
    stood there before a crash, and was sent again.
    """

    __slots__ = (
        "_ledger",
        "account",
        "id",
        "kept",
        "private",
        "received",
        "row",
        "seen",
        "sender",
        "sent",
        "sessions",
        "size",
        "stanza",
        "state",
    )

    def __init__(
        self, ledger: Ledger, account: Account, stanza: Stanza | None, sender: Session | None, *, kept: bool
    ) -> None:
        self.done = False
        self._callbacks = None
        self._ledger = ledger
        self.account = account
        self.stanza = stanza
        """The message; None once it is in the inbox."""
        self.sender = sender
        self.kept = kept
        self.state = NEW
        self.sessions: list[Session] = []
        """Who has it and has not acknowledged it."""
        self.seen = False
        """Whether anybody acknowledged it."""
        self.sent = False
        """Whether it has been given to all that it is for."""

    def number(self, id: int, received: int) -> None:
        """It is in flight for longer than this turn of the loop."""
        self.id = self.row = id
        self.received = received
        self.state = IN_MEMORY
        self.size = _ENVELOPE
        self.private = False
        if self.stanza is not None:
            self.size += len(self.stanza.payload)
        if self.sender is not None:
            self.sender.budget.take(self.size)

    @property
    def is_resolved(self) -> bool:
        """Whether all whom it went to are done with it, and one at least has got it."""
        return self.seen and self.sent and not self.sessions

    def give(self, session: Session, stanza: Stanza) -> bool:
        """Deliver the message, or a copy of it; False: the session does not take it."""
        self.sessions.append(session)
        if session.deliver(stanza, self):
            return True
        self.sessions.remove(session)
        return False

    def give_bytes(self, session: Session, data: bytes) -> bool:
        """The same for what stands in the inbox."""
        self.sessions.append(session)
        if session.deliver_bytes(data, self):
            return True
        self.sessions.remove(session)
        return False

    def complete(self) -> None:
        """It has been given to all that it is for."""
        self.sent = True
        if not self.sessions:
            self._ledger.resolve(self)

    def acknowledged(self, session: Session) -> None:
        """As `Receipt` has it."""
        self.seen = True
        sessions = self.sessions
        sessions.remove(session)
        if self.sent and not sessions:
            if self.state is NEW:  # which is nearly always so, and costs no more than this
                self.done = True
                if self._callbacks is not None:
                    self._call_back()
            else:
                self._ledger.resolve(self)

    def hurry(self) -> None:
        """As `port.Delivery` has it."""
        for session in self.sessions:
            session.hurry()

    def lost(self, session: Session) -> None:
        """As `Receipt` has it."""
        self.sessions.remove(session)
        if self.sent and not self.sessions:
            self._ledger.resolve(self)

    def written(self) -> None:
        """It stands in the inbox; its content is no longer needed."""
        line = self.account.line
        assert line is not None
        del line.unwritten[self.id]
        line.rows.setdefault(self.row, self)  # or it is being handed over
        self.state = WRITTEN
        stanza, self.stanza = self.stanza, None
        self.private = stanza is not None and any(key in _PRIVATE for key in stanza.keys)

    def stands(self) -> None:
        """As `Effect` has it; what it took of its sender's budget is given back."""
        if self.done:
            return
        sender, self.sender = self.sender, None
        if sender is not None and self.state is not NEW:
            sender.budget.give(self.size)
        super().stands()
