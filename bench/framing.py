"""How long framing takes: µs of CPU for each stanza, from bytes to an envelope and from an envelope to bytes.

    python -m bench.framing

The first column is a loop that only calls expat without a handler: the machine's speed, and what no framer in Python
can be faster than.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from xml.parsers import expat

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.framing import Framer, Limits

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
LIMITS = Limits(262144, 64, 64)
ROUNDS = 7
STANZAS = 6000
T = TypeVar("T")
_random = random.Random(1)


def _noise(size: int) -> str:
    return base64.b64encode(_random.randbytes(size)).decode()


def _start(number: int, bare: bool) -> str:
    attrs = [
        f"to='juliet{number % 50}@capulet.example{'' if bare else '/balcony'}'",
        f"id='5f3c1e2a-9d1b-4e0a-8f62-{number:012x}'",
        "type='chat'",
        "xml:lang='en'",
    ]
    _random.shuffle(attrs)
    return f"<message {' '.join(attrs[: 3 + number % 2])}>"


def chat(number: int, size: int) -> bytes:
    """A chat message as clients send it."""
    text = ("Wherefore art thou, Romeo? Deny thy father! " * (size // 40 + 1))[:size]
    return (
        f"{_start(number, number % 2 == 0)}<body>{text}</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
        f"<request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='{number:032x}'/></message>"
    ).encode()


def omemo(number: int) -> bytes:
    """A message of 2 KB, encrypted for six devices (XEP-0384 0.3)."""
    keys = "".join(f"<key rid='{_random.getrandbits(31)}'>{_noise(130)}</key>" for _ in range(6))
    return (
        f"{_start(number, number % 2 == 0)}<encrypted xmlns='eu.siacs.conversations.axolotl'>"
        f"<header sid='1234567'>{keys}"
        f"<iv>{_noise(12)}</iv></header><payload>{_noise(150)}</payload></encrypted><store xmlns='urn:xmpp:hints'/>"
        "<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl' name='OMEMO'/>"
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{number:032x}'/></message>"
    ).encode()


def measure(what: Callable[[list[T]], None], items: list[T]) -> float:
    """The best of some rounds, in µs for each stanza."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        what(items)
        best = min(best, time.process_time() - start)
    return best / STANZAS * 1e6


def floor(chunks: list[bytes]) -> None:
    """What expat itself takes."""
    parser = expat.ParserCreate("UTF-8", "\n", {})
    parser.Parse(HEADER)
    for chunk in chunks:
        parser.Parse(chunk)


def frame(chunks: list[bytes]) -> None:
    """What the framer takes."""
    for _ in framed(chunks):
        pass


def framed(chunks: list[bytes]) -> Iterator[Stanza]:
    """The stanzas in these chunks."""
    framer = Framer(LIMITS)
    framer.feed(HEADER)
    framer.next_event()
    for chunk in chunks:
        framer.feed(chunk)
        while (event := framer.next_event()) is not None:
            assert isinstance(event, Stanza)
            yield event


def write(stanzas: list[Stanza]) -> None:
    """What it takes to write them."""
    for stanza in stanzas:
        stanza.to_bytes()


def main() -> None:
    """Print the table."""
    romeo = JID.parse("romeo@montague.example/orchard")
    print(f"{'':14}{'bytes':>7}{'expat':>8}{'one':>8}{'twenty':>8}{'write':>8}  (a chunk)")
    kinds: dict[str, Callable[[int], bytes]] = {
        "chat": lambda n: chat(n, 30),
        "OMEMO": omemo,
        "long": lambda n: chat(n, 7700),
    }
    for kind, make in kinds.items():
        stanzas = [make(number) for number in range(STANZAS)]
        twenty = [b"".join(stanzas[i : i + 20]) for i in range(0, STANZAS, 20)]
        stamped = [stanza.stamped(sender=romeo) for stanza in framed(stanzas)]
        assert len(stamped) == STANZAS
        figures = (
            measure(floor, stanzas),
            measure(frame, stanzas),
            measure(frame, twenty),
            measure(write, stamped),
        )
        size = sum(map(len, stanzas)) // STANZAS
        print(f"{kind:14}{size:7}" + "".join(f"{figure:8.2f}" for figure in figures))


if __name__ == "__main__":
    main()
