"""What a client says to the proxy before bytes flow: SOCKS5 (RFC 1928) as XEP-0065 uses it; sans-IO."""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_CONNECT: Final = 1
_DOMAIN: Final = 3
_ADDRESS: Final = re.compile(rb"[0-9a-f]{40}")

GRANTED: Final = 0
NOT_ALLOWED: Final = 2
UNKNOWN_COMMAND: Final = 7
UNKNOWN_ADDRESS_TYPE: Final = 8


class Refused(Exception):  # noqa: N818
    """The client is told `answer`, and its connection ends."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__(answer)
        self.answer = answer


class Greeting:
    """One client's way to its address, the hash of the stream that it belongs to (XEP-0065 §5.3.2).

    `receive` takes bytes as they come, and returns what is to be answered; then `address` may be there, which is to be
    answered by `granted`. Of what follows the request nothing is kept (§10.1).
    """

    def __init__(self) -> None:
        self.address = ""
        self._data = b""
        self._greeted = False
        self._request = b""

    def receive(self, data: bytes) -> bytes:
        """Raises Refused."""
        self._data += data
        if not self._greeted:
            if len(self._data) < 2:
                return b""
            if self._data[0] != _VERSION:
                raise Refused
            end = 2 + self._data[1]
            if len(self._data) < end:
                return b""
            methods, self._data = self._data[2:end], self._data[end:]
            if _NO_AUTHENTICATION not in methods:
                raise Refused(b"\x05\xff")
            self._greeted = True
            return b"\x05\x00" + self.receive(b"")
        if len(self._data) < 5:
            return b""
        version, command, _, kind, length = self._data[:5]
        end = 5 + length + 2
        if version != _VERSION:
            raise Refused
        if command != _CONNECT:
            raise Refused(self._answer(UNKNOWN_COMMAND))
        if kind != _DOMAIN:
            raise Refused(self._answer(UNKNOWN_ADDRESS_TYPE))
        if len(self._data) < end:
            return b""
        self._request = self._data[3:end]
        address, port = self._request[2:-2], self._request[-2:]
        self._data = b""
        if _ADDRESS.fullmatch(address.lower()) is None or port != b"\0\0":
            raise Refused(self._answer(NOT_ALLOWED))
        self.address = address.decode().lower()
        return b""

    def granted(self) -> bytes:
        """The answer: the address and the port are those of the request (§6.3.2)."""
        return self._answer(GRANTED)

    def refused(self) -> bytes:
        """The answer where this address cannot be had."""
        return self._answer(NOT_ALLOWED)

    def _answer(self, reply: int) -> bytes:
        return bytes((_VERSION, reply, 0)) + (self._request or b"\x01\0\0\0\0\0\0")
