"""SOCKS5 as XEP-0065 uses it: RFC 1928 §3 to §6."""

from __future__ import annotations

import pytest

from components.proxy65.socks5 import Greeting, Refused

HASH = b"ab" * 20
REQUEST = b"\x05\x01\x00\x03\x28" + HASH + b"\0\0"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_an_address_is_named_in_pieces_of_any_size(size: int) -> None:
    greeting = Greeting()
    data = b"\x05\x02\x01\x00" + REQUEST
    answers = b"".join(greeting.receive(data[at : at + size]) for at in range(0, len(data), size))
    assert answers == b"\x05\x00"
    assert greeting.address == HASH.decode()
    assert greeting.granted() == b"\x05\x00\x00\x03\x28" + HASH + b"\0\0"


def test_what_follows_the_request_is_not_kept() -> None:
    greeting = Greeting()
    greeting.receive(b"\x05\x01\x00" + REQUEST + b"early bytes")
    assert greeting.granted().endswith(HASH + b"\0\0")


def refused(*pieces: bytes) -> bytes:
    greeting = Greeting()
    for piece in pieces[:-1]:
        greeting.receive(piece)
    with pytest.raises(Refused) as raised:
        greeting.receive(pieces[-1])
    assert greeting.address == ""
    return raised.value.answer


@pytest.mark.parametrize("first", [b"\x04\x01\x00\x50", b"GET / HTTP/1.1"])
def test_other_protocols_get_no_answer(first: bytes) -> None:
    assert refused(first) == b""


def test_without_a_method_of_ours_nothing_goes() -> None:
    assert refused(b"\x05\x01\x02") == b"\x05\xff"


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"\x05\x02\x00\x03\x28" + HASH + b"\0\0", 7),
        (b"\x05\x03\x00\x03\x28" + HASH + b"\0\0", 7),
        (b"\x05\x01\x00\x01\x7f\0\0\x01\0\x50", 8),
        (b"\x05\x01\x00\x03\x28" + HASH + b"\0\x50", 2),
        (b"\x05\x01\x00\x03\x0bexample.org\0\0", 2),
        (b"\x05\x01\x00\x03\x28" + b"g" * 40 + b"\0\0", 2),
        (b"\x05\x01\x00\x03\0\0\0", 2),
    ],
)
def test_it_leads_nowhere_but_to_streams(request_: bytes, reply: int) -> None:
    """No open proxy: commands, addresses and ports of others are refused."""
    answer = refused(b"\x05\x01\x00", request_)
    assert answer[:3] == bytes((5, reply, 0))
