"""Addresses: localpart@domain/resource, prepared by PRECIS (RFC 7622).

A JID is immutable and, while it is in the cache, one object for each address, so that comparing is mostly `is`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Never
from xml.sax.saxutils import escape

import idna
from precis_i18n import get_profile

_MAX_PART: Final = 1023  # octets, RFC 7622 §3.2 to §3.4
_CACHE: Final = 65536  # addresses
_CACHED: Final = 128  # characters; longer ones are not kept, so that nobody fills the memory with them
_LOCALPART_FORBIDDEN: Final = frozenset("\"&'/:<>@")  # RFC 7622 §3.3.1
_ASCII_LOCALPART: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._!#$%()*+,;=?[\\]^`{|}~")
_ASCII_DOMAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")

_username = get_profile("UsernameCaseMapped")
_opaque = get_profile("OpaqueString")


class InvalidJID(ValueError):  # noqa: N818
    """The text is no address by RFC 7622; answered with `jid-malformed`."""


class JID:
    """An address.

    `localpart` and `resource` are empty where the address has none. `bare` is the address without its resource (itself,
    if it has none). `xml` is the whole address, escaped for an attribute value between either kind of quotes.
    """

    __slots__ = ("_hash", "_text", "bare", "domain", "localpart", "resource", "xml")

    localpart: str
    domain: str
    resource: str
    bare: JID
    xml: str
    _text: str
    _hash: int

    def __init__(self, localpart: str, domain: str, resource: str) -> None:
        """From parts that are prepared already; everybody else calls `parse` or `of`."""
        bare = f"{localpart}@{domain}" if localpart else domain
        text = f"{bare}/{resource}" if resource else bare
        fill = object.__setattr__
        fill(self, "localpart", localpart)
        fill(self, "domain", domain)
        fill(self, "resource", resource)
        fill(self, "_text", text)
        fill(self, "_hash", hash(text))
        plain = not resource or resource.isalnum()  # nothing to escape in the other parts
        fill(self, "xml", text if plain else escape(text, {"'": "&apos;", '"': "&quot;"}))
        fill(self, "bare", JID.parse(bare) if resource else self)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("an address does not change: everybody shares it")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("an address does not change: everybody shares it")

    def __reduce__(self) -> tuple[Callable[[str], JID], tuple[str]]:
        return JID.parse, (self._text,)

    @staticmethod
    def parse(text: str) -> JID:
        """The address that `text` stands for; raises InvalidJID."""
        return _cached(text) if len(text) <= _CACHED else _parse(text)

    @staticmethod
    def of(localpart: str, domain: str, resource: str = "") -> JID:
        """The address of these parts, each prepared by its profile; raises InvalidJID."""
        return JID(_localpart(localpart) if localpart else "", _domain(domain), _resource(resource) if resource else "")

    def with_resource(self, resource: str) -> JID:
        """The full address of `resource` at this account; raises InvalidJID if the text is no resource."""
        return JID(self.localpart, self.domain, _resource(resource))

    @property
    def is_bare(self) -> bool:
        """Whether the address has no resource."""
        return self.bare is self

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"JID({self._text!r})"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, JID) and self._text == other._text)


def _parse(text: str) -> JID:
    rest, slash, resource = text.partition("/")  # RFC 7622 §3.2: the first slash, then the first at-sign
    localpart, at, domain = rest.partition("@")
    if not at:
        localpart, domain = "", rest
    elif not localpart:
        raise InvalidJID("empty localpart")
    if slash and not resource:
        raise InvalidJID("empty resource")
    localpart = _localpart(localpart) if at else ""
    domain = _domain(domain)
    resource = _resource(resource) if slash else ""
    return JID(localpart, domain, resource)


_cached = lru_cache(_CACHE)(_parse)


def _bounded(part: str, what: str) -> str:
    if not part or len(part.encode("utf-8", "surrogatepass")) > _MAX_PART:
        raise InvalidJID(f"{what} is empty or longer than {_MAX_PART} octets")
    return part


def _localpart(text: str) -> str:
    if _ASCII_LOCALPART.issuperset(text):
        return _bounded(text, "localpart")
    _bounded(text, "localpart")
    try:
        prepared = _username.enforce(text)
    except (UnicodeError, ValueError) as error:
        raise InvalidJID("localpart: not allowed by UsernameCaseMapped") from error
    if not _LOCALPART_FORBIDDEN.isdisjoint(prepared):
        raise InvalidJID("localpart: forbidden character")
    return _bounded(prepared, "localpart")


@lru_cache(1024)  # most addresses are of few domains
def _domain(text: str) -> str:
    text = text.removesuffix(".")  # RFC 7622 §3.2: a trailing dot is stripped before anything else
    _bounded(text, "domain")
    if text.startswith("["):
        return _ipv6(text)
    if not _ASCII_DOMAIN.issuperset(text) or "xn--" in text:
        try:
            text = idna.decode(text.lower() if text.isascii() else text, uts46=True)
        except (idna.IDNAError, UnicodeError) as error:
            raise InvalidJID("domain: not an internationalised domain name") from error
    for label in text.split("."):
        if not label or label[0] == "-" or label[-1] == "-" or _length(label) > 63:
            raise InvalidJID("domain: a label is empty, too long, or has a hyphen at an end")
    return _bounded(text, "domain")


def _length(label: str) -> int:
    """The octets of a label as the DNS knows it: no other can be asked for."""
    try:
        return len(label) if label.isascii() else len(idna.alabel(label))
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidJID("domain: not an internationalised domain name") from error


def _ipv6(text: str) -> str:
    try:
        if not text.endswith("]") or "%" in text:  # a zone means nothing to others
            raise InvalidJID("domain: not an IPv6 address")
        return f"[{IPv6Address(text[1:-1])}]"
    except AddressValueError as error:
        raise InvalidJID("domain: not an IPv6 address") from error


def _resource(text: str) -> str:
    _bounded(text, "resource")
    if text.isascii() and text.isprintable():
        return text
    try:
        return _bounded(_opaque.enforce(text), "resource")
    except (UnicodeError, ValueError) as error:
        raise InvalidJID("resource: not allowed by OpaqueString") from error
