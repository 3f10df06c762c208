"""Secrets of the server's own that must outlive it, such as the key that salts of unknown names are made with."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

server_secrets: Final = Table(
    "secrets",
    metadata,
    Column("host", Address, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

_GET: Final = Statement(
    select(server_secrets.c.value).where(
        server_secrets.c.host == bindparam("host"), server_secrets.c.name == bindparam("name")
    )
)
_PUT: Final = Statement(
    insert(server_secrets)
    .values(host=bindparam("host"), name=bindparam("name"), value=bindparam("value"))
    .on_conflict_do_nothing()
)


class Secrets:
    """One random value for each host and name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, host: str, name: str, size: int = 32) -> bytes:
        """The secret, made of so many random bytes by whoever asks first, also among several processes."""

        async def work(transaction: Transaction) -> bytes:
            await transaction.run(_PUT, host=host, name=name, value=secrets.token_bytes(size))
            row = await transaction.one(_GET, host=host, name=name)
            assert row is not None
            return bytes(row[0])

        row = await self._database.one(_GET, host=host, name=name)
        return bytes(row[0]) if row else await self._database.write(work)
