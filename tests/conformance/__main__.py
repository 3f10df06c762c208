"""Run the conformance suites against this server and its peers, and write docs/conformance.md.

python -m tests.conformance                          this server, and the peers that are installed
python -m tests.conformance --servers xmpp-server    it alone
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from . import plays, report, suite
from .results import Results, best
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
    with ThreadPoolExecutor(2 * len(servers)) as pool:
        played = [pool.submit(_plays, server, work) for server in servers] if "plays" in suites else []
        found = list(pool.map(lambda server: _suites(server, work, suites), servers))
        if played:
            found = [others | play.result() for others, play in zip(found, played, strict=True)]
    columns = {server.name: results for server, results in zip(servers, found, strict=True)}
    for name, results in columns.items():
        kept = [dataclasses.asdict(result) for result in results.values()]
        (work / "run" / f"{name}.json").write_text(json.dumps(kept, indent=1))
    options.page.write_text(report.write(columns, {server.name: _version(server) for server in servers}))
    return report.summary(columns)


def _plays(server: Server, work: Path) -> Results:
    folder = work / "run" / f"{server.name}-plays"
    folder.mkdir(parents=True, exist_ok=True)
    return plays.run(work / "plays", server, folder)


def _suites(server: Server, work: Path, suites: list[str]) -> Results:
    """All but the plays, each of which wants a start of its own."""
    folder = work / "run" / server.name
    results: Results = {}
    with running(server, folder / "data") as started:
        if "caas" in suites:
            results |= plays.check(started, folder)
        if "suite" in suites:
            results |= best(suite.cases(work), suite.run(work / "target/suite.jar", started, folder / "suite"))
    if "suite" in suites:
        # the play wants credentials of TURN for ever, these want such as expire
        with running(server, folder / "data-secret", TURN_SECRET="secret") as started:
            results = best(results, suite.expiring(work / "target/suite.jar", started, folder / "suite"))
    return results


def _version(server: Server) -> str:
    if server.program:
        query = ["dpkg-query", "--show", "--showformat=${Version}", server.name]
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "?"
    query = ["git", "-C", str(ROOT), "describe", "--always"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() or "?"


sys.exit(main())
