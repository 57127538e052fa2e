"""Rows as JSON: how DuckDB hands a value of each type over, and what is written of it.

Python writes the JSON, not DuckDB: planning its functions for all columns takes as long as reading a page.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gristmill.datasets.mapping import EXACT_IN_JSON, LONG, PLAIN, json_of, json_text_of

Shape = Literal["objects", "arrays"]
_Write = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as JSON texts, one each.

    more: whether there are rows after these. cursor: of the last one, where there are more and the statement has one.
    """

    texts: list[bytes]
    more: bool = False
    cursor: str | None = None

    def json(self) -> bytes:
        """One JSON array."""
        return b"[" + b",".join(self.texts) + b"]"

    def ndjson(self) -> bytes:
        """A line a row."""
        return b"".join(b"%b\n" % text for text in self.texts)


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
        # As the double that is written with the same digits: 0.1, not 0.10000000149011612.
        return Cell(f"CAST(CAST({sql} AS VARCHAR) AS DOUBLE)", _double)
    if nested := json_text_of(sql, type_text):
        return Cell(nested, _fragments)
    return Cell(json_of(sql, type_text))


def texts_of(
    found: Sequence[Sequence[Any]], cells: Sequence[Cell], names: Sequence[str], order: Sequence[int], shape: Shape
) -> list[bytes]:
    """The JSON texts of fetched rows, whose first columns are those of the cells.

    order: the places of the columns to write; empty for all as they are.
    """
    if not found:
        return []
    columns = list(zip(*found, strict=True))
    places = order or range(len(cells))
    shown = [columns[place] if (write := cells[place].write) is None else write(columns[place]) for place in places]
    return texts_of_values(zip(*shown, strict=True), [names[place] for place in places], shape)


def texts_of_values(found: Iterable[Sequence[Any]], names: Sequence[str], shape: Shape) -> list[bytes]:
    """The JSON texts of rows of values that are ready."""
    if shape == "arrays":
        return [orjson.dumps(row) for row in found]
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in found]


def _long(values: Sequence[int | None]) -> Sequence[int | str | None]:
    return [value if value is None or -EXACT_IN_JSON <= value <= EXACT_IN_JSON else str(value) for value in values]


def _double(values: Sequence[float | None]) -> Sequence[float | str | None]:
    return [value if value is None or math.isfinite(value) else _named(value) for value in values]


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _fragments(texts: Sequence[str | None]) -> Sequence[orjson.Fragment | None]:
    return [None if text is None else orjson.Fragment(text) for text in texts]
