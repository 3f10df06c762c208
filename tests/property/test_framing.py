"""However a stream is cut, its events are the same, and what is forwarded is accepted by any receiver."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.judge import judge
from tests.fuzz.mutants import HEADERS, SEEDS, TOKENS, cut, run
from xmpp_server.stream.framing import StreamClosed, StreamOpened

pieces = st.one_of(st.sampled_from(SEEDS), st.sampled_from(TOKENS), st.binary(max_size=5))
streams = st.builds(
    lambda header, body: header + b"".join(body),
    st.sampled_from(HEADERS),
    st.lists(pieces, max_size=8),
)


@given(streams, st.lists(st.integers(0, 2000), max_size=8))
def test_any_chunking_gives_the_same_events(data, cuts):
    cuts = sorted(at for at in cuts if at < len(data))
    judge(data, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])


@given(st.permutations(SEEDS[:-1]), st.randoms(use_true_random=False))
def test_streams_that_are_right_are_read_to_their_end(stanzas, dice):
    data = HEADERS[0] + b"".join(stanzas) + SEEDS[-1]
    events = judge(data, cut(data, dice))
    assert isinstance(events[0], StreamOpened)
    assert isinstance(events[-1], StreamClosed)
    assert len(events) == len(SEEDS)  # one more for the header, and none for white space


def test_twenty_thousand_mutants_are_read_as_expat_reads_them_and_accepted_where_they_go():
    assert run(first=0, count=20_000) > 5_000
