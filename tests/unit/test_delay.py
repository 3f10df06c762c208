from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmpp_server.protocol.delay import delay, format_time, parse_time
from xmpp_server.protocol.jid import JID

SECOND = 1_000_000


# The same moment as XEP-0082 §3.2 writes it, and others
@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-07-21T02:56:15Z", -14159025 * SECOND),
        ("1969-07-20T21:56:15-05:00", -14159025 * SECOND),
        ("2002-09-10T23:08:25Z", 1031699305 * SECOND),
        ("2002-09-10T23:08:25.5Z", 1031699305 * SECOND + 500_000),
        ("2002-09-10T23:08:25.000001Z", 1031699305 * SECOND + 1),
        ("2002-09-10T23:08:25.123456789Z", 1031699305 * SECOND + 123_456),
        ("2002-09-11T01:08:25+02:00", 1031699305 * SECOND),
        ("2002-09-10T23:08:25+00:00", 1031699305 * SECOND),
        ("2024-02-29T12:00:00Z", 1709208000 * SECOND),
    ],
)
def test_a_time_is_read(text: str, microseconds: int) -> None:
    assert parse_time(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2002-09-10T23:08:25",
        "2002-09-10 23:08:25Z",
        "20020910T23:08:25",
        "2002-09-10",
        "2002-13-10T23:08:25Z",
        "2002-02-30T23:08:25Z",
        "2002-09-10T24:08:25Z",
        "2002-09-10T23:08:25z",
        "2002-09-10T23:08:25.Z",
        "2002-09-10T23:08:25+0200",
        "2002-09-10T23:08:25+24:00",
        "2002-09-10T23:08:25+01:60",
        "0000-01-01T00:00:00Z",
        "2002-09-10T23:08:25Z\n",
        "\u0662002-09-10T23:08:25Z",
        "2002-09-10T23:08:25." + "1" * 5000 + "Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1031699305 * SECOND, "2002-09-10T23:08:25Z"),
        (1031699305 * SECOND + 1, "2002-09-10T23:08:25.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written(microseconds: int, text: str) -> None:
    assert format_time(microseconds) == text


@given(st.integers(-62135596800 * SECOND, 253402300799 * SECOND))
def test_a_time_comes_back_as_it_was_written(microseconds: int) -> None:
    assert parse_time(format_time(microseconds)) == microseconds


def test_a_time_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(OverflowError):
        format_time(10**18)


def test_a_delayed_stanza_says_by_whom_and_since_when() -> None:
    assert delay(JID.parse("capulet.com"), 1031699305 * SECOND, "Offline Storage").to_bytes() == (
        b"<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>"
    )
    assert delay(JID.parse("a@b"), 0).to_bytes().endswith(b"stamp='1970-01-01T00:00:00Z'/>")
