"""The log's lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from xmpp_server.util import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def fail(password: str) -> None:
    raise ValueError("no such thing")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_tells_where_and_not_what_the_variables_held(
    capsys: pytest.CaptureFixture[str], format: Literal["text", "json"]
) -> None:
    log.configure("info", format)
    password = "neither, " + "fair saint"
    try:
        fail(password)
    except ValueError:
        structlog.get_logger().exception("went_wrong")
    written = capsys.readouterr().err
    assert "no such thing" in written
    assert "in fail" in written
    assert password not in written


def test_less_important_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    structlog.get_logger().info("small")
    structlog.get_logger().warning("large", size=3)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["size"], entry["level"]) == ("large", 3, "warning")


def test_the_level_changes_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    logger = structlog.get_logger()
    log.configure("error", "json")
    logger.info("before")
    log.configure("info", "json")
    logger.info("after")
    assert "after" in capsys.readouterr().err
