"""Prosody's plays, and the checks of Conversations' compliance tester."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from .results import Result, Results, best, failed
from .servers import ROOT, Running, Server, running

# Which specification a play is about, by its name; the first that fits.
_ABOUT: Final = {
    "basic_*": "RFC6121",
    "basic": "RFC6121",
    "keep_full_sub_req": "RFC6121",
    "issue1121": "RFC6121",
    "presence_preapproval": "RFC6121",
    "blocking": "XEP-0191",
    "bookmarks2": "XEP-0402",
    "disco_self": "XEP-0030",
    "empty_bookmarks": "XEP-0049",
    "extdisco": "XEP-0215",
    "http_upload": "XEP-0363",
    "lastactivity": "XEP-0012",
    "uptime": "XEP-0012",
    "mam_*": "XEP-0313",
    "issue*": "XEP-0045",
    "muc_*": "XEP-0045",
    "pep_*": "XEP-0163",
    "pubsub_config": "XEP-0163",
    "pubsub_preconditions": "XEP-0163",
    "pubsub_*": "XEP-0060",
    "server_contact_info": "XEP-0157",
    "vcard_temp": "XEP-0054",
    "version": "XEP-0092",
    "tombstones": "Prosody",
}
_CHECKS: Final = {
    "abuse-contact": "XEP-0157",
    "roster_versioning": "RFC6121",
    "stun": "XEP-0215",
    "turn": "XEP-0215",
    "vcard_muc": "XEP-0486",
    "xep0313muc": "XEP-0313",
    "xep0363_cors": "XEP-0363",
}


def run(folder: Path, server: Server, work: Path) -> Results:
    """All plays against one server, and each that fails there once more against one with fresh data: they take the
    server for as empty as Prosody's own tests have it."""
    with running(server, work / "data") as started:
        results = _perform(folder, started, work)
    for case in failed(results):
        with running(server, work / "data") as started:
            again = _perform(folder, started, work, case.removeprefix("plays/"))
            results = best(again, results)
    return results


def _perform(folder: Path, server: Running, work: Path, only: str = "*") -> Results:
    report = work / "plays.json"
    command = [
        sys.executable,
        ROOT / "tests/interop/scansion.py",
        folder,
        "--port",
        str(server.port),
        "--accounts",
        "ibr",
    ]
    command += ["--only", only, "--json", report, "--replace", f"Prosody={server.server.product}"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(report.read_text())
    results: Results = {}
    for each in found["results"]:
        name = Path(each["file"]).stem
        about = next(spec for pattern, spec in _ABOUT.items() if fnmatchcase(name, pattern))
        why = "" if each["status"] == "pass" else str(each.get("reason") or each["status"])
        result = Result(f"plays/{name}", about, "failed" if why else "passed", " ".join(why.split()))
        results[result.case] = result
    return results


def check(server: Running, work: Path) -> Results:
    """The checks for compliance."""
    report = work / "caas.json"
    command = [sys.executable, Path(__file__).with_name("caas.py"), "--port", str(server.port), "--register"]
    command += ["--http", f"http://127.0.0.1:{server.http}", "--json", report]
    if server.server.script == "start.sh":
        command += ["--direct-tls-port", str(server.direct_tls)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if not report.exists():
        return {}
    found: dict[str, str] = json.loads(report.read_text())["results"]
    results: Results = {}
    for case, outcome in found.items():
        name = case.removeprefix("caas/")
        about = _CHECKS.get(name) or name.replace("xep", "XEP-").upper()
        results[case] = Result(
            case, about, "passed" if outcome == "pass" else "failed", "" if outcome == "pass" else outcome
        )
    return results
