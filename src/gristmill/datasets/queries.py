"""Statements over one table: a page of rows, groups with metrics, and whole exports. Nothing is run here.

Order: a missing value is last in both directions, NaN is above infinity, and rows that tie keep the table's order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gristmill.datasets import cursors
from gristmill.datasets.columns import Column
from gristmill.datasets.cursors import Cursor
from gristmill.datasets.filters import (
    NUMERIC,
    Condition,
    FilterColumn,
    column_called,
    condition,
    unknown_column,
)
from gristmill.datasets.mapping import quoted
from gristmill.errors import Fault, InvalidRequestError

MOST_SORT_KEYS = 8
MOST_METRICS = 64
_NAME = r'(?:"(?:[^"]|"")*"|[^",()]+)'
_LIST = re.compile(rf"\s*([-+]?)\s*({_NAME})\s*(?:,|$)")
_METRIC = re.compile(rf"\s*([A-Za-z_]+[0-9]*)\s*\(\s*({_NAME})?\s*(?:,\s*([0-9.]+)\s*)?\)\s*(?:,|$)")
_FORMS = {_LIST: "column, column, ...", _METRIC: "count(), mean(column), ..."}
_UNORDERED = frozenset(["nested"])
_ROW = "rowid"
_HIDDEN_ROW = quoted("row\t")  # no column's name holds a tab
_METRICS = {
    "count": "count({})",
    "count_distinct": "count(DISTINCT {})",
    "sum": "sum({})",
    "mean": "avg({})",
    "min": "min({})",
    "max": "max({})",
    "median": "median({})",
    "stddev": "stddev_samp({})",
    "variance": "var_samp({})",
    "quantile": "quantile_cont({}, ?)",
}
_OF_NUMBERS = frozenset(["sum", "mean", "median", "stddev", "variance", "quantile"])


@dataclass(frozen=True, slots=True)
class Key:
    """One column that rows are sorted by."""

    column: FilterColumn
    descending: bool


@dataclass(frozen=True, slots=True)
class Metric:
    """A number to compute for each group.

    name: as it is called in the result. column: None for the rows themselves. type: DuckDB's, of the number.
    """

    name: str
    function: str
    column: FilterColumn | None
    sql: str
    type: str
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its values, and the names and DuckDB's types of what it gives.

    hidden: how many columns after the named ones only serve the cursor: the row number, then the sort values.
    check: what the cursor after the last row is tied to.
    limit: how many rows are wanted; one more is asked for, and tells whether there are more.
    plain: of each named column, whether its numbers are known to be plain ones in JSON; empty where none are.
    order: the named columns' places in the order that was asked for; empty where it is that of the names.
    """

    sql: str
    values: tuple[Any, ...]
    names: tuple[str, ...]
    types: tuple[str, ...]
    hidden: int = 0
    check: str = ""
    limit: int | None = None
    plain: tuple[bool, ...] = ()
    order: tuple[int, ...] = ()

    def cursor_after(self, row: Sequence[Any]) -> str:
        """The cursor after a row of the result."""
        number, *values = row[len(self.names) :]
        return cursors.encode(Cursor(number, tuple(values)), self.check)


@dataclass(frozen=True, slots=True)
class Table:
    """An attached version.

    sql: the table's name as SQL. version: its identifier. columns: its columns in their order.
    """

    sql: str
    version: str
    columns: Sequence[FilterColumn]

    def page(
        self, *, properties: str = "", filter_text: str = "", sortby: str = "", limit: int, cursor: str = ""
    ) -> Statement:
        """At most `limit` rows after the cursor's. Raises InvalidRequestError."""
        asked, keys = self.chosen(properties), self.keys(sortby)
        # In the table's order, whatever is asked for: a statement that is the same is planned only once.
        wanted = {column.name for column in asked}
        shown = [column for column in self.columns if column.name in wanted]
        places = {column.name: place for place, column in enumerate(shown)}
        check = cursors.check_of(self.version, [f"{'-' if key.descending else '+'}{key.column.name}" for key in keys])
        conditions = [condition(filter_text, self.columns)] if filter_text else []
        table, row = self._numbered()
        after = cursors.decode(cursor, check, len(keys)) if cursor else None
        if not keys and not filter_text:
            # The rows' numbers have no gaps; a LIMIT alone has every thread read further than a page.
            first = after.row if after else -1
            conditions.append(Condition(f"{row} > ? AND {row} <= ?", (first, first + limit + 1)))
        elif after:
            conditions.append(_after(table, row, keys, after))
        where, values = _where(conditions)
        names = tuple(column.name for column in shown)
        select = ", ".join([*map(quoted, names), row, *(_carried(key) for key in keys)])
        if not keys:
            sql = f"SELECT {select} FROM {table}{where} LIMIT ?"
        else:
            # The sort reads only its keys; the rest is read for the rows of the page alone.
            by = _order(row, keys)
            inner = f"SELECT {row} FROM {table}{where} ORDER BY {by} LIMIT ?"
            sql = f"SELECT {select} FROM {table} WHERE {row} IN ({inner}) ORDER BY {by}"
        types = tuple(column.type for column in shown)
        plain = tuple(map(_is_plain, shown))
        order = tuple(places[column.name] for column in asked)
        return Statement(sql, (*values, limit + 1), names, types, 1 + len(keys), check, limit, plain, order)

    def export(self, *, properties: str = "", filter_text: str = "", sortby: str = "") -> Statement:
        """Every row."""
        shown, keys = self.chosen(properties), self.keys(sortby)
        names, types = tuple(column.name for column in shown), tuple(column.type for column in shown)
        where, values = _where([condition(filter_text, self.columns)] if filter_text else [])
        table, row = self._numbered()
        order = f" ORDER BY {_order(row, keys)}" if keys else ""
        sql = f"SELECT {', '.join(map(quoted, names))} FROM {table}{where}{order}"
        return Statement(sql, values, names, types)

    def aggregate(self, *, groupby: str = "", metrics: str = "count()", filter_text: str = "", limit: int) -> Statement:
        """One row a group, in the order of the groups. Raises InvalidRequestError."""
        by = self._named(groupby, "groupby", _UNORDERED) if groupby else []
        groups = [quoted(column.name) for column in by]
        found = self.metrics(metrics)
        names = [*(column.name for column in by), *(metric.name for metric in found)]
        types = (*(column.type for column in by), *(metric.type for metric in found))
        selected = [*groups, *(metric.sql for metric in found)]
        selected_values = [value for metric in found for value in metric.values]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise _fault("metrics", f"{repeated!r} is asked for twice.")
        where, where_values = _where([condition(filter_text, self.columns)] if filter_text else [])
        columns = ", ".join(f"{sql} AS {quoted(name)}" for sql, name in zip(selected, names, strict=True))
        grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
        order = f" ORDER BY {', '.join(f'{index + 1} NULLS LAST' for index in range(len(groups)))}" if groups else ""
        sql = f"SELECT {columns} FROM {self.sql}{where}{grouped}{order} LIMIT ?"
        values = (*selected_values, *where_values, limit + 1)
        return Statement(sql, values, tuple(names), types, limit=limit)

    def chosen(self, properties: str) -> Sequence[FilterColumn]:
        """The columns of a list of names; all of them where there is no list."""
        return self._named(properties, "properties", frozenset()) if properties.strip() else self.columns

    def keys(self, sortby: str) -> tuple[Key, ...]:
        """The columns to sort by, each with `-` before it for descending order."""
        if not sortby.strip():
            return ()
        keys = tuple(Key(column, sign == "-") for sign, column in self._signed(sortby, "sortby", _UNORDERED))
        if len(keys) > MOST_SORT_KEYS:
            raise _fault("sortby", f"At most {MOST_SORT_KEYS} columns are allowed.")
        return keys

    def _numbered(self) -> tuple[str, str]:
        """The table as SQL, and the name of its row number there."""
        names = [column.name for column in self.columns]
        if all(name.lower() != _ROW for name in names):
            return self.sql, _ROW
        # A column of this name hides DuckDB's own, unless it has another name meanwhile.
        stored = ", ".join(f"c{place}" for place in range(len(names)))
        shown = ", ".join(f"c{place} AS {quoted(name)}" for place, name in enumerate(names))
        return f"(SELECT rowid AS {_HIDDEN_ROW}, {shown} FROM {self.sql} AS stored({stored}))", _HIDDEN_ROW

    def _named(self, text: str, parameter: str, refused: frozenset[str]) -> list[FilterColumn]:
        signed = self._signed(text, parameter, refused)
        return [column for _, column in signed]

    def _signed(self, text: str, parameter: str, refused: frozenset[str]) -> list[tuple[str, FilterColumn]]:
        found: list[tuple[str, FilterColumn]] = []
        for part in _parts(_LIST, text, parameter):
            sign, name = part[1], part[2]
            if sign and parameter != "sortby":
                sign, name = "", sign + name
            column = self._column(name, parameter, refused)
            if any(column is other for _, other in found):
                raise _fault(parameter, f"{column.name!r} is named twice.")
            found.append((sign, column))
        return found

    def _column(self, written: str, parameter: str, refused: frozenset[str]) -> FilterColumn:
        name = written.strip()
        if name.startswith('"') and name.endswith('"') and len(name) > 1:
            name = name[1:-1].replace('""', '"')
        column = column_called(name, self.columns)
        if column is None:
            raise _fault(parameter, unknown_column(name, self.columns))
        if column.kind in refused:
            raise _fault(parameter, f"Column {name!r} is {column.kind}, and has no order.")
        return column

    def metrics(self, text: str) -> list[Metric]:
        """The metrics of a list such as `count(), mean(x), quantile(x, 0.9), p90(x)`. Raises InvalidRequestError."""
        found: list[Metric] = []
        for part in _parts(_METRIC, text, "metrics"):
            written, name, share = part[1].lower(), part[2], part[3]
            metric = written
            if re.fullmatch(r"p[0-9]{1,2}", written) and share is None:
                metric, share = "quantile", str(int(written[1:]) / 100)
            if metric not in _METRICS or (metric != "count" and name is None) or (metric == "quantile") != bool(share):
                known = ", ".join(["count()", *(f"{each}(column)" for each in _METRICS if each != "quantile")])
                raise _fault(
                    "metrics", f"{part[0].strip(' ,')!r} is none of {known}, quantile(column, 0.9), p90(column)."
                )
            if name is None:
                found.append(Metric("count()", metric, None, "count(*)", "BIGINT"))
                continue
            refused = frozenset() if metric == "count" else _UNORDERED
            column = self._column(name, "metrics", refused)
            if metric in _OF_NUMBERS and column.kind not in NUMERIC:
                raise _fault("metrics", f"{metric} takes numbers, and column {column.name!r} is {column.kind}.")
            values = (_share(share),) if share else ()
            label = (
                f"{written}({column.name}, {share})" if metric == written == "quantile" else f"{written}({column.name})"
            )
            # Between two decimals, DuckDB's quantiles are cut to the decimals' own digits.
            is_between = column.kind == "decimal" and metric in {"median", "quantile"}
            value = f"CAST({quoted(column.name)} AS DOUBLE)" if is_between else quoted(column.name)
            type_text = _type_of(metric, column)
            found.append(Metric(label, metric, column, _METRICS[metric].format(value), type_text, values))
        if len(found) > MOST_METRICS:
            raise _fault("metrics", f"At most {MOST_METRICS} are allowed.")
        return found


def _fault(parameter: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"{parameter} is not usable: {detail}", faults=[Fault(parameter, detail)])


def _type_of(metric: str, column: FilterColumn) -> str:
    """DuckDB's type of a metric: to ask DuckDB for it costs as much as planning the statement itself."""
    if metric in {"count", "count_distinct"}:
        return "BIGINT"
    if metric in {"min", "max"} or (metric in {"median", "quantile"} and column.type == "FLOAT"):
        return column.type
    if metric == "sum" and column.kind == "decimal":
        return f"DECIMAL(38,{column.type.partition(',')[2]}"
    if metric == "sum" and column.kind == "integer":
        return "HUGEINT"
    return "DOUBLE"


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise _fault("metrics", f"A quantile is between 0 and 1, and {text!r} is not.")
    return share


def _parts(pattern: re.Pattern[str], text: str, parameter: str) -> list[re.Match[str]]:
    parts: list[re.Match[str]] = []
    position = 0
    while position < len(text):
        part = pattern.match(text, position)
        if part is None:
            near = text[position : position + 20]
            detail = f"Not understood at character {position + 1}, near {near!r}: write it as {_FORMS[pattern]}"
            raise _fault(parameter, detail)
        parts.append(part)
        position = part.end()
    if not parts or text.rstrip().endswith(","):
        raise _fault(parameter, "A name is missing.")
    return parts


def _where(conditions: Sequence[Condition]) -> tuple[str, tuple[Any, ...]]:
    values = tuple(value for each in conditions for value in each.values)
    return (" WHERE " + " AND ".join(each.sql for each in conditions) if conditions else ""), values


def _order(row: str, keys: Sequence[Key]) -> str:
    parts = [f"{quoted(key.column.name)} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in keys]
    return ", ".join([*parts, row])


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


def _is_plain(column: FilterColumn) -> bool:
    """Whether the ends of a column say that none of its numbers is a string in JSON (NaN is above infinity)."""
    if not isinstance(column, Column):
        return False
    return all(isinstance(end, int | float) for end in (column.minimum, column.maximum))


def _after(table: str, row: str, keys: Sequence[Key], cursor: Cursor) -> Condition:
    """The rows after the cursor's: each key decides where those before it tie, and the row number at last."""
    sql = f"{row} > ?"
    values: tuple[Any, ...] = (cursor.row,)
    for place, (key, carried) in reversed(list(enumerate(zip(keys, cursor.values, strict=True)))):
        column = quoted(key.column.name)
        if carried is None:
            sql = f"({column} IS NULL AND {sql})"
            continue
        bound = carried[1:] if carried else cursor.row
        value = _bound(key) if carried else f"(SELECT {column} FROM {table} WHERE {row} = ?)"
        beyond = "<" if key.descending else ">"
        sql = f"({column} {beyond} {value} OR {column} IS NULL OR ({column} = {value} AND {sql}))"
        values = (bound, bound, *values)
        if place == 0:
            # Says nothing new; as a condition of its own it lets DuckDB leave out whole row groups.
            sql = f"({column} {beyond}= {value} OR {column} IS NULL) AND {sql}"
            values = (bound, *values)
    return Condition(sql, values)
