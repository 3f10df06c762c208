"""docs/conformance names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent.parent
MARKS: Final = sorted((TESTS.parent / "docs" / "conformance").glob("*-*.md")) + sorted(
    (TESTS.parent / "docs" / "conformance").glob("rfc*.md")
)
_NAMED: Final = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_ROW: Final = re.compile(r"\| [^|]+ \| [^|]+ \| (.+) \|")


@pytest.mark.parametrize("file", MARKS, ids=lambda file: file.stem)
def test_each_row_names_tests_that_exist_or_says_why_not(file: Path) -> None:
    rows = [line for line in file.read_text().splitlines() if line.startswith("| ") and not line.startswith("| § ")]
    assert rows
    for row in rows:
        match = _ROW.fullmatch(row)
        assert match is not None, row
        named = _NAMED.findall(match[1])
        assert named or match[1].startswith("**not held**: "), row
        for path, test in named:
            assert f"def {test}(" in (TESTS / path).read_text(), f"{path}::{test}"


def test_there_are_marks() -> None:
    assert len(MARKS) > 15
