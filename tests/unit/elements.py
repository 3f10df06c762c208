"""Elements for hypothesis, and how two of them are compared."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from xmpp_server.protocol.element import Element

# Char of XML 1.0 §2.2
CHARACTERS = st.one_of(
    st.sampled_from("&<>'\"\t\n\r ]/{}"),
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
)
TEXTS = st.text(CHARACTERS, max_size=6)
NAMES = st.sampled_from(["a", "body", "_x", "B.c-9", "\u00e9t\u00e9", "\u03b1"])
NAMESPACES = st.sampled_from(
    ["", "jabber:client", "jabber:server", "urn:a", "urn:b?c=1&d='2'<>", "http://etherx.jabber.org/streams"]
)
ATTRIBUTES = st.dictionaries(
    st.one_of(NAMES, st.just("xml:lang"), st.builds("{{{}}}{}".format, st.sampled_from(["urn:a", "urn:'&"]), NAMES)),
    TEXTS,
    max_size=2,
)


def _element(ns: str, name: str, attrs: dict[str, str], children: list[Any]) -> Element:
    return Element(ns, name, attrs, children)


ELEMENTS = st.recursive(
    st.builds(_element, NAMESPACES, NAMES, ATTRIBUTES, st.just([])),
    lambda inner: st.builds(_element, NAMESPACES, NAMES, ATTRIBUTES, st.lists(st.one_of(inner, TEXTS), max_size=4)),
    max_leaves=4,
)


def shape(element: Element) -> tuple[Any, ...]:
    """All that an element says, with neighbouring texts as one, as a parser reads them."""
    children: list[Any] = []
    for child in element.children:
        if isinstance(child, Element):
            children.append(shape(child))
        elif child:
            if children and isinstance(children[-1], str):
                children[-1] += child
            else:
                children.append(child)
    return element.ns, element.name, element.attrs, children
