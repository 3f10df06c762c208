"""Invitations to make an account: of each token there is a digest, so that nobody who reads the database is invited."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.credentials import Hash, Verifier
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import create_account
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import AccountExists, NoSuchInvitation
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

invitations: Final = Table(
    "invitations",
    metadata,
    Column("host", Address, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("localpart", Address, nullable=False),
    Column("contact", Address, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("invitations_by_name", "host", "localpart"),
    Index("invitations_by_expiry", "host", "expires_at"),
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """To a host, for the account of this name (empty: any), whose contact is to be this address (empty: nobody), for
    so many accounts. Times are microseconds since 1970."""

    host: str
    digest: bytes
    localpart: str
    contact: str
    uses: int
    expires_at: int


_COLUMNS: Final = [invitations.c[name] for name in Invitation.__slots__]
_is_one: Final = (invitations.c.host == bindparam("host"), invitations.c.digest == bindparam("digest"))
_is_valid: Final = (invitations.c.uses > 0, invitations.c.expires_at > bindparam("now", type_=BigInteger))
_ADD: Final = Statement(insert(invitations).values({column.name: bindparam(column.name) for column in _COLUMNS}))
_FORGET: Final = Statement(
    delete(invitations).where(
        invitations.c.host == bindparam("host"), invitations.c.expires_at <= bindparam("now", type_=BigInteger)
    )
)
_FIND: Final = Statement(select(*_COLUMNS).where(*_is_one, *_is_valid))
_RESERVED: Final = Statement(
    select(invitations.c.digest)
    .where(
        invitations.c.host == bindparam("host"),
        invitations.c.localpart == bindparam("localpart", type_=Text),
        *_is_valid,
    )
    .limit(1)
)
_USE: Final = Statement(update(invitations).where(*_is_one, invitations.c.uses > 0).values(uses=invitations.c.uses - 1))


class Invitations:
    """The invitations of all hosts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, token: str, host: str, *, expires: int, localpart: str = "", contact: JID | None = None, uses: int = 1
    ) -> None:
        """Keep an invitation, and forget those that have expired. Raises AccountExists if the name is taken, or
        somebody else is invited by it."""
        now = time.time_ns() // 1000

        async def work(transaction: Transaction) -> None:
            await transaction.run(_FORGET, host=host, now=now)
            if localpart and await transaction.one(_RESERVED, host=host, localpart=localpart, now=now) is not None:
                raise AccountExists(f"somebody is invited as {localpart}@{host}")
            await transaction.run(
                _ADD,
                host=host,
                digest=_digest(token),
                localpart=localpart,
                contact=str(contact or ""),
                uses=uses,
                expires_at=expires,
            )

        await self._database.write(work)

    async def find(self, token: str, host: str) -> Invitation | None:
        """What the token invites to, if it is not used up and has not expired."""
        row = await self._database.one(_FIND, host=host, digest=_digest(token), now=time.time_ns() // 1000)
        return Invitation(*row) if row is not None else None

    async def is_reserved(self, account: JID) -> bool:
        """Whether somebody is invited by this name."""
        row = await self._database.one(
            _RESERVED, host=account.domain, localpart=account.localpart, now=time.time_ns() // 1000
        )
        return row is not None

    async def use(self, invitation: Invitation) -> bool:
        """Count the invitation as used, for somebody who has an account; False if it is used up."""
        return await self._database.run(_USE, host=invitation.host, digest=invitation.digest) > 0

    async def redeem(self, invitation: Invitation, account: JID, verifiers: Mapping[Hash, Verifier]) -> None:
        """Make the account, and count the invitation as used: both or none. It may have expired meanwhile (XEP-0445
        §4). Raises AccountExists, and NoSuchInvitation if it is used up."""

        async def work(transaction: Transaction) -> None:
            if not await transaction.run(_USE, host=invitation.host, digest=invitation.digest):
                raise NoSuchInvitation("the invitation was used")
            await create_account(transaction, account, verifiers, created=time.time_ns() // 1000)

        await self._database.write(work)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
