from __future__ import annotations

import asyncio

import pytest

from tests.storage.conftest import JULIET, ROMEO
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.errors import NoSuchAccount
from xmpp_server.storage.reports import REPORTS_KEPT, FiledReport, Report
from xmpp_server.storage.store import Store

SPAM = Report(JULIET, "urn:xmpp:reporting:spam", 5, "Never <heard> of her", (("montague.example", "id-1"), ("r", "2")))


async def test_a_report_comes_back_as_it_was_made(store: Store, romeo: JID) -> None:
    await store.reports.add(romeo, SPAM)
    assert await store.reports.list(romeo.domain) == [FiledReport(romeo, 1, SPAM)]
    assert await store.reports.list(JULIET.domain) == []


async def test_reports_of_a_host_are_listed_in_pages_oldest_first(store: Store) -> None:
    people = [JID.parse(f"p{number}@montague.example") for number in range(5)]
    for person in people:
        await store.accounts.create(person, {})
    for number in range(20):  # four reports at each time
        await store.reports.add(people[number % 5], Report(JULIET, "urn:xmpp:reporting:abuse", number // 4))
    seen: list[FiledReport] = []
    while page := await store.reports.list("montague.example", after=seen[-1] if seen else None, limit=3):
        seen += page
    assert len(seen) == 20
    assert len({(filed.account, filed.id) for filed in seen}) == 20
    assert [filed.report.received for filed in seen] == [number // 4 for number in range(20)]


async def test_an_account_that_reports_without_end_keeps_its_latest_reports(store: Store, romeo: JID) -> None:
    total = REPORTS_KEPT + 20
    await asyncio.gather(
        *(store.reports.add(romeo, Report(JULIET, "urn:xmpp:reporting:spam", number)) for number in range(total))
    )
    kept = await store.reports.list(romeo.domain, limit=1000)
    assert [filed.report.received for filed in kept] == list(range(20, total))


async def test_a_report_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(NoSuchAccount):
        await store.reports.add(ROMEO, SPAM)
