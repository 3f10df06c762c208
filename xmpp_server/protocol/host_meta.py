"""Where web clients reach a domain: the two forms of its host-meta file (XEP-0156 §3, RFC 6415)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from .element import Element

WEBSOCKET: Final = "urn:xmpp:alt-connections:websocket"
BOSH: Final = "urn:xmpp:alt-connections:xbosh"
_XRD: Final = "http://docs.oasis-open.org/ns/xri/xrd-1.0"
_SCHEMES: Final = {WEBSOCKET: "wss://", BOSH: "https://"}

Links = Iterable[tuple[str, str]]
"""Relations and URLs."""


def xrd(links: Links) -> bytes:
    """The file as XML, for `/.well-known/host-meta`. Raises ValueError for a URL without TLS, which clients must not
    use (XEP-0156 §3.2)."""
    elements = [Element(_XRD, "Link", {"rel": rel, "href": href}) for rel, href in _checked(links)]
    return b"<?xml version='1.0' encoding='utf-8'?>" + Element(_XRD, "XRD", {}, elements).to_bytes()


def jrd(links: Links) -> bytes:
    """The same as JSON, for `/.well-known/host-meta.json`."""
    return json.dumps({"links": [{"rel": rel, "href": href} for rel, href in _checked(links)]}).encode()


def _checked(links: Links) -> list[tuple[str, str]]:
    found = list(links)
    for rel, href in found:
        if not href.startswith(_SCHEMES[rel]):
            raise ValueError(f"{href!r} does not begin with {_SCHEMES[rel]}")
    return found
