"""What came to the archives, read from the database on a connection of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, select

from xmpp_server.storage.archive import archive
from xmpp_server.storage.database import Database
from xmpp_server.storage.statement import Statement

_NEWER: Final = Statement(
    select(archive.c.n, archive.c.stanza)
    .where(archive.c.account == bindparam("account"), archive.c.n > bindparam("last"))
    .order_by(archive.c.n)
)


class Archives:
    """The archives of these accounts."""

    def __init__(self, url: str, accounts: Iterable[str]) -> None:
        self._url = url
        self._last = dict.fromkeys(accounts, 0)

    async def newer(self) -> dict[str, list[bytes]]:
        """What was added since the last time, oldest first."""
        database = await Database.open(self._url)
        found: dict[str, list[bytes]] = {}
        for account, last in self._last.items():
            rows = await database.all(_NEWER, account=account, last=last)
            found[account] = [bytes(row[1]) for row in rows]
            if rows:
                self._last[account] = rows[-1][0]
        await database.close()
        return found
