"""Accounts and what they authenticate with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    column,
    delete,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.credentials import Credentials, Hash, Verifier
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import AccountExists, NoSuchAccount
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

LONGEST_NAME: Final = 255
"""Octets of a localpart that ought not to be exceeded: together with the longest address of somebody else, an entry of
an index of PostgreSQL has no place for a longer one."""

accounts: Final = Table(
    "accounts",
    metadata,
    Column("account", Address, primary_key=True),
    Column("host", Address, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_login", BigInteger),
    Column("disabled", Boolean, nullable=False),
    Column("kind", Text),
    Column("archive_days", BigInteger),
    Index("accounts_by_host", "host", "account"),
    sqlite_with_rowid=False,
)
verifiers: Final = Table(
    "verifiers",
    metadata,
    owner(),
    Column("hash", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("iterations", BigInteger, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    Column("server_key", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

_is_account = accounts.c.account == bindparam("account")
_CREATE: Final = Statement(
    insert(accounts)
    .values(
        account=bindparam("account"),
        host=bindparam("host"),
        created=bindparam("created"),
        disabled=bindparam("disabled"),
    )
    .on_conflict_do_nothing()
)
_EXISTS: Final = Statement(select(accounts.c.account).where(_is_account))
_CREDENTIALS: Final = Statement(
    select(
        accounts.c.disabled,
        verifiers.c.hash,
        verifiers.c.salt,
        verifiers.c.iterations,
        verifiers.c.stored_key,
        verifiers.c.server_key,
    )
    .select_from(accounts.outerjoin(verifiers, verifiers.c.account == accounts.c.account))
    .where(_is_account)
)
_ADD_VERIFIER: Final = Statement(insert(verifiers))
_DROP_VERIFIERS: Final = Statement(delete(verifiers).where(verifiers.c.account == bindparam("account")))
_USABLE: Final = Statement(select(accounts.c.account).where(_is_account, accounts.c.disabled.is_(False)))
_DISABLE: Final = Statement(update(accounts).values(disabled=bindparam("value")).where(_is_account))
_LOGGED_IN: Final = Statement(update(accounts).values(last_login=bindparam("at")).where(_is_account))
_DELETE: Final = Statement(delete(accounts).where(_is_account))
_nodes: Final = table("pubsub_nodes", column("owner"))  # of services too, so there is no foreign key
_DELETE_NODES: Final = Statement(delete(_nodes).where(_nodes.c.owner == bindparam("account")))
_uploads: Final = table("uploads", column("account"), column("expires_at"))  # rows that outlive their account
_END_UPLOADS: Final = Statement(
    update(_uploads)
    .where(_uploads.c.account == bindparam("owner"), _uploads.c.expires_at > bindparam("now", type_=BigInteger))
    .values(expires_at=bindparam("now", type_=BigInteger))
)
_LIST: Final = Statement(
    select(
        accounts.c.account,
        accounts.c.created,
        accounts.c.last_login,
        accounts.c.disabled,
        accounts.c.kind,
        accounts.c.archive_days,
    )
    .where(accounts.c.host == bindparam("host"), accounts.c.account > bindparam("after"))
    .order_by(accounts.c.account)
    .limit(bindparam("limit"))
)

_NEXT_HOST: Final = Statement(
    select(accounts.c.host).where(accounts.c.host > bindparam("after")).order_by(accounts.c.host).limit(1)
)


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account in a list. `last_login` is None if nobody ever logged in; for `kind` and `archive_days` see
    `storage/retention.py`."""

    account: JID
    created: int
    last_login: int | None
    disabled: bool
    kind: str = ""
    archive_days: int | None = None


class Accounts:
    """The accounts of all hosts, by bare address."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, account: JID, verifiers: Mapping[Hash, Verifier], *, created: int | None = None, disabled: bool = False
    ) -> None:
        """Make an account, created now unless told otherwise; raises AccountExists."""
        at = time.time_ns() // 1000 if created is None else created

        async def work(transaction: Transaction) -> None:
            await create_account(transaction, account, verifiers, created=at, disabled=disabled)

        await self._database.write(work)

    async def exists(self, account: JID) -> bool:
        """Whether there is such an account."""
        return await self._database.one(_EXISTS, account=str(account)) is not None

    async def unusable(self, candidates: Sequence[JID]) -> Sequence[JID]:
        """Those of the accounts that nobody may use: they are disabled, or do not exist."""

        async def work(transaction: Transaction) -> Sequence[JID]:
            return [jid for jid in candidates if await transaction.one(_USABLE, account=str(jid)) is None]

        return await self._database.read(work)

    async def credentials(self, account: JID) -> Credentials | None:
        """What the account authenticates with; None if there is none."""
        rows = await self._database.all(_CREDENTIALS, account=str(account))
        if not rows:
            return None
        return Credentials({row[1]: Verifier(*row[2:]) for row in rows if row[1] is not None}, bool(rows[0][0]))

    async def set_verifiers(self, account: JID, verifiers: Mapping[Hash, Verifier]) -> None:
        """Replace all verifiers by these; raises NoSuchAccount."""

        async def work(transaction: Transaction) -> None:
            if await transaction.one(_EXISTS, account=str(account)) is None:
                raise NoSuchAccount(f"{account} does not exist")
            await transaction.run(_DROP_VERIFIERS, account=str(account))
            await transaction.many(_ADD_VERIFIER, _rows(account, verifiers))

        await self._database.write(work)

    async def set_disabled(self, account: JID, disabled: bool) -> None:
        """Forbid or allow to log in; raises NoSuchAccount."""
        if not await self._database.run(_DISABLE, account=str(account), value=disabled):
            raise NoSuchAccount(f"{account} does not exist")

    def logged_in(self, account: JID, at: int) -> None:
        """Note a login at this time; written within a second or so."""
        self._database.lazy.put(_LOGGED_IN, str(account), account=str(account), at=at)

    async def delete(self, account: JID) -> bool:
        """Remove the account with every row that it owns; False if there is none. Its uploads expire now."""
        now = time.time_ns() // 1000

        async def work(transaction: Transaction) -> bool:
            await transaction.run(_DELETE_NODES, account=str(account))
            await transaction.run(_END_UPLOADS, owner=str(account), now=now)
            return await transaction.run(_DELETE, account=str(account)) > 0

        return await self._database.write(work)

    async def hosts(self) -> Sequence[str]:
        """The hosts that have accounts, in the order of their names."""
        found = [""]
        while row := await self._database.one(_NEXT_HOST, after=found[-1]):
            found.append(row[0])
        return found[1:]

    async def list(self, host: str, *, after: JID | None = None, limit: int = 100) -> Sequence[AccountEntry]:
        """A page of the accounts of a host, ordered by address, from the one after `after`."""
        rows = await self._database.all(_LIST, host=host, after=str(after or ""), limit=limit)
        return [
            AccountEntry(JID.parse(account), created, last_login, bool(disabled), kind or "", days)
            for account, created, last_login, disabled, kind, days in rows
        ]


async def create_account(
    transaction: Transaction,
    account: JID,
    verifiers: Mapping[Hash, Verifier],
    *,
    created: int,
    disabled: bool = False,
) -> None:
    """Make an account, as part of something larger; raises AccountExists."""
    if not await transaction.run(
        _CREATE, account=str(account), host=account.domain, created=created, disabled=disabled
    ):
        raise AccountExists(f"{account} exists")
    await transaction.many(_ADD_VERIFIER, _rows(account, verifiers))


def _rows(account: JID, verifiers: Mapping[Hash, Verifier]) -> Sequence[dict[str, Any]]:
    return [
        {
            "account": str(account),
            "hash": name,
            "salt": verifier.salt,
            "iterations": verifier.iterations,
            "stored_key": verifier.stored_key,
            "server_key": verifier.server_key,
        }
        for name, verifier in verifiers.items()
    ]
