"""The frames of a WebSocket, by RFC 6455 §5.2, as they are told of while they come."""

from __future__ import annotations

import pytest

from xmpp_server.net.frames import Frames

TEXT, CONTINUATION, PING, PONG = 0x81, 0x80, 0x89, 0x8A


def frame(first: int, size: int) -> bytes:
    """A masked frame with so many octets in it."""
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2) if size < 65_536 else b"\xff" + size.to_bytes(8)
    return bytes([first]) + length + b"mask" + b"\xff" * size


class Taken:
    """A reader that keeps what it is given, and what is told of it."""

    def __init__(self) -> None:
        self.data = b""
        self.octets = self.frames = 0
        self.ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        self.ended = True

    def came(self, octets: int, frames: int) -> None:
        self.octets += octets
        self.frames += frames


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 64, 1000, 1_000_000])
def test_every_frame_counts_however_it_is_cut(taken: Taken, piece: int) -> None:
    sizes = [0, 1, 125, 126, 300, 65_535, 65_536]
    data = b"".join(frame(first, size) for size in sizes for first in (TEXT, CONTINUATION))
    data += b"".join(frame(first, 0) for first in (PING, PONG) * 10)
    frames = Frames(taken, taken.came)
    for start in range(0, len(data), piece):
        assert frames.feed_data(data[start : start + piece]) == (False, b"")
    assert (taken.octets, taken.frames) == (len(data), 2 * len(sizes) + 20)
    assert taken.data == data
    frames.feed_eof()
    assert taken.ended


def test_a_frame_counts_as_soon_as_its_header_is_there_and_its_octets_go_on_at_once(taken: Taken) -> None:
    frames = Frames(taken, taken.came)
    begin = frame(TEXT, 70_000)[:11]
    frames.feed_data(begin)
    assert (taken.frames, taken.data) == (1, begin)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1_000_000])
@pytest.mark.parametrize(
    "unmasked", [b"\x81\x02ab", b"\x89\x00", b"\x88\x02\x03\xe8", b"\x81\x7e\x01\x00" + b"a" * 256]
)
def test_a_frame_that_is_not_masked_is_a_wrong_one_and_the_last(taken: Taken, unmasked: bytes, piece: int) -> None:
    """§5.1"""
    before = frame(TEXT, 300) + frame(PING, 0)
    data = before + unmasked + frame(TEXT, 1)
    frames = Frames(taken, taken.came)
    for start in range(0, len(data), piece):
        frames.feed_data(data[start : start + piece])
    assert taken.data == before + b"\x83\x80"
    assert (taken.octets, taken.frames) == (len(data), 3)
