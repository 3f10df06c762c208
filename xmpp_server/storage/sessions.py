"""Streams that can be resumed (XEP-0198 §5): how much of each was handled, and over a restart its whole state.

`key` is a digest of the stream's id, for whoever reads the database shall not be able to resume. `handled` counts
without end. What a crash leaves is the count, and so the client learns what was taken of what it had sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, bindparam, delete, null, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

sessions: Final = Table(
    "sessions",
    metadata,
    owner(),
    Column("key", LargeBinary, primary_key=True),
    Column("handled", BigInteger, nullable=False),
    Column("saved", BigInteger, nullable=False),
    Column("state", LargeBinary),
    Index("sessions_by_time", "saved"),
)
_has_state = sessions.c.state.is_not(None)
Index("sessions_with_state", sessions.c.account, postgresql_where=_has_state, sqlite_where=_has_state)

_COLUMNS: Final = ("account", "key", "handled", "saved", "state")
_is_it = (sessions.c.account == bindparam("account")) & (sessions.c.key == bindparam("key"))
_put = insert(
    sessions
).from_select(
    _COLUMNS,
    select(  # an account that is gone has no sessions, and spoils nobody else's
        accounts.c.account, *(bindparam(name, type_=sessions.c[name].type) for name in _COLUMNS[1:])
    ).where(accounts.c.account == bindparam("account")),
)
_PUT: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=[sessions.c.account, sessions.c.key],
        set_={name: _put.excluded[name] for name in ("handled", "saved", "state")},
    )
)
_GET: Final = Statement(select(sessions.c.handled).where(_is_it))
_DELETE: Final = Statement(delete(sessions).where(_is_it))
_WITH_STATE: Final = Statement(
    select(sessions.c.account, sessions.c.key, sessions.c.handled, sessions.c.saved, sessions.c.state).where(_has_state)
)
_TAKE: Final = Statement(update(sessions).where(_has_state).values(state=null()))
_PURGE: Final = Statement(
    delete(sessions).where(
        tuple_(sessions.c.account, sessions.c.key).in_(
            select(sessions.c.account, sessions.c.key)
            .where(sessions.c.saved <= bindparam("before"))
            .order_by(sessions.c.saved)
            .limit(bindparam("limit"))
        )
    )
)


@dataclass(frozen=True, slots=True)
class SavedSession:
    """One stream. `saved` is when this was written, in microseconds since 1970; `state` is that of a server which was
    stopped, as bytes of whoever wrote it."""

    account: JID
    key: bytes
    handled: int
    saved: int
    state: bytes | None = None


class Sessions:
    """What is kept of the streams of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, saved: Iterable[SavedSession], gone: Iterable[tuple[JID, bytes]] = ()) -> None:
        """Put these, and forget those that are gone, in one transaction; what belongs to no account is left out."""
        rows: list[dict[str, Any]] = [
            {"account": str(s.account), "key": s.key, "handled": s.handled, "saved": s.saved, "state": s.state}
            for s in saved
        ]
        deleted = [{"account": str(account), "key": key} for account, key in gone]

        async def work(transaction: Transaction) -> None:
            if rows:
                await transaction.many(_PUT, rows)
            if deleted:
                await transaction.many(_DELETE, deleted)

        await self._database.write(work)

    async def handled(self, account: JID, key: bytes) -> int | None:
        """How much of this stream was handled; None if it is not known."""
        row = await self._database.one(_GET, account=str(account), key=key)
        return row[0] if row else None

    async def take(self) -> Sequence[SavedSession]:
        """The streams whose state was saved, which is there only this once: nobody shall go back to it later."""

        async def work(transaction: Transaction) -> Sequence[Sequence[Any]]:
            rows = await transaction.all(_WITH_STATE)
            await transaction.run(_TAKE)
            return rows

        return [SavedSession(JID.parse(account), *rest) for account, *rest in await self._database.write(work)]

    async def purge(self, *, before: int, limit: int = 1000) -> int:
        """Forget what was saved up to then, of all accounts and at most so many; how many there were."""
        return await self._database.run(_PURGE, before=before, limit=limit)
