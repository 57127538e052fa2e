"""One column of a stored version: what every other part of the data sets needs to know about it."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

Kind = Literal[
    "boolean",
    "integer",
    "number",
    "decimal",
    "text",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "binary",
    "uuid",
    "nested",
]

_KINDS: dict[str, Kind] = {
    "BOOLEAN": "boolean",
    "TINYINT": "integer",
    "SMALLINT": "integer",
    "INTEGER": "integer",
    "BIGINT": "integer",
    "UTINYINT": "integer",
    "USMALLINT": "integer",
    "UINTEGER": "integer",
    "UBIGINT": "integer",
    "FLOAT": "number",
    "DOUBLE": "number",
    "VARCHAR": "text",
    "JSON": "text",
    "DATE": "date",
    "TIME": "time",
    "TIME_NS": "time",
    "TIME WITH TIME ZONE": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "INTERVAL": "interval",
    "BLOB": "binary",
    "UUID": "uuid",
}
ROWS_AT_ONCE = 2048
"""DuckDB's standard vector size: all of its row groups have a multiple of it."""
MOST_DECIMAL_DIGITS = 38
_NESTED_STARTS = ("STRUCT(", "MAP(", "UNION(")


def kind_of(type_text: str) -> Kind | None:
    """The kind of a DuckDB type, or None for a type that no data set has (such as HUGEINT, ENUM or VARIANT)."""
    if type_text.endswith("]") or type_text.startswith(_NESTED_STARTS):
        return "nested"
    if type_text.startswith("ENUM("):
        return None
    if type_text.startswith("DECIMAL("):
        return "decimal"
    return _KINDS.get(type_text)


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its facts.

    type: DuckDB's name of the type as the stored Parquet has it, such as ``DECIMAL(18,3)`` or ``INTEGER[]``.
    minimum, maximum: as JSON values; numbers beyond 2^53, decimals, dates and times as strings, NaN and infinities
    as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``; None where there is no value, or no order (nested, binary).
    text_bytes: the most that one of DuckDB's blocks of ``ROWS_AT_ONCE`` rows has of texts; 0 where
    that is little, or not known.
    """

    name: str
    type: str
    nulls: int
    minimum: Any
    maximum: Any
    text_bytes: int = 0

    @property
    def kind(self) -> Kind:
        """What sort of values the column has. Raises ValueError for a type that no data set has."""
        kind = kind_of(self.type)
        if kind is None:
            raise ValueError(f"no data set has columns of type {self.type}")
        return kind


@runtime_checkable
class WithEnds(Protocol):
    """A column whose lowest and highest value may be known, as JSON values."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def minimum(self) -> Any: ...  # noqa: D102
    @property
    def maximum(self) -> Any: ...  # noqa: D102
