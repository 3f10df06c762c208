"""Sessions that wait for their client to come back, and the client that comes (XEP-0198 §5)."""

from __future__ import annotations

import asyncio
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.resends import Beginnings
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.sessions import Sessions

from .managed import Managed, Streams

if TYPE_CHECKING:
    from .session import Session

_ID_BYTES: Final = 18
_REST: Final = 2.0
"""Seconds that what came over the old connection may take before the client is told less, and sends it again."""


class ResumeFailed(Exception):  # noqa: N818
    """The session cannot be resumed; `condition` is that of a stanza error. `h` of it was handled, if it is known."""

    def __init__(self, condition: str, h: int | None = None) -> None:
        super().__init__(condition)
        self.condition = condition
        self.h = h


class Resumption:
    """Gives streams their ids, and clients their former sessions."""

    def __init__(self, sessions: Sessions, streams: Streams) -> None:
        self._sessions = sessions
        self.streams = streams

    def enable(self, session: Session, ns: str, limit: int, seconds: int) -> Managed:
        """Stream management for the session from here on; with 0 seconds it cannot be resumed."""
        id = secrets.token_urlsafe(_ID_BYTES) if seconds else ""
        managed = Managed(session, self.streams, ns, limit, id, digest(id) if id else b"", seconds)
        session.managed = managed
        session.beginnings = Beginnings()
        return managed

    def revive(self, session: Session, ns: str, limit: int, key: bytes, seconds: int) -> Managed:
        """The same for a session of before a restart; its id is known to the client alone."""
        managed = Managed(session, self.streams, ns, limit, key.hex(), key, seconds)
        session.managed = managed
        session.beginnings = Beginnings()
        self.sleep(managed)
        return managed

    def sleep(self, managed: Managed) -> None:
        """The session has no connection; it ends when nobody resumes it in time."""
        managed.timer = asyncio.get_running_loop().call_later(managed.seconds, self._expire, managed)

    def _expire(self, managed: Managed) -> None:
        managed.timer = None
        if managed.session.sink is None:
            self.streams.end(managed.session)

    async def resume(self, account: JID, id: str, h: int) -> tuple[Session, int]:
        """The account's former session of this id, which has no connection any more, for the one that attaches itself
        next; and h for the client, who has all up to the h that it gave.

        Raises ResumeFailed, or StreamError where the client acknowledges what it was not sent (§6) or another one
        resumes the session at the same time.
        """
        key = digest(id)
        managed = self.streams.by_key.get(key)
        if managed is None or managed.owner != account:
            raise ResumeFailed("item-not-found", await self._handled(account, key))
        session = managed.session
        if managed.goes_back(h):  # what came after that h is gone, and a gap is worse than a new session
            known = managed.h
            session.close(StreamError("conflict", "the session was resumed from where it cannot go on"))
            raise ResumeFailed("item-not-found", known)
        managed.accept(h)
        claim = managed.claim = object()
        if managed.timer is not None:
            managed.timer.cancel()
            managed.timer = None
        session.release_sink(StreamError("conflict", "the session is resumed over another connection"))
        await managed.rest(_REST)
        if managed.limit < 0:
            raise ResumeFailed("item-not-found", await self._handled(account, key))
        if managed.claim is not claim:
            raise StreamError("conflict", "the session is resumed over another connection")
        managed.claim = None
        return session, managed.repeat()

    async def _handled(self, account: JID, key: bytes) -> int | None:
        try:
            return await self._sessions.handled(account, key)
        except StorageError:
            return None


def digest(id: str) -> bytes:
    """What stands for the id wherever it is kept."""
    return sha256(id.encode()).digest()
