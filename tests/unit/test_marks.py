from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xmpp_server.util.marks import Marks

numbers = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(numbers), numbers)
def test_they_are_a_set(marks: list[int], other: int) -> None:
    kept = Marks(marks)
    assert all(mark in kept for mark in marks)
    assert (other in kept) == (other in marks)
    assert bool(kept) == bool(marks)
