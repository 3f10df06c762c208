"""Accounts that the command line changes while the server runs, and the lock by which it finds the server."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.server.raw_client import RawClient
from tests.server.running import PASSWORD, RunningServer
from xmpp_server.app.lock import DataLock, serving_process


async def test_the_sessions_of_a_disabled_account_end_and_others_stay(server: RunningServer) -> None:
    romeo = await server.account("romeo")
    await server.account("juliet")
    his = await RawClient.login(server, "romeo")
    hers = await RawClient.login(server, "juliet")
    await server.store.accounts.set_disabled(romeo, True)
    await server.app.reload()
    assert (await his.ended())[1] == "not-authorized"
    await hers.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert (await hers.read()).get("type") == "result"
    again = await RawClient.open(server)
    answer = await again.authenticate("romeo", PASSWORD)
    assert answer.child("urn:ietf:params:xml:ns:xmpp-sasl", "account-disabled") is not None


async def test_the_sessions_of_a_deleted_account_end(server: RunningServer) -> None:
    romeo = await server.account("romeo")
    his = await RawClient.login(server, "romeo")
    await server.store.accounts.delete(romeo)
    await server.app.reload()
    assert (await his.ended())[1] == "not-authorized"


def test_a_data_folder_has_one_server(tmp_path: Path) -> None:
    assert serving_process(tmp_path) is None
    lock = DataLock(tmp_path)
    assert serving_process(tmp_path) == os.getpid()
    with pytest.raises(OSError, match=f"another server, process {os.getpid()}, uses the data"):
        DataLock(tmp_path)
    lock.release()
    assert serving_process(tmp_path) is None
    DataLock(tmp_path).release()


async def test_disable_and_delete_tell_the_server(server: RunningServer) -> None:
    """By the signal that reloads."""
    romeo = await server.account("romeo")
    his = await RawClient.login(server, "romeo")
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(1, told.set)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "xmpp_server", "account", "disable", str(romeo), "--config", str(server.file)
        )
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await asyncio.wait_for(told.wait(), 20)
    finally:
        asyncio.get_running_loop().remove_signal_handler(1)
    await server.app.reload()
    assert (await his.ended())[1] == "not-authorized"
