"""What accounts reported as spam or abuse (XEP-0377), for those who run the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, Table, Text, bindparam, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.counters import next_value
from xmpp_server.storage.database import Database
from xmpp_server.storage.schema import Address, metadata, owner
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Transaction

REPORTS_KEPT: Final = 100
"""So many reports are kept of each account; the oldest go first."""

reports: Final = Table(
    "reports",
    metadata,
    owner(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("reported", Address, nullable=False),
    Column("reason", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("stanza_ids", Text, nullable=False),
    Column("received", BigInteger, nullable=False),
    Index("reports_by_time", "received"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """A report. `reason` is a URI such as `urn:xmpp:reporting:spam`; `stanza_ids` are pairs of `by` and `id`."""

    reported: JID
    reason: str
    received: int
    text: str = ""
    stanza_ids: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FiledReport:
    """A report, who made it, and its number among those of this account."""

    account: JID
    id: int
    report: Report


_ADD: Final = Statement(insert(reports).values({column.name: bindparam(column.name) for column in reports.columns}))
_FORGET: Final = Statement(
    delete(reports).where(reports.c.account == bindparam("account"), reports.c.id <= bindparam("id"))
)
_LIST: Final = Statement(
    select(
        reports.c.account,
        reports.c.id,
        reports.c.reported,
        reports.c.reason,
        reports.c.received,
        reports.c.text,
        reports.c.stanza_ids,
    )
    .join_from(reports, accounts, accounts.c.account == reports.c.account)
    .where(
        accounts.c.host == bindparam("host"),
        tuple_(reports.c.received, reports.c.account, reports.c.id)
        > tuple_(
            bindparam("received", type_=BigInteger),
            bindparam("account", type_=Text),
            bindparam("id", type_=BigInteger),
        ),
    )
    .order_by(reports.c.received, reports.c.account, reports.c.id)
    .limit(bindparam("limit"))
)


class Reports:
    """The reports of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account: JID, report: Report) -> None:
        """Keep what this account reports; raises NoSuchAccount."""

        async def work(transaction: Transaction) -> None:
            id_ = await next_value(transaction, account, "report")
            await transaction.run(
                _ADD,
                account=str(account),
                id=id_,
                reported=str(report.reported),
                reason=report.reason,
                text=report.text,
                stanza_ids=msgspec.json.encode(report.stanza_ids).decode(),
                received=report.received,
            )
            await transaction.run(_FORGET, account=str(account), id=id_ - REPORTS_KEPT)

        await self._database.write(work)

    async def list(self, host: str, *, after: FiledReport | None = None, limit: int = 100) -> Sequence[FiledReport]:
        """A page of what the accounts of a host reported, oldest first, from the one after `after`."""
        rows = await self._database.all(
            _LIST,
            host=host,
            received=after.report.received if after else -1,
            account=str(after.account) if after else "",
            id=after.id if after else 0,
            limit=limit,
        )
        return [
            FiledReport(
                JID.parse(account),
                id_,
                Report(JID.parse(reported), reason, received, text, _stanza_ids.decode(stanza_ids)),
            )
            for account, id_, reported, reason, received, text, stanza_ids in rows
        ]


_stanza_ids: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
