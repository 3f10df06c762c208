"""What people would miss in their history: by type, hints and names of children."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.archivable import archivable
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.stanza import Stanza


def message(type: str, *children: tuple[str, str]) -> Stanza:
    return Stanza.build("message", *(Element(ns, name) for ns, name in children), type=type)


BODY = ("jabber:client", "body")
HINTS = "urn:xmpp:hints"


@pytest.mark.parametrize("type", ["chat", "normal", "", "unheard-of"])
def test_a_body_is_kept(type: str) -> None:
    assert archivable(message(type, BODY))


@pytest.mark.parametrize("type", ["error", "headline", "groupchat"])
def test_some_types_are_not(type: str) -> None:
    assert not archivable(message(type, BODY, (HINTS, "store")))


@pytest.mark.parametrize("hint", ["no-store", "no-permanent-store"])
def test_the_sender_may_forbid_it_wherever_the_hint_stands(hint: str) -> None:
    assert not archivable(message("chat", BODY, (HINTS, hint)))
    assert not archivable(message("chat", (HINTS, hint), BODY, (HINTS, "store")))
    assert archivable(message("chat", BODY, ("urn:x", hint)))


def test_no_copy_is_no_matter_of_archives() -> None:
    assert archivable(message("chat", BODY, (HINTS, "no-copy")))


def test_a_namespace_of_another_version_is_another_payload() -> None:
    assert not archivable(message("chat", ("urn:xmpp:receipts:2", "received")))
    assert not archivable(message("chat", ("jabber:server", "body")))


def test_a_declined_invitation_is_kept_and_other_words_of_a_room_are_not() -> None:
    user = "http://jabber.org/protocol/muc#user"
    for name, kept in (("invite", True), ("decline", True), ("item", False)):
        room = Element(user, "x", {}, [Element(user, name)])
        assert archivable(Stanza.build("message", room)) == kept
