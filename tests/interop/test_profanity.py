"""Two people with profanity, in terminals."""

from __future__ import annotations

from typing import Literal

from tests.server.running import ADDRESS, RunningServer

from .conftest import OpenTerminal
from .terminal import Terminal

ROMEO = "romeo@localhost"
JULIET = "juliet@localhost"
PASSWORD = "ladybird"  # typed into a prompt

Trust = Literal["trust", "always", "direct"]


async def log_in(terminal: Terminal, server: RunningServer, address: str, trust: Trust) -> None:
    """Connect, and take the certificate: beforehand, when asked, or beforehand with TLS from the first byte."""
    port = server.direct_tls_port if trust == "direct" else server.port
    policy = {"trust": "tls trust", "direct": "tls legacy", "always": ""}[trust]
    await terminal.until("Type '/help' to show complete help|offline")
    await terminal.type(f"/connect {address} server {ADDRESS} port {port} {policy}")
    await terminal.until("Enter password")
    await terminal.type(PASSWORD)
    if trust != "trust":
        await terminal.until("TLS certificate verification failed: self-signed certificate")
        await terminal.type("/tls always")
    await terminal.until(rf"{address} logged in successfully, online \(priority 0\)")
    await terminal.until(r"\[TLS\] \[online\]")
    for setting in ("/receipts request on", "/receipts send on"):
        await terminal.type(setting)
    await terminal.until("Send delivery receipts enabled")


async def befriend(romeo: Terminal, juliet: Terminal) -> None:
    await romeo.type(f"/roster add {JULIET} Juliet")
    await romeo.until(rf"Roster item added: {JULIET} \(Juliet\)")
    await romeo.type(f"/sub request {JULIET}")
    await juliet.until(f"Received authorization request from {ROMEO}")
    await juliet.type(f"/sub allow {ROMEO}")
    await romeo.until(f"Subscription received from {JULIET}")
    await romeo.until(r"\+\+ Juliet \(balcony\) is online")
    await juliet.type(f"/sub request {ROMEO}")
    await romeo.until(f"Received authorization request from {JULIET}")
    await romeo.type(f"/sub allow {JULIET}")
    await juliet.until(f"Subscription received from {ROMEO}")
    await juliet.until(rf"\+\+ {ROMEO} \(orchard\) is online")


async def test_two_people_with_profanity_add_each_other_and_talk(
    server: RunningServer, open_terminal: OpenTerminal
) -> None:
    for account in (ROMEO, JULIET):
        await server.account(account, PASSWORD)
    romeo = await open_terminal("romeo", "profanity")
    juliet = await open_terminal("juliet", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "always")
    await log_in(juliet, server, f"{JULIET}/balcony", "trust")
    await befriend(romeo, juliet)

    # chat, both ways, with receipts: the XML console shows what came
    await romeo.type("/xmlconsole")
    await romeo.type(f"/msg {JULIET} But soft, what light")
    await juliet.until("<< chat message: romeo@localhost")
    await juliet.type(f"/win {ROMEO}")
    await juliet.until(r"romeo@localhost\S*: But soft, what light")
    await romeo.type("/win xmlconsole")
    sent = await romeo.until(rf'(?s)<message id="([^"]+)" to="{JULIET}[^>]*>\s*<body>\s*But soft, what\s+light')
    await romeo.until(rf'(?s)<received\s+id="{sent[1]}"\s+xmlns="urn:xmpp:receipts"/>')
    await juliet.type("Ay me")
    await romeo.type("/win Juliet")
    await romeo.until(r"Juliet\S*: Ay me")

    # presence
    await juliet.type('/status set away "on the balcony"')
    await romeo.until(r"Juliet \[away\]")
    await romeo.type("/win console")
    await romeo.until(r'Juliet \(balcony\) is away, "on the balcony"')

    # offline
    await juliet.type("/quit")
    await romeo.until(r"-- Juliet \(balcony\) is offline")
    await romeo.type(f"/msg {JULIET} It is the east")
    await romeo.until("me: It is the east")
    juliet = await open_terminal("juliet", "profanity")
    await log_in(juliet, server, f"{JULIET}/balcony", "trust")
    await juliet.type(f"/win {ROMEO}")
    await juliet.until(r"romeo@localhost\S*: It is the east")
    await romeo.type("/win console")
    await romeo.until(r"(?s)is offline.*\+\+ Juliet \(balcony\) is online")


async def test_profanity_logs_in_with_tls_from_the_first_byte(
    server: RunningServer, open_terminal: OpenTerminal
) -> None:
    await server.account(ROMEO, PASSWORD)
    romeo = await open_terminal("romeo", "profanity")
    await log_in(romeo, server, f"{ROMEO}/orchard", "direct")
    await romeo.type("/disco info localhost")
    await romeo.until("urn:xmpp:carbons:2")
    await romeo.type("/ping")
    await romeo.until("Ping response from")


async def test_a_wrong_password_lets_nobody_in(server: RunningServer, open_terminal: OpenTerminal) -> None:
    await server.account(ROMEO, "another")
    romeo = await open_terminal("romeo", "profanity")
    await romeo.until("Type '/help' to show complete help")
    await romeo.type(f"/connect {ROMEO} server {ADDRESS} port {server.port} tls trust")
    await romeo.until("Enter password")
    await romeo.type(PASSWORD)
    await romeo.until("Login failed")
