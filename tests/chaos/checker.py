"""Compares what was sent with what people see, by the id of each message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .device import Device


@dataclass
class Findings:
    """Messages by what became of them."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)
    """Devices that did not become quiet in time."""
    wrong: list[str] = field(default_factory=list)
    """What the server must not say."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.reordered or self.twice or self.restless or self.wrong)

    def __str__(self) -> str:
        bad = "".join(
            f"\n  {name}: {each}"
            for name in ("lost", "reordered", "twice", "restless", "wrong")
            for each in getattr(self, name)[:5]
        )
        return (
            f"sent {self.sent}, acknowledged {self.acknowledged}, refused {self.refused}, lost {len(self.lost)}, "
            f"reordered {len(self.reordered)}, shown twice {len(self.twice)}{bad}"
        )


def check(devices: Iterable[Device]) -> Findings:
    """What these devices have seen of what they sent to each other, once all is quiet.

    Every device that reads the archive has everything; the others of an account have it among them.
    """
    devices = list(devices)
    owned: dict[str, list[Device]] = {}
    for device in devices:
        owned.setdefault(device.account, []).append(device)
    findings = Findings()
    seen = {device: set(device.shown) for device in devices}
    for device in devices:
        for message in device.sent:
            findings.sent += 1
            findings.acknowledged += message.acknowledged
            findings.refused += bool(message.refused)
            if message.refused or not message.acknowledged:
                continue
            receivers = owned[message.to]
            readers = [each for each in receivers if each.archive]
            missing = [each.jid for each in readers if message.text not in seen[each]]
            if not readers and not any(message.text in seen[each] for each in receivers):
                missing = [message.to]
            findings.lost += [f"{message.text} ({message.id}) at {jid}" for jid in missing]
    for device in devices:
        findings.wrong += device.wrong
        counts = Counter(device.shown)
        findings.twice += [f"{text} at {device.jid}" for text, count in counts.items() if count > 1]
        newest: dict[str, int] = {}
        for text in dict.fromkeys(device.shown):
            sender, _, number = text.split(" ")
            if int(number) < newest.get(sender, 0):
                findings.reordered.append(f"{text} after {newest[sender]} at {device.jid}")
            newest[sender] = max(int(number), newest.get(sender, 0))
    return findings
