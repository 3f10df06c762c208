from __future__ import annotations

import pytest

from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form

INFO = "http://jabber.org/protocol/disco#info"


def test_an_answer_comes_back_as_it_was_written() -> None:
    info = Info.of(
        [Identity("server", "im", "en", "Our server"), Identity("pubsub", "pep")],
        ["urn:b", "urn:a", "urn:b"],
        [Form.of("result", "urn:form", Field("x", ("1", "2")))],
        node="n#v",
    )
    assert info.features == ("urn:a", "urn:b")
    assert Info.parse(parse(info.element().to_bytes())) == info


def test_an_empty_answer_has_no_node() -> None:
    assert Info().element().to_bytes() == b"<query xmlns='http://jabber.org/protocol/disco#info'/>"


def test_what_came_twice_stays_twice() -> None:
    query = parse(
        f"<query xmlns='{INFO}'><identity category='a' type='b'/><identity category='a' type='b'/>"
        "<feature var='f'/><feature var='f'/></query>".encode()
    )
    info = Info.parse(query)
    assert len(info.identities) == 2
    assert info.features == ("f", "f")


def test_the_language_of_an_identity_is_inherited_from_the_answer() -> None:
    query = parse(f"<query xmlns='{INFO}' xml:lang='de'><identity category='a' type='b' name='n'/></query>".encode())
    assert Info.parse(query).identities == (Identity("a", "b", "de", "n"),)


@pytest.mark.parametrize(
    "query",
    [
        f"<query xmlns='{INFO}'><identity type='b'/></query>",
        f"<query xmlns='{INFO}'><identity category='a'/></query>",
        f"<query xmlns='{INFO}'><feature/></query>",
        f"<query xmlns='{INFO}'><x xmlns='jabber:x:data'/></query>",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    ],
)
def test_an_incomplete_answer_is_refused(query: str) -> None:
    with pytest.raises(StanzaError) as raised:
        Info.parse(parse(query.encode()))
    assert raised.value.condition == "bad-request"


def test_what_is_unknown_in_an_answer_is_skipped() -> None:
    query = Element(INFO, "query", {}, [Element("urn:other", "identity"), Element(INFO, "other"), "text"])
    assert Info.parse(query) == Info()
