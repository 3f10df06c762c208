"""Compares what was sent with what people see and with what the archives hold, by the id of each message."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .device import Device, Sent, Shown

_BAD: Final = ("lost", "reordered", "twice", "archived", "refused", "restless", "wrong")
_SHOWN: Final = 5  # of each kind
BODY: Final = re.compile(rb"<body>([^<]*)</body>")


@dataclass
class Findings:
    """Messages by what became of them."""

    sent: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    late: int = 0
    """Shown after younger ones by a device without archive, and before by another one of the same person: what is sent
    again after a crash, when nobody remembers that the other one had it (`docs/ledger.md`, limits)."""
    reordered: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    """Not once, or in another order, in an archive."""
    refused: list[str] = field(default_factory=list)
    """Answered with an error, which nothing that happens here allows: no account is beyond its quota."""
    restless: list[str] = field(default_factory=list)
    """Devices that did not become quiet in time."""
    wrong: list[str] = field(default_factory=list)
    """What the server must not say."""

    @property
    def good(self) -> bool:
        return not any(getattr(self, name) for name in _BAD)

    def __str__(self) -> str:
        counts = "".join(f", {name} {len(getattr(self, name))}" for name in _BAD)
        each = "".join(f"\n  {name}: {text}" for name in _BAD for text in getattr(self, name)[:_SHOWN])
        return f"sent {self.sent}, acknowledged {self.acknowledged}{counts}, late {self.late}{each}"


class Checker:
    """What is known of all messages so far. What was found to be right is not looked at again, but for a second copy.

    Every device that reads the archive has everything; the others of an account have it among them.
    """

    def __init__(self, devices: Iterable[Device], *, archive: bool) -> None:
        self._devices = list(devices)
        self._archive = archive
        self._owned: dict[str, list[Device]] = {}
        for device in self._devices:
            self._owned.setdefault(device.account, []).append(device)
        self._seen: dict[str, dict[str, float]] = {device.jid: {} for device in self._devices}
        self._kept: dict[str, dict[str, float]] = {account: {} for account in self._owned}
        """By account, what is in its archive; the times mean nothing."""
        self._newest: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By reader, the newest number of each conversation."""
        self._sent = self._acknowledged = 0

    def check(self, archives: Mapping[str, Sequence[bytes]]) -> Findings:
        """What these devices have seen of what they sent to each other, once all is quiet. `archives`: what came to the
        archive of each account since the last time, in its order."""
        findings = Findings()
        shown = {device: device.shown for device in self._devices}
        for device, came in shown.items():
            device.shown = []
            findings.wrong += device.wrong
            findings.twice += self._twice(came, self._seen[device.jid], device.jid)
        for device, came in shown.items():
            for each, after in self._reordered(came, device.jid):
                if not device.archive and self._was_elsewhere(each, device):
                    findings.late += 1
                else:
                    findings.reordered.append(f"{each.text} after {after} at {device.jid}")
        for account, stanzas in archives.items():
            where = f"the archive of {account}"
            kept = [Shown(0, match[1].decode()) for stanza in stanzas if (match := BODY.search(stanza))]
            findings.archived += self._twice(kept, self._kept[account], where)
            findings.archived += [
                f"{each.text} after {after} in {where}" for each, after in self._reordered(kept, where)
            ]
        for device in self._devices:
            for message in device.sent:
                self._message(message, findings)
            self._sent += len(device.sent)
            device.sent = [message for message in device.sent if not (message.acknowledged or message.refused)]
            self._sent -= len(device.sent)
        findings.sent = self._sent + sum(len(device.sent) for device in self._devices)
        findings.acknowledged = self._acknowledged
        return findings

    def _message(self, message: Sent, findings: Findings) -> None:
        if message.refused:
            findings.refused.append(f"{message.text} ({message.id}): {message.refused}")
            return
        if not message.acknowledged:
            return
        self._acknowledged += 1
        receivers = self._owned[message.to]
        readers = [each for each in receivers if each.archive]
        missing = [each.jid for each in readers if message.text not in self._seen[each.jid]]
        if not readers and not any(message.text in self._seen[each.jid] for each in receivers):
            missing = [message.to]
        findings.lost += [f"{message.text} ({message.id}) at {jid}" for jid in missing]
        if self._archive:
            accounts = (message.sender.partition("/")[0], message.to)
            missing = [account for account in accounts if message.text not in self._kept[account]]
            findings.archived += [f"{message.text} ({message.id}) not in that of {account}" for account in missing]

    def _was_elsewhere(self, shown: Shown, device: Device) -> bool:
        """Whether another device of the same person showed it before."""
        others = (self._seen[other.jid] for other in self._owned[device.account] if other is not device)
        return any(seen.get(shown.text, shown.at) < shown.at for seen in others)

    def _twice(self, came: Iterable[Shown], seen: dict[str, float], where: str) -> list[str]:
        found = []
        for at, text in came:
            if text in seen:
                found.append(f"{text} in {where}")
            seen.setdefault(text, at)
        return found

    def _reordered(self, came: Iterable[Shown], where: str) -> list[tuple[Shown, int]]:
        """What comes after younger ones of its conversation, with the youngest of these."""
        newest = self._newest[where]
        found = []
        for each in came:
            conversation, _, number = each.text.rpartition(" ")
            if int(number) < newest[conversation]:
                found.append((each, newest[conversation]))
            newest[conversation] = max(int(number), newest[conversation])
        return found
