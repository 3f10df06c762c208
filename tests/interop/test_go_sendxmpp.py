"""go-sendxmpp, as scripts use it."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.server.conftest import LogIn, log_in
from tests.server.running import ADDRESS, PASSWORD, RunningServer

__all__ = ["log_in"]

DEADLINE: Final = 30.0


@pytest.mark.parametrize("tls", ["starttls", "direct"])
async def test_a_script_sends_a_message(server: RunningServer, log_in: LogIn, tls: str) -> None:
    juliet = await log_in("juliet@localhost/balcony")
    await server.account("romeo")
    port = server.direct_tls_port if tls == "direct" else server.port
    process = await asyncio.create_subprocess_exec(
        *("go-sendxmpp", "-u", "romeo@localhost", "-p", PASSWORD, "-j", f"{ADDRESS}:{port}", "--no-tls-verify"),
        *(["--tls"] if tls == "direct" else []),
        "juliet@localhost",
        stdin=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE):
        await process.communicate(b"By a name I know not how to tell thee who I am\n")
    assert process.returncode == 0
    message = await juliet.next("message", lambda message: message["body"])
    assert message["body"] == "By a name I know not how to tell thee who I am"
    assert message["from"].bare == "romeo@localhost"
