"""A set of numbers of 64 bits that takes eight octets for each: for what is kept of every account or room in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable


class Marks:
    """The numbers (-2^63 to 2^63 - 1) that are given, as they are found by `in`."""

    __slots__ = ("_sorted",)

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self._sorted = array("q", sorted(marks))

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, mark: int) -> bool:
        marks = self._sorted
        place = bisect_left(marks, mark)
        return place < len(marks) and marks[place] == mark
