from __future__ import annotations

import pytest

from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.jid import JID

ROMEO = JID.parse("romeo@montague.example")
JULIET = JID.parse("juliet@capulet.example")
IDS = ArchiveIds(b"k" * 32)


@pytest.mark.parametrize("number", [0, 1, 1_700_000_000_000_000, 2**63 - 1])
def test_an_id_opens_to_its_number(number: int) -> None:
    id = IDS.seal(ROMEO, number)
    assert IDS.open(ROMEO, id) == number
    assert id.isascii()
    assert len(id) == 22


def test_an_id_is_the_same_each_time_and_another_in_each_archive_and_under_each_key() -> None:
    ids = {IDS.seal(ROMEO, 5), IDS.seal(ROMEO, 5), IDS.seal(JULIET, 5), ArchiveIds(b"l" * 32).seal(ROMEO, 5)}
    assert len(ids) == 3


def test_an_id_is_of_its_archive_alone() -> None:
    assert IDS.open(JULIET, IDS.seal(ROMEO, 5)) is None
    assert ArchiveIds(b"l" * 32).open(ROMEO, IDS.seal(ROMEO, 5)) is None


def test_the_next_id_cannot_be_told_from_the_last() -> None:
    first, second = IDS.seal(ROMEO, 5), IDS.seal(ROMEO, 6)
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 6


def test_whatever_is_changed_is_no_id() -> None:
    id = IDS.seal(ROMEO, 5)
    for position in range(len(id)):
        for character in "Aa0-_":
            changed = id[:position] + character + id[position + 1 :]
            assert changed == id or IDS.open(ROMEO, changed) is None


@pytest.mark.parametrize("text", ["", "x", "=" * 22, "é" * 22, "*" * 22, "A" * 22, "A" * 10_000, "A" * 20 + "=="])
def test_other_text_is_no_id(text: str) -> None:
    assert IDS.open(ROMEO, text) is None


def test_marks_differ_by_everything_and_fit_into_a_column() -> None:
    nurse = JID.parse("nurse@capulet.example")
    marks = {
        IDS.mark(ROMEO, JULIET, ROMEO, "1"),
        IDS.mark(ROMEO, JULIET, JULIET, "1"),
        IDS.mark(ROMEO, JULIET, ROMEO, "2"),
        IDS.mark(JULIET, ROMEO, ROMEO, "1"),
        IDS.mark(ROMEO, nurse, ROMEO, "1"),
        ArchiveIds(b"l" * 32).mark(ROMEO, JULIET, ROMEO, "1"),
    }
    assert len(marks) == 6
    assert all(-(2**63) <= mark < 2**63 for mark in marks)
