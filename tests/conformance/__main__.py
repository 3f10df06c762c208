"""Run the conformance suites against this server and its peers, and write docs/conformance.md.

python -m tests.conformance                          this server, and the peers that are installed
python -m tests.conformance --servers xmpp-server    it alone
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from . import plays, report, suite
from .results import Result, Results
from .servers import ROOT, SERVERS, Server, installed, running

_SUITES: Final = ("suite", "plays", "caas")


def main() -> int:
    """0: nothing of ours failed that has no reason; 1: something did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build/conformance", help="what was fetched and built")
    parser.add_argument("--servers", default=",".join(each.name for each in SERVERS))
    parser.add_argument("--suites", default=",".join(_SUITES))
    parser.add_argument("--page", type=Path, default=ROOT / "docs/conformance.md")
    options = parser.parse_args()
    work: Path = options.work.resolve()
    suites = options.suites.split(",")
    wanted = [each for each in SERVERS if each.name in options.servers.split(",")]
    for each in wanted:
        if not installed(each):
            print(f"{each.name} is not installed, and left out")
    servers = [each for each in wanted if installed(each)]
    with ThreadPoolExecutor(len(servers)) as pool:
        found = list(pool.map(lambda server: _try(server, work, suites), servers))
    columns = {server.name: results for server, results in zip(servers, found, strict=True)}
    (work / "results.json").write_text(json.dumps(_plain(columns), indent=1))
    options.page.write_text(report.write(columns, {server.name: _version(server) for server in servers}))
    return report.summary(columns)


def _try(server: Server, work: Path, suites: list[str]) -> Results:
    folder = work / "run" / server.name
    results: Results = {}
    if "plays" in suites:
        folder.mkdir(parents=True, exist_ok=True)
        results |= plays.run(work / "plays", server, folder)
    with running(server, folder / "data") as started:
        if "caas" in suites:
            results |= plays.check(started, folder)
        if "suite" in suites:
            results |= suite.run(work / "target/suite.jar", started, folder / "suite")
    return results


def _plain(columns: dict[str, Results]) -> dict[str, dict[str, tuple[str, str, str]]]:
    return {name: {case: _row(result) for case, result in results.items()} for name, results in columns.items()}


def _row(result: Result) -> tuple[str, str, str]:
    return result.specification, result.outcome, result.why


def _version(server: Server) -> str:
    if server.program:
        query = ["dpkg-query", "--show", "--showformat=${Version}", server.name]
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "?"
    query = ["git", "-C", str(ROOT), "describe", "--always"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() or "?"


sys.exit(main())
