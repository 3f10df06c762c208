"""Who is in a room: an occupant has a nickname, and a session for each of his devices that joined under it."""

from __future__ import annotations

from collections.abc import Iterator

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.util.limits import TokenBucket

from .privileges import Role


class Occupant:
    """An account under a nickname (XEP-0045 §7.2.8 lets it join with several of its resources).

    `jid` is its bare address, `id` what others know it by (XEP-0421); `sessions` are the full addresses with their
    last presence, as the room shows it, less what the room adds. The last one that came is the one that is shown.
    """

    __slots__ = ("_shown", "address", "bucket", "id", "jid", "role", "sessions")

    def __init__(self, address: JID, jid: JID, id: str, role: Role) -> None:
        self.address = address
        """The occupant's address in the room."""
        self.jid = jid
        self.id = id
        self.role = role
        self.bucket: TokenBucket | None = None
        """What it may still send at once; None while it has sent nothing."""
        self.sessions: dict[JID, Stanza] = {}
        self._shown: dict[bool, Stanza] = {}

    @property
    def nick(self) -> str:
        return self.address.resource

    @property
    def session(self) -> JID:
        """The full address that is shown."""
        return next(reversed(self.sessions))

    @property
    def presence(self) -> Stanza:
        """The presence that is shown."""
        return self.sessions[self.session]

    def update(self, session: JID, presence: Stanza) -> None:
        """This is the newest presence."""
        self.sessions.pop(session, None)
        self.sessions[session] = presence
        self._shown.clear()

    def remove(self, session: JID) -> None:
        """The session has left."""
        del self.sessions[session]
        self._shown.clear()

    def changed(self) -> None:
        """Role or affiliation are others."""
        self._shown.clear()

    def shown(self, *, with_jid: bool) -> Stanza | None:
        """What was remembered of the presence as others see it."""
        return self._shown.get(with_jid)

    def remember(self, presence: Stanza, *, with_jid: bool) -> Stanza:
        """Keep it until something changes: everybody who joins is shown it."""
        self._shown[with_jid] = presence
        return presence


class Occupants:
    """All occupants of a room: one for each nickname, and found by their sessions."""

    def __init__(self) -> None:
        self._by_nick: dict[str, Occupant] = {}
        self._by_session: dict[JID, Occupant] = {}

    def __len__(self) -> int:
        return len(self._by_nick)

    def __iter__(self) -> Iterator[Occupant]:
        return iter(list(self._by_nick.values()))

    @property
    def sessions(self) -> Iterator[JID]:
        """The full addresses of all."""
        return iter(self._by_session)

    def named(self, nick: str) -> Occupant | None:
        """The occupant of this nickname."""
        return self._by_nick.get(nick)

    def of(self, session: JID) -> Occupant | None:
        """The occupant that this full address is."""
        return self._by_session.get(session)

    def by_account(self, jid: JID) -> list[Occupant]:
        """All that are this account."""
        return [occupant for occupant in self._by_nick.values() if occupant.jid == jid]

    def enter(self, occupant: Occupant, session: JID, presence: Stanza) -> None:
        """The session is this occupant, new or not."""
        self._by_nick[occupant.nick] = occupant
        self._by_session[session] = occupant
        occupant.update(session, presence)

    def leave(self, session: JID) -> None:
        """The session is gone; with the last one its occupant."""
        occupant = self._by_session.pop(session)
        occupant.remove(session)
        if not occupant.sessions:
            del self._by_nick[occupant.nick]
