"""What is run over one table: a statement with its values, and a page as a statement of its rows or of their numbers.

Nothing is run here. Order: a missing value is last in both directions, NaN is above infinity, and rows that tie keep
the table's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gristmill.datasets import cursors
from gristmill.datasets.columns import MOST_DECIMAL_DIGITS, Column, WithEnds
from gristmill.datasets.cursors import Cursor
from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.mapping import double_of, quoted
from gristmill.datasets.terms import EXACT, NUMERIC, Condition, FilterColumn

_BIGINT_DIGITS = 18
_WITHIN_BIGINT = 10**_BIGINT_DIGITS
_LARGE = 2  # times the differences: of less, the lowest is near zero, or on its other side
_NO_END = frozenset([None, "NaN", "Infinity", "-Infinity"])


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its values, and the names and DuckDB's types of what it gives.

    hidden: how many columns after the named ones only serve the cursor: the row number, then the sort values.
    check: what the cursor after the last row is tied to.
    limit: how many rows are wanted; one more is asked for, and tells whether there are more.
    plain: of each named column, whether its numbers are known to be plain ones in JSON; empty where none are.
    """

    sql: str
    values: tuple[Any, ...]
    names: tuple[str, ...]
    types: tuple[str, ...]
    hidden: int = 0
    check: str = ""
    limit: int | None = None
    plain: tuple[bool, ...] = ()

    def cursor_after(self, row: Sequence[Any]) -> str:
        """The cursor after a row of the result."""
        number, *values = row[len(self.names) :]
        return cursors.encode(Cursor(number, tuple(values)), self.check)


@dataclass(frozen=True, slots=True)
class Key:
    """One column that rows are sorted by."""

    column: FilterColumn
    descending: bool


@dataclass(frozen=True, slots=True)
class Page:
    """At most ``limit`` rows after the cursor's.

    table, row: the table as SQL, and the name of its row number there. columns: all of the table's.
    asked: those wanted, in their order. check: what its cursors are tied to.
    """

    table: str
    row: str
    columns: Sequence[FilterColumn]
    asked: Sequence[FilterColumn]
    keys: tuple[Key, ...]
    condition: Condition | None
    after: Cursor | None
    limit: int
    check: str

    @property
    def span(self) -> range | None:
        """The numbers of its rows and of the one behind them, where these follow each other; else None."""
        if self.keys or self.condition:
            return None
        # Rows' numbers have no gaps.
        first = self.after.row + 1 if self.after else 0
        return range(first, first + self.limit + 1)

    @property
    def has_nested(self) -> bool:
        """Whether a column that is asked for has nested values."""
        return any(column.kind == "nested" for column in self.asked)

    def statement(self) -> Statement:
        """Its rows.

        Nested values are sorted, which copies them: DuckDB writes JSON of all that is read with them, if only a row is
        asked for.
        """
        names = tuple(column.name for column in self.asked)
        select = ", ".join([*map(quoted, names), self.row, *map(_carried, self.keys)])
        if not self.keys:
            where, values = self._in_table_order()
            sql = f"SELECT {select} FROM {self.table}{where}"
            if self.has_nested and self.span:
                sql += f" ORDER BY {self.row}"
            elif self.has_nested:
                numbers = f"SELECT {self.row} FROM {self.table}{where}"
                sql = f"SELECT {select} FROM {self.table} WHERE {self.row} IN ({numbers}) ORDER BY {self.row}"
        else:
            # The sort reads only its keys; the rest is read for the rows of the page alone.
            inner, values = self._sorted()
            numbers = f"SELECT {self.row} FROM ({inner})"
            by = order_of(self.row, self.keys)
            sql = f"SELECT {select} FROM {self.table} WHERE {self.row} IN ({numbers}) ORDER BY {by}"
        types, plain = tuple(column.type for column in self.asked), tuple(map(is_plain, self.asked))
        return Statement(sql, values, names, types, 1 + len(self.keys), self.check, self.limit, plain)

    def numbers(self) -> Statement:
        """The numbers of its rows, and the sort values for the cursor; no named column."""
        if self.keys:
            # The texts of sort values are made for the rows of the page alone.
            inner, values = self._sorted()
            select = ", ".join([self.row, *map(_carried, self.keys)])
            sql = f"SELECT {select} FROM ({inner}) ORDER BY {order_of(self.row, self.keys)}"
        else:
            where, values = self._in_table_order()
            sql = f"SELECT {self.row} FROM {self.table}{where}"
        return Statement(sql, values, (), (), 1 + len(self.keys), self.check, self.limit)

    def _in_table_order(self) -> tuple[str, tuple[Any, ...]]:
        """What follows the table's name where there is no sort, and its values."""
        if self.span:
            # A LIMIT would have every thread read further than the page.
            return where_of([Condition(f"{self.row} >= ? AND {self.row} < ?", (self.span.start, self.span.stop))])
        conditions = [self.condition] if self.condition else []
        if self.after:
            conditions.append(Condition(f"{self.row} > ?", (self.after.row,)))
        where, values = where_of(conditions)
        return f"{where} LIMIT ?", (*values, self.limit + 1)

    def _sorted(self) -> tuple[str, tuple[Any, ...]]:
        """The numbers and the sort columns of its rows, and the values of this statement."""
        by = order_of(self.row, self.keys)
        selected = ", ".join([self.row, *(quoted(key.column.name) for key in self.keys)])
        ways = _ways_on(self.table, self.row, self.keys, self.after) if self.after else [None]
        parts, values = [], []
        for way in ways:
            where, its = where_of([one for one in (self.condition, way) if one])
            parts.append(f"SELECT {selected} FROM {self.table}{where} ORDER BY {by} LIMIT ?")
            values += [*its, self.limit + 1]
        if len(parts) == 1:
            return parts[0], tuple(values)
        united = " UNION ALL ".join(f"({part})" for part in parts)
        return f"SELECT {selected} FROM ({united}) ORDER BY {by} LIMIT ?", (*values, self.limit + 1)


def where_of(conditions: Sequence[Condition]) -> tuple[str, tuple[Any, ...]]:
    """A WHERE clause, with a space before it, and its values; empty where there is no condition."""
    values = tuple(value for each in conditions for value in each.values)
    return (" WHERE " + " AND ".join(each.sql for each in conditions) if conditions else ""), values


def order_of(row: str, keys: Sequence[Key]) -> str:
    """What stands after ORDER BY."""
    parts = [f"{quoted(key.column.name)} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in keys]
    return ", ".join([*parts, row])


def is_plain(column: FilterColumn) -> bool:
    """Whether the ends of a column say that none of its numbers is a string in JSON (NaN is above infinity)."""
    if not isinstance(column, Column):
        return False
    return all(isinstance(end, int | float) for end in (column.minimum, column.maximum))


def from_lowest(column: FilterColumn) -> str:
    """The column, for what depends on its values' differences alone: DuckDB reckons that in doubles.

    Where the values are large beside their differences, or larger than doubles hold, it is how far each is above the
    lowest one, which is known and is taken off exactly: deviations of times in microseconds would else be wrong.
    """
    sql = double_of(quoted(column.name), column.type)
    if column.kind not in NUMERIC or not isinstance(column, WithEnds) or {column.minimum, column.maximum} & _NO_END:
        return sql
    low, high = Decimal(column.minimum), Decimal(column.maximum)
    largest = max(abs(low), abs(high))
    scale = int(column.type.rstrip(")").partition(",")[2] or 0) if column.kind in EXACT else 0
    is_held = column.kind == "number" or largest.scaleb(scale) <= EXACT_IN_JSON
    if is_held and largest <= (high - low) * _LARGE:
        return sql
    if column.kind == "number":
        return f"({sql} - CAST('{column.minimum!r}' AS DOUBLE))"
    if (high - low).scaleb(scale).adjusted() >= MOST_DECIMAL_DIGITS:
        return sql
    is_short = scale <= _BIGINT_DIGITS and largest.scaleb(scale) < _WITHIN_BIGINT
    if column.kind == "integer":
        exact = "BIGINT" if is_short else "HUGEINT"
    else:
        exact = f"DECIMAL({_BIGINT_DIGITS if is_short else MOST_DECIMAL_DIGITS},{scale})"
    return f"CAST(CAST({sql} AS {exact}) - CAST('{column.minimum}' AS {exact}) AS DOUBLE)"


def _carried(key: Key) -> str:
    """The sort value as the cursor carries it: `=` and its text, or nothing for one that is too long."""
    column = quoted(key.column.name)
    # Text in a local zone loses the seconds that offsets had before 1900.
    value = f"timezone('UTC', {column})" if key.column.kind == "timestamptz" else column
    text = f"CAST({value} AS VARCHAR)"
    if key.column.kind in {"text", "binary"}:
        short = f"length({text}) <= {cursors.LONGEST_TEXT}"
        return f"CASE WHEN {short} THEN '=' || {text} WHEN {text} IS NOT NULL THEN '' END"
    return f"'=' || {text}"


def _bound(key: Key) -> str:
    """The carried text, bound, as a value of the column's type."""
    if key.column.kind == "timestamptz":
        return "timezone('UTC', CAST(? AS TIMESTAMP))"
    return f"CAST(? AS {key.column.type})"


def _ways_on(table: str, row: str, keys: Sequence[Key], cursor: Cursor) -> list[Condition]:
    """The rows after the cursor's, as sets that have none in common: by the first key tied, beyond, and without value.

    Each of them is one comparison for most rows: all in one condition take DuckDB several times as long.
    """
    ways = [Condition(f"{row} > ?", (cursor.row,))]
    for key, carried in reversed(list(zip(keys, cursor.values, strict=True))):
        values = tuple(value for way in ways for value in way.values)
        tied = Condition(f"({' OR '.join(way.sql for way in ways)})", values)
        column = quoted(key.column.name)
        if carried is None:
            ways = [Condition(f"({column} IS NULL AND {tied.sql})", tied.values)]
            continue
        bound = carried[1:] if carried else cursor.row
        value = _bound(key) if carried else f"(SELECT {column} FROM {table} WHERE {row} = ?)"
        ways = [
            Condition(f"({column} = {value} AND {tied.sql})", (bound, *tied.values)),
            Condition(f"{column} {'<' if key.descending else '>'} {value}", (bound,)),
            Condition(f"{column} IS NULL"),
        ]
    return ways
