"""A program in a terminal (tmux): keys go in, and what is on the screen is waited for."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Final

_DEADLINE: Final = 30.0
_PAUSE: Final = 0.1
_SIZE: Final = ("-x", "200", "-y", "70")


class Terminal:
    """One screen. `socket` is where its tmux listens, so that it meets no other tmux of the user."""

    def __init__(self, socket: Path, home: Path) -> None:
        self._socket = socket
        self._home = home

    async def run(self, *command: str) -> None:
        """Start the program, in its own home folder."""
        environment = {
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home / "config"),
            "XDG_DATA_HOME": str(self._home / "data"),
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "TERM": "screen-256color",
        }
        variables = (f"{name}={value}" for name, value in environment.items())
        await self._tmux("new-session", "-d", *_SIZE, shlex.join(("env", "-i", *variables, *command)))

    async def type(self, line: str) -> None:
        """Type a line and the enter key."""
        await self._tmux("send-keys", "-l", "--", line)
        await self._tmux("send-keys", "Enter")

    async def screen(self) -> str:
        """What is to be seen now; lines that were wrapped are joined."""
        return await self._tmux("capture-pane", "-p", "-J")

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows this; raises AssertionError with the screen that does not."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _DEADLINE
        while not (match := re.search(pattern, screen := await self.screen())):
            assert loop.time() < end, f"no {pattern!r} on the screen:\n{screen}"
            await asyncio.sleep(_PAUSE)
        return match

    async def close(self) -> None:
        """End the program and its terminal, if they did not end yet."""
        await self._tmux("kill-server", check=False)

    async def _tmux(self, *arguments: str, check: bool = True) -> str:
        # into a file: the tmux that stays in the background keeps these open, and a pipe would not end
        with tempfile.TemporaryFile() as out:
            process = await asyncio.create_subprocess_exec(
                *("tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments), stdout=out, stderr=out
            )
            code = await asyncio.wait_for(process.wait(), _DEADLINE)
            out.seek(0)
            text = out.read().decode()
        assert not check or code == 0, text
        return text
