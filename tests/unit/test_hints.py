"""XEP-0334."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.hints import NO_COPY, NO_PERMANENT_STORE, NO_STORE, STORE, hinted
from xmpp_server.protocol.stanza import Stanza


def message(*hints: str, type: str = "chat", ns: str = "urn:xmpp:hints") -> Stanza:
    return Stanza.build("message", *(Element(ns, hint) for hint in hints), type=type)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no-permanent-store", NO_PERMANENT_STORE),
        ("no-store", NO_STORE),
        ("no-copy", NO_COPY),
        ("store", STORE),
    ],
)
def test_a_hint_is_found_by_its_name(name: str, hint: str) -> None:
    """§4.1 to §4.4"""
    assert hinted(message(name), hint)
    assert [other for other in (NO_PERMANENT_STORE, NO_STORE, NO_COPY, STORE) if hinted(message(name), other)] == [hint]


def test_one_of_several_hints_is_enough() -> None:
    assert hinted(message("no-permanent-store", "no-copy"), NO_STORE, NO_COPY)
    assert not hinted(message("no-permanent-store"), NO_STORE, NO_COPY)


def test_hints_in_an_error_do_not_count() -> None:
    """§5: they are those of the stanza that the error answers"""
    assert not hinted(message("no-store", type="error"), NO_STORE)


def test_an_element_of_another_namespace_is_no_hint() -> None:
    assert not hinted(message("no-store", ns="urn:example:hints"), NO_STORE)


def test_a_message_without_hints_has_none() -> None:
    assert not hinted(message(), NO_STORE, NO_PERMANENT_STORE, NO_COPY, STORE)
