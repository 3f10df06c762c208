"""The stream header: from the bytes before the first stanza to what they declare (RFC 6120 §4.7, §4.8, §11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from ..protocol import ns
from ..protocol.errors import StreamError
from ..protocol.ranges import start_tag_end
from .frames import Limits, StreamOpened

WHITE: Final = b" \t\r\n"
MAX_URI: Final = 256  # characters of a namespace name; the longest in use have 80
_LANG: Final = f"{ns.XML}\nlang"
_STANZAS: Final = ("message", "presence", "iq")
_UNDEFINED_ENTITY: Final = 11  # XML_ERROR_UNDEFINED_ENTITY
_NAME: Final = re.compile(rb"<([^\s/>]+)")
# A namespace name that is too long, as it is written. expat copies it for each prefixed attribute of an element.
_LONG_URI: Final = re.compile(
    rb"""xmlns(?::[^\s=]*)?\s*=\s*(?:'[^'<]{%d}|"[^"<]{%d})""" % (MAX_URI + 1, MAX_URI + 1),
)


class Context:
    """What a stream header declares, shared by all streams whose header declares the same.

    `header` is a header with the same declarations, `prefixes` the declared prefixes and their namespaces, `content`
    the content namespace, `foreign` whether it is another than `jabber:client`; `stanzas` maps the names of its
    stanzas, as expat gives them, to their local names.
    """

    __slots__ = ("content", "foreign", "header", "prefixes", "stanzas")

    def __init__(self, root: str, default: str, content: str, prefixes: tuple[tuple[str, str], ...]) -> None:
        declared = [f" xmlns='{_escape(default)}'"] if default else []
        declared += [f" xmlns:{prefix}='{_escape(uri)}'" for prefix, uri in prefixes]
        self.header = f"<{root}{''.join(declared)}>".encode()
        self.prefixes: Mapping[str, str] = dict(prefixes)
        self.content = content
        self.foreign = content != ns.CLIENT
        self.stanzas = {f"{content}\n{name}": name for name in _STANZAS}


context = lru_cache(64)(Context)


class _Complete(Exception):  # noqa: N818
    """The header's start tag has been read."""


def _escape(uri: str) -> str:
    return escape(uri, {"'": "&apos;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def restricted(*_: object) -> None:
    """Handler of what RFC 6120 §11.1 forbids: comments, processing instructions, DTDs and entities."""
    raise StreamError("restricted-xml")


def forbid(parser: expat.XMLParserType) -> None:
    """Have the parser refuse what RFC 6120 §11.1 forbids."""
    parser.CommentHandler = restricted
    parser.ProcessingInstructionHandler = restricted
    parser.StartDoctypeDeclHandler = restricted
    parser.EntityDeclHandler = restricted
    if hasattr(parser, "SetReparseDeferralEnabled"):  # expat 2.6: we gather bytes before parsing ourselves
        parser.SetReparseDeferralEnabled(False)


def stream_error(error: expat.ExpatError) -> StreamError:
    """What the peer is told for an error of expat."""
    if error.code == _UNDEFINED_ENTITY:  # RFC 6120 §11.1: no entities but the five predefined
        return StreamError("restricted-xml")
    return StreamError("not-well-formed")


def check_uris(data: bytes | bytearray) -> None:
    """Raise StreamError if a namespace name is too long."""
    if _LONG_URI.search(data):
        raise StreamError("policy-violation", "namespace name too long")


def check_start(data: bytes) -> None:
    """Raise StreamError if a document that begins with these bytes, one at least, is no UTF-8 XML.

    expat recognises UTF-16 even where UTF-8 was demanded. A byte order mark is, by RFC 6120 §11.6, a character like
    any other, and before the first tag none may stand.
    """
    if data[0] in b"\xfe\xff\x00" or data[:2] == b"<\x00":
        raise StreamError("unsupported-encoding")
    if data[0] != 60:
        raise StreamError("not-well-formed")


class _Header:
    """Handlers of a parser that reads a header and stops after its start tag."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self.parser = parser
        self.name = ""
        self.attrs: list[str] = []
        self.position = 0
        self.default = ""
        self.prefixes: dict[str, str] = {}

    def xml_declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0":
            raise StreamError("not-well-formed", "XML 1.0 expected")
        if encoding is not None and encoding.lower() != "utf-8":  # RFC 6120 §11.6
            raise StreamError("unsupported-encoding")

    def namespace(self, prefix: str | None, uri: str | None) -> None:
        if prefix is None:
            self.default = uri or ""
        elif prefix != "xml":
            self.prefixes[prefix] = uri or ""

    def start(self, name: str, attrs: list[str]) -> None:
        self.name = name
        self.attrs = attrs
        self.position = self.parser.CurrentByteIndex
        raise _Complete


_CACHED: Final = 512  # bytes
Header = tuple[StreamOpened, Context, int, bool]


def read_header(data: bytes, limits: Limits, xmlns: str) -> Header | None:
    """Read a header from the first bytes of a document, which begin with `<`; `xmlns` is the content namespace where
    the header has none.

    The answer is the event, the declarations, the position after the header, and whether it is an empty element; None
    if the header is not complete. Raises StreamError.

    A client sends the same header up to three times while it logs in, and so do others: short ones are remembered.
    """
    return _cached(data, limits, xmlns) if len(data) <= _CACHED else _read_header(data, limits, xmlns)


def _read_header(data: bytes, limits: Limits, xmlns: str) -> Header | None:
    found = read_start(data, limits)
    if found is None:
        return None
    if found.uri != ns.STREAMS:
        raise StreamError("invalid-namespace")  # RFC 6120 §4.9.3.10
    if found.local != "stream":
        raise StreamError("bad-format")
    content = found.default if found.default not in ("", ns.STREAMS) else xmlns
    declared = found.context(content)
    attrs = found.attrs
    opened = StreamOpened(
        attrs.get("to", ""),
        attrs.get("from", ""),
        attrs.get("version", ""),
        attrs.get(_LANG, ""),
        attrs.get("id", ""),
        content,
        declared.prefixes,
    )
    return opened, declared, found.end, found.empty


@dataclass(frozen=True, slots=True)
class Start:
    """The start tag of a document's root: `name` as it is written, attributes by their names as expat gives them, the
    declared default namespace and prefixes, where it ends, and whether it is an empty element."""

    name: str
    uri: str
    local: str
    attrs: dict[str, str]
    default: str
    prefixes: dict[str, str]
    end: int
    empty: bool

    def context(self, content: str) -> Context:
        """What holds below it, where `content` is the content namespace."""
        return context(self.name, self.default, content, tuple(sorted(self.prefixes.items())))


def read_start(data: bytes, limits: Limits) -> Start | None:
    """Read the root's start tag from the first bytes of a document, which begin with `<`; None if it is not complete.
    Raises StreamError."""
    check_uris(data)
    parser = expat.ParserCreate("UTF-8", "\n", {})
    parser.ordered_attributes = True
    header = _Header(parser)
    forbid(parser)
    parser.XmlDeclHandler = header.xml_declaration
    parser.StartNamespaceDeclHandler = header.namespace
    parser.StartElementHandler = header.start
    try:
        parser.Parse(data, False)
    except _Complete:
        start = header.position
    except expat.ExpatError as error:
        raise stream_error(error) from None
    else:
        return None
    end = start_tag_end(data, start)
    if end > limits.max_bytes:
        raise StreamError("policy-violation", "stream header too big")
    count = len(header.attrs) // 2 + len(header.prefixes) + (header.default != "")
    if count > limits.max_attributes:
        raise StreamError("policy-violation", "too many attributes")
    uri, _, local = header.name.rpartition("\n")
    root = _NAME.match(data, start)
    assert root is not None
    attrs = dict(zip(header.attrs[::2], header.attrs[1::2], strict=True))
    empty = data[end - 2 : end] == b"/>"
    return Start(root[1].decode(), uri, local, attrs, header.default, header.prefixes, end, empty)


_cached = lru_cache(64)(_read_header)
