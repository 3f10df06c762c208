"""What the framer gives: the events of an XML stream (RFC 6120 §4), and the limits that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..protocol.element import Element
from ..protocol.errors import StanzaError
from ..protocol.stanza import Stanza


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may send; beyond it the stream ends with `policy-violation` (RFC 6120 §13.12, XEP-0205).

    `max_bytes`: of one top-level element, and of a stream header. `max_depth`: elements open at once below the stream;
    a stanza has depth 1, its children 2. `max_attributes`: of one element, namespace declarations included.
    """

    max_bytes: int
    max_depth: int
    max_attributes: int


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A stream header (RFC 6120 §4.7). Attributes are as given, empty where absent.

    `xmlns` is the content namespace: the header's default namespace, or that of the framer's kind of stream, where the
    header leaves it to each stanza (RFC 6120 §4.8.2). `prefixes` holds the namespaces of the declared prefixes.
    """

    to: str
    sender: str
    version: str
    lang: str
    id: str
    xmlns: str
    prefixes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The peer closed its stream; what it sends after that is ignored."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A stanza that is well-formed XML and cannot be forwarded, though the stream goes on.

    `error` is to be answered by `stanza.error(error)`, unless the stanza's type is `error` or, for an iq, `result`
    (RFC 6120 §8.3.1). `stanza` has no children, and None in place of an address that is none. `attribute` is `to` or
    `from` where that address is malformed (`jid-malformed`, RFC 6120 §8.3.3.8; a client's wrong `from` may end its
    stream, §4.9.3.9), and empty where a namespace name is no URI (`bad-request`): the parsers of some peers end their
    stream over it, because they join namespace and name with such a character.
    """

    stanza: Stanza
    error: StanzaError
    attribute: str


Event = StreamOpened | Stanza | Malformed | Element | StreamClosed
