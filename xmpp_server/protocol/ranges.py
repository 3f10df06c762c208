"""Where a tag ends, in bytes that expat has accepted.

expat tells where a start tag begins and where an end tag begins; for an empty element its end event lies after the tag.
What is missing is found here. None of it is a parser: on bytes that are not well-formed the answers mean nothing.
"""

from __future__ import annotations

import re
from typing import Final

_START_TAG: Final = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")


def start_tag_end(data: bytes, start: int) -> int:
    """The position after the start tag (or empty-element tag) that begins at `start`."""
    end = data.find(b">", start)
    tag = data[start:end]
    # A `>` may stand in an attribute value, between quotes of one kind. With quotes of one kind only, an even number of
    # them means that this one stands outside; else the tag is taken apart.
    if 34 not in tag:
        if not tag.count(b"'") & 1:
            return end + 1
    elif 39 not in tag and not tag.count(b'"') & 1:
        return end + 1
    match = _START_TAG.match(data, start)
    if match is None:
        raise ValueError("no start tag")
    return match.end()


def element_end(data: bytes, start: int, index: int) -> int:
    """The position after the element that begins at `start` and whose end expat reported at `index`."""
    # `/>` before an end tag may also be text, or the end of an inner element
    if data[index - 2 : index] == b"/>" and start_tag_end(data, start) == index:
        return index
    return data.find(b">", index) + 1
