"""What accounts uploaded: everything but the bytes.

A row is made when a slot is given, so that what is promised counts for the quota; until its file is there it has no
digest, and it expires with its slot. A row whose bytes were removed is as a slot again, one that has expired; the row
of an expired slot goes a day later, and with it what bytes there may be: a slow upload can end late. So the bytes that
are kept have a row at any time. Rows have no foreign key: they outlive their account, whose removal lets them expire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import QuotaExceeded
from xmpp_server.storage.schema import Address, metadata
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

DAY: Final = 86_400_000_000  # microseconds
NEVER: Final = 2**62

uploads: Final = Table(
    "uploads",
    metadata,
    Column("account", Address, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
    Column("uploaded_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Index("uploads_by_id", "id", unique=True),
    Index("uploads_by_expiry", "expires_at"),
    Index("uploads_by_request", "account", "requested_at"),
)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file, or a slot for one (without `sha256`). Sizes are octets, times microseconds since 1970."""

    account: JID
    id: str
    url: str
    type: str
    purpose: str
    size: int
    requested_at: int
    expires_at: int
    sha256: bytes | None = None
    """Empty if nobody here has seen the bytes."""
    uploaded_at: int | None = None


_COLUMNS: Final = [uploads.c[name] for name in Upload.__slots__]
_is_one: Final = (uploads.c.account == bindparam("account"), uploads.c.id == bindparam("id"))
_owned: Final = exists().where(
    # one of the same name that was made later is another one
    accounts.c.account == uploads.c.account,
    accounts.c.created <= uploads.c.requested_at,
)
_ADD: Final = Statement(insert(uploads).values({column.name: bindparam(column.name) for column in uploads.columns}))
_recent = (
    select(
        uploads.c.requested_at,
        func.sum(uploads.c.size).over(order_by=(uploads.c.requested_at.desc(), uploads.c.id)).label("octets"),
    )
    .where(uploads.c.account == bindparam("account"), uploads.c.requested_at > bindparam("since", type_=BigInteger))
    .subquery()
)
_TOO_MUCH: Final = Statement(
    # the latest request that, with those after it, leaves too little room
    select(func.max(_recent.c.requested_at)).where(_recent.c.octets > bindparam("room", type_=BigInteger))
)
_FIND: Final = Statement(select(*_COLUMNS).where(uploads.c.id == bindparam("id"), _owned))
_FILL: Final = Statement(
    update(uploads)
    .where(*_is_one, uploads.c.sha256.is_(None), _owned)
    .values(
        sha256=bindparam("digest", type_=LargeBinary),
        uploaded_at=bindparam("now", type_=BigInteger),
        expires_at=bindparam("expires", type_=BigInteger),
    )
)
_FORMER: Final = Statement(
    update(uploads)
    .where(
        uploads.c.account == bindparam("account"),
        uploads.c.id != bindparam("id"),
        uploads.c.purpose == bindparam("kind", type_=Text),
        uploads.c.uploaded_at <= bindparam("until", type_=BigInteger),
        uploads.c.expires_at > bindparam("until", type_=BigInteger),
    )
    .values(expires_at=bindparam("until", type_=BigInteger))
)
_LATER: Final = Statement(
    select(uploads.c.uploaded_at)
    .where(
        uploads.c.account == bindparam("account"),
        uploads.c.purpose == bindparam("kind", type_=Text),
        uploads.c.uploaded_at > bindparam("now", type_=BigInteger),
    )
    .order_by(uploads.c.uploaded_at)
    .limit(1)
)
_GONE: Final = Statement(
    select(*_COLUMNS)
    .where(
        ((uploads.c.expires_at <= bindparam("now", type_=BigInteger)) & uploads.c.sha256.is_not(None))
        | (uploads.c.expires_at <= bindparam("stale", type_=BigInteger))
    )
    .order_by(uploads.c.expires_at)
    .limit(bindparam("limit"))
)
_EMPTY: Final = Statement(
    update(uploads)
    .where(*_is_one, uploads.c.sha256.is_not(None))
    .values(sha256=None, uploaded_at=None, expires_at=bindparam("now", type_=BigInteger))
)
_DELETE: Final = Statement(delete(uploads).where(*_is_one, uploads.c.sha256.is_(None)))


class Uploads:
    """The uploads of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, upload: Upload, *, quota: int) -> None:
        """Give a slot of `quota` octets at most. Raises QuotaExceeded, with the time from which on there is room for it
        if the account had slots for more than that in 24 hours with it."""

        async def work(transaction: Transaction) -> None:
            if quota:
                since, room = upload.requested_at - DAY, quota - upload.size
                row = await transaction.one(_TOO_MUCH, account=str(upload.account), since=since, room=room)
                if row is not None and row[0] is not None:
                    raise QuotaExceeded(str(row[0] + DAY))
            values: dict[str, Any] = {name: getattr(upload, name) for name in Upload.__slots__}
            await transaction.run(_ADD, **{**values, "account": str(upload.account)})

        await self._database.write(work)

    async def find(self, id: str) -> Upload | None:
        """The upload of this id, if the account that asked for it is still there."""
        row = await self._database.one(_FIND, id=id)
        return _upload(row) if row else None

    async def fill(self, upload: Upload, *, sha256: bytes, now: int, expires: int, alone: bool = False) -> bool:
        """The file is there; False: it was there before, or slot or account is gone. `sha256` is empty if nobody here
        has seen the bytes. With `alone` it takes the place of those of the same purpose that came before it, and gives
        way to one that came after it and was noted first."""

        async def work(transaction: Transaction) -> bool:
            key, end = _key(upload), expires
            if alone and (later := await transaction.one(_LATER, account=key["account"], kind=upload.purpose, now=now)):
                end = later[0]
            if not await transaction.run(_FILL, **key, digest=sha256, now=now, expires=end):
                return False
            if alone:
                await transaction.run(_FORMER, **key, kind=upload.purpose, until=now)
            return True

        return await self._database.write(work)

    async def gone(self, *, now: int, limit: int = 100) -> Sequence[Upload]:
        """Files that have expired, and slots that did so a day ago: their bytes are to be removed, and then `removed`
        is to be told."""
        return [_upload(row) for row in await self._database.all(_GONE, now=now, stale=now - DAY, limit=limit)]

    async def removed(self, gone: Sequence[Upload], *, now: int) -> None:
        """The bytes of these are removed."""
        files = [_key(upload) | {"now": now} for upload in gone if upload.sha256 is not None]
        slots = [_key(upload) for upload in gone if upload.sha256 is None]

        async def work(transaction: Transaction) -> None:
            await transaction.many(_EMPTY, files)
            await transaction.many(_DELETE, slots)

        await self._database.write(work)


def _key(upload: Upload) -> dict[str, Any]:
    return {"account": str(upload.account), "id": upload.id}


def _upload(row: Sequence[Any]) -> Upload:
    return Upload(JID.parse(row[0]), *row[1:])
