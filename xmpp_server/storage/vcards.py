"""vCards (XEP-0054), with the hash of the photo in each (XEP-0153), so that nobody reads a vCard to know it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import metadata, owner
from xmpp_server.storage.statement import Statement

vcards: Final = Table(
    "vcards",
    metadata,
    owner(),
    Column("vcard", LargeBinary, nullable=False),
    Column("photo", Text, nullable=False),
)

_is_owner = vcards.c.account == bindparam("account")
_LOAD: Final = Statement(select(vcards.c.vcard).where(_is_owner))
_PHOTO: Final = Statement(select(vcards.c.photo).where(_is_owner))
_new = insert(vcards).values({column.name: bindparam(column.name) for column in vcards.columns})
_SAVE: Final = Statement(
    _new.on_conflict_do_update(
        index_elements=[vcards.c.account], set_={"vcard": _new.excluded.vcard, "photo": _new.excluded.photo}
    )
)


class VCards:
    """One vCard for each account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, account: JID) -> bytes | None:
        """The `<vCard/>` as XML that stands where `jabber:client` is the default namespace; None if there is none."""
        row = await self._database.one(_LOAD, account=str(account))
        return bytes(row[0]) if row is not None else None

    async def photo(self, account: JID) -> str:
        """The SHA-1 of the photo's bytes in hexadecimal; empty if there is none."""
        row = await self._database.one(_PHOTO, account=str(account))
        return str(row[0]) if row is not None else ""

    async def save(self, account: JID, vcard: bytes, photo: str) -> None:
        """Put this one in the place of what there was; raises NoSuchAccount."""
        await self._database.run(_SAVE, account=str(account), vcard=vcard, photo=photo)
