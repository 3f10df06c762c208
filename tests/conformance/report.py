"""Writes docs/conformance.md from the results of one run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from .reasons import reason
from .results import Result, Results, count

_HEAD: Final = """\
# Conformance

Written by `make conformance`; not by hand. The cases are the interop suite of the XSF ([XMPP-Interop-Testing] with the
integration tests of Smack), Prosody's plays (`plays/`) and the checks of Conversations' compliance tester (`caas/`).
The servers were tried with the same cases in one run, each as its script in `bench/` starts it, with all that its
package has for clients. A case that failed was run once more, on each server alike, since some depend on which of two
connections is read first. *Not possible* means that a case could not be run: the server lacks what it needs.

[XMPP-Interop-Testing]: https://github.com/XMPP-Interop-Testing/smack-sint-server-extensions

"""
_LONGEST: Final = 240


def write(columns: Mapping[str, Results], versions: Mapping[str, str]) -> str:
    """The page: `columns` are the results by server, ours first."""
    cases = {case: result.specification for results in columns.values() for case, result in results.items()}
    by_specification: dict[str, list[str]] = {}
    for case, specification in sorted(cases.items()):
        by_specification.setdefault(specification, []).append(case)
    names = list(columns)
    lines = [_HEAD, "\n".join(f"- {name}: {versions[name]}" for name in names), "\n\n"]
    lines.append(
        "| specification | cases | " + " | ".join(f"{name}: passed, failed, not possible" for name in names) + " |\n"
    )
    lines.append("|---|---:|" + "---:|" * len(names) + "\n")
    for specification, of_it in sorted(by_specification.items(), key=lambda item: _order(item[0])):
        cells = [_cell(columns[name], of_it) for name in names]
        lines.append(f"| {specification} | {len(of_it)} | " + " | ".join(cells) + " |\n")
    lines.append(f"| all | {len(cases)} | " + " | ".join(_cell(columns[name], cases) for name in names) + " |\n")
    lines.append(_not_passed(names[0], columns[names[0]], by_specification))
    return "".join(lines)


def summary(columns: Mapping[str, Results]) -> int:
    """Print how many passed on each server; 1 if one failed on the first for which no reason is known, else 0."""
    for name, results in columns.items():
        numbers = [count(results.values(), outcome) for outcome in ("passed", "failed", "not possible")]
        print("{}: {} passed, {} failed, {} not possible".format(name, *numbers))
    ours = next(iter(columns.values()))
    unknown = [result for result in ours.values() if result.outcome == "failed" and not reason(result.case)]
    for result in unknown:
        print(f"failed: {result.case}: {result.why}")
    return 1 if unknown else 0


def _cell(results: Results, cases: Iterable[str]) -> str:
    of_them = [results[case] for case in cases if case in results]
    absent = sum(case not in results for case in cases)
    passed, failed = count(of_them, "passed"), count(of_them, "failed")
    return f"{passed}, {failed}, {count(of_them, 'not possible') + absent}"


def _not_passed(name: str, results: Results, by_specification: Mapping[str, list[str]]) -> str:
    lines = [f"\n## What does not pass on {name}\n\n"]
    for specification, cases in sorted(by_specification.items(), key=lambda item: _order(item[0])):
        not_passed = [results.get(case) or Result(case, specification, "not possible") for case in cases]
        groups: dict[tuple[str, str], list[str]] = {}
        for result in not_passed:
            if result.outcome != "passed":
                why = reason(result.case) or f"not explained yet: {_short(result.why) or 'it could not be set up'}"
                groups.setdefault((result.outcome, why), []).append(result.case)
        for (outcome, why), of_them in groups.items():
            lines.append(f"- {specification}, {outcome}: {why}\n  " + ", ".join(f"`{case}`" for case in of_them) + "\n")
    return "".join(lines)


def _short(why: str) -> str:
    # names of this run's accounts and rooms would make every run differ
    why = re.sub(r"[\w.+-]+@[\w.]*localhost(/[\w.+-]+)?", "ADDRESS", why).replace("|", "/").replace("`", "'")
    return why if len(why) <= _LONGEST else why[:_LONGEST] + "…"


def _order(specification: str) -> tuple[int, str]:
    return (0 if specification.startswith("RFC") else 1 if specification.startswith("XEP") else 2, specification)
