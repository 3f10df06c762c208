"""Reports of spam and abuse that come with blocking somebody.

They are kept for those who run the server, and sent to an address of theirs if one is set. They leave the server for
nobody else: what users consent to of that kind (§6) is not done. A report that is not understood is ignored, and blocks
all the same (§7).

XEP: 0377 (0.4.1) complete
"""

from __future__ import annotations

import secrets
import time
from typing import Final

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.host import Block, Host
from xmpp_server.routing.router import Router
from xmpp_server.storage.reports import Report
from xmpp_server.storage.reports import Reports as Repository
from xmpp_server.util.limits import Allowance

NS: Final = "urn:xmpp:reporting:1"
# COMPAT(Gajim, 1.7): version 0.2 of the XEP, where the reason is an element
NS_0: Final = "urn:xmpp:reporting:0"
_REASONS_0: Final = {"spam": "urn:xmpp:reporting:spam", "abuse": "urn:xmpp:reporting:abuse"}
_MAX_TEXT: Final = 2000  # characters
_MAX_REASON: Final = 200
_MAX_IDS: Final = 50
_MAX_ID: Final = 200
_FORWARDS: Final = 10
"""So many reports of one account an hour are sent on; all are kept."""


class ReportsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told."""

    forward_to: str = ""
    """The XMPP address that reports are sent to as messages; empty: they are only kept."""

    def __post_init__(self) -> None:
        try:
            if self.forward_to:
                JID.parse(self.forward_to)
        except InvalidJID:
            raise ValueError(f"forward_to: expected an XMPP address, got {self.forward_to!r}") from None


class Reports(Module):
    """Takes reports out of what is blocked."""

    name = "reports"
    features = (NS, NS_0)
    Options = ReportsOptions

    def __init__(self, host: Host, router: Router, reports: Repository, options: ReportsOptions) -> None:
        self._host = host
        self._router = router
        self._reports = reports
        self._forwards = Allowance(time.monotonic, count=_FORWARDS, period=3600)
        self.reconfigure(options)

    def reconfigure(self, options: ReportsOptions) -> None:
        """Take new options without a restart."""
        self.options = options
        self._forward_to = JID.parse(options.forward_to) if options.forward_to else None

    @on("blocked")
    async def blocked(self, block: Block) -> None:
        """Keep the report that the item carries, if it does."""
        report = parse(block.item, block.jid, time.time_ns() // 1000)
        if report is None:
            return
        await self._reports.add(block.account, report)
        if self._forward_to is not None and self._forwards.take(str(block.account)):
            await self._router.send(self._message(block.account, report))

    def _message(self, account: JID, report: Report) -> Stanza:
        lines = [f"{account} reports {report.reported}: {report.reason}"]
        if report.text:
            lines.append(report.text)
        lines += (f"Message {id} of {by}" for by, id in report.stanza_ids)
        body = Element(ns.CLIENT, "body", {}, ["\n".join(lines)])
        return Stanza.build(
            "message", body, sender=self._host.jid, to=self._forward_to, type="normal", id=secrets.token_hex(8)
        )


def parse(item: Element, reported: JID, received: int) -> Report | None:
    """The report in a blocked `<item/>`, cut to what is kept; None without one that gives a reason."""
    report = item.child(NS, "report")
    if report is not None:
        version, reason = NS, report.get("reason")
    else:
        report = item.child(NS_0, "report")
        if report is None:
            return None
        version = NS_0
        reason = next((uri for name, uri in _REASONS_0.items() if report.child(NS_0, name) is not None), "")
    if not reason or len(reason) > _MAX_REASON:
        return None
    ids = [
        (child.get("by"), child.get("id"))
        for child in report
        if child.ns == ns.STANZA_ID and child.name == "stanza-id" and child.get("id")
    ]
    kept = tuple((by, id) for by, id in ids if len(by) <= _MAX_ID and len(id) <= _MAX_ID)[:_MAX_IDS]
    return Report(reported, reason, received, report.child_text(version, "text").strip()[:_MAX_TEXT], kept)
