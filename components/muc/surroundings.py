"""What a room needs of the service that it is in, and the bounds that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xmpp_server.protocol.jid import JID


class Surroundings(Protocol):
    """What a room needs of the service."""

    def now(self) -> int:
        """Microseconds since 1970."""
        ...

    def number(self, after: int) -> int:
        """The number of a message that is logged now, above `after`."""
        ...

    def stanza_id(self, room: JID, n: int) -> str:
        """The id of the message of this number (XEP-0359)."""
        ...

    def mark(self, room: JID, account: JID, id: str) -> int:
        """What the message is found by in the log that has this origin-id of the account's."""
        ...

    def occupant_id(self, room: JID, account: JID) -> str:
        """What the account is known by in this room (XEP-0421)."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a room takes: occupants, affiliations, octets of a message; messages a second of one occupant, and
    how many at once."""

    occupants: int = 1024
    affiliations: int = 10_000
    octets: int = 131_072
    rate: float = 20
    burst: float = 200
    joins: int = 60
    """Of one account in a minute; 0: as many as it likes."""
