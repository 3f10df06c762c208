"""When an account was last there, and the status that it left (XEP-0012, RFC 6121 §4.5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import metadata, owner
from xmpp_server.storage.statement import Statement

last_activity: Final = Table(
    "last_activity",
    metadata,
    owner(),
    Column("at", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    sqlite_with_rowid=False,
)

_put = insert(last_activity).from_select(
    ["account", "at", "status"],
    select(accounts.c.account, bindparam("at", type_=BigInteger), bindparam("status", type_=Text)).where(
        accounts.c.account == bindparam("account")
    ),
)
_PUT: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=[last_activity.c.account], set_={"at": _put.excluded.at, "status": _put.excluded.status}
    )
)
_GET: Final = Statement(
    select(last_activity.c.at, last_activity.c.status).where(last_activity.c.account == bindparam("account"))
)


@dataclass(frozen=True, slots=True)
class LastActivity:
    """When the last resource went away, and the text of its last unavailable presence, mostly empty."""

    at: int
    status: str


class LastActivities:
    """The last activity of each account: the one thing here that a crash may lose a second of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, account: JID, at: int, status: str = "") -> None:
        """Note it; written within a second or so. An account that does not exist is left alone."""
        self._database.lazy.put(_PUT, str(account), account=str(account), at=at, status=status)

    async def get(self, account: JID) -> LastActivity | None:
        """The last one that was put; None if there was none."""
        waiting = self._database.lazy.get(_PUT, str(account))
        if waiting is not None:
            return LastActivity(waiting["at"], waiting["status"])
        row = await self._database.one(_GET, account=str(account))
        return LastActivity(*row) if row else None
