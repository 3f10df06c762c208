"""The slow path: stanzas that are not in plain form are parsed to a tree and written anew; other top-level elements
become trees as well."""

from __future__ import annotations

from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from ..protocol import ns
from ..protocol.element import Element, TreeBuilder, write
from ..protocol.errors import StreamError
from ..protocol.stanza import Child
from .frames import Limits
from .header import Context, forbid, stream_error

# The namespaces that a stream may have as its own. What one peer may take for content, we take for content.
CONTENT: Final = frozenset((ns.CLIENT, ns.SERVER, ns.COMPONENT))
_CR: Final = {"\r": "&#13;"}


class _Builder(TreeBuilder):
    """Builds a tree of what stands below the stream's root, and holds the limits that the scanner cannot see: how many
    namespaces an element declares, and how long the tree is when it is written without prefixes."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._declared = 0
        self._room = limits.max_bytes
        self._namespaces = [""]

    def namespace(self, _prefix: str | None, _uri: str | None) -> None:
        self._declared += 1

    def start(self, name: str, attrs: dict[str, str]) -> None:
        if len(attrs) + self._declared > self._limits.max_attributes:
            raise StreamError("policy-violation", "too many attributes")
        self._declared = 0
        uri = name.rpartition("\n")[0]
        if uri != self._namespaces[-1]:
            self._room -= len(uri)
        for key in attrs:
            self._room -= len(key.rpartition("\n")[0])
        if self._room < 0:
            raise StreamError("policy-violation", "too many long namespaces")
        self._namespaces.append(uri)
        super().start(name, attrs)

    def end(self, name: str) -> None:
        self._namespaces.pop()
        super().end(name)


def tree(raw: bytes, context: Context, limits: Limits) -> Element:
    """The element that `raw` holds, which the scanner has accepted, below the header's declarations.

    Raises StreamError: an element with too many attributes and declarations, or too long without its prefixes.
    """
    builder = _Builder(limits)
    parser = expat.ParserCreate("UTF-8", "\n", {})
    parser.buffer_text = True
    forbid(parser)
    try:
        parser.Parse(context.header, False)
        parser.StartNamespaceDeclHandler = builder.namespace
        parser.StartElementHandler = builder.start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.text
        parser.Parse(raw, False)
    except expat.ExpatError as error:
        raise stream_error(error) from None
    return builder.root


def plain(stanza: Element, content: str) -> tuple[tuple[Child, ...], bytes]:
    """The payload of a parsed stanza in plain form, and its table of contents."""
    canonical(stanza, CONTENT | {content})
    children: list[Child] = []
    parts: list[bytes] = []
    position = 0
    for child in stanza.children:
        if isinstance(child, str):
            data = escape(child, _CR).encode()
        else:
            out: list[str] = []
            write(child, ns.CLIENT, out)
            data = "".join(out).encode()
            children.append(Child.of(child, position, position + len(data)))
        parts.append(data)
        position += len(data)
    return tuple(children), b"".join(parts)


def extra(attrs: dict[str, str]) -> dict[str, str] | None:
    """Further attributes of a stanza's start tag, as `Stanza.extra` has them."""
    written: dict[str, str] = {}
    foreign = 0
    for key, value in attrs.items():
        if key[0] == "{":
            uri, _, local = key[1:].rpartition("}")
            foreign += 1
            written[f"xmlns:a{foreign}"] = uri
            written[f"a{foreign}:{local}"] = value
        elif key not in ("to", "from", "type", "id", "xml:lang") or (key == "xml:lang" and not value):
            written[key] = value
    return written or None


def canonical(element: Element, content: frozenset[str]) -> None:
    """Have the children that are in a content namespace, and theirs, be in `jabber:client`; below an element of another
    namespace all stays as it is."""
    for child in element:
        if child.ns in content:
            child.ns = ns.CLIENT
            canonical(child, content)
