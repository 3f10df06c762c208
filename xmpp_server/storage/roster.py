"""Rosters (RFC 6121 §2) with their versions (§2.6), pre-approvals (§3.4) and the requests that wait for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    bindparam,
    delete,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.counters import counters, next_value, set_value
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Row, Transaction

Subscription = Literal["none", "from", "to", "both"]

REMOVALS_KEPT: Final = 256
"""So many removed contacts a roster remembers at least, for clients that ask what has changed."""
_FORGET_EVERY: Final = 32  # versions between two looks at what may be forgotten

# A contact that is not listed is one of two things: somebody whose request waits (`pending_in`), or one who was removed
# at `version`. Version 0: never listed.
roster: Final = Table(
    "roster",
    metadata,
    owner(),
    Column("jid", Address, primary_key=True),
    Column("name", Text, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("ask", Boolean, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("pending_in", LargeBinary),
    Column("groups", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index("roster_by_contact", "jid", "account", "subscription", "listed"),
    sqlite_with_rowid=False,
)


class RosterItem(msgspec.Struct, frozen=True, gc=False):
    """A contact.

    `ask`: our request waits for the contact's answer. `approved`: pre-approved. `pending_in`: the contact's request
    that waits for ours, the whole stanza. `listed`: False if it is kept for the sake of `pending_in` alone, and is no
    roster item to clients (RFC 6121 §A.1). `version`: that of the roster at its last change; ignored by `put`.
    """

    jid: JID
    name: str = ""
    subscription: Subscription = "none"
    ask: bool = False
    approved: bool = False
    pending_in: bytes | None = None
    groups: tuple[str, ...] = ()
    version: int = 0
    listed: bool = True


class Roster(msgspec.Struct, frozen=True):
    """All contacts of an account by address, and the version: 0 if the roster was never changed."""

    version: int
    items: dict[JID, RosterItem]


ITEM: Final = (
    roster.c.jid,
    roster.c.name,
    roster.c.subscription,
    roster.c.ask,
    roster.c.approved,
    roster.c.pending_in,
    roster.c.groups,
    roster.c.version,
    roster.c.listed,
)
is_owner = roster.c.account == bindparam("account")
is_current = or_(roster.c.listed, roster.c.pending_in.is_not(None))
is_version = (counters.c.account == bindparam("account")) & (counters.c.name == "roster")

_LOAD: Final = Statement(select(*ITEM).where(is_owner, is_current))
_VERSION: Final = Statement(select(counters.c.value).where(is_version))
_VERSIONS: Final = Statement(
    select(counters.c.name, counters.c.value).where(
        counters.c.account == bindparam("account"),
        or_(counters.c.name == "roster", counters.c.name == "roster forgotten"),
    )
)
_CHANGES: Final = Statement(
    select(*ITEM).where(is_owner, roster.c.version > bindparam("version")).order_by(roster.c.version)
)
_LISTED: Final = Statement(select(roster.c.listed, roster.c.version).where(is_owner, roster.c.jid == bindparam("jid")))
_columns = [column.name for column in roster.columns]
_put = insert(roster).values({name: bindparam(name) for name in _columns})
_PUT: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=[roster.c.account, roster.c.jid], set_={name: _put.excluded[name] for name in _columns[2:]}
    )
)
_DELETE: Final = Statement(delete(roster).where(is_owner, roster.c.jid == bindparam("jid")))
_is_removed = not_(roster.c.listed) & (roster.c.version > 0)
_OLDEST: Final = Statement(
    select(roster.c.version)
    .where(is_owner, _is_removed)
    .order_by(roster.c.version.desc())
    .limit(1)
    .offset(bindparam("kept"))
)
_FORGET: Final = Statement(
    delete(roster).where(is_owner, _is_removed, roster.c.pending_in.is_(None), roster.c.version <= bindparam("version"))
)
_SUBSCRIPTIONS: Final = Statement(
    select(roster.c.account, roster.c.subscription).where(roster.c.jid == bindparam("jid"), roster.c.listed)
)


class Rosters:
    """The rosters of all accounts. Versions count up by one with each change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, account: JID) -> Roster:
        """The whole roster; empty if there is no such account."""

        async def work(transaction: Transaction) -> tuple[Row | None, Sequence[Row]]:
            # the version first: a change in between is then in the items, and told once more
            return await transaction.one(_VERSION, account=str(account)), await transaction.all(
                _LOAD, account=str(account)
            )

        version, rows = await self._database.read(work)
        items = [item_of(row) for row in rows]
        return Roster(version[0] if version else 0, {item.jid: item for item in items})

    async def put(self, account: JID, item: RosterItem) -> int:
        """Add or replace a contact; the roster's version after it. Raises NoSuchAccount.

        An item that is not listed, and was not before, is no change to the roster that clients see; the version counts
        up for it all the same, COMPAT(Prosody's plays, 13.0).
        """

        async def work(transaction: Transaction) -> int:
            if not item.listed:
                before = await transaction.one(_LISTED, account=str(account), jid=str(item.jid))
                if before is None or not before[0]:
                    await transaction.run(_PUT, **_row(account, item, before[1] if before else 0))
                    return await next_value(transaction, account, "roster")
            version = await next_value(transaction, account, "roster")
            await transaction.run(_PUT, **_row(account, item, version))
            return version

        return await self._database.write(work)

    async def remove(self, account: JID, jid: JID) -> int:
        """Remove a contact with the request that may wait for an answer; the roster's version after it."""

        async def work(transaction: Transaction) -> int:
            before = await transaction.one(_LISTED, account=str(account), jid=str(jid))
            if before is None or not before[0]:
                if before is not None and before[1]:  # removed before: that stays known
                    await transaction.run(_PUT, **_row(account, RosterItem(jid, listed=False), before[1]))
                elif before is not None:
                    await transaction.run(_DELETE, account=str(account), jid=str(jid))
                return await _version(transaction, account)
            version = await next_value(transaction, account, "roster")
            await transaction.run(_PUT, **_row(account, RosterItem(jid, listed=False), version))
            if version % _FORGET_EVERY == 0:
                await _forget(transaction, account)
            return version

        return await self._database.write(work)

    async def changes_since(self, account: JID, version: int) -> Sequence[RosterItem] | None:
        """The contacts that were changed or removed since a version that the client has, in the order of the changes.

        Each is as it is now; who was removed is not listed. None if that is not known any more, or never was.
        """

        async def work(transaction: Transaction) -> tuple[dict[str, int], Sequence[Row]]:
            changed = await transaction.all(_CHANGES, account=str(account), version=version)
            return dict(await transaction.all(_VERSIONS, account=str(account))), changed  # type: ignore[arg-type]

        versions, rows = await self._database.read(work)
        if not versions.get("roster forgotten", 0) <= version <= versions.get("roster", 0):
            return None
        return [item_of(row) for row in rows]

    async def subscriptions_to(self, contact: JID) -> dict[JID, Subscription]:
        """Every account of ours that has this bare address in its roster, with the subscription that it has there."""
        rows = await self._database.all(_SUBSCRIPTIONS, jid=str(contact))
        return {JID.parse(account): subscription for account, subscription in rows}


async def _version(transaction: Transaction, account: JID) -> int:
    row = await transaction.one(_VERSION, account=str(account))
    return row[0] if row else 0


async def _forget(transaction: Transaction, account: JID) -> None:
    oldest = await transaction.one(_OLDEST, account=str(account), kept=REMOVALS_KEPT)
    if oldest is not None:
        await transaction.run(_FORGET, account=str(account), version=oldest[0])
        await set_value(transaction, account, "roster forgotten", oldest[0])


def item_of(row: Row) -> RosterItem:
    """The contact of a row with the columns of `ITEM`."""
    jid, name, subscription, ask, approved, pending_in, groups, version, listed = row
    return RosterItem(
        JID.parse(jid),
        name,
        subscription,
        bool(ask),
        bool(approved),
        pending_in,
        _groups.decode(groups) if groups else (),
        version,
        bool(listed),
    )


def _row(account: JID, item: RosterItem, version: int) -> dict[str, Any]:
    return {
        "account": str(account),
        "jid": str(item.jid),
        "name": item.name,
        "subscription": item.subscription,
        "ask": item.ask,
        "approved": item.approved,
        "listed": item.listed,
        "pending_in": item.pending_in,
        "groups": msgspec.json.encode(item.groups).decode() if item.groups else "",
        "version": version,
    }


_groups: Final = msgspec.json.Decoder(tuple[str, ...])
