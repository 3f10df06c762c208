from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from elements import ELEMENTS, shape
from hypothesis import given
from hypothesis import strategies as st

from xmpp_server.protocol.element import Element, parse


def other_shape(element: ElementTree.Element) -> tuple[Any, ...]:
    """The same as `shape`, of what the standard library read."""

    def split(name: str) -> tuple[str, str]:
        uri, _, local = name[1:].rpartition("}") if name[0] == "{" else ("", "", name)
        return uri, local

    lang = "{http://www.w3.org/XML/1998/namespace}lang"
    children: list[Any] = [element.text] if element.text else []
    for child in element:
        children.append(other_shape(child))
        if child.tail:
            children.append(child.tail)
    attrs = {"xml:lang" if key == lang else key: value for key, value in element.attrib.items()}
    return (*split(element.tag), attrs, children)


@given(ELEMENTS, st.sampled_from(["jabber:client", "jabber:server", "", "urn:a", "urn:other"]))
def test_what_is_written_is_read_as_it_was(element: Element, context: str) -> None:
    assert shape(parse(element.to_bytes(context), context)) == shape(element)


@given(ELEMENTS, st.sampled_from(["jabber:client", "urn:a", "urn:other"]))
def test_another_parser_reads_the_same(element: Element, context: str) -> None:
    wrapped = b"".join(
        (
            f"<w xmlns='{context}' xmlns:stream='http://etherx.jabber.org/streams'>".encode(),
            element.to_bytes(context),
            b"</w>",
        )
    )
    assert other_shape(ElementTree.fromstring(wrapped)[0]) == shape(element)


@given(ELEMENTS)
def test_writing_what_was_read_is_a_fixpoint(element: Element) -> None:
    once = parse(element.to_bytes()).to_bytes()
    assert parse(once).to_bytes() == once


@given(ELEMENTS)
def test_no_element_but_those_of_the_stream_has_a_prefix(element: Element) -> None:
    written = element.to_bytes().decode()
    tags = [part.split(">")[0].split()[0].strip("/") for part in written.split("<")[1:]]
    own = element.ns == "http://etherx.jabber.org/streams"
    assert all(":" not in tag for tag in (tags[1:-1] if own else tags))


@pytest.mark.parametrize(
    ("element", "context", "written"),
    [
        (Element("jabber:client", "body", {}, ["Hi"]), "jabber:client", "<body>Hi</body>"),
        (Element("jabber:client", "body"), "jabber:server", "<body xmlns='jabber:client'/>"),
        (Element("", "a"), "jabber:client", "<a xmlns=''/>"),
        (Element("", "a"), "", "<a/>"),
        (
            Element("urn:a", "a", {}, [Element("urn:a", "b"), Element("urn:b", "c", {}, [Element("urn:a", "d")])]),
            "",
            "<a xmlns='urn:a'><b/><c xmlns='urn:b'><d xmlns='urn:a'/></c></a>",
        ),
        (Element("", "a", {"x": "<&>'\"\n\t\r"}), "", "<a x='&lt;&amp;&gt;&apos;\"&#10;&#9;&#13;'/>"),
        (Element("", "a", {}, ["<&>'\"\n\t\r]]>"]), "", "<a>&lt;&amp;&gt;'\"\n\t&#13;]]&gt;</a>"),
        (Element("", "a", {"xml:lang": "en"}), "", "<a xml:lang='en'/>"),
        (
            Element("", "a", {"{urn:x}b": "1", "{urn:y}b": "2"}),
            "",
            "<a xmlns:a1='urn:x' a1:b='1' xmlns:a2='urn:y' a2:b='2'/>",
        ),
        (
            Element("http://etherx.jabber.org/streams", "features", {}, [Element("urn:f", "f")]),
            "jabber:client",
            "<stream:features><f xmlns='urn:f'/></stream:features>",
        ),
    ],
)
def test_an_element_is_written_in_its_context(element: Element, context: str, written: str) -> None:
    assert element.to_bytes(context) == written.encode()


def test_children_are_found_by_namespace_and_name() -> None:
    first, second = Element("urn:a", "x", {"n": "1"}, ["one"]), Element("urn:a", "x", {}, ["two"])
    parent = Element("urn:a", "p", {}, ["t", Element("urn:b", "x"), first, "u", second])
    assert parent.child("urn:a", "x") is first
    assert parent.child("urn:c", "x") is None
    assert parent.child_text("urn:a", "x") == "one"
    assert parent.child_text("urn:c", "x") == ""
    assert parent.text == "tu"
    assert [child.name for child in parent] == ["x", "x", "x"]
    assert first.get("n") == "1"
    assert first.get("m", "default") == "default"


def test_elements_share_no_children_and_no_attributes() -> None:
    first, second = Element("", "a"), Element("", "b")
    assert first.add(Element("", "c")) is first
    first.attrs["x"] = "1"
    assert second.children == []
    assert second.attrs == {}


def test_nothing_is_no_element() -> None:
    with pytest.raises(ValueError):
        parse(b"")


def test_an_element_shows_itself() -> None:
    assert repr(Element("urn:a", "b")) == "<Element <b xmlns='urn:a'/>>"


def test_a_brace_in_the_namespace_of_an_attribute_ends_no_namespace() -> None:
    element = parse(b"<x xmlns:p='}urn:p' p:a='b'/>")
    assert element.attrs == {"{}urn:p}a": "b"}
    assert parse(element.to_bytes()).attrs == element.attrs
