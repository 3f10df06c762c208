"""What `make conformance` makes of the results of a run."""

from __future__ import annotations

from pathlib import Path

from . import report, suite
from .reasons import reason
from .results import Result, best

XML = """<testsuites><testsuite name="XEP-0199: Ping">
  <testcase name="PingTest.one (Normal)" classname="a.PingTest"><properties>
    <property name="specification identifier" value="XEP0199"/></properties></testcase>
  <testcase name="PingTest.two (Normal)" classname="a.PingTest">
    <failure type="AssertionError" message="expected: 1&#10; but was: 2"/></testcase>
  <testcase name="PingTest.three (Normal)" classname="a.PingTest"><skipped message="no ping"/></testcase>
</testsuite></testsuites>"""
SOURCE = """
@SpecificationReference(document = "XEP-0199", version = "2.0")
public class PingTest {
    @SmackIntegrationTest(section = "4", quote = "A server MUST ...")
    public void one() throws Exception { }
    // @SmackIntegrationTest
    // public void never() { }
    @SmackIntegrationTest
    public void four() { }
}"""


def test_results_are_read_from_the_file_of_the_suite(tmp_path: Path) -> None:
    file = tmp_path / "test-results.xml"
    file.write_text(XML)
    assert list(suite.read(file).values()) == [
        Result("PingTest.one", "XEP-0199", "passed"),
        Result("PingTest.two", "Smack", "failed", "expected: 1 but was: 2"),
        Result("PingTest.three", "Smack", "not possible", "no ping"),
    ]


def test_cases_that_the_suite_does_not_name_are_found_in_its_sources(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/PingTest.java").write_text(SOURCE)
    found = suite.cases(tmp_path)
    assert list(found) == ["PingTest.one", "PingTest.four"]
    assert {(each.specification, each.outcome) for each in found.values()} == {("XEP-0199", "not possible")}


def test_the_best_of_several_runs_of_a_case_counts() -> None:
    runs = [
        {"a": Result("a", "X", outcome), "b": Result("b", "X", "failed")}
        for outcome in ("not possible", "passed", "failed")
    ]
    assert {case: result.outcome for case, result in best(*runs).items()} == {"a": "passed", "b": "failed"}


def test_the_page_has_a_column_for_each_server_and_a_reason_for_what_does_not_pass() -> None:
    ours = {
        "a": Result("a", "XEP-0199", "passed"),
        "plays/tombstones": Result("plays/tombstones", "Prosody", "failed", "nothing came in"),
        "c": Result("c", "RFC6121", "failed", "from me@localhost/one"),
    }
    page = report.write({"ours": ours, "other": {"a": ours["a"]}}, {"ours": "1", "other": "2"})
    assert "| RFC6121 | 1 | 0, 1, 0 | 0, 0, 1 |" in page
    assert "| XEP-0199 | 1 | 1, 0, 0 | 1, 0, 0 |" in page
    assert "| all | 3 | 1, 2, 0 | 1, 0, 2 |" in page
    assert f"- Prosody, failed: {reason('plays/tombstones')}\n  `plays/tombstones`" in page
    assert "- RFC6121, failed: not explained yet: from ADDRESS\n  `c`" in page
