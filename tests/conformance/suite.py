"""The interop suite of the XSF: Smack's integration tests and XMPP-Interop-Testing's extensions, which `build.sh` made
one jar of. Its tests use three accounts that they register themselves."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from .results import Outcome, Result, Results, best, failed
from .servers import Running

_UTIL: Final = "org.igniterealtime.smack.inttest.util"
_REPLY: Final = 5000  # milliseconds to wait for an answer
_LIMIT: Final = 2400.0  # seconds for a run
_PASSWORD: Final = "password"  # of the administrator, as the servers' scripts have it
_PROPERTIES: Final = {
    "service": "localhost",
    "host": "127.0.0.1",
    "securityMode": "disabled",
    "replyTimeout": str(_REPLY),
    "defaultConnection": "tcp",
    "enabledConnections": "tcp",
    "dnsResolver": "javax",
    "testPackages": "org.jivesoftware,org.igniterealtime",
    "testRunResultProcessors": f"{_UTIL}.StdOutTestRunResultProcessor,{_UTIL}.JUnitXmlTestRunResultProcessor",
    "debugger": f"{_UTIL}.ModifiedStandardSinttestDebuggerMetaFactory",
}
# Where only an administrator makes nodes, these are run with one as the first of the three people.
_COMMENT: Final = re.compile(r"/\*.*?\*/|^\s*//[^\n]*", re.DOTALL | re.MULTILINE)
_TEST: Final = re.compile(r"@SmackIntegrationTest\b.*?\bvoid\s+(\w+)\s*\(", re.DOTALL)
_DOCUMENT: Final = re.compile(r'@SpecificationReference\(\s*document\s*=\s*"([^"]+)"')
_OF_AN_ADMINISTRATOR: Final = ("XEP-0060",)


def run(jar: Path, server: Running, folder: Path) -> Results:
    """All tests; those that failed once more."""
    results = _run(jar, server, folder / "all")
    results = best(results, _as_administrator(jar, server, folder))
    silent = [case for case in results if case.endswith("WithoutInitialPresence")]
    results = best(results, _run(jar, server, folder / "silent", tests=silent, options=["-DwithoutPresence=true"]))
    again = failed(results)
    if again:
        results = best(results, _run(jar, server, folder / "again", tests=again))
    return results


def expiring(jar: Path, server: Running, folder: Path) -> Results:
    """The tests of credentials that expire, on a server that has such."""
    tests = [
        f"ExternalServiceDiscoveryIntegrationTest.requestAllExpiryTimestamps{each}Test" for each in ("Valid", "Zulu")
    ]
    return _run(jar, server, folder / "expiring", tests=tests)


def cases(work: Path) -> Results:
    """All tests that the sources have, as those of a server on which none could be set up: the suite does not name the
    tests of a class for which something is missing."""
    found: Results = {}
    for file in sorted(each for folder in ("suite", "smack") for each in (work / folder).rglob("*Test.java")):
        text = _COMMENT.sub("", file.read_text())
        document = _DOCUMENT.search(text)
        for test in _TEST.finditer(text):
            case = f"{file.stem}.{test.group(1)}"
            found[case] = Result(case, _specification(document.group(1) if document else ""), "not possible")
    return found


def _as_administrator(jar: Path, server: Running, folder: Path) -> Results:
    """The tests of some specifications, with the administrator, who is registered where he is not yet, and others."""
    people: dict[str, str] = {}
    for number, name in (("One", "admin"), ("Two", "suite-two"), ("Three", "suite-three")):
        subprocess.run(_register(server, name), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        people |= {f"account{number}Username": name, f"account{number}Password": _PASSWORD}
    return _run(jar, server, folder / "administrator", specifications=_OF_AN_ADMINISTRATOR, more=people)


def _register(server: Running, name: str) -> list[str]:
    caas = Path(__file__).with_name("caas.py")
    return ["python3", str(caas), "--port", str(server.port), "--user", name, "--password", _PASSWORD, "--register"]


def _run(
    jar: Path,
    server: Running,
    folder: Path,
    *,
    tests: Iterable[str] = (),
    specifications: Iterable[str] = (),
    more: dict[str, str] | None = None,
    options: Iterable[str] = (),
) -> Results:
    folder.mkdir(parents=True, exist_ok=True)
    properties = {**_PROPERTIES, **(more or {})}
    properties["enabledTests"] = ",".join(tests)
    properties["enabledSpecifications"] = ",".join(specifications)
    text = "".join(f"{name}={value}\n" for name, value in properties.items() if value)
    (folder / "properties").write_text(text)  # which the suite reads from where it is started
    options = [*options, f"-Dport={server.port}", f"-DlogDir={folder}", *_trust(server, folder)]
    command = ["java", "-cp", str(jar), *options, "Suite"]
    with (folder / "out.log").open("wb") as log:
        try:
            subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"the suite took more than {_LIMIT:.0f} s: {folder}")
    found = folder / "test-results.xml"
    if not found.exists():
        print(f"the suite gave no results, see {folder / 'out.log'}")
        return {}
    return read(found)


def _trust(server: Running, folder: Path) -> list[str]:
    """Make Java trust the server's certificate, for uploads."""
    certificate = server.folder / server.server.certificate
    if not certificate.exists():
        return []
    store = folder / "trust.p12"
    store.unlink(missing_ok=True)
    options = ["-storetype", "PKCS12", "-storepass", _PASSWORD, "-keystore", str(store)]
    command = ["keytool", "-importcert", "-noprompt", "-alias", "server", "-file", str(certificate), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}"]


def read(path: Path) -> Results:
    """The results in a file as JUnit has it."""
    results: Results = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name", "").partition(" ")[0]
        specification = next(
            (p.get("value", "") for p in case.iter("property") if p.get("name") == "specification identifier"), ""
        )
        outcome: Outcome = "passed"
        why = ""
        for tag, other in (("failure", "failed"), ("error", "failed"), ("skipped", "not possible")):
            node = case.find(tag)
            if node is not None:
                outcome, why = other, node.get("message") or node.get("type") or ""  # type: ignore[assignment]
        if name in results and results[name].outcome == "failed":
            continue
        results[name] = Result(name, _specification(specification), outcome, " ".join(why.split()))
    return results


def _specification(text: str) -> str:
    """As XEP-0045 and RFC6121; the suite leaves the hyphen out at places. Tests of none are those of Smack itself."""
    return re.sub(r"^XEP-?(?=\d)", "XEP-", text) or "Smack"
