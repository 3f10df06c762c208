"""A parsed XML element, and our own serializer.

Only cold paths parse: requests to the server itself, and children that a module asks for. What is written uses no
prefix but `xml:` and, for the stream's own elements, `stream:`: real clients stumble over others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from xml.parsers import expat

from . import ns

_IN_ATTRIBUTE: Final = str.maketrans(
    {"'": "&apos;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}
)
_IN_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def attribute(value: str) -> str:
    """The value as it is written between single quotes."""
    # translate() costs ten times what these look-ups cost
    if "&" in value or "<" in value or "'" in value or ">" in value or "\n" in value or "\t" in value or "\r" in value:
        return value.translate(_IN_ATTRIBUTE)
    return value


def _text(value: str) -> str:
    return value.translate(_IN_TEXT) if "&" in value or "<" in value or ">" in value or "\r" in value else value


class Element:
    """`ns`, `name`, `attrs` (attributes without a namespace by their name, `xml:lang` as that, others as `{ns}name`)
    and `children`: elements and text in their order."""

    __slots__ = ("attrs", "children", "name", "ns")

    def __init__(
        self,
        ns: str,
        name: str,
        attrs: dict[str, str] | None = None,
        children: Iterable[Element | str] = (),
    ) -> None:
        self.ns = ns
        self.name = name
        self.attrs = attrs or {}
        self.children: list[Element | str] = list(children)

    def add(self, *children: Element | str) -> Element:
        """Append the children; returns the element itself."""
        self.children.extend(children)
        return self

    def __iter__(self) -> Iterator[Element]:
        """The child elements."""
        return (child for child in self.children if isinstance(child, Element))

    def child(self, ns: str, name: str) -> Element | None:
        """The first child of this name, or None."""
        for child in self:
            if child.name == name and child.ns == ns:
                return child
        return None

    def child_text(self, ns: str, name: str) -> str:
        """The text of the first child of this name; empty if there is none."""
        child = self.child(ns, name)
        return child.text if child is not None else ""

    @property
    def text(self) -> str:
        """The element's own text, without that of its children."""
        return "".join(child for child in self.children if isinstance(child, str))

    def get(self, name: str, default: str = "") -> str:
        """The attribute's value, or `default`."""
        return self.attrs.get(name, default)

    def to_bytes(self, context: str = ns.CLIENT) -> bytes:
        """UTF-8 XML as it stands where `context` is the default namespace. In a stream of any kind content is written
        as if the stream's own namespace were `jabber:client`, and leaves `xmlns` out. An element of the streams
        namespace is written with the prefix `stream`."""
        out: list[str] = []
        if self.ns == ns.STREAMS:
            _write(self, f"stream:{self.name}", context, out)
        else:
            write(self, context, out)
        return "".join(out).encode()

    def __repr__(self) -> str:
        return f"<Element {self.to_bytes('').decode()}>"


def write(element: Element, context: str, out: list[str]) -> None:
    """Append the element's XML as it stands where `context` is the default namespace, without prefixes of elements."""
    uri = element.ns
    if uri == context:
        _write(element, element.name, uri, out)
    else:
        _write(element, element.name, uri, out, f" xmlns='{attribute(uri)}'")


def _write(element: Element, name: str, inner: str, out: list[str], declaration: str = "") -> None:
    out.append(f"<{name}{declaration}")
    foreign = 0
    for key, value in element.attrs.items():
        if key[0] == "{":
            uri, _, key = key[1:].rpartition("}")
            foreign += 1
            out.append(f" xmlns:a{foreign}='{attribute(uri)}'")
            key = f"a{foreign}:{key}"
        out.append(f" {key}='{attribute(value)}'")
    if not element.children:
        out.append("/>")
        return
    out.append(">")
    for child in element.children:
        if isinstance(child, str):
            out.append(_text(child))
        else:
            write(child, inner, out)
    out.append(f"</{name}>")


def parse(data: bytes, context: str = ns.CLIENT) -> Element:
    """The element that `data` (UTF-8) holds, read where `context` is the default namespace.

    For bytes that the framer has accepted already, which are well-formed and within limits: nothing is checked again.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate("UTF-8", "\n")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    wrapper = f"<w xmlns='{attribute(context)}' xmlns:stream='{ns.STREAMS}'>".encode()
    parser.Parse(b"".join((wrapper, data, b"</w>")), True)
    root = builder.root
    for child in root:
        return child
    raise ValueError("no element")


class TreeBuilder:
    """Collects expat's events (namespaces split off by a line feed) into a tree below `root`."""

    def __init__(self) -> None:
        self.root = Element("", "")
        self._open = [self.root]

    @property
    def depth(self) -> int:
        """How many elements are open."""
        return len(self._open) - 1

    def start(self, name: str, attrs: dict[str, str]) -> None:
        uri, _, local = name.rpartition("\n")
        element = Element(uri, local, {_attribute(key): value for key, value in attrs.items()} if attrs else None)
        if len(self._open) == 1:
            self.root = element
        else:
            self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        if len(self._open) > 1:
            self._open[-1].children.append(data)


def _attribute(key: str) -> str:
    uri, separator, local = key.rpartition("\n")
    if not separator:
        return key
    return f"xml:{local}" if uri == ns.XML else f"{{{uri}}}{local}"
