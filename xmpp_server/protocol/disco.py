"""What an entity is and can do: the payload of disco#info, with extended information (XEP-0128).

XEP: 0128 (1.0.1) complete
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import ns
from .element import Element
from .errors import StanzaError
from .forms import Form


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """An identity of the registry of disco categories (XEP-0030 §3.1)."""

    category: str
    type: str
    lang: str = ""
    name: str = ""

    def element(self) -> Element:
        element = Element(ns.DISCO_INFO, "identity", {"category": self.category, "type": self.type})
        if self.lang:
            element.attrs["xml:lang"] = self.lang
        if self.name:
            element.attrs["name"] = self.name
        return element


@dataclass(frozen=True, slots=True)
class Info:
    """An answer to disco#info. Identities, features and forms are as they came: in any order, and perhaps twice."""

    identities: tuple[Identity, ...] = ()
    features: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()
    node: str = ""

    @classmethod
    def of(
        cls, identities: Iterable[Identity], features: Iterable[str], forms: Iterable[Form] = (), node: str = ""
    ) -> Info:
        """Our own answer: each feature once and sorted, so that the same answer is always the same bytes."""
        return cls(tuple(identities), tuple(sorted(set(features))), tuple(forms), node)

    @classmethod
    def parse(cls, query: Element) -> Info:
        """The answer in `query`; raises StanzaError bad-request if it is none or lacks what XEP-0030 §3.1 requires."""
        if (query.ns, query.name) != (ns.DISCO_INFO, "query"):
            raise StanzaError("bad-request")
        identities, features, forms = [], [], []
        for child in query:
            match child.ns, child.name:
                case ns.DISCO_INFO, "identity":
                    lang = child.get("xml:lang", query.get("xml:lang"))
                    identities.append(Identity(child.get("category"), child.get("type"), lang, child.get("name")))
                case ns.DISCO_INFO, "feature":
                    features.append(child.get("var"))
                case ns.DATA, "x":
                    forms.append(Form.parse(child))
        if not all(features) or not all(identity.category and identity.type for identity in identities):
            raise StanzaError("bad-request", "An identity or a feature is incomplete.")
        return cls(tuple(identities), tuple(features), tuple(forms), query.get("node"))

    def element(self) -> Element:
        """The `<query/>`."""
        query = Element(ns.DISCO_INFO, "query", {"node": self.node} if self.node else {})
        query.add(*(identity.element() for identity in self.identities))
        query.add(*(Element(ns.DISCO_INFO, "feature", {"var": feature}) for feature in self.features))
        return query.add(*(form.element() for form in self.forms))
