"""Invitations to make an account, or to be somebody's contact: of each token there is a digest, so that nobody who
reads the database is invited.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.credentials import Hash, Verifier
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import create_account
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import AccountExists, NoSuchInvitation, QuotaExceeded
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
    Column("inviter", Address, ForeignKey("accounts.account", ondelete="CASCADE")),
    Column("made_at", BigInteger),
    Column("contact_only", Boolean),
    Index("invitations_by_name", "host", "localpart"),
    Index("invitations_by_expiry", "host", "expires_at"),
    Index("invitations_by_inviter", "inviter", "made_at"),
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """To a host, for the account of this name (empty: any), whose contact is to be this address (empty: nobody), for
    so many accounts; `contact_only`: for none, but for who has one already. Times are microseconds since 1970."""

    host: str
    digest: bytes
    localpart: str
    contact: str
    uses: int
    expires_at: int
    contact_only: bool


DAY: Final = 86_400_000_000  # microseconds
_COLUMNS: Final = [invitations.c[name] for name in Invitation.__slots__]
_is_one: Final = (invitations.c.host == bindparam("host"), invitations.c.digest == bindparam("digest"))
_is_valid: Final = (invitations.c.uses > 0, invitations.c.expires_at > bindparam("now", type_=BigInteger))
_ADD: Final = Statement(insert(invitations).values({c.name: bindparam(c.name) for c in invitations.c}))
_MADE: Final = Statement(
    select(func.count())
    .select_from(invitations)
    .where(
        invitations.c.inviter == bindparam("inviter"),
        invitations.c.made_at > bindparam("since", type_=BigInteger),
    )
)
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
        self,
        token: str,
        host: str,
        *,
        expires: int,
        localpart: str = "",
        contact: JID | None = None,
        uses: int = 1,
        contact_only: bool = False,
        inviter: JID | None = None,
        per_day: int = 0,
    ) -> None:
        """Keep an invitation, and forget those that have expired. One that an account makes goes with it (without an
        inviter it is the operator's), and counts against the `per_day` that it may make (0: any number), for which it
        has to be good for a day at least.

        Raises AccountExists if the name is taken, or somebody else is invited by it, QuotaExceeded, NoSuchAccount.
        """
        now = time.time_ns() // 1000

        async def work(transaction: Transaction) -> None:
            await transaction.run(_FORGET, host=host, now=now)
            if localpart and await transaction.one(_RESERVED, host=host, localpart=localpart, now=now) is not None:
                raise AccountExists(f"somebody is invited as {localpart}@{host}")
            if inviter is not None and per_day:
                made = await transaction.one(_MADE, inviter=str(inviter), since=now - DAY)
                if made is not None and made[0] >= per_day:
                    raise QuotaExceeded(f"{inviter} made {per_day} invitations in a day")
            await transaction.run(
                _ADD,
                host=host,
                digest=_digest(token),
                localpart=localpart,
                contact=str(contact or ""),
                uses=uses,
                expires_at=expires,
                inviter=None if inviter is None else str(inviter),
                made_at=now,
                contact_only=contact_only,
            )

        await self._database.write(work)

    async def find(self, token: str, host: str) -> Invitation | None:
        """What the token invites to, if it is not used up and has not expired."""
        row = await self._database.one(_FIND, host=host, digest=_digest(token), now=time.time_ns() // 1000)
        if row is None:
            return None
        host, digest, localpart, contact, uses, expires_at, contact_only = row
        return Invitation(host, digest, localpart, contact, uses, expires_at, bool(contact_only))

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
