"""The frames of a WebSocket (RFC 6455 §5.2) on their way to aiohttp's reader, which tells of whole messages only, and
takes frames that are not masked too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_HEADER: Final = 2  # octets, without a length of its own and without the mask
_MASK: Final = 4
_MASKED: Final = 0x80
_WRONG: Final = b"\x83\x80"
"""A frame of a reserved kind: the reader closes with 1002 for it, as is due for one that is not masked."""
_LENGTHS: Final = {126: 2, 127: 8}  # octets of a length that does not stand in the header's second octet


class Reader(Protocol):
    """What RequestHandler gives the octets to."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...

    def feed_eof(self) -> None: ...


class Frames:
    """Tells `came` of the octets and of the frames that begin in them, and then gives them to the reader; from a frame
    on that is not masked, for which the server MUST close the connection (§5.1), it is given one that is wrong."""

    def __init__(self, reader: Reader, came: Callable[[int, int], None]) -> None:
        self._reader = reader
        self._came = came
        self._head = b""
        """The begin of a header."""
        self._refused = False
        self._rest = 0
        """Octets that are still to come of a frame."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._refused:
            self._came(len(data), 0)
            return False, b""
        size = len(data)
        data, frames = self._whole(self._head + data)
        self._came(size, frames)
        return self._reader.feed_data(data)

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def _whole(self, data: bytes) -> tuple[bytes, int]:
        """The octets but for a header that is not whole, which waits for its rest, and the number of headers."""
        size, position, frames = len(data), self._rest, 0
        while position + _HEADER <= size:
            if not data[position + 1] & _MASKED:
                self._refused = True
                return data[:position] + _WRONG, frames + 1
            length = data[position + 1] & ~_MASKED
            end = position + _HEADER
            if more := _LENGTHS.get(length, 0):
                end += more
                if end > size:
                    break
                length = int.from_bytes(data[position + _HEADER : end])
            position = end + _MASK + length
            frames += 1
        self._rest = max(0, position - size)
        self._head = data[position:]
        return data[:position], frames
