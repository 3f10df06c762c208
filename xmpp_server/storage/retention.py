"""For how long the archives of accounts are kept: as its kind says, or as was chosen for an account alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, select, update

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.archive import archive
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.statement import Statement

_is_account = accounts.c.account == bindparam("name")
_SET_KIND: Final = Statement(update(accounts).where(_is_account).values(kind=bindparam("kind")))
_SET_DAYS: Final = Statement(update(accounts).where(_is_account).values(archive_days=bindparam("archive_days")))
_KEPT: Final = Statement(
    select(accounts.c.account, accounts.c.kind, accounts.c.archive_days)
    .where(
        accounts.c.host == bindparam("host"),
        accounts.c.account > bindparam("after"),
        select(archive.c.n).where(archive.c.account == accounts.c.account, archive.c.n < bindparam("before")).exists()
        | accounts.c.archive_days.is_not(None),
    )
    .order_by(accounts.c.account)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class KeptArchive:
    """An account, its kind (empty: an account like all), and the days chosen for it alone (None: none were)."""

    account: JID
    kind: str
    days: int | None


class Retention:
    """Kinds and days of the accounts of all hosts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_kind(self, account: JID, kind: str) -> None:
        """Say what kind of account it is; empty: one like all. Raises NoSuchAccount."""
        if not await self._database.run(_SET_KIND, name=str(account), kind=kind or None):
            raise NoSuchAccount(f"{account} does not exist")

    async def set_days(self, account: JID, days: int | None) -> None:
        """Keep the archive of this account for so many days, 0: for ever; None: as long as others of its kind.
        Raises NoSuchAccount."""
        if not await self._database.run(_SET_DAYS, name=str(account), archive_days=days):
            raise NoSuchAccount(f"{account} does not exist")

    async def kept(
        self, host: str, *, before: int, after: JID | None = None, limit: int = 100
    ) -> Sequence[KeptArchive]:
        """A page of the accounts of a host, in order of their addresses, that have messages from before this time or
        days of their own."""
        rows = await self._database.all(_KEPT, host=host, before=before, after=str(after or ""), limit=limit)
        return [KeptArchive(JID.parse(account), kind or "", days) for account, kind, days in rows]
