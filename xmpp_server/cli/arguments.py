"""Types of arguments: argparse prints the text of the errors."""

from __future__ import annotations

from argparse import ArgumentTypeError
from ipaddress import ip_address
from typing import Final

_DIGITS: Final = 5
_NAME: Final = 32


def port(text: str) -> int:
    """A TCP port."""
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65535:
        raise ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def endpoint(text: str) -> tuple[str, int]:
    """A host and a TCP port, such as `127.0.0.1:5347` or `[::1]:5347`."""
    host, separator, number = text.rpartition(":")
    if not separator or not host:
        raise ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return host.removeprefix("[").removesuffix("]"), port(number)


def addresses(text: str) -> tuple[str, ...]:
    """IP addresses, separated by commas."""
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        try:
            ip_address(part)
        except ValueError:
            raise ArgumentTypeError(f"expected IP addresses such as 127.0.0.1,::1, got {part!r}") from None
    return parts


def days(text: str) -> int | None:
    """A number of days; None for `default`."""
    if text == "default":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise ArgumentTypeError(f"expected a number of days or default, got {text!r}")
    return int(text)


def kind(text: str) -> str:
    """The name of a kind of accounts; empty for `none`."""
    if not (text.isascii() and text.replace("-", "").replace("_", "").isalnum()) or len(text) > _NAME:
        raise ArgumentTypeError(f"expected letters, digits, - and _, got {text!r}")
    return "" if text == "none" else text


def domain(text: str) -> str:
    """A domain."""
    from xmpp_server.protocol.jid import JID, InvalidJID

    try:
        jid = JID.parse(text)
    except InvalidJID:
        jid = None
    if jid is None or jid.localpart or jid.resource:
        raise ArgumentTypeError(f"expected a domain such as chat.example, got {text!r}")
    return jid.domain


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 100_000:
        raise ArgumentTypeError(f"expected a number from 1 to 99999, got {text!r}")
    return int(text)
