"""Rows as JSON: how DuckDB hands a value of each type over, and what is written of it.

Python writes the JSON, not DuckDB: planning its functions for all columns takes as long as reading a page. A change of
what is written raises `mapping.WRITTEN_FORM`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import orjson

from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.mapping import LONG, PLAIN, double_of, json_of, json_text_of
from gristmill.words import not_finite

Shape = Literal["objects", "arrays"]
# A page ends where it has as much, however many rows were asked for.
PAGE_BYTES = 16 * 2**20
_Write = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are written: each as an object or an array; in one JSON array, or as a line of its own.

    most_bytes: no row begins beyond them.
    """

    shape: Shape = "objects"
    is_ndjson: bool = False
    most_bytes: int = PAGE_BYTES


AS_OBJECTS = Form()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as text: one JSON array, or NDJSON, a line a row.

    more: whether there are rows after these. cursor: of the last one, where there are more and the statement has one.
    """

    text: bytes
    count: int
    more: bool = False
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A column as it is fetched, and how its values are made ready. write: None where they are as they are fetched."""

    sql: str
    write: _Write | None = None


def cell_of(sql: str, type_text: str, *, is_plain: bool = False) -> Cell:
    """How a column is fetched and written as `mapping` says, for an expression of a type.

    is_plain: all values are known to be finite and within 2^53, and need not be looked at.
    """
    if type_text in PLAIN:
        return Cell(sql)
    if type_text in LONG:
        return Cell(sql, None if is_plain else _long)
    if type_text == "DOUBLE":
        return Cell(sql, None if is_plain else _double)
    if type_text == "FLOAT":
        return Cell(double_of(sql, type_text), _double)
    if nested := json_text_of(sql, type_text):
        return Cell(nested, _fragments)
    return Cell(json_of(sql, type_text))


class Writer:
    """Takes rows, some at a time, and writes them.

    count: how many it has written. size: in bytes, each row with what parts it from the next. is_full: whether it has
    left a row out, because there are as many bytes as there may be; it takes no more then.
    """

    def __init__(self, names: Sequence[str], form: Form) -> None:
        self._names = names
        self._form = form
        self._parts: list[bytes] = []
        self.count = 0
        self.size = 0
        self.is_full = False

    def fetched(self, found: Sequence[Sequence[Any]], cells: Sequence[Cell]) -> None:
        """Take rows as DuckDB hands them over, whose first columns are those of the cells."""
        if found and len(found[0]) == len(cells) and not any(cell.write for cell in cells):
            self.values(found)
        elif found:
            columns = zip(*found, strict=True)
            ready = [
                column if cell.write is None else cell.write(column)
                for cell, column in zip(cells, columns, strict=False)
            ]
            self.values(zip(*ready, strict=True))

    def values(self, found: Iterable[Sequence[Any]]) -> None:
        """Take rows whose values are ready."""
        rows: list[Any] = list(found)
        if not rows:
            return
        if self._form.shape == "objects":
            rows = list(map(dict, map(zip, repeat(self._names), rows)))  # a third of the time of a comprehension
        if not self._form.is_ndjson:
            text = orjson.dumps(rows)[1:-1]  # all at once takes a third of the time
            if self.size + len(text) < self._form.most_bytes:
                self._take(text, len(rows))
                return
        for row in rows:
            if self.size >= self._form.most_bytes:
                self.is_full = True
                return
            self._take(orjson.dumps(row), 1)

    def _take(self, text: bytes, count: int) -> None:
        self._parts.append(text)
        self.count += count
        self.size += len(text) + 1

    def rows(self, *, more: bool = False, cursor: str | None = None) -> Rows:
        """All that it has taken."""
        text = b"\n".join([*self._parts, b""]) if self._form.is_ndjson else b"[" + b",".join(self._parts) + b"]"
        return Rows(text, self.count, more, cursor)


def _long(values: Sequence[int | None]) -> Sequence[int | str | None]:
    return [value if value is None or -EXACT_IN_JSON <= value <= EXACT_IN_JSON else str(value) for value in values]


def _double(values: Sequence[float | None]) -> Sequence[float | str | None]:
    return [value if value is None or math.isfinite(value) else not_finite(value) for value in values]


def _fragments(texts: Sequence[str | None]) -> Sequence[orjson.Fragment | None]:
    return [None if text is None else orjson.Fragment(text) for text in texts]
