"""What came of a case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["passed", "failed", "not possible"]
_BETTER: Final[tuple[Outcome, ...]] = ("not possible", "failed", "passed")


@dataclass(frozen=True)
class Result:
    """Of one case on one server; `why` is empty if it passed."""

    case: str
    specification: str
    outcome: Outcome
    why: str = ""


Results = dict[str, Result]


def best(*runs: Results) -> Results:
    """Of several runs of a case the best: suites that use several connections are at the mercy of the order in which
    these are read, and of a machine that is busy."""
    found: Results = {}
    for result in (each for run in runs for each in run.values()):
        before = found.get(result.case)
        if before is None or _BETTER.index(result.outcome) > _BETTER.index(before.outcome):
            found[result.case] = result
    return found


def failed(results: Results) -> list[str]:
    """The cases that did."""
    return [case for case, result in results.items() if result.outcome == "failed"]


def count(results: Iterable[Result], outcome: Outcome) -> int:
    """How many ended so."""
    return sum(result.outcome == outcome for result in results)
