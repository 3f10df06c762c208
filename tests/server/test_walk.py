"""`docs/walk.md` against the truth: one message over TLS, and the calls that it makes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import xmpp_server
from tests.server.raw_client import RawClient
from tests.server.running import RunningServer

ROOT = Path(xmpp_server.__file__).parent
TABLE = ROOT.parent / "docs/walk.md"
ROW = re.compile(r"^\|[^|]*\|[^|]*\| `(?P<file>[\w/]+\.py)` `(?P<name>[\w.]+)` \|", re.MULTILINE)


@contextmanager
def calls() -> Iterator[list[str]]:
    """The functions of ours that are entered, as `net/c2s.py ClientConnection.received`."""
    seen: list[str] = []

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            seen.append(f"{Path(code.co_filename).relative_to(ROOT)} {code.co_qualname}")

    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def is_in_order(steps: list[str], seen: list[str]) -> str:
    """The first step that does not come after those before it; empty if all do."""
    rest = iter(seen)
    return next((step for step in steps if step not in rest), "")


async def test_a_message_walks_as_the_page_says(server: RunningServer) -> None:
    steps = [f"{row['file']} {row['name']}" for row in ROW.finditer(TABLE.read_text())]
    assert len(steps) >= 11
    for name in ("romeo", "juliet"):
        await server.account(name)
    romeo = await RawClient.login(server, "romeo")
    juliet = await RawClient.login(server, "juliet", resource="balcony")
    await juliet.send("<presence/>")
    await juliet.read()
    message = "<message to='juliet@localhost' type='chat' id='{}'><body>hello</body></message>"
    await romeo.send(message.format("first"))
    await juliet.read()
    with calls() as seen:
        await romeo.send(message.format("second"))
        assert (await juliet.read()).get("id") == "second"
    assert is_in_order(steps, seen) == ""
    for step in steps:
        assert seen.count(step) < 10, "one message takes each step, or few times"
