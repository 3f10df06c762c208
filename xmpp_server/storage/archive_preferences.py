"""Whose messages the users want archived (XEP-0441)."""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import Column, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.archive_preferences import Preferences
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import metadata, owner
from xmpp_server.storage.statement import Statement

archive_preferences: Final = Table(
    "archive_preferences",
    metadata,
    owner(),
    Column("default", Text, nullable=False),
    Column("always", Text, nullable=False),
    Column("never", Text, nullable=False),
    sqlite_with_rowid=False,
)

_LOAD: Final = Statement(
    select(archive_preferences.c.default, archive_preferences.c.always, archive_preferences.c.never).where(
        archive_preferences.c.account == bindparam("account")
    )
)
_new = insert(archive_preferences).values(
    {column.name: bindparam(column.name) for column in archive_preferences.columns}
)
_SAVE: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[archive_preferences.c.account],
        set_={name: _new.excluded[name] for name in ("default", "always", "never")},
    )
)


class ArchivePreferences:
    """What the users chose."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, account: JID) -> Preferences | None:
        """What the account chose; None if it did not."""
        row = await self._database.one(_LOAD, account=str(account))
        if row is None:
            return None
        always, never = (tuple(map(JID.parse, json.loads(listed))) for listed in row[1:])
        return Preferences(row[0], always, never)

    async def save(self, account: JID, preferences: Preferences) -> None:
        """Keep them; raises NoSuchAccount."""
        always, never = (json.dumps([str(jid) for jid in listed]) for listed in (preferences.always, preferences.never))
        await self._database.run(_SAVE, account=str(account), default=preferences.default, always=always, never=never)
