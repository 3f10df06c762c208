"""Somebody with profanity and somebody with slixmpp in the middle of a talk, when the network dies, and when the server
is started anew or killed.

profanity takes no message while it is not connected, and forgets what it had written to a link that was gone: who uses
it types again what the other one does not have. It does not resume a stream that the server closed, nor one that a
crash ended, and then shows twice what it had not acknowledged: that it is the same message is told by the stanza-id in
profanity's log.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, cast

import pytest
import pytest_asyncio

from tests.server.running import RunningServer
from tests.server.test_talk_goes_on import Process, Steady
from tests.waiting import until

from .conftest import OpenTerminal
from .terminal import Terminal
from .test_profanity import JULIET, PASSWORD, ROMEO, log_in

BREATH: Final = 0.05  # seconds between two messages of one person
MESSAGES: Final = 16
MIDDLE: Final = 6
SECONDS: Final = 15
_SENT: Final = re.compile(r"SENT: <(?:message|iq|presence)\b(?:.*<body>(\w+)</body>)?")
_ENABLES: Final = re.compile(r'SENT: <enable xmlns="urn:xmpp:sm:3"')
_TOLD: Final = re.compile(r'RECV: <(a|resumed|failed) h="(\d+)"')
_CAME: Final = re.compile(r'RECV: <message .*<body>(\w+)</body>.*<stanza-id id="([^"]+)"')


class Log:
    """What profanity sent and got, from its log."""

    def __init__(self, home: Path) -> None:
        (self._file,) = home.glob("data/profanity/logs/*.log")

    def acknowledged(self) -> set[str]:
        """What was said, and the server had told to have (XEP-0198)."""
        acknowledged: set[str] = set()
        sent: list[str] = []
        for line in self._file.read_text().splitlines():
            if _ENABLES.search(line):
                sent = []
            elif match := _SENT.search(line):
                sent.append(match[1] or "")
            elif match := _TOLD.search(line):
                acknowledged.update(sent[: int(match[2])])
                if match[1] == "resumed":
                    del sent[int(match[2]) :]  # what is sent again comes again
        return acknowledged

    def resumed(self) -> bool:
        """Whether the stream went on."""
        return any(match[1] == "resumed" for match in _TOLD.finditer(self._file.read_text()))

    def came(self) -> list[str]:
        """The bodies of what came, each stanza-id once."""
        found = _CAME.findall(self._file.read_text())
        return list({id: body for body, id in found}.values())


async def seen(terminal: Terminal) -> list[str]:
    """What Juliet said, as it is on the screen."""
    return re.findall(rf"- {JULIET}\S*: (\w+)", await terminal.screen())


@pytest_asyncio.fixture
async def process(database_url: str, tmp_path: Path) -> AsyncIterator[Process]:
    """A server for Romeo and Juliet."""
    process = await Process.start(tmp_path, database_url, archive=True, password=PASSWORD)
    yield process
    await process.close()


@pytest.mark.parametrize("happens", ["cut", "restart", "crash"])
async def test_each_person_sees_every_message_once(
    process: Process, open_terminal: OpenTerminal, tmp_path: Path, happens: str
) -> None:
    server = cast(RunningServer, process)
    juliet = Steady(server, f"{JULIET}/balcony", PASSWORD)
    await juliet.log_in()
    romeo = await open_terminal("romeo", "profanity", "--log", "DEBUG")
    await log_in(romeo, server, f"{ROMEO}/orchard", "trust")
    for setting in ("/reconnect 1", "/autoping set 2", "/autoping timeout 4"):
        await romeo.type(setting)
    await romeo.until("Autoping timeout set to 4")
    await romeo.type(f"/msg {JULIET}")
    said = [f"r{number:02}" for number in range(MESSAGES)]
    answers = [f"j{number:02}" for number in range(MESSAGES)]
    for number, (text, answer) in enumerate(zip(said, answers, strict=True)):
        juliet.say(ROMEO, answer)
        await romeo.type(text)
        if number == MIDDLE:
            # they talk on, and nobody waits for what was said
            going_on = asyncio.create_task(getattr(process, happens)())
        await asyncio.sleep(BREATH)
    await going_on
    await romeo.until("Connection re-established")
    await romeo.type("back")
    await until(lambda: "back" in juliet.heard, SECONDS)
    before = [text for text in said if text in juliet.heard]
    again = [text for text in said if text not in before]
    log = Log(tmp_path / "romeo")
    assert not log.acknowledged() & set(again), "lost, and was acknowledged"
    for text in again:
        await romeo.type(text)
    await until(lambda: set(again) <= set(juliet.heard) and not juliet.said, SECONDS)
    await romeo.until(f": {answers[-1]}")
    await romeo.type("bye")
    await until(lambda: "bye" in juliet.heard, SECONDS)
    assert juliet.heard == [*before, "back", *again, "bye"]
    assert log.came() == answers
    assert log.resumed() or happens != "cut"
    shown = await seen(romeo)
    assert (shown if log.resumed() else list(dict.fromkeys(shown))) == answers
    juliet.leaving = True
    await juliet.disconnect()
