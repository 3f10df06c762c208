"""Entity capabilities: what an entity can do, as a hash in its presence or stream features.

XEP: 0115 (1.6.0) complete
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from . import ns
from .disco import Info
from .element import Element
from .forms import FORM_TYPE, Field, Form

_HASHES: Final = {  # names of the IANA registry of hash function textual names
    "sha-1": hashlib.sha1,
    "sha-224": hashlib.sha224,
    "sha-256": hashlib.sha256,
    "sha-384": hashlib.sha384,
    "sha-512": hashlib.sha512,
}


class IllFormed(ValueError):  # noqa: N818
    """An answer to disco#info that no hash may be computed of (XEP-0115 §5.4 3.3 to 3.5)."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The `<c/>`: `node` is a URI of the software, `ver` the verification string made with `hash`."""

    node: str
    ver: str
    hash: str = "sha-1"

    @classmethod
    def of(cls, node: str, info: Info) -> Caps:
        """What we advertise of ourselves; raises IllFormed."""
        return cls(node, verification_string(info))

    @classmethod
    def parse(cls, c: Element) -> Caps | None:
        """The capabilities that `c` advertises; None if it is incomplete or of the legacy format (§5.4 1: ignored)."""
        if (c.ns, c.name) != (ns.CAPS, "c") or not (c.get("node") and c.get("ver") and c.get("hash")):
            return None
        return cls(c.get("node"), c.get("ver"), c.get("hash"))

    @property
    def disco_node(self) -> str:
        """The node to ask for with disco#info (§6.2)."""
        return f"{self.node}#{self.ver}"

    def element(self) -> Element:
        """The `<c/>`."""
        return Element(ns.CAPS, "c", {"hash": self.hash, "node": self.node, "ver": self.ver})

    def verifies(self, info: Info) -> bool:
        """Whether `info` is what this hash stands for, so that it may be believed of everybody who advertises the
        hash. False also if we do not know the hash function or `info` is ill-formed: then it may be kept for the one
        entity that sent it, at most (§5.4)."""
        if self.hash not in _HASHES:
            return False
        try:
            return verification_string(info, self.hash) == self.ver
        except IllFormed:
            return False


def verification_string(info: Info, hash: str = "sha-1") -> str:
    """The hash of `info` by §5.1, base64; raises IllFormed, and KeyError for a hash function that we do not know."""
    parts = [f"{i.category}/{i.type}/{i.lang}/{i.name}" for i in sorted(info.identities)]
    if len(set(info.identities)) != len(info.identities):
        raise IllFormed("an identity is there twice")
    if len(set(info.features)) != len(info.features):
        raise IllFormed("a feature is there twice")
    parts += sorted(info.features)
    forms: dict[str, Form] = {}
    for form in info.forms:
        form_type = _form_type(form.get(FORM_TYPE))
        if form_type is None:
            continue
        if form_type in forms:
            raise IllFormed("two forms have the same FORM_TYPE")
        forms[form_type] = form
    for form_type, form in sorted(forms.items()):
        parts.append(form_type)
        for field in sorted(form.fields, key=lambda field: (field.var, sorted(field.values))):
            if field.var != FORM_TYPE:
                parts += (field.var, *sorted(field.values))
    # What separates must not occur in what is separated: the string would stand for other features as well (§8.1).
    if any("<" in part for part in parts):
        raise IllFormed("a separator is part of a name")
    text = "".join(f"{part}<" for part in parts)
    return b64encode(_HASHES[hash](text.encode()).digest()).decode()


def _form_type(field: Field | None) -> str | None:
    """The FORM_TYPE of a form, or None: the form does not count (§5.4 3.6)."""
    if field is None or field.kind != "hidden" or not field.values:
        return None
    if len(set(field.values)) > 1:
        raise IllFormed("a form has two FORM_TYPEs")
    return field.values[0]
