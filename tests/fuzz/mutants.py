"""Mutants: streams that are nearly right.

    python -m tests.fuzz.mutants --count 1000000

Each number makes one mutant, always the same, so that a failure can be repeated by `--first NUMBER --count 1`.
"""

from __future__ import annotations

import argparse
import random
import sys

from xmpp_server.protocol.stanza import Stanza

from .judge import judge

HEADERS = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    b"<s:stream xml:lang='de' xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'"
    b" xmlns:c='jabber:client'>",
    b"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback'"
    b"\nxmlns:stream='http://etherx.jabber.org/streams'>",
    b"<stream:stream xmlns='jabber:component:accept' to='c.example' xmlns:stream='http://etherx.jabber.org/streams'>",
    b"<stream xmlns='http://etherx.jabber.org/streams'>",
)
SEEDS = (
    b"<message to='a@b.example/r' id='1' type='chat'><body>Art thou?</body><x xmlns='urn:x' a='1'><y/></x></message>",
    b'<iq type="get" id="2"><query xmlns="jabber:iq:roster"/></iq>',
    b"<presence/>",
    b"<presence from='a@b.example' xml:lang='en'>"
    b"<c xmlns='urn:c' hash='sha-1' ver='&lt;&#39;'/><show>away</show></presence>",
    b"<message><c:body xmlns:c='jabber:client'>1 &gt; 0</c:body>"
    b"<p:x xmlns:p='urn:p' p:a='b'><p:y/><z/></p:x></message>",
    b"<message><f xmlns='urn:xmpp:forward:0'>"
    b"<message xmlns='jabber:client' to='x'><body>/></body></message></f></message>",
    b"<message xmlns:q='urn:q' q:a='1'> text <![CDATA[<&]]> <q:x b='>'/> more </message>",
    b"<message><a b='/>'/><a>/></a><a></a\n><a><b/></a></message>",
    b"<message><x xmlns='urn:x'><x><x><x><x><x/></x></x></x></x></x></message>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='5'/>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>",
    b"\n ",
    b"<message xmlns='jabber:client'><body xmlns='jabber:client'>\xc3\xa9\xf0\x9f\x98\x80</body></message>",
    b"</stream:stream>",
)
TOKENS = (
    b"<", b">", b"/>", b"</", b"/", b"'", b'"', b"=", b" ", b"\n", b"&", b"&amp;", b"&#116;", b"&#x10;", b"&a;",
    b"]]>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?p", b"?>", b"<!DOCTYPE a>", b"<!", b"xmlns='",
    b" xmlns:p='urn:p'", b"p:", b"stream:", b"c:", b"db:", b"xml:lang='x'", b" xmlns='jabber:client'",
    b" xmlns='jabber:server'", b" xmlns=''", b" xmlns='urn:y'", b" xmlns='jabber:clien&#116;'", b"<x/>", b"<x>",
    b"</x>", b"<message>", b"</message>", b"<body>", b"</body>", b"<iq to='@'/>", b" a='1'", b" a='>'", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"}",
    b" xmlns:xml='http://www.w3.org/XML/1998/namespace'", b" xmlns='a b'", b" xmlns:c='urn:c'", b"\xe2\x80\xa8",
    b":", b" xmlns:d='jabber:server'", b"<d:x xmlns:d='jabber:server'/>", b"<stream:x/>", b"\t", b"\r", b"]",
    b"-", b"xmlns",
)  # fmt: skip


def mutant(number: int) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in chunks."""
    dice = random.Random(number)
    header = dice.choice(HEADERS)
    body = bytearray(b"".join(dice.choices(SEEDS, k=dice.randint(1, 4))))
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        at = dice.randrange(len(body) + 1)
        kind = dice.randrange(6)
        if kind < 3:
            body[at:at] = dice.choice(TOKENS)
        elif kind == 3:
            del body[at : at + dice.choice((1, 1, 2, 5, 20))]
        elif kind == 4:
            length = dice.randint(1, 12)
            source = dice.randrange(len(body) + 1)
            body[at:at] = body[source : source + length]
        else:
            body[at : at + 1] = dice.randbytes(1)
    data = header + bytes(body)
    return data, cut(data, dice)


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """The bytes in chunks, of one byte each now and then."""
    if dice.random() < 0.05:
        return [data[i : i + 1] for i in range(len(data))]
    cuts = sorted(dice.randrange(len(data)) for _ in range(dice.randint(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def run(first: int, count: int) -> int:
    """Judge mutants; the answer is how many stanzas were forwarded."""
    forwarded = 0
    for number in range(first, first + count):
        data, chunks = mutant(number)
        try:
            events = judge(data, chunks)
        except Exception as error:
            error.add_note(f"mutant {number}: {data!r}")
            raise
        forwarded += sum(isinstance(event, Stanza) for event in events)
    return forwarded


def main() -> None:
    """Judge as many mutants as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1_000_000)
    arguments = parser.parse_args()
    forwarded = run(arguments.first, arguments.count)
    sys.stdout.write(f"{arguments.count} mutants, {forwarded} stanzas forwarded, all accepted\n")


if __name__ == "__main__":
    main()
