"""What judges the runs of `make chaos`: it finds what it is there for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.checker import Checker, Findings
from tests.chaos.device import Device, Sent, Shown
from tests.chaos.journal import Journal
from tests.chaos.plan import Plan

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"


class Talk:
    """Romeo's phone, which has sent messages that are acknowledged, and Juliet's two devices."""

    def __init__(self, folder: Path, *, reads: bool) -> None:
        journal = Journal(folder / "journal.txt")
        self.romeo, self.phone, self.laptop = (
            Device(account, resource, 0, journal, archive=reads, chance=random.Random(0))
            for account, resource in ((ROMEO, "phone"), (JULIET, "phone"), (JULIET, "laptop"))
        )
        self.romeo.sent = [Sent(self.romeo.jid, JULIET, number, f"id{number}", acknowledged=True) for number in (1, 2)]
        self.texts = [message.text for message in self.romeo.sent]
        self.archives = {
            account: [f"<body>{text}</body>".encode() for text in self.texts] for account in (ROMEO, JULIET)
        }
        self.checker = Checker([self.romeo, self.phone, self.laptop], archive=True)

    def show(self, device: Device, *numbers: int, at: float = 1) -> None:
        device.shown += [Shown(at, f"{self.romeo.jid} {JULIET} {number}") for number in numbers]

    def check(self) -> Findings:
        return self.checker.check(self.archives)


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return Talk(tmp_path, reads=True)


@pytest.fixture
def live(tmp_path: Path) -> Talk:
    """A talk between devices that read no archive."""
    return Talk(tmp_path, reads=False)


def test_who_sees_everything_in_order_is_right(talk: Talk) -> None:
    for device in (talk.phone, talk.laptop):
        talk.show(device, 1, 2)
    findings = talk.check()
    assert findings.good
    assert (findings.sent, findings.acknowledged) == (2, 2)


def test_what_one_device_did_not_get_is_lost(talk: Talk) -> None:
    talk.show(talk.phone, 1, 2)
    talk.show(talk.laptop, 1)
    assert [text.rpartition(" at ")[2] for text in talk.check().lost] == [talk.laptop.jid]


def test_without_an_archive_one_device_of_a_person_is_enough(live: Talk) -> None:
    live.show(live.phone, 1)
    live.show(live.laptop, 2)
    assert not live.check().lost


def test_a_second_time_is_found_later_too(talk: Talk) -> None:
    for device in (talk.phone, talk.laptop):
        talk.show(device, 1, 2)
    assert talk.check().good
    talk.archives = {}
    talk.show(talk.phone, 2)
    assert len(talk.check().twice) == 1


def test_another_order_is_found(talk: Talk) -> None:
    for device in (talk.phone, talk.laptop):
        talk.show(device, 2, 1)
    talk.archives[JULIET].reverse()
    findings = talk.check()
    assert len(findings.reordered) == 2
    assert len(findings.archived) == 1


def test_what_another_device_had_before_is_late(live: Talk) -> None:
    live.show(live.laptop, 1, 2, at=1)
    live.show(live.phone, 2, 1, at=2)
    findings = live.check()
    assert findings.good
    assert findings.late == 1


def test_an_archive_has_each_message_once(talk: Talk) -> None:
    for device in (talk.phone, talk.laptop):
        talk.show(device, 1, 2)
    talk.archives[ROMEO].pop()
    talk.archives[JULIET].append(talk.archives[JULIET][-1])
    assert len(talk.check().archived) == 2


def test_an_error_is_no_answer_to_a_message(talk: Talk) -> None:
    for device in (talk.phone, talk.laptop):
        talk.show(device, 1, 2)
    talk.romeo.sent[0].refused = "resource-constraint"
    assert len(talk.check().refused) == 1


def test_a_round_is_the_same_whichever_is_first() -> None:
    plans = [Plan("7", "sqlite", archive=True) for _ in range(2)]
    rounds = [plans[0].round(number) for number in range(1, 50)]
    assert [plans[1].round(number) for number in reversed(range(1, 50))] == rounds[::-1]
    assert plans[0].chance("talk", 3).random() == plans[1].chance("talk", 3).random()
    assert Plan("8", "sqlite", archive=True).round(1) != rounds[0]
