"""The stanza: a sealed envelope.

Routing, hints, carbons, archive and fan-out work on the start tag and a table of contents of the children; the payload
travels as the bytes that came, and a child is parsed only when somebody asks for it. A stanza is immutable: a change
makes a new envelope that shares the bytes.

The payload is in *plain form*: strict UTF-8 XML that stands alone below a start tag whose default namespace is the
stream's, uses no prefix but `xml`, and leaves `xmlns` out where it would name the stream's own namespace. So it can go
out under any start tag: of a client, a server, a component, or, context-free, into `<forwarded/>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from . import ns
from .element import Element, attribute, parse
from .errors import StanzaError
from .jid import JID
from .ranges import element_end

_END_TAGS: Final = {"message": b"</message>", "presence": b"</presence>", "iq": b"</iq>"}

Name = Literal["message", "presence", "iq"]


def qname(ns: str, name: str) -> str:
    """The key of a child element of this name, as `Child.key` has it."""
    return f"{ns}\n{name}" if ns else name


BODY: Final = qname(ns.CLIENT, "body")
ERROR: Final = qname(ns.CLIENT, "error")


class Child:
    """An entry in the table of contents: one child element of a stanza.

    `key` is its qname, `attrs` its attributes in pairs: name, value, name, value (names as expat gives them: a
    namespace, if any, before a line feed); `start` and `end` the range of its bytes in the stanza's payload.
    """

    __slots__ = ("attrs", "end", "key", "start")

    def __init__(self, key: str, attrs: list[str], start: int, end: int) -> None:
        self.key = key
        self.attrs = attrs
        self.start = start
        self.end = end

    @classmethod
    def of(cls, element: Element, start: int, end: int) -> Child:
        """The entry of this element, written to this range."""
        attrs: list[str] = []
        for key, value in element.attrs.items():
            attrs += (_expat_name(key), value)
        return cls(qname(element.ns, element.name), attrs, start, end)

    @property
    def ns(self) -> str:
        return self.key.rpartition("\n")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition("\n")[2]

    def get(self, name: str, default: str = "") -> str:
        """The value of the attribute, or `default`."""
        attrs = self.attrs
        for i in range(0, len(attrs), 2):
            if attrs[i] == name:
                return attrs[i + 1]
        return default


class Stanza:
    """A message, presence or iq. `type`, `id` and `lang` are empty where the attribute is absent; `extra` holds further
    attributes of the start tag, or None (one with a namespace stands there after the declaration of its prefix).

    `children` may be given as the framer notes them, for nobody looks at most of them again: a list of name,
    attributes, position of the start tag and of the end event for each child, and last the position of the payload.
    """

    __slots__ = ("_around", "_children", "extra", "id", "keys", "lang", "name", "payload", "sender", "to", "type")

    def __init__(
        self,
        name: str,
        sender: JID | None,
        to: JID | None,
        type: str,
        id: str,
        lang: str,
        extra: dict[str, str] | None,
        children: tuple[Child, ...] | list[Any],
        payload: bytes,
    ) -> None:
        self.name = name
        self.sender = sender
        self.to = to
        self.type = type
        self.id = id
        self.lang = lang
        self.extra = extra
        self.payload = payload
        self._around: tuple[bytes, bytes] | None = None
        self._children = children
        self.keys = children[:-1:4] if isinstance(children, list) else [child.key for child in children]
        """The qnames of the children, in their order; not to be changed."""

    @classmethod
    def build(
        cls,
        name: Name,
        *elements: Element,
        sender: JID | None = None,
        to: JID | None = None,
        type: str = "",
        id: str = "",
    ) -> Stanza:
        """A stanza of our own with these children."""
        empty = cls(name, sender, to, type, id, "", None, (), b"")
        return empty.with_child(*elements) if elements else empty

    # -- reading

    @property
    def children(self) -> tuple[Child, ...]:
        """The table of contents."""
        children = self._children
        if isinstance(children, list):
            payload, offset = self.payload, children[-1]
            resolved = []
            for i in range(0, len(children) - 1, 4):
                start = children[i + 2] - offset
                end = element_end(payload, start, children[i + 3] - offset)
                resolved.append(Child(children[i], children[i + 1], start, end))
            self._children = children = tuple(resolved)
        return children

    def has(self, ns: str, name: str) -> bool:
        """Whether a child of this name is there."""
        return qname(ns, name) in self.keys

    def find(self, ns: str, name: str) -> Child | None:
        """The entry of the first child of this name, or None."""
        key = qname(ns, name)
        return self.children[self.keys.index(key)] if key in self.keys else None

    def attribute(self, key: str, name: str) -> str:
        """The value of an attribute of the first child of this qname, without looking at the others; or empty."""
        children = self._children
        if isinstance(children, tuple):
            return next((child.get(name) for child in children if child.key == key), "")
        for i in range(0, len(children) - 1, 4):
            if children[i] == key:
                attrs: list[str] = children[i + 1]
                for j in range(0, len(attrs), 2):
                    if attrs[j] == name:
                        return attrs[j + 1]
                return ""
        return ""

    def child(self, ns: str, name: str) -> Element | None:
        """The first child of this name, parsed, or None."""
        child = self.find(ns, name)
        return None if child is None else self.parse(child)

    def parse(self, child: Child) -> Element:
        """The child, parsed."""
        return parse(self.payload[child.start : child.end])

    # -- writing

    def to_bytes(self, xmlns: str = "") -> bytes:
        """The stanza as it is sent; `xmlns` names its namespace where the context does not (WebSocket, `<forwarded/>`,
        the archive)."""
        to = self.to
        if self._around is not None and to is not None and not xmlns:
            before, after = self._around
            return b"".join((before, to.xml.encode(), after))
        name = self.name
        before, after = self._tag(f"{name} xmlns='{xmlns}'" if xmlns else name)
        receiver = f" to='{to.xml}'".encode() if to is not None else b""
        if not self.payload:
            return b"".join((before, receiver, after, b"/>"))
        return b"".join((before, receiver, after, b">", self.payload, _END_TAGS[name]))

    def _tag(self, name: str) -> tuple[bytes, bytes]:
        """The start tag, but for `to` and its end: what stands before it, and after it."""
        type = f" type='{attribute(self.type)}'" if self.type else ""
        id = f" id='{attribute(self.id)}'" if self.id else ""
        sender = self.sender
        origin = f" from='{sender.xml}'" if sender is not None else ""
        lang = f" xml:lang='{attribute(self.lang)}'" if self.lang else ""
        if self.extra:
            lang += "".join(f" {key}='{attribute(value)}'" for key, value in self.extra.items())
        return f"<{name}{type}{id}".encode(), f"{origin}{lang}".encode()

    # -- changing

    def stamped(
        self,
        *,
        sender: JID | None = None,
        to: JID | None = None,
        type: str | None = None,
        id: str | None = None,
        lang: str | None = None,
    ) -> Stanza:
        """The same envelope with other attributes; what is not given stays."""
        return Stanza(
            self.name,
            sender if sender is not None else self.sender,
            to if to is not None else self.to,
            type if type is not None else self.type,
            id if id is not None else self.id,
            lang if lang is not None else self.lang,
            self.extra,
            self._children,
            self.payload,
        )

    def addressed(self, to: JID) -> Stanza:
        """The same envelope to another. For one of many: what stands around the receiver's address is written once for
        all of them."""
        if self._around is None:
            before, after = self._tag(self.name)
            rest = (after, b">", self.payload, _END_TAGS[self.name]) if self.payload else (after, b"/>")
            self._around = (before + b" to='", b"".join((b"'", *rest)))
        copy = Stanza.__new__(Stanza)
        copy.name = self.name
        copy.sender = self.sender
        copy.to = to
        copy.type = self.type
        copy.id = self.id
        copy.lang = self.lang
        copy.extra = self.extra
        copy.payload = self.payload
        copy._around = self._around
        copy._children = self._children
        copy.keys = self.keys
        return copy

    def with_child(self, *elements: Element) -> Stanza:
        """The same with the elements after its last child."""
        payload = self.payload
        children = self._children
        if not isinstance(children, list):
            entries = list(children)
            for element in elements:
                data = element.to_bytes()
                entries.append(Child.of(element, len(payload), len(payload) + len(data)))
                payload += data
            return self._with(tuple(entries), payload)
        offset = children[-1]
        noted = children[:-1]
        for element in elements:
            data = element.to_bytes()
            entry = Child.of(element, offset + len(payload), 0)
            end = data.rindex(b"</") if element.children else len(data)  # where the framer notes the end event
            noted += (entry.key, entry.attrs, entry.start, entry.start + end)
            payload += data
        noted.append(offset)
        return self._with(noted, payload)

    def with_empty(self, key: str, attrs: list[str], data: bytes) -> Stanza:
        """The same with a child without content after its last one: its qname, its attributes as `Child` has them, and
        its bytes. For what is added to every message."""
        children = self._children
        start = len(self.payload)
        end = start + len(data)
        if not isinstance(children, list):
            return self._with((*children, Child(key, attrs, start, end)), self.payload + data)
        offset = children[-1]
        noted = children[:-1]
        noted += (key, attrs, offset + start, offset + end, offset)
        return self._with(noted, self.payload + data)

    def without(self, unwanted: Callable[[Child], bool]) -> Stanza:
        """The same less the children that are unwanted; itself if there are none."""
        if not any(unwanted(child) for child in self.children):
            return self
        kept: list[Child] = []
        parts: list[bytes] = []
        position = removed = 0
        for child in self.children:
            if unwanted(child):
                parts.append(self.payload[position : child.start])
                position = child.end
                removed += child.end - child.start
            else:
                kept.append(Child(child.key, child.attrs, child.start - removed, child.end - removed))
        parts.append(self.payload[position:])
        return self._with(tuple(kept), b"".join(parts))

    def _with(self, children: tuple[Child, ...] | list[Any], payload: bytes) -> Stanza:
        return Stanza(self.name, self.sender, self.to, self.type, self.id, self.lang, self.extra, children, payload)

    # -- answering

    def result(self, *elements: Element) -> Stanza:
        """The iq of type result that answers this request."""
        return Stanza.build("iq", *elements, sender=self.to, to=self.sender, type="result", id=self.id)

    def error(self, error: StanzaError) -> Stanza:
        """The stanza of type error that answers this one."""
        answer = Stanza(self.name, self.to, self.sender, "error", self.id, "", None, (), b"")
        return answer.with_child(*(() if error.about is None else (error.about,)), error.element())

    def __repr__(self) -> str:
        kinds = ", ".join(child.name for child in self.children)
        return f"<{self.name} type={self.type!r} from={self.sender} to={self.to} [{kinds}]>"


def _expat_name(key: str) -> str:
    if key.startswith("xml:"):
        return f"{ns.XML}\n{key[4:]}"
    return "\n".join(key[1:].rsplit("}", 1)) if key[0] == "{" else key
