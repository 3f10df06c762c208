"""Whatever a client sends, an attempt answers with a step, and only the right password succeeds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xmpp_server.protocol.credentials import Credentials
from xmpp_server.stream.sasl import (
    Challenge,
    Exchange,
    Failed,
    NeedCredentials,
    NeedWork,
    decode,
    make_verifiers,
    offered,
)

BINDINGS = {"tls-exporter": b"E" * 32}
OFFERS = offered(encrypted=True, bindings=BINDINGS)
STORED = Credentials(make_verifiers("a password that is not guessed", 4096))

# Pieces of which real messages are made, and noise.
pieces = st.one_of(
    st.sampled_from(
        [
            b"n,,",
            b"y,,",
            b"p=tls-exporter,,",
            b"a=",
            b"n=juliet",
            b"r=abc",
            b",",
            b"m=x",
            b"c=biws",
            b"p=AAAA",
            b"=2C",
            b"\0",
        ]
    ),
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
messages = st.lists(pieces, max_size=12).map(b"".join)
firsts = st.one_of(messages, st.just(b"n,,n=juliet,r=abc"), st.just(b"p=tls-exporter,,n=juliet,r=abc"))


@given(mechanism=st.sampled_from(OFFERS), first=firsts, final=messages, exists=st.booleans())
def test_no_message_raises_and_none_succeeds_without_the_password(
    mechanism: str, first: bytes, final: bytes, exists: bool
) -> None:
    exchange = Exchange(mechanism, "a.example", offered=OFFERS, secret=b"s" * 32, bindings=BINDINGS, iterations=4096)
    step = exchange.start(first)
    if isinstance(step, NeedCredentials):
        step = exchange.give_credentials(STORED if exists else None)
    if isinstance(step, Challenge):
        step = exchange.respond(final)
    if isinstance(step, NeedWork):
        step = step.work()
    assert isinstance(step, Failed)


@given(st.text())
def test_no_text_makes_decoding_raise(text: str) -> None:
    assert isinstance(decode(text), bytes | Failed)
