"""Typed pieces of SQL that filters are made of, with their values bound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from gristmill.datasets.cql import fault
from gristmill.datasets.mapping import double_of, microseconds

EXACT = frozenset(["integer", "decimal"])
NUMERIC = frozenset(["integer", "number", "decimal"])
INSTANT = frozenset(["date", "timestamp", "timestamptz"])
COPY_WEIGHT = 4  # of a text that is made of another
_MOST_SQL = 100_000  # characters; BETWEEN and IN repeat their first term, and may be nested
HOW = {
    "date": "DATE('2024-12-31')",
    "timestamp": "TIMESTAMP('2024-12-31T23:59:59Z')",
    "timestamptz": "TIMESTAMP('2024-12-31T23:59:59Z')",
    "text": "a text in single quotes",
    "boolean": "TRUE or FALSE",
    "time": "a text such as '23:59:59'",
    "uuid": "a text such as '123e4567-e89b-12d3-a456-426614174000'",
}


class FilterColumn(Protocol):
    """What a filter needs to know of a column."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL text with a `?` for each of the values, in their order."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """A typed piece of SQL.

    literal: what was written, where the piece is nothing else. is_of_rows: whether a column stands in it.
    made_of: the text that was written, where the piece is nothing else or functions of it that keep wildcards.
    weight: how much work the texts of a row are; one of weight 1 goes through 100 MB in half a second, and keeps none.
    text_bytes: of a text, as a column has them. copied_bytes: of what is made of such a block's texts, all of which
    DuckDB keeps until it is through with the block.
    """

    sql: str
    kind: str
    values: tuple[Any, ...] = ()
    literal: Decimal | str | date | None = None
    column: FilterColumn | None = None
    is_of_rows: bool = False
    made_of: str | None = None
    weight: int = 0
    text_bytes: int = 0
    copied_bytes: int = 0

    def called(self) -> str:
        """The piece in the words of an error."""
        if self.column is not None:
            return f"column {self.column.name!r} ({self.kind})"
        if self.literal is not None:
            return f"{str(self.literal)[:40]!r} ({self.kind})"
        return f"an expression ({self.kind})"


def joined(template: str, kind: str, terms: Sequence[Term], weight: int = 0) -> Term:
    """A piece made of others: SQL with a `{}` for each. Raises InvalidFilterError where it gets too long.

    weight: what it adds to theirs, where a column stands in one; a text is made of theirs once for each COPY_WEIGHT.
    """
    if sum(len(term.sql) for term in terms) > _MOST_SQL:
        raise fault("It repeats long terms too often: shorten it.")
    values = tuple(value for term in terms for value in term.values)
    is_of_rows = any(term.is_of_rows for term in terms)
    text_bytes = sum(term.text_bytes for term in terms) if kind == "text" else 0
    return Term(
        template.format(*(term.sql for term in terms)),
        kind,
        values,
        is_of_rows=is_of_rows,
        weight=sum(term.weight for term in terms) + (weight if is_of_rows else 0),
        text_bytes=text_bytes,
        copied_bytes=sum(term.copied_bytes for term in terms) + text_bytes * (weight // COPY_WEIGHT),
    )


def cast(term: Term, type_text: str) -> Term:
    """The piece as one of DuckDB's types; its kind stays. A FLOAT is the double that rows show."""
    if type_text == "DOUBLE" and isinstance(term.literal, Decimal):
        return Term("CAST(? AS DOUBLE)", "number", (float(term.literal),))
    if type_text == "DOUBLE" and term.kind == "number":
        is_float = term.column is not None and term.column.type == "FLOAT"
        return joined(double_of("{}", "FLOAT"), "number", [term]) if is_float else term
    return joined(f"CAST({{}} AS {type_text})", term.kind, [term])


def in_utc(term: Term) -> Term:
    """A time with a zone as the time without one that it is in UTC; anything else as it is."""
    return joined("timezone('UTC', {})", "timestamp", [term]) if term.kind == "timestamptz" else term


def in_microseconds(term: Term, *, up: bool = False) -> Term:
    """A column without its nanoseconds. up: as the microsecond after them, where there are some."""
    if term.column is None:
        return term
    return replace(term, sql=microseconds(term.sql, term.column.type, up=up))


def written_number(value: Decimal) -> Term:
    """A number that was written."""
    whole = value == value.to_integral_value() if value.adjusted() < 27 else False
    if whole:
        return Term("?", "integer", (int(value),), value)
    return Term("CAST(? AS DOUBLE)", "number", (float(value),), value)


def decimal_digits(column: FilterColumn) -> tuple[int, int]:
    """How many digits a decimal has, and how many of them after its point."""
    digits, scale = column.type[len("DECIMAL(") : -1].split(",")
    return int(digits), int(scale)


def is_whole(term: Term) -> bool:
    """Whether it has whole numbers alone."""
    return term.kind == "integer" or (
        term.kind == "decimal" and term.column is not None and not decimal_digits(term.column)[1]
    )


def as_whole(term: Term) -> Term:
    """The whole numbers of a piece, with room for 38 digits."""
    return joined("CAST({} AS HUGEINT)", "integer", [term])
