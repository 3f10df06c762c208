"""Whether a framer did right by a stream, judged by other readings of the same bytes.

- However the bytes are cut into chunks, the events are the same.
- Each event is what expat alone reads in its place, with all that a stream may not have refused.
- What a stanza is written to is accepted, as one stanza of the same content, in streams of all kinds, by receivers
  whatever character they join namespaces and names with.
- The bytes of each child are that child.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn
from xml.parsers import expat

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StreamError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.stream.framing import Event, Framer, Limits, Malformed, StreamClosed, StreamOpened

LIMITS = Limits(max_bytes=8192, max_depth=8, max_attributes=8)
CONTENT = (ns.CLIENT, ns.SERVER, "jabber:component:accept")
_XML = f"{ns.XML}\n"
_RECEIVERS = [(uri.encode(), separator) for uri, separator in zip(CONTENT, "} |", strict=True)]

# (name, attributes, children); names as expat gives them, with a line feed
Tree = tuple[str, dict[str, str], list[Any]]


class Forbidden(Exception):  # noqa: N818
    """Something that no stream may have."""


def frame(chunks: Iterable[bytes], limits: Limits = LIMITS) -> tuple[list[Event], str]:
    """The events, and the condition of the error that they end in, if any."""
    framer = Framer(limits)
    events: list[Event] = []
    try:
        for chunk in chunks:
            framer.feed(chunk)
            while (event := framer.next_event()) is not None:
                events.append(event)
    except StreamError as error:
        return events, error.condition
    return events, ""


def _forbid(*_: object) -> NoReturn:
    raise Forbidden


class Reading(NamedTuple):
    """The elements below the root of a document, as expat reads them, whether they end in an error, and how many
    elements were open at most, below the root."""

    trees: list[Tree]
    failed: bool
    depth: int


def read(data: bytes, separator: str = "\n") -> Reading:
    """Read a document that need not be complete."""
    found: list[Tree] = []
    stack: list[Tree] = []
    deepest = 0
    failed = False
    parser = expat.ParserCreate("UTF-8", separator)
    parser.CommentHandler = parser.ProcessingInstructionHandler = parser.StartDoctypeDeclHandler = _forbid
    parser.buffer_text = True

    def start(name: str, attrs: dict[str, str]) -> None:
        nonlocal deepest
        deepest = max(deepest, len(stack))
        stack.append((name.replace(separator, "\n"), {k.replace(separator, "\n"): v for k, v in attrs.items()}, []))

    def end(_name: str) -> None:
        tree = stack.pop()
        if len(stack) > 1:
            stack[-1][2].append(tree)
        elif stack:
            found.append(tree)

    def text(value: str) -> None:
        if len(stack) > 1:
            stack[-1][2].append(value)
        elif value.strip(" \t\r\n"):
            raise Forbidden

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, False)
    except (expat.ExpatError, Forbidden):
        failed = True
    return Reading(found, failed, deepest)


def canonical(tree: Tree) -> Tree:
    """The tree with `jabber:client` for any content namespace, from its root down to elements of another."""
    name, attrs, children = tree
    uri, _, local = name.rpartition("\n")
    if uri not in CONTENT:
        return tree
    below = [child if isinstance(child, str) else canonical(child) for child in children]
    return f"{ns.CLIENT}\n{local}", attrs, below


def of_element(element: Element) -> Tree:
    """The tree that an element is."""
    attrs = {}
    for key, value in element.attrs.items():
        if key.startswith("xml:"):
            key = _XML + key[4:]
        attrs["\n".join(key[1:].rsplit("}", 1)) if key[0] == "{" else key] = value
    children: list[Any] = []
    for child in element.children:
        if isinstance(child, Element):
            children.append(of_element(child))
        elif children and isinstance(children[-1], str):
            children[-1] += child
        elif child:
            children.append(child)
    return f"{element.ns}\n{element.name}" if element.ns else element.name, attrs, children


def shown(event: Event) -> object:
    """Something that is equal for equal events."""
    if isinstance(event, Stanza):
        children = [(child.key, child.attrs, child.start, child.end) for child in event.children]
        return event.to_bytes(), children, event.payload
    if isinstance(event, Malformed):
        return event.stanza.to_bytes(), event.error.condition, event.attribute
    return of_element(event) if isinstance(event, Element) else event


def judge_stanza(stanza: Stanza, original: Tree, lang: str) -> None:
    """Assert that a stanza is what the sender wrote, and that any receiver takes it for that."""
    wanted = canonical(original)
    for content, separator in _RECEIVERS:
        header = b"<stream:stream xmlns='%s' xmlns:stream='http://etherx.jabber.org/streams'>" % content
        reading = read(header + stanza.to_bytes() + b"<x xmlns='urn:end'/>", separator)
        assert not reading.failed, (separator, stanza.to_bytes())
        assert reading.depth <= LIMITS.max_depth
        received, end = reading.trees
        assert received[0] == f"{content.decode()}\n{stanza.name}"
        assert end[0] == "urn:end\nx"
        name, attrs, children = canonical(received)
        assert (name, children) == (wanted[0], wanted[2]), stanza.to_bytes()
        for key in attrs.keys() | wanted[1].keys():
            if key not in ("to", "from"):  # these are prepared
                default = lang if key == f"{_XML}lang" else ""
                assert attrs.get(key, default) == wanted[1].get(key, default), key
    (alone,) = read(b"<w>" + stanza.to_bytes(ns.CLIENT)).trees
    assert canonical(alone)[2] == wanted[2]
    judge_ranges(stanza, wanted)


def judge_ranges(stanza: Stanza, wanted: Tree) -> None:
    """Assert that the table of contents is right."""
    trees = [child for child in wanted[2] if not isinstance(child, str)]
    assert [child.key for child in stanza.children] == [tree[0] for tree in trees] == list(stanza.keys)
    position = 0
    for child, tree in zip(stanza.children, trees, strict=True):
        assert position <= child.start < child.end <= len(stanza.payload)
        position = child.end
        data = stanza.payload[child.start : child.end]
        assert data.startswith(b"<")
        assert data.endswith(b">")
        assert read(b"<w xmlns='jabber:client'>" + data).trees == [tree]
        assert dict(zip(child.attrs[::2], child.attrs[1::2], strict=True)) == tree[1]
        assert canonical(of_element(stanza.parse(child))) == tree


def judge(data: bytes, chunks: list[bytes]) -> list[Event]:
    """Assert all that must hold for a stream of these bytes, and for the same in chunks; returns its events."""
    events, condition = frame([data])
    other_events, other_condition = frame(chunks)
    assert [shown(event) for event in events] == [shown(event) for event in other_events]
    assert condition == other_condition or "policy-violation" in (condition, other_condition)
    if not events:
        return events
    opened = events[0]
    assert isinstance(opened, StreamOpened)
    reading = read(data[: data.rfind(b">") + 1].lstrip(b" \t\r\n"))  # after it nothing is complete
    originals = iter(reading.trees)
    for event in events[1:]:
        if isinstance(event, StreamClosed):
            assert event is events[-1]
            return events
        original = next(originals)
        if isinstance(event, Element):
            assert of_element(event) == original
        elif isinstance(event, Stanza):
            assert original[0] == f"{opened.xmlns}\n{event.name}"
            judge_stanza(event, original, opened.lang)
    if not condition:
        assert not reading.failed
        assert reading.depth <= LIMITS.max_depth
        assert next(originals, None) is None
    return events
