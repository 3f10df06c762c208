"""Two people with two devices each talk encrypted; the server stores ciphertext, and nothing else of it (promise 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import asyncpg
import pytest
import pytest_asyncio

from xmpp_server.storage.errors import AccountExists

from .conftest import MakeServer
from .omemo_person import LEGACY, OMEMO_2, Keys, OmemoPerson, is_content
from .person import DEADLINE
from .running import RunningServer

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"
CANARY = "canary-6e1f0a52-sings"
VERSIONS = pytest.mark.parametrize("version", [LEGACY, OMEMO_2], ids=["legacy", "omemo2"])

LogInDevice = Callable[..., Awaitable[OmemoPerson]]


@pytest_asyncio.fixture
async def log_in_device(server: RunningServer) -> AsyncIterator[LogInDevice]:
    """Brings a device online, ready to encrypt, with carbons; the same keys make it the same device again."""
    devices: list[OmemoPerson] = []

    async def make(address: str, keys: Keys | None = None) -> OmemoPerson:
        with suppress(AccountExists):
            await server.account(address.partition("/")[0])
        device = OmemoPerson(server, address, keys=keys)
        devices.append(device)
        await device.log_in()
        await device.come_online()
        await device.omemo_ready()
        await device.plugin["xep_0280"].enable(timeout=DEADLINE)
        return device

    yield make
    for device in devices:
        if device.is_connected():
            async with asyncio.timeout(DEADLINE):
                await device.disconnect()


@VERSIONS
async def test_two_people_with_two_devices_each_talk_encrypted(log_in_device: LogInDevice, version: str) -> None:
    orchard = await log_in_device(f"{ROMEO}/orchard")
    street = await log_in_device(f"{ROMEO}/street")
    balcony = await log_in_device(f"{JULIET}/balcony")
    window = await log_in_device(f"{JULIET}/window")

    await orchard.say_encrypted(JULIET, "But, soft!", version)
    assert [await device.reads() for device in (balcony, window)] == ["But, soft!"] * 2
    assert await street.reads("carbon_sent") == "But, soft!"
    for number in range(3):  # the session that the first message set up goes on
        await window.say_encrypted(ROMEO, f"Ay me {number}", version)
        assert [await device.reads() for device in (orchard, street)] == [f"Ay me {number}"] * 2
        assert await balcony.reads("carbon_sent") == f"Ay me {number}"
        await street.say_encrypted(JULIET, f"O, speak again {number}", version)
        assert [await device.reads() for device in (balcony, window)] == [f"O, speak again {number}"] * 2
        assert await orchard.reads("carbon_sent") == f"O, speak again {number}"


@VERSIONS
async def test_a_device_that_was_away_reads_all_when_it_comes_back(log_in_device: LogInDevice, version: str) -> None:
    romeo = await log_in_device(f"{ROMEO}/orchard")
    balcony = await log_in_device(f"{JULIET}/balcony")
    await balcony.disconnect()
    texts = [f"What light {number}" for number in range(3)]
    for text in texts:
        await romeo.say_encrypted(JULIET, text, version)
    balcony = await log_in_device(f"{JULIET}/balcony", balcony.keys)
    assert [await balcony.reads() for _ in texts] == texts
    await balcony.say_encrypted(ROMEO, "Romeo?", version)
    assert await romeo.reads() == "Romeo?"


@VERSIONS
async def test_a_device_that_was_away_while_another_was_there_reads_the_archive(
    log_in_device: LogInDevice, version: str
) -> None:
    """XEP-0313: the payload there is what was sent"""
    romeo = await log_in_device(f"{ROMEO}/orchard")
    window = await log_in_device(f"{JULIET}/window")
    balcony = await log_in_device(f"{JULIET}/balcony")
    await window.disconnect()
    await romeo.say_encrypted(JULIET, "It is the east", version)
    assert await balcony.reads() == "It is the east"
    window = await log_in_device(f"{JULIET}/window", window.keys)
    window.register_plugin("xep_0313")
    archive = window.plugin["xep_0313"].iterate(with_jid=ROMEO)
    found = [result["mam_result"]["forwarded"]["stanza"] async for result in archive]
    assert [await window.decrypted(message) for message in found if is_content(message)] == ["It is the east"]


@VERSIONS
async def test_the_first_message_of_a_stranger_is_encrypted(log_in_device: LogInDevice, version: str) -> None:
    """Keys are found by who is in nobody's roster, also those of somebody who is away."""
    juliet = await log_in_device(f"{JULIET}/balcony")
    await juliet.disconnect()
    stranger = await log_in_device("paris@localhost/church")
    await stranger.say_encrypted(JULIET, "Happily met, my lady", version)
    juliet = await log_in_device(f"{JULIET}/balcony", juliet.keys)
    assert await juliet.reads() == "Happily met, my lady"


@VERSIONS
async def test_a_new_device_of_a_contact_is_told_of_and_reads_what_comes_after(
    log_in_device: LogInDevice, version: str
) -> None:
    romeo = await log_in_device(f"{ROMEO}/orchard")
    balcony = await log_in_device(f"{JULIET}/balcony")
    await romeo.say_encrypted(JULIET, "one", version)
    assert await balcony.reads() == "one"
    window = await log_in_device(f"{JULIET}/window")
    await romeo.say_encrypted(JULIET, "two", version)
    assert await window.reads() == "two"
    assert await balcony.reads() == "two"


# -- promise 3


async def is_in_files(folder: Path, text: str) -> list[str]:
    """The files below the folder that hold the text: databases, their write-ahead logs, logs."""
    needle = text.encode()
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def is_in_tables(url: str, text: str) -> list[str]:
    """The tables of PostgreSQL that hold the text, in whatever column."""
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            name
            for (name,) in names
            for row in await connection.fetch(f'SELECT * FROM "{name}"')
            if any(text.encode() in (value if isinstance(value, bytes) else str(value).encode()) for value in row)
        ]
    finally:
        await connection.close()


@VERSIONS
async def test_what_is_sent_encrypted_is_nowhere_at_the_server(
    server: RunningServer,
    log_in_device: LogInDevice,
    database_url: str,
    version: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The same words in plaintext are found by the same search, so that it proves something."""

    async def is_found() -> list[str]:
        found = await is_in_files(server.app.config.data, CANARY)
        if database_url.startswith("postgresql"):
            return found + await is_in_tables(database_url, CANARY)
        return found + await is_in_files(Path(database_url.removeprefix("sqlite:///")).parent, CANARY)

    await server.reload(level="debug")
    romeo = await log_in_device(f"{ROMEO}/orchard")
    juliet = await log_in_device(f"{JULIET}/balcony")
    away = await log_in_device("nurse@localhost/kitchen")
    await away.disconnect()
    for receiver in (JULIET, "nurse@localhost"):
        await romeo.say_encrypted(receiver, CANARY, version)
    assert await juliet.reads() == CANARY
    await romeo.sees_nothing_more("message_error")
    assert await is_found() == []
    logged = "".join(capfd.readouterr())
    assert CANARY not in logged

    romeo.send_message(JULIET, CANARY, mtype="chat")
    await juliet.next("message", lambda message: message["body"] == CANARY)
    assert await is_found() != []
    assert CANARY not in "".join(capfd.readouterr())  # bodies are in no log, encrypted or not


async def test_a_host_can_refuse_plaintext_and_its_users_talk_encrypted(make_server: MakeServer) -> None:
    server = await make_server('[hosts."localhost".modules.encryption]\nrequired = true\n')
    people = []
    for address in (f"{ROMEO}/orchard", f"{JULIET}/balcony"):
        await server.account(address.partition("/")[0])
        person = OmemoPerson(server, address)
        server.hang_up.append(person.abort)
        await person.log_in()
        await person.come_online()
        await person.omemo_ready()
        people.append(person)
    romeo, juliet = people
    romeo.send_message(JULIET, "Hi", mtype="chat")
    error = await romeo.next("message_error")
    assert b"policy-violation" in ElementTree.tostring(error.xml)  # a condition that slixmpp has no name for
    assert "OMEMO" in error["error"]["text"]
    for version in (LEGACY, OMEMO_2):
        await romeo.say_encrypted(JULIET, "Hi", version)
        assert await juliet.reads() == "Hi"
    await juliet.sees_nothing_more("message")
