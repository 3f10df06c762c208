"""From tables to structs, with every mistake reported by key and by what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Mistake:
    """`key` is the path of an option as it would be written before `=`, empty for the file as a whole."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigError(ValueError):
    """The configuration is not used; the text has a line for each mistake."""

    def __init__(self, file: str, mistakes: Iterable[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{file}: {mistake}" for mistake in self.mistakes))


class OptionError(ValueError):
    """Raised by a struct's `__post_init__`: what is wrong with its option `key` beyond what types can say."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def read(kind: type[S], table: object, path: str, mistakes: list[Mistake]) -> S:
    """A struct from a table. What is missing or mistaken has its default; mistakes are added to `mistakes`."""
    if not isinstance(table, dict):
        mistakes.append(Mistake(path, f"expected a section, got {got(table)}"))
        return kind()
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = join(path, key)
        if key not in fields:
            mistakes.append(Mistake(where, unknown("option", key, fields)))
            continue
        converted = _convert(fields[key].type, value, where, mistakes)
        if converted is not msgspec.UNSET:
            values[fields[key].name] = converted
    return _make(kind, values, path, mistakes)


def _make(kind: type[S], values: dict[str, Any], path: str, mistakes: list[Mistake]) -> S:
    try:
        return kind(**values)
    except OptionError as error:
        mistakes.append(Mistake(join(path, error.key), str(error)))
        return _make(kind, {key: value for key, value in values.items() if key != error.key}, path, mistakes)
    except ValueError as error:
        mistakes.append(Mistake(path, str(error)))
        return kind()


def _convert(type_: Any, value: object, where: str, mistakes: list[Mistake]) -> Any:
    if struct := struct_of(type_):
        return read(struct, value, where, mistakes)
    if get_origin(type_) is dict and isinstance(value, dict) and (struct := struct_of(get_args(type_)[1])):
        return {key: read(struct, item, join(where, key), mistakes) for key, item in value.items()}
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        mistakes.append(Mistake(where, f"expected {expected(type_)}, got {got(value)}"))
        return msgspec.UNSET


def struct_of(type_: Any) -> type[msgspec.Struct] | None:
    """The type itself, if it is a struct's: a section of its own."""
    if get_origin(type_) is Annotated:
        type_ = get_args(type_)[0]
    return type_ if isinstance(type_, type) and issubclass(type_, msgspec.Struct) else None


def join(path: str, key: str) -> str:
    """The path of a key below a path, quoted where TOML wants it."""
    if not (key and key.isascii() and key.replace("-", "").replace("_", "").isalnum()):
        key = f'"{key}"'
    return f"{path}.{key}" if path else key


def unknown(what: str, key: str, known: Iterable[str]) -> str:
    """What is said of a name that there is not."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        return f"unknown {what}, did you mean {near[0]}?"
    return f"unknown {what}, expected one of: {', '.join(names)}" if names else f"unknown {what}: there are none here"


def got(value: object) -> str:
    """A value of the file as people name it."""
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:40]}"'
    return str(value)


def expected(type_: Any) -> str:
    """A type as people name it: `a whole number from 1 to 10`."""
    if get_origin(type_) is Literal:  # in the order of the code, which msgspec does not keep
        return " or ".join(f'"{value}"' for value in get_args(type_))
    return _expected(msgspec.inspect.type_info(type_))


def _expected(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.Metadata(type=inner):
            return _expected(inner)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"a whole number{_range(low, high)}"
        case msgspec.inspect.FloatType(ge=low, le=high):
            return f"a number{_range(low, high)}"
        case msgspec.inspect.StrType(pattern=pattern):
            return f"text that matches {pattern}" if pattern else "text"
        case msgspec.inspect.ListType(item_type=item) | msgspec.inspect.VarTupleType(item_type=item):
            return f"a list, each of it {_expected(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"a section, each value of it {_expected(value)}"
        case msgspec.inspect.StructType():
            return "a section"
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f", {low} or more"
    return f", {high} or less" if high is not None else ""
