"""What one stanza brings about in a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Flag, auto

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza


@dataclass(frozen=True, slots=True)
class Copies:
    """One stanza for many: built once, under as many start tags. `n` is its number in the log; 0: it is not there.
    `late`: to one who was not there when it was said."""

    stanza: Stanza
    to: Sequence[JID]
    n: int = 0
    late: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """A message of the room's log: its number, its time in microseconds, as it is kept (without `to`), and which
    occupant it is from. `entombed` are the numbers of messages that other bytes take the place of; by its `mark` it is
    found if it is sent again."""

    n: int
    at: int
    stanza: Stanza
    author: JID
    entombed: tuple[tuple[int, bytes], ...] = ()
    mark: int | None = None


class Changed(Flag):
    """What of a room is to be written."""

    NOTHING = 0
    ROOM = auto()
    """Its configuration, subject or avatar."""
    AFFILIATIONS = auto()
    """Those of the accounts that come with it."""


@dataclass(slots=True)
class Turn:
    """The effects of a stanza: `sends` go out in their order when `logged` and what `changed` are written.

    `arrived` are sessions that are owed what they missed before anything else of the room's messages, `left` those
    that are in the room no more. `destroyed`: the room ends with this, and what is kept of it goes.
    """

    sends: list[Stanza | Copies] = field(default_factory=list)
    logged: Logged | None = None
    changed: Changed = Changed.NOTHING
    accounts: set[JID] = field(default_factory=set)
    arrived: list[JID] = field(default_factory=list)
    left: list[JID] = field(default_factory=list)
    destroyed: bool = False
