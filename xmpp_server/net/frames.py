"""The frames of a WebSocket (RFC 6455 §5.2) on their way to aiohttp's reader, which tells of whole messages only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_HEADER: Final = 2  # octets, without a length of its own and without the mask
_MASK: Final = 4
_LENGTHS: Final = {126: 2, 127: 8}  # octets of a length that does not stand in the header's second octet


class Reader(Protocol):
    """What RequestHandler gives the octets to."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...

    def feed_eof(self) -> None: ...


class Frames:
    """Tells `came` of the octets and of the frames that begin in them, and then gives them to the reader."""

    def __init__(self, reader: Reader, came: Callable[[int, int], None]) -> None:
        self._reader = reader
        self._came = came
        self._head = b""
        """The begin of a header."""
        self._rest = 0
        """Octets that are still to come of a frame."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
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
            flag = data[position + 1]
            length = flag & 0x7F
            end = position + _HEADER
            if more := _LENGTHS.get(length, 0):
                end += more
                if end > size:
                    break
                length = int.from_bytes(data[position + _HEADER : end])
            position = end + (_MASK if flag & 0x80 else 0) + length
            frames += 1
        self._rest = max(0, position - size)
        self._head = data[position:]
        return data[:position], frames
