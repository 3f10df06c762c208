from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from elements import ELEMENTS, TEXTS, shape
from frames import stanza as stanza_of
from hypothesis import given, settings
from hypothesis import strategies as st

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import BODY, Child, Stanza, qname

JULIET = JID.parse("juliet@example.com/'balcony' & more")
ROMEO = JID.parse("romeo@example.net")
CONTENTS = st.lists(ELEMENTS.filter(lambda element: element.ns != "http://etherx.jabber.org/streams"), max_size=3)


def message(*elements: Element) -> Stanza:
    return Stanza.build("message", *elements, sender=JULIET, to=ROMEO, type="chat", id="i1")


def body(text: str) -> Element:
    return Element("jabber:client", "body", {}, [text])


def test_a_stanza_is_written_as_it_was_built() -> None:
    assert message(body("Art thou?")).to_bytes() == (
        b"<message type='chat' id='i1' to='romeo@example.net'"
        b" from='juliet@example.com/&apos;balcony&apos; &amp; more'><body>Art thou?</body></message>"
    )
    assert Stanza.build("presence").to_bytes() == b"<presence/>"
    assert Stanza.build("iq", type="result", id="1").to_bytes("jabber:client") == (
        b"<iq xmlns='jabber:client' type='result' id='1'/>"
    )


@settings(max_examples=40)
@given(st.sampled_from(["message", "presence", "iq"]), TEXTS, TEXTS, TEXTS, TEXTS, CONTENTS)
def test_another_parser_reads_what_was_built(
    name: str, type: str, id: str, lang: str, extra: str, contents: list[Element]
) -> None:
    built = Stanza.build(name, *contents, sender=JULIET, to=ROMEO, type=type, id=id).stamped(lang=lang)  # type: ignore[arg-type]
    built = Stanza(name, JULIET, ROMEO, type, id, lang, {"extra": extra}, built.children, built.payload)
    read = ElementTree.fromstring(built.to_bytes("jabber:client"))
    assert read.tag == f"{{jabber:client}}{name}"
    expected = {"type": type, "id": id, "{http://www.w3.org/XML/1998/namespace}lang": lang}
    expected = {key: value for key, value in expected.items() if value}
    assert read.attrib == expected | {"to": str(ROMEO), "from": str(JULIET), "extra": extra}
    assert len(read) == len(contents)
    whole = parse(built.to_bytes())
    assert [shape(child) for child in whole] == [shape(child) for child in contents]


@settings(max_examples=40)
@given(CONTENTS)
def test_the_table_of_contents_names_each_child_and_its_bytes(contents: list[Element]) -> None:
    stanza = message(*contents)
    assert [(child.ns, child.name) for child in stanza.children] == [(e.ns, e.name) for e in contents]
    assert stanza.keys == [qname(e.ns, e.name) for e in contents]
    for child, element in zip(stanza.children, contents, strict=True):
        assert shape(stanza.parse(child)) == shape(element)
        assert all(child.get(key) == value for key, value in element.attrs.items() if key[0] != "{" and ":" not in key)
    for element in contents:
        assert stanza.has(element.ns, element.name)
        first = next(e for e in contents if (e.ns, e.name) == (element.ns, element.name))
        found = stanza.child(element.ns, element.name)
        assert found is not None
        assert shape(found) == shape(first)


@settings(max_examples=40)
@given(CONTENTS, CONTENTS)
def test_children_are_added_after_the_last(first: list[Element], second: list[Element]) -> None:
    stanza = message(*first)
    before = stanza.to_bytes()
    both = stanza.with_child(*second)
    assert [shape(both.parse(child)) for child in both.children] == [shape(e) for e in first + second]
    assert both.to_bytes() == message(*first, *second).to_bytes()
    assert stanza.to_bytes() == before


EMPTY = Element("urn:x", "empty", {"a": "1>2", "b": "'"})
NESTED = Element("urn:x", "nested", {}, [Element("urn:x", "nested", {}, ["</nested>"]), "text/>"])


@pytest.mark.parametrize("first", [[], [EMPTY], [body("x")], [NESTED, EMPTY]])
@pytest.mark.parametrize("second", [[EMPTY], [body("")], [NESTED], [body("y"), EMPTY, NESTED]])
def test_children_are_added_to_a_stanza_that_was_framed(first: list[Element], second: list[Element]) -> None:
    """the framer's notes are the table of contents as long as nobody looks at it"""
    framed = stanza_of(b"<message>" + b"".join(element.to_bytes() for element in first) + b"</message>")
    both = framed.with_child(*second).with_child(EMPTY)
    expected = [*first, *second, EMPTY]
    assert both.keys == [qname(element.ns, element.name) for element in expected]
    assert [both.payload[child.start : child.end] for child in both.children] == [each.to_bytes() for each in expected]
    assert [child.attrs for child in both.children] == [child.attrs for child in message(*expected).children]
    assert len(framed.children) == len(first)


@settings(max_examples=40)
@given(CONTENTS, st.data())
def test_any_children_can_be_taken_out(contents: list[Element], data: st.DataObject) -> None:
    stanza = message(*contents)
    unwanted = data.draw(st.sets(st.sampled_from(range(len(contents))))) if contents else set()
    starts = {stanza.children[index].start for index in unwanted}
    rest = stanza.without(lambda child: child.start in starts)
    kept = [element for index, element in enumerate(contents) if index not in unwanted]
    assert rest.to_bytes() == message(*kept).to_bytes()
    assert [shape(rest.parse(child)) for child in rest.children] == [shape(e) for e in kept]
    if not unwanted:
        assert rest is stanza


def test_what_is_not_there_is_not_found() -> None:
    stanza = message(body("x"))
    assert not stanza.has("urn:a", "body")
    assert stanza.find("urn:a", "body") is None
    assert stanza.child("urn:a", "body") is None
    assert stanza.find("jabber:client", "body") is stanza.children[0]
    assert stanza.children[0].key == BODY


def test_the_attributes_of_a_child_are_known_without_parsing_it() -> None:
    element = Element("urn:a", "x", {"id": "1", "xml:lang": "en", "{urn:b}c": "d"})
    child = message(element).children[0]
    assert child.get("id") == "1"
    assert child.get("http://www.w3.org/XML/1998/namespace\nlang") == "en"
    assert child.get("urn:b\nc") == "d"
    assert child.get("missing", "default") == "default"
    assert Child("k", ["id", "lang", "lang", "de"], 0, 0).get("lang") == "de"  # a value is no name


def test_stamping_changes_what_is_given_and_shares_the_bytes() -> None:
    stanza = message(body("x"))
    stamped = stanza.stamped(to=JULIET.bare, id="i2")
    assert (stamped.sender, stamped.to, stamped.type, stamped.id) == (JULIET, JULIET.bare, "chat", "i2")
    assert stamped.payload is stanza.payload
    assert stamped.stamped(type="", id="").to_bytes().startswith(b"<message to='juliet@example.com' from=")
    assert (stanza.to, stanza.id) == (ROMEO, "i1")


def test_a_request_is_answered_to_its_sender() -> None:
    request = Stanza.build("iq", Element("urn:q", "query"), sender=JULIET, to=ROMEO, type="get", id="q1")
    result = request.result(Element("urn:q", "query", {"a": "b"}))
    assert (result.name, result.type, result.id, result.sender, result.to) == ("iq", "result", "q1", ROMEO, JULIET)
    assert result.payload == b"<query xmlns='urn:q' a='b'/>"
    assert request.result().payload == b""


@pytest.mark.parametrize("name", ["message", "presence", "iq"])
def test_an_error_goes_back_without_what_was_sent(name: str) -> None:
    stanza = Stanza.build(name, body("secret"), sender=JULIET, to=ROMEO, type="set", id="1")  # type: ignore[arg-type]
    error = stanza.error(StanzaError("conflict"))
    assert (error.name, error.type, error.id, error.sender, error.to) == (name, "error", "1", ROMEO, JULIET)
    assert error.payload == (
        b"<error type='cancel' code='409'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )


def test_a_stanza_shows_its_envelope_and_not_its_content() -> None:
    shown = repr(message(body("secret")))
    assert "secret" not in shown
    assert "[body]" in shown


def test_a_child_without_a_namespace_has_its_name_alone_for_a_key() -> None:
    message = Stanza.build("message", Element("", "x"))
    assert message.keys == ["x"]
    assert (message.children[0].ns, message.children[0].name) == ("", "x")
    assert message.has("", "x")


@pytest.mark.parametrize("payload", [b"", b"<body>Hi</body>"])
def test_one_for_many_is_written_as_if_it_were_for_each_alone(payload: bytes) -> None:
    sender = JID.parse("cave@conference.localhost/it's")
    stanza = Stanza("message", sender, None, "groupchat", "a<b", "de", {"x": "1"}, (), payload)
    for text in ("romeo@localhost/o'r", "juliet@localhost"):
        to = JID.parse(text)
        assert stanza.addressed(to).to_bytes() == stanza.stamped(to=to).to_bytes()
        assert stanza.addressed(to).to_bytes("urn:x") == stanza.stamped(to=to).to_bytes("urn:x")
    more = stanza.addressed(to).with_child(Element("urn:x", "x"))
    assert b"urn:x" in more.to_bytes(), "what is changed is written anew"
    assert stanza.addressed(to).stamped(id="c").to_bytes() == stanza.stamped(to=to, id="c").to_bytes()
