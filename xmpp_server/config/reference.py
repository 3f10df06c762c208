"""Every option as a list: for the example file, the documentation and `explain config`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from xmpp_server.module import Module
from xmpp_server.port import Component

from .changes import needs_restart
from .options import Host, Options, Outside
from .reader import expected, join, struct_of

EXAMPLE_DOMAIN = "chat.example"


@dataclass(frozen=True, slots=True)
class Option:
    """`key` within its section; `restart`: a change waits for the next start."""

    key: str
    expected: str
    default: Any
    text: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the file: its path as it stands between brackets, and what it is for."""

    path: str
    text: str
    options: tuple[Option, ...]


def sections(known: Mapping[str, type[Module]], components: Mapping[str, type[Component]]) -> Iterator[Section]:
    """All sections with all options, modules and components by name at the end. `Options` itself has none and is left
    out."""
    yield from _sections(Options, "", restart=False)
    yield from _sections(Outside, join("outside", f"irc.{EXAMPLE_DOMAIN}"), restart=False)
    yield from _sections(Host, join("hosts", EXAMPLE_DOMAIN), restart=False)
    for name in sorted(known):
        yield _feature("modules", known[name])
    for name in sorted(components):
        yield _feature("components", components[name])


def _sections(kind: type[msgspec.Struct], path: str, *, restart: bool) -> Iterator[Section]:
    fields = [field for field in msgspec.structs.fields(kind) if not _is_table(field.type)]
    nested = [field for field in fields if struct_of(field.type)]
    if path:
        options = tuple(_option(kind, field, restart=restart) for field in fields if field not in nested)
        yield Section(path, inspect.cleandoc(kind.__doc__ or ""), options)
    for field in nested:
        struct = struct_of(field.type)
        assert struct is not None
        yield from _sections(struct, join(path, field.encode_name), restart=restart or needs_restart(field))


def _is_table(type_: Any) -> bool:
    """Whether it is a section with free names, of hosts or modules."""
    return isinstance(msgspec.inspect.type_info(type_), msgspec.inspect.DictType)


def _feature(kind: str, feature: type[Module] | type[Component]) -> Section:
    options = [_option(feature.Options, field, restart=False) for field in msgspec.structs.fields(feature.Options)]
    if feature.optional:
        text = f"Whether the {kind.removesuffix('s')} is in use."
        options.insert(0, Option("enabled", expected(bool), True, text, restart=False))
    summary = inspect.cleandoc(inspect.getmodule(feature).__doc__ or "").partition("\n\n")[0]
    return Section(join(kind, feature.name), summary, tuple(options))


def _option(kind: type[msgspec.Struct], field: msgspec.structs.FieldInfo, *, restart: bool) -> Option:
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    text = _texts(kind).get(field.name, "")
    return Option(field.encode_name, expected(field.type), default, text, restart or needs_restart(field))


def _texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below the fields of a struct and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base is msgspec.Struct or not issubclass(base, msgspec.Struct):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(documentation))),
                ):
                    texts[name] = " ".join(documentation.split())
    return texts
