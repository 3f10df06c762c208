"""The fast path: an expat parser that is already inside a stream, and cuts what follows into top-level elements.

Between two stanzas all parsers that have read the same stream header are alike, so they live in a pool of the process
and a stream borrows one only while it has part of an element: an idle stream has none.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final
from xml.parsers import expat

from ..protocol import ns
from ..protocol.element import Element
from ..protocol.errors import StanzaError, StreamError
from ..protocol.jid import JID, InvalidJID
from ..protocol.ranges import start_tag_end
from ..protocol.stanza import Stanza
from .frames import Event, Limits, Malformed, StreamClosed
from .header import WHITE, Context, check_uris, forbid, stream_error
from .rewrite import extra, plain, tree

_LARGE_TAG: Final = 16384  # bytes; in less, expat's copies of a namespace for each attribute are no harm
_SMALL_TAG: Final = 512
_MORE_THAN_TEXT: Final = re.compile(rb"[<&\r]")
_MAX_READ: Final = 65536  # bytes after which a parser goes, for expat keeps every name that it has seen
_MAX_IDLE: Final = 8  # parsers for one header
_MAX_HEADERS: Final = 16
_MAX_TOC: Final = 4 * 4096  # four for each child; an empty one takes forty times the memory of its bytes
_RESCAN: Final = 64  # how often a byte may be looked at, on average
_RESCAN_FREE: Final = 65536
_CLIENT: Final = f"{ns.CLIENT}\n"
_LANG: Final = f"{ns.XML}\nlang"
# expat names a prefix after namespace and name; those that XML itself defines need none
_NAMES: Final = {f"{ns.XML}\n{name}\nxml": f"{ns.XML}\n{name}" for name in ("lang", "space", "base", "id")}
_ESCAPED_XMLNS: Final = re.compile(rb"""xmlns\s*=\s*(?:'[^'<]*?&|"[^"<]*?&)""")
_NO_URI: Final = re.compile(r"""[\x00-\x20"<>\\^`{|}]""")  # RFC 3986 §2; what expat takes for no part of a URI

_OWN: Final = re.compile(rb"jabber:(?:client|server|component:accept)")
_NO_LIMITS: Final = Limits(0, 0, 0)

_idle: dict[bytes, list[Scanner]] = {}


def borrow(context: Context) -> Scanner:
    """A scanner that has just read a header with these declarations."""
    idle = _idle.get(context.header)
    return idle.pop() if idle else Scanner(context)


def give_back(scanner: Scanner) -> None:
    """Take a scanner that is not busy: into the pool, if it is good for another stream."""
    if scanner.error is not None or scanner.closed or scanner.read > _MAX_READ:
        scanner.close()
        return
    header = scanner.context.header
    idle = _idle.get(header)
    if idle is None:
        if len(_idle) >= _MAX_HEADERS:
            for dropped in _idle.pop(next(iter(_idle))):
                dropped.close()
        idle = _idle[header] = []
    if len(idle) < _MAX_IDLE:
        idle.append(scanner)
    else:
        scanner.close()


class Scanner:
    """An expat parser below the stream's root, and what it has noted of the element that it is in.

    Positions are counted from the first byte that the parser was given; `_data` or `_raw` begins at `_base`. The
    handlers run for each element: no more than is needed stands in them.

    After `scan`, `events` holds what the bytes completed, `ends` where each ended in the bytes that `scan` returned,
    and `error` what comes after the events, if it is an error; then the scanner is of no further use, as after
    `closed`.
    """

    __slots__ = (
        "_attrs", "_base", "_data", "_depth", "_end", "_known", "_lang", "_limits", "_max_attrs", "_max_depth", "_name",
        "_names", "_parser", "_raw", "_rescanned", "_start", "_toc", "closed", "context", "ends", "error", "events",
        "read",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self.context = context
        self._names = dict(_NAMES)
        self._known = len(self._names)
        self._parser = parser = expat.ParserCreate("UTF-8", "\n", self._names)
        parser.namespace_prefixes = True
        parser.ordered_attributes = True
        parser.Parse(context.header, False)
        forbid(parser)
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        self.read = self._end = self._base = len(context.header)
        self.closed = False
        self.error: StreamError | None = None
        self.events: list[Event] = []
        self.ends: list[int] = []
        self._limits = _NO_LIMITS
        self._lang = ""
        self._depth = self._start = self._rescanned = self._max_depth = self._max_attrs = 0
        self._data = b""
        self._raw: bytearray | None = None
        self._name = ""
        self._attrs: list[str] = []
        self._toc: list[Any] = []

    def close(self) -> None:
        """End the parser's life: it and its handlers refer to each other."""
        self._parser.StartElementHandler = None
        self._parser.EndElementHandler = None

    @property
    def busy(self) -> bool:
        """Whether part of an element was read, and the rest is awaited."""
        return self._end != self.read and self.error is None

    @property
    def rest(self) -> bytes:
        """The bytes of the element that is not complete; empty if there is none."""
        return bytes(self._raw or b"")

    @property
    def size(self) -> int:
        """How many bytes of the element that is not complete were read."""
        return self.read - (self._start if self._depth else self._end)

    def scan(self, data: bytes, limits: Limits, lang: str) -> bytes:
        """Read the next bytes, which end with `>`; `lang` is the language of the stream.

        Returns the bytes that the events were made of: those that were left the last time, then these.
        """
        if limits is not self._limits:
            self._limits = limits
            self._max_depth = limits.max_depth
            self._max_attrs = limits.max_attributes * 2
        self._lang = lang
        self.events = []
        self.ends = []
        try:
            if self._raw:
                self._gather(self._raw, data)
            else:
                self._data = data
                self._base = self.read
                if len(data) > _LARGE_TAG:
                    check_uris(data)
            self.read += len(data)
            self._parser.Parse(data, False)
            if self._end != self.read:
                self._keep_rest()
        except (expat.ExpatError, StreamError) as error:
            self._fail(error)
        data = self._data
        self._data = b""
        return data

    def _fail(self, error: expat.ExpatError | StreamError) -> None:
        if self.closed:
            return
        if not self._depth:  # text before it was the first error, though nobody has looked yet
            data = self._data if self._raw is None else self._raw
            if _is_text(data[self._end - self._base :]):
                error = _text_between()
        self.error = error if isinstance(error, StreamError) else stream_error(error)

    def _gather(self, raw: bytearray, data: bytes) -> None:
        # A token that is not complete is read again from its start with all that follows, so the peer may not have
        # this done too often.
        token = self.read - self._parser.CurrentByteIndex
        raw += data
        self._rescanned += token
        if self._rescanned > _RESCAN * len(raw) + _RESCAN_FREE:
            raise StreamError("policy-violation", "too many pieces")
        if token + len(data) > _LARGE_TAG:
            check_uris(raw[-token - len(data) :])

    def _keep_rest(self) -> None:
        if self._raw is None:
            rest = self._data[self._end - self._base :]
            if not self._depth and _is_text(rest):
                raise _text_between()
            self._raw = bytearray(rest)
            self._base = self._end
        if self.size > self._limits.max_bytes:
            raise StreamError("policy-violation", "stanza too big")

    # -- handlers

    def _on_start(self, name: str, attrs: list[str]) -> None:
        depth = self._depth = self._depth + 1
        if depth > 2:
            if depth > self._max_depth:
                raise StreamError("policy-violation", "elements too deep")
        elif depth == 2:
            self._toc += (name, attrs, self._parser.CurrentByteIndex)
            if len(self._toc) > _MAX_TOC:
                raise StreamError("policy-violation", "too many children")
        else:
            self._name = name
            self._attrs = attrs
            index = self._start = self._parser.CurrentByteIndex
            if index != self._end:
                self._check_gap(index)
        if len(attrs) > self._max_attrs:
            raise StreamError("policy-violation", "too many attributes")

    def _on_end(self, _name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == 2:
            self._toc.append(self._parser.CurrentByteIndex)
        elif depth == 1:
            self._complete(self._parser.CurrentByteIndex)
        elif depth == 0:
            self._close()

    def _close(self) -> None:
        index = self._parser.CurrentByteIndex
        if index != self._end:
            self._check_gap(index)
        self._take_raw()
        self._end = self.read  # nothing after it counts
        self.closed = True
        self.events.append(StreamClosed())
        self.ends.append(len(self._data))

    def _check_gap(self, index: int) -> None:
        data = self._data if self._raw is None else self._raw
        if data[self._end - self._base : index - self._base].strip(WHITE):
            raise _text_between()

    def _take_raw(self) -> None:
        if self._raw is not None:
            self._data = bytes(self._raw)
            self._raw = None
            self._rescanned = 0

    def _complete(self, index: int) -> None:
        if self._raw is not None:
            self._take_raw()
        data = self._data
        base = self._base
        start = self._start - base
        # A `>` right before the first child, with none before it since the start, can only end the start tag.
        head = data.find(b">", start) + 1
        if not self._toc or head + base != self._toc[2]:
            head = start_tag_end(data, start)
        end = head
        payload = b""
        if data[head - 2] != 47:  # not an empty element
            payload = data[head : index - base]
            end = data.find(b">", index - base) + 1
        if end - start > self._limits.max_bytes:
            raise StreamError("policy-violation", "stanza too big")
        stanzas = self.context.stanzas
        name = stanzas.get(self._name) or stanzas.get(self._name.rpartition("\n")[0])  # without or with a prefix
        doubt = len(self._names) != self._known and self._check_names()
        if name is not None:
            self.events.append(self._stanza(name, start, end, payload, head + base, doubt))
        elif (
            end - start > _SMALL_TAG
            or self._name.startswith(_CLIENT)  # whose names may stand for others
            or _MORE_THAN_TEXT.search(payload)
        ):
            self.events.append(tree(data[start:end], self.context, self._limits))
        else:
            self.events.append(self._flat_element(payload))
        self.ends.append(end)
        self._end = end + base
        self._toc = []

    # -- what is made of an element

    def _flat_element(self, text: bytes) -> Element:
        """An element without children, as those of SASL are."""
        uri, local = _split(self._name)
        names = self._attrs[::2]
        attrs = {}
        for name, value in zip(names, self._attrs[1::2], strict=True):
            space, key = _split(name)
            attrs[f"xml:{key}" if space == ns.XML else f"{{{space}}}{key}" if space else key] = value
        return Element(uri, local, attrs, [text.decode()] if text else [])

    def _stanza(
        self, name: str, start: int, end: int, payload: bytes, offset: int, doubt: bool | None
    ) -> Stanza | Malformed:
        to = sender = more = None
        type = id = wrong = ""
        lang = self._lang  # RFC 6120 §4.7.4: where the stanza has none, the stream's
        attrs = self._attrs
        for i in range(0, len(attrs), 2):
            key = attrs[i]
            if key == "to":
                try:
                    to = JID.parse(attrs[i + 1])
                except InvalidJID:
                    wrong = key
            elif key == "id":
                id = attrs[i + 1]
            elif key == "type":
                type = attrs[i + 1]
            elif key == "from":
                try:
                    sender = JID.parse(attrs[i + 1])
                except InvalidJID:
                    wrong = key
            elif key == _LANG and (attrs[i + 1] or not lang):
                lang = attrs[i + 1]
            else:
                more = more or {}
                more[key] = attrs[i + 1]
        if more is not None and _LANG in more:  # it takes back the stream's (XML 1.0 §2.12)
            lang = ""
        toc = self._toc
        if wrong or doubt is None:
            return _malformed(Stanza(name, sender, to, type, id, lang, None, (), b""), wrong)
        # Prefixes of the header are found among the names. `find`, for `in` would try to make a number of bytes first.
        if doubt or (
            payload
            and (
                payload.find(b"xmlns:") >= 0
                or (106 in payload and payload.find(b"jabber:") >= 0 and _OWN.search(payload))
                or (33 in payload and payload.find(b"<!") >= 0)  # CDATA
                or (38 in payload and _ESCAPED_XMLNS.search(payload))
                or (self.context.foreign and not self.context.stanzas.keys().isdisjoint(toc[::4]))
            )
        ):
            element = tree(self._data[start:end], self.context, self._limits)
            children, payload = plain(element, self.context.content)
            return Stanza(name, sender, to, type, id, lang, extra(element.attrs), children, payload)
        if more is not None:
            more = {_attribute(key): value for key, value in more.items()}
        toc.append(offset)
        return Stanza(name, sender, to, type, id, lang, more, toc, payload)

    def _check_names(self) -> bool | None:
        """Look at the names that were not seen before; expat has put them into the dictionary of names.

        The answer is whether one has a prefix, or None if a namespace is no URI; such names are looked at each time.
        A content namespace other than `jabber:client` becomes that in the names of children.
        """
        names = self._names
        prefixed = invalid = canonical = False
        for name in list(islice(reversed(names), len(names) - self._known)):
            uri, separator, rest = name.partition("\n")
            if not separator:
                continue
            if "\n" in rest or _NO_URI.search(uri):
                prefixed = True
                invalid |= _NO_URI.search(uri) is not None
                del names[name]
            elif self.context.foreign and uri == self.context.content and name not in self.context.stanzas:
                canonical = True
                names[name] = _CLIENT + rest
        if canonical:
            self._toc[::4] = [names.get(key, key) for key in self._toc[::4]]
        self._known = len(names)
        return None if invalid else prefixed


def _is_text(data: bytes | bytearray) -> bool:
    """Whether bytes that follow a complete element begin with text, or CDATA, other than white space."""
    data = data.lstrip(WHITE)
    return bool(data) and (data[0] != 60 or data[:3] == b"<![")


def _text_between() -> StreamError:
    return StreamError("bad-format", "text between stanzas")


def _split(name: str) -> tuple[str, str]:
    """The namespace and the local name of a name as expat gives it, with or without a namespace and a prefix."""
    parts = name.split("\n")
    return ("", name) if len(parts) == 1 else (parts[0], parts[1])


def _malformed(stanza: Stanza, attribute: str) -> Malformed:
    if attribute:
        return Malformed(stanza, StanzaError("jid-malformed"), attribute)
    return Malformed(stanza, StanzaError("bad-request", "a namespace name is no URI"), "")


def _attribute(name: str) -> str:
    """An attribute of a stanza's start tag as it is written; of those with a namespace only XML's own come here."""
    return f"xml:{name.rpartition(chr(10))[2]}" if "\n" in name else name
