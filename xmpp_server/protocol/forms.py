"""Data forms: building forms and results, reading submissions.

A submission is read leniently: the type of a field is what the reader asks for, whatever the client wrote; fields that
nobody asks for are ignored, and fields that are absent keep what they had (the reader's default).

XEP: 0004 (2.13.2) complete
XEP: 0068 (1.3.0) complete
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from . import ns
from .element import Element
from .errors import StanzaError
from .jid import JID, InvalidJID

FormKind = Literal["form", "submit", "cancel", "result"]
FieldKind = Literal[
    "",
    "boolean",
    "fixed",
    "hidden",
    "jid-multi",
    "jid-single",
    "list-multi",
    "list-single",
    "text-multi",
    "text-private",
    "text-single",
]
FORM_TYPE: Final = "FORM_TYPE"
_FORM_KINDS: Final = frozenset(get_args(FormKind))
_FIELD_KINDS: Final = frozenset(get_args(FieldKind))
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `kind` is its type, empty where the form leaves it out; `options` are (value, label),
    `validate` says what values are like (XEP-0122)."""

    var: str
    values: tuple[str, ...] = ()
    kind: FieldKind = ""
    label: str = ""
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False
    desc: str = ""
    validate: Element | None = None

    def element(self) -> Element:
        field = Element(ns.DATA, "field")
        for name, value in (("var", self.var), ("type", self.kind), ("label", self.label)):
            if value:
                field.attrs[name] = value
        if self.desc:
            field.add(Element(ns.DATA, "desc", {}, [self.desc]))
        if self.required:
            field.add(Element(ns.DATA, "required"))
        if self.validate is not None:
            field.add(self.validate)
        for option, label in self.options:
            field.add(Element(ns.DATA, "option", {"label": label} if label else {}, [_value(option)]))
        return field.add(*map(_value, self.values))


def boolean(var: str, value: bool, label: str = "") -> Field:
    """A boolean field, in the form that every client understands."""
    return Field(var, ("1" if value else "0",), "boolean", label)


@dataclass(frozen=True, slots=True)
class Form:
    """A form, a submission or a result. `reported` and `items` make a table of a result (§3.4)."""

    kind: FormKind
    fields: tuple[Field, ...] = ()
    title: str = ""
    instructions: str = ""
    reported: tuple[Field, ...] = ()
    items: tuple[tuple[Field, ...], ...] = ()

    @classmethod
    def of(cls, kind: FormKind, form_type: str, *fields: Field, title: str = "", instructions: str = "") -> Form:
        """A form whose FORM_TYPE (XEP-0068) is `form_type`."""
        return cls(kind, (Field(FORM_TYPE, (form_type,), "hidden"), *fields), title, instructions)

    @classmethod
    def parse(cls, x: Element, kind: FormKind | Literal[""] = "") -> Form:
        """The form that `x` holds, less `reported` and `items`, of this kind if it says none; raises StanzaError
        bad-request if it is no form."""
        kind = cast(FormKind, x.get("type", kind))
        if (x.ns, x.name) != (ns.DATA, "x") or kind not in _FORM_KINDS:
            raise StanzaError("bad-request", "This is no data form.")
        fields = tuple(_parse_field(child) for child in x if child.name == "field" and child.ns == ns.DATA)
        instructions = [child.text for child in x if child.name == "instructions" and child.ns == ns.DATA]
        return cls(kind, fields, x.child_text(ns.DATA, "title"), "\n".join(instructions))

    def element(self) -> Element:
        """The `<x/>`."""
        x = Element(ns.DATA, "x", {"type": self.kind})
        for name, text in (("title", self.title), ("instructions", self.instructions)):
            if text:
                x.add(Element(ns.DATA, name, {}, [text]))
        x.add(*(field.element() for field in self.fields))
        if self.reported:
            x.add(Element(ns.DATA, "reported", {}, [field.element() for field in self.reported]))
        for item in self.items:
            x.add(Element(ns.DATA, "item", {}, [field.element() for field in item]))
        return x

    # -- reading what was submitted

    def get(self, var: str) -> Field | None:
        """The first field of this name, or None."""
        for field in self.fields:
            if field.var == var:
                return field
        return None

    @property
    def form_type(self) -> str:
        """The value of FORM_TYPE; empty if there is none."""
        return self.text(FORM_TYPE)

    def expect(self, form_type: str) -> None:
        """Raises StanzaError bad-request unless this is a submission of that FORM_TYPE, or of none."""
        if self.kind != "submit" or self.form_type not in ("", form_type):
            raise StanzaError("bad-request", f"Expected a submitted form of type {form_type}.")

    def text(self, var: str, default: str = "") -> str:
        """The value of a field of one text; of a list-single, text-private or hidden one too."""
        field = self.get(var)
        if field is None:
            return default
        return field.values[0] if field.values else ""

    def lines(self, var: str, default: str = "") -> str:
        """The value of a text-multi field, its values as lines."""
        field = self.get(var)
        return default if field is None else "\n".join(field.values)

    def texts(self, var: str, default: Iterable[str] = ()) -> list[str]:
        """The values of a list-multi field, each once, without empty ones."""
        field = self.get(var)
        return list(dict.fromkeys(value for value in (default if field is None else field.values) if value))

    def choice(self, var: str, allowed: Container[str], default: str) -> str:
        """The value of a list-single field; raises StanzaError not-acceptable if it is none of those allowed."""
        value = self.text(var, default)
        if value not in allowed:
            raise _unacceptable(var)
        return value

    def boolean(self, var: str, default: bool = False) -> bool:
        """The value of a boolean field: true, 1, false or 0, and false if it is empty; raises StanzaError
        not-acceptable if it is another."""
        field = self.get(var)
        if field is None:
            return default
        value = _BOOLEANS.get(self.text(var).strip())
        if value is None:
            raise _unacceptable(var)
        return value

    def number(self, var: str, default: int, low: int, high: int) -> int:
        """The value of a field that is a decimal number; raises StanzaError not-acceptable unless low <= it <= high."""
        text = self.text(var, str(default)).strip()
        if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20 and low <= int(text) <= high):
            raise _unacceptable(var)
        return int(text)

    def jid(self, var: str, default: JID | None = None) -> JID | None:
        """The value of a jid-single field, None if it is empty; raises StanzaError jid-malformed."""
        if self.get(var) is None:
            return default
        text = self.text(var).strip()
        return _jid(text) if text else None

    def jids(self, var: str, default: Iterable[JID] = ()) -> list[JID]:
        """The values of a jid-multi field, each once (§3.3). Raises StanzaError jid-malformed."""
        field = self.get(var)
        if field is None:
            return list(default)
        return list(dict.fromkeys(_jid(text) for value in field.values if (text := value.strip())))


def _jid(text: str) -> JID:
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise StanzaError("jid-malformed") from error


def _unacceptable(var: str) -> StanzaError:
    return StanzaError("not-acceptable", f"The value of {var} is not acceptable.")


def _value(text: str) -> Element:
    return Element(ns.DATA, "value", {}, [text] if text else [])


def _parse_field(element: Element) -> Field:
    values, options = [], []
    for child in element:
        if child.ns == ns.DATA and child.name == "value":
            values.append(child.text)
        elif child.ns == ns.DATA and child.name == "option":
            options.append((child.child_text(ns.DATA, "value"), child.get("label")))
    kind = element.get("type")
    return Field(
        element.get("var"),
        tuple(values),
        cast(FieldKind, kind if kind in _FIELD_KINDS else "text-single"),  # §3.3
        element.get("label"),
        tuple(options),
        element.child(ns.DATA, "required") is not None,
        element.child_text(ns.DATA, "desc"),
    )
