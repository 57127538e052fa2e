"""Connections to a version's table that stay open, so that the statements of its pages are planned once.

DuckDB plans a page of many columns for about as long as it runs it. It runs a planned statement only with values that
stand in its text: whole and finite numbers, and texts of letters, digits and few signs, none of which can end a text.
Statements with other values are planned each time, with the values bound.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb

_MOST_PREPARED = 32
# A statement is planned ahead when it comes again: many come only once.
_MOST_SEEN = 128
_HARMLESS = re.compile(r"[\w .:+=-]{0,200}")


class Session:
    """One connection, for one thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._prepared: OrderedDict[str, str] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._number = 0

    def run(self, sql: str, values: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        """Run a statement; the connection has its rows. Raises duckdb.Error."""
        literals = [_literal(value) for value in values]
        name = None if None in literals else self._plan(sql)
        if name:
            try:
                return self.connection.execute(f"EXECUTE {name}({', '.join(map(str, literals))})")
            except duckdb.ProgrammingError:  # what takes only constants says so when it is run
                self._forget(sql)
        return self.connection.execute(sql, values)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement without planning it ahead."""
        return self.connection.execute(sql, values)

    def interrupt(self) -> None:
        """Stop what runs, from another thread."""
        self.connection.interrupt()

    def close(self) -> None:
        """Let go of the table."""
        self.connection.close()

    def _plan(self, sql: str) -> str:
        """The name of the plan; empty for a statement that is new, or that only runs with its values bound."""
        name = self._prepared.get(sql)
        if name is None:
            if sql not in self._seen:
                _add(self._seen, sql, None, _MOST_SEEN)
                return ""
            name = self._prepare(sql)
        self._prepared.move_to_end(sql)
        return name

    def _prepare(self, sql: str) -> str:
        self._number += 1
        name = f"page_{self._number}"
        try:
            self.connection.execute(f"PREPARE {name} AS {sql}")
        except duckdb.ProgrammingError:
            name = ""
        old = _add(self._prepared, sql, name, _MOST_PREPARED)
        if old:
            self.connection.execute(f"DEALLOCATE {old}")
        return name

    def _forget(self, sql: str) -> None:
        self.connection.execute(f"DEALLOCATE {self._prepared[sql]}")
        self._prepared[sql] = ""


def _literal(value: Any) -> str | None:
    """A value as SQL, of the type that it has when it is bound; None for one that has to be bound."""
    match value:
        case bool():
            return None
        case int() | Decimal():
            return f"{value:f}" if isinstance(value, Decimal) else str(value)
        case float() if math.isfinite(value):
            text = repr(value)
            return text if "e" in text else f"{text}e0"
        case str() if _HARMLESS.fullmatch(value):
            return f"'{value}'"
    return None


def _add(kept: "OrderedDict[str, Any]", key: str, value: Any, most: int) -> Any:
    """Add to what is kept; return what has to go for it, or None."""
    kept[key] = value
    return kept.popitem(last=False)[1] if len(kept) > most else None
