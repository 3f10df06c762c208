"""Plays of our own in memory. Those with stream management need a stream, and are performed over TCP alone."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interop import scansion
from tests.plays import PLAYS

from .world import Client, World

_OPTIONS: Final = Namespace(settle=0, quiet=0, order="any", match="scansion", step_timeout=0)
_IN_MEMORY: Final = [play for play in PLAYS if play.stem != "stream_management"]


class _Link:
    """What a character has of its client: `scansion.Link` without a socket."""

    def __init__(self, name: str, world: World, client: Client) -> None:
        self.name = name
        self.inbox: list[Any] = []
        self.passed = 0
        self.event = asyncio.Event()
        self._world = world
        self._client = client

    @property
    def jid(self) -> str:
        return self._client.jid

    @property
    def closed(self) -> str:
        return self._client.error

    def raw(self, text: str) -> None:
        self._client.send(text)

    async def look(self) -> None:
        """Take what came by now."""
        await self._world.settle()
        while self._client.inbox:
            self.inbox += scansion.parse_fragment(self._client.inbox.popleft().to_bytes().decode())

    async def wait(self, timeout: float, what: str) -> Any:
        await self.look()
        if not self.inbox:
            raise scansion.Failed("timeout", f"{self.name}: no {what}")
        return self.inbox.pop(0)

    async def close(self, polite: bool = True) -> None:
        await self.look()
        if not self._client.closed:
            await self._client.disconnect()


class _Play(scansion.Play):  # type: ignore[misc]
    def __init__(self, script: Any, world: World) -> None:
        super().__init__(script, scansion.Rewriter("localhost", {}, "", ()), _OPTIONS, lambda _: None)
        self._world = world

    async def connect(self, name: str) -> None:
        character = self.s.cast[name]
        client = await self._world.connect(f"{character.bare}/{character.resource}")
        self.links[name] = _Link(name, self._world, client)

    async def nothing(self, link: _Link) -> None:
        await link.look()
        await super().nothing(link)

    async def do(self, step: Any, following: Any) -> None:
        await super().do(step, following)
        if step.verb == "sends":  # two streams have no common order
            await self._world.settle()


@pytest.mark.parametrize("path", _IN_MEMORY, ids=lambda path: path.stem)
async def test_the_play_is_performed_as_it_is_written(world: World, path: Path) -> None:
    script = scansion.Script(str(path), path.read_text())
    for character in script.cast.values():
        await world.account(character.bare)
    play = _Play(script, world)
    try:
        await play.perform()
    except scansion.Failed as error:
        pytest.fail(f"line {play.current.line}: {error}\nexpected {error.expected}\nreceived {error.received}")
