"""Statements: built once with SQLAlchemy, compiled once for each database, run by the driver itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement

_SQLITE: Final = sqlite.dialect(paramstyle="qmark")
_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


class Compiled:
    """The text for one database, and the order in which it wants its values."""

    __slots__ = ("_constants", "_names", "_row", "_rows", "sql")

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(getattr(compiled, "positiontup", None) or ())
        given = {bind.key for bind in getattr(compiled, "binds", {}).values() if bind.required}
        self._constants = {name: value for name, value in compiled.params.items() if name not in given}
        row = re.search(r" VALUES (\([?, ]+\))", self.sql)
        self._row = row.group(1) if row is not None and row.group(1).count("?") == self.sql.count("?") else ""
        self._rows: dict[int, str] = {}

    def rows(self, count: int) -> str:
        """The same for so many rows at once; empty if it is no plain insert of one."""
        sql = self._rows.get(count)
        if sql is None:
            sql = self._row and self.sql.replace(self._row, ", ".join([self._row] * count), 1)
            self._rows[count] = sql
        return sql

    def arguments(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """The values in order. Raises KeyError if one is missing."""
        if self._constants:
            values = {**self._constants, **values}
        return tuple([values[name] for name in self._names])


class Statement:
    """A statement whose parameters are `bindparam`s, with values of the types that both drivers know as they are.

    These are str, int, bytes, bool and None.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self.writes: bool = bool(getattr(clause, "is_dml", False))

    @cached_property
    def sqlite(self) -> Compiled:
        return Compiled(self._clause, _SQLITE)

    @cached_property
    def postgresql(self) -> Compiled:
        return Compiled(self._clause, _POSTGRESQL)
