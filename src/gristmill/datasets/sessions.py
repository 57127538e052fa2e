"""Connections to a version's table that stay open, so that the statements of its pages are planned once.

DuckDB plans a page's JSON for longer than it runs it. What is planned are statements without anybody's text: their
only values are whole numbers, a row number and a limit, which stand in the statement that runs it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import duckdb

_MOST_PREPARED = 16
# A statement is planned ahead when it comes again: many come only once.
_MOST_SEEN = 64


class Session:
    """One connection, for one thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._prepared: OrderedDict[str, str] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._number = 0

    def fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement, and return its rows. Raises duckdb.Error."""
        if not all(type(value) is int for value in values):
            return self.connection.execute(sql, values).fetchall()
        name = self._prepared.get(sql)
        if name is None:
            if sql not in self._seen:
                _add(self._seen, sql, None, _MOST_SEEN)
                return self.connection.execute(sql, values).fetchall()
            name = self._prepare(sql)
        self._prepared.move_to_end(sql)
        return self.connection.execute(f"EXECUTE {name}({', '.join(map(str, values))})").fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement without planning it ahead."""
        return self.connection.execute(sql, values)

    def interrupt(self) -> None:
        """Stop what runs, from another thread."""
        self.connection.interrupt()

    def close(self) -> None:
        """Let go of the table."""
        self.connection.close()

    def _prepare(self, sql: str) -> str:
        self._number += 1
        name = f"page_{self._number}"
        self.connection.execute(f"PREPARE {name} AS {sql}")
        old = _add(self._prepared, sql, name, _MOST_PREPARED)
        if old is not None:
            self.connection.execute(f"DEALLOCATE {old}")
        return name


def _add(kept: "OrderedDict[str, Any]", key: str, value: Any, most: int) -> Any:
    """Add to what is kept; return what has to go for it, or None."""
    kept[key] = value
    return kept.popitem(last=False)[1] if len(kept) > most else None
