"""`make chaos`: people talk while the server and its database are killed and links are cut; then ids are compared.

python -m tests.chaos --seed 7 --rounds 50 --database sqlite --archive on
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from . import disk
from .plan import Plan
from .run import Chaos


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000))
    parser.add_argument("--first", type=int, default=1, help="the round to begin with")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--archive", choices=("on", "off", "both"), default="both")
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--rate", type=float, default=150.0, help="messages a second")
    parser.add_argument("--synchronous", default="", help="SQLite's; with OFF messages have to be lost")
    parser.add_argument("--show", action="store_true", help="print what is planned, round by round")
    options = parser.parse_args()
    for database in ("sqlite", "postgresql") if options.database == "both" else (options.database,):
        if database == "sqlite":
            print(f"the disk of the test: {disk.proves()}", flush=True)
        for archive in (True, False) if options.archive == "both" else (options.archive == "on",):
            if not _run(options, Plan(options.seed, database, archive)):
                return 1
    return 0


def _run(options: argparse.Namespace, plan: Plan) -> bool:
    archive = "on" if plan.archive else "off"
    print(f"{plan.database}, archive {archive}, seed {plan.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="xmpp-chaos-"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        chaos = Chaos(folder, options, plan)
        findings = runner.run(chaos.run())
    for name, counts in (("ended", chaos.ends), ("beside", chaos.troubles)):
        print(f"  {name}: {', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))}", flush=True)
    if chaos.unsynced:
        print(f"  writes that were lost because nobody had synced them: {chaos.unsynced}")
    if findings.good:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    print(f"  the server's log and data, and the journal of what happened: {folder}")
    print(f"  again: make chaos SEED={plan.seed} FIRST={options.first} DATABASE={plan.database} ARCHIVE={archive}")
    return False


if __name__ == "__main__":
    sys.exit(main())
