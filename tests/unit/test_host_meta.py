"""XEP-0156 §3: host-meta files."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from xmpp_server.protocol.host_meta import BOSH, WEBSOCKET, jrd, xrd

LINKS = [(BOSH, "https://web.example.com:5280/bosh"), (WEBSOCKET, "wss://web.example.com:443/ws?a=1&b='2'")]


def test_the_xml_form_lists_links() -> None:
    root = ElementTree.fromstring(xrd(LINKS))
    assert root.tag == "{http://docs.oasis-open.org/ns/xri/xrd-1.0}XRD"
    assert [(link.get("rel"), link.get("href")) for link in root] == LINKS
    assert {link.tag for link in root} == {"{http://docs.oasis-open.org/ns/xri/xrd-1.0}Link"}


def test_the_json_form_lists_the_same() -> None:
    assert json.loads(jrd(LINKS)) == {"links": [{"rel": rel, "href": href} for rel, href in LINKS]}


@pytest.mark.parametrize(
    "link", [(WEBSOCKET, "ws://a.example/"), (BOSH, "http://a.example/"), (BOSH, "wss://a.example/")]
)
def test_what_is_not_encrypted_is_not_listed(link: tuple[str, str]) -> None:
    """§3.2"""
    for form in (xrd, jrd):
        with pytest.raises(ValueError):
            form([link])
