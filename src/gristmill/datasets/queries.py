"""What is asked of one table, understood: a page of rows, groups with metrics, a whole export. Nothing is run here."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gristmill.datasets import cursors
from gristmill.datasets.filters import column_called, condition, unknown_column
from gristmill.datasets.local_forms import local_form
from gristmill.datasets.mapping import double_of, quoted
from gristmill.datasets.spellings import metric_spelling
from gristmill.datasets.statements import Key, Page, Statement, from_lowest, is_plain, order_of, where_of
from gristmill.datasets.terms import NUMERIC, Condition, FilterColumn
from gristmill.errors import Fault, InvalidRequestError

MOST_SORT_KEYS = 8
MOST_METRICS = 64
# Possessive: of blanks that several parts could take, each way would be tried, for minutes with some hundred.
_NAME = r'(?:"(?:[^"]|"")*+"|[^",()\s][^",()]*+)'
_LIST = re.compile(rf"\s*+([-+]?)\s*+({_NAME})\s*+(?:,|$)")
_METRIC = re.compile(rf"\s*+([A-Za-z_]++[0-9]*+)\s*+\(\s*+({_NAME})?\s*+(?:,\s*+([0-9.]++)\s*+)?\)\s*+(?:,|$)")
_FORMS = {_LIST: "column, column, ...", _METRIC: "count(), mean(column), ..."}
_UNORDERED = frozenset(["nested"])
_ROW = "rowid"
_HIDDEN_ROW = quoted("row\t")  # no column's name holds a tab


def _own_type(column: FilterColumn) -> str:
    return column.type


def _type_of_sum(column: FilterColumn) -> str:
    if column.kind == "decimal":
        return f"DECIMAL(38,{column.type.partition(',')[2]}"
    return "HUGEINT" if column.kind == "integer" else "DOUBLE"


@dataclass(frozen=True, slots=True)
class Function:
    """What a metric computes of a column.

    sql: with {} for the column, as often as it is needed. type_of: DuckDB's type of it, for that of the column: to ask
    DuckDB for it costs as much as planning the statement itself. takes_all: whether it takes columns of everything that
    has an order, not of numbers alone. takes_nested: whether it takes nested ones too.
    is_between: whether it may lie between two values; of decimals, DuckDB cuts it to their own digits.
    is_of_differences: whether it stays the same when all values grow by as much.
    plain_of: of which columns it is a plain number in JSON: any, those whose own numbers are, or of these the integers.
    has_unit: whether it has the column's unit.
    """

    sql: str
    type_of: Callable[[FilterColumn], str]
    plain_of: Literal["any", "plain", "integer", "none"]
    takes_all: bool = False
    takes_nested: bool = False
    is_between: bool = False
    is_of_differences: bool = False
    has_unit: bool = True


METRICS: Mapping[str, Function] = {
    "count": Function("count({})", lambda _: "BIGINT", "any", takes_all=True, takes_nested=True, has_unit=False),
    "count_distinct": Function("count(DISTINCT {})", lambda _: "BIGINT", "any", takes_all=True, has_unit=False),
    "sum": Function("sum({})", _type_of_sum, "none"),
    "mean": Function("avg({})", lambda _: "DOUBLE", "integer"),
    "min": Function("min({})", _own_type, "plain", takes_all=True),
    "max": Function("max({})", _own_type, "plain", takes_all=True),
    "median": Function("median({})", lambda _: "DOUBLE", "integer", is_between=True),
    "stddev": Function("stddev_samp({})", lambda _: "DOUBLE", "integer", is_of_differences=True),
    "variance": Function("var_samp({})", lambda _: "DOUBLE", "integer", is_of_differences=True, has_unit=False),
    "quantile": Function("quantile_cont({}, ?)", lambda _: "DOUBLE", "integer", is_between=True),
}


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

    @property
    def is_plain(self) -> bool:
        """Whether it is known to be finite and within 2^53, and so a plain number in JSON."""
        plain_of = METRICS[self.function].plain_of
        if plain_of == "any" or self.column is None:
            return plain_of == "any"
        return is_plain(self.column) and plain_of in {"plain", self.column.kind}


@dataclass(frozen=True, slots=True)
class Table:
    """An attached version.

    sql: the table's name as SQL. version: its identifier. columns: its columns in their order.
    most_copied_bytes: as of ``filters.condition``.
    """

    sql: str
    version: str
    columns: Sequence[FilterColumn]
    most_copied_bytes: int | None = None

    def page(
        self, *, properties: str = "", filter_text: str = "", sortby: str = "", limit: int, cursor: str = ""
    ) -> Page:
        """At most `limit` rows after the cursor's. Raises InvalidRequestError."""
        asked, keys = self.chosen(properties), self.keys(sortby)
        check = cursors.check_of(self.version, [f"{'-' if key.descending else '+'}{key.column.name}" for key in keys])
        filtered = next(iter(self._conditions(filter_text)), None)
        after = cursors.decode(cursor, check, len(keys)) if cursor else None
        table, row = self._numbered()
        return Page(table, row, self.columns, asked, keys, filtered, after, limit, check)

    def export(self, *, properties: str = "", filter_text: str = "", sortby: str = "") -> Statement:
        """Every row."""
        shown, keys = self.chosen(properties), self.keys(sortby)
        names, types = tuple(column.name for column in shown), tuple(column.type for column in shown)
        where, values = where_of(self._conditions(filter_text))
        table, row = self._numbered()
        order = f" ORDER BY {order_of(row, keys)}" if keys else ""
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
        where, where_values = where_of(self._conditions(filter_text))
        columns = ", ".join(f"{sql} AS {quoted(name)}" for sql, name in zip(selected, names, strict=True))
        grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
        order = f" ORDER BY {', '.join(f'{index + 1} NULLS LAST' for index in range(len(groups)))}" if groups else ""
        sql = f"SELECT {columns} FROM {self.sql}{where}{grouped}{order} LIMIT ?"
        values = (*selected_values, *where_values, limit + 1)
        plain = (*map(is_plain, by), *(metric.is_plain for metric in found))
        return Statement(sql, values, tuple(names), types, limit=limit, plain=plain)

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

    def _conditions(self, filter_text: str) -> list[Condition]:
        """What a filter says; nothing where there is none."""
        return [condition(filter_text, self.columns, self.most_copied_bytes)] if filter_text else []

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
        named: set[str] = set()
        for part in _parts(_LIST, text, parameter):
            sign, name = part[1], part[2]
            if sign and parameter != "sortby":
                sign, name = "", sign + name
            column = self._column(name, parameter, refused)
            if column.name in named:
                raise _fault(parameter, f"{column.name!r} is named twice.")
            named.add(column.name)
            found.append((sign, column))
        return found

    def _column(self, written: str, parameter: str, refused: frozenset[str]) -> FilterColumn:
        name = written.strip()
        if name.startswith('"') and name.endswith('"') and len(name) > 1:
            name = name[1:-1].replace('""', '"')
        column = column_called(name, self.columns)
        if column is None:
            raise _fault(parameter, f"{unknown_column(name, self.columns)}{self._meant(name, parameter)}")
        if column.kind in refused:
            raise _fault(parameter, f"Column {name!r} is {column.kind}, and has no order.")
        return column

    def _meant(self, name: str, parameter: str) -> str:
        """What to write, behind a blank, where another language is written."""
        if parameter == "metrics" and name == "*":
            return " The rows are counted by count()."
        distinct = re.fullmatch(r"distinct\s+(\S.*)", name, re.IGNORECASE) if parameter == "metrics" else None
        if distinct:
            return f" Different values are counted by count_distinct({distinct[1]})."
        ordered = re.fullmatch(r"(.*\S)\s+(asc|desc)", name, re.IGNORECASE) if parameter == "sortby" else None
        if ordered and column_called(ordered[1], self.columns):
            sign = "-" if ordered[2].lower() == "desc" else ""
            return f" An order stands before the name: {sign}{ordered[1]}."
        return ""

    def metrics(self, text: str) -> list[Metric]:
        """The metrics of a list such as `count(), mean(x), quantile(x, 0.9), p90(x)`. Raises InvalidRequestError."""
        found: list[Metric] = []
        for part in _parts(_METRIC, text, "metrics"):
            written, name, share = part[1].lower(), part[2], part[3]
            metric = written
            if re.fullmatch(r"p[0-9]{1,2}", written) and share is None:
                metric, share = "quantile", str(int(written[1:]) / 100)
            if metric not in METRICS or (metric != "count" and name is None) or (metric == "quantile") != bool(share):
                known = ", ".join(["count()", *(f"{each}(column)" for each in METRICS if each != "quantile")])
                raise _fault(
                    "metrics",
                    f"{part[0].strip(' ,')!r} is none of {known}, quantile(column, 0.9), p90(column)."
                    f"{metric_spelling(written)}",
                )
            if name is None:
                found.append(Metric("count()", metric, None, "count(*)", "BIGINT"))
                continue
            function = METRICS[metric]
            column = self._column(name, "metrics", frozenset() if function.takes_nested else _UNORDERED)
            if not function.takes_all and column.kind not in NUMERIC:
                said = f"{metric} takes numbers, and column {column.name!r} is {column.kind}{local_form(column)}."
                raise _fault("metrics", said)
            values = (_share(share),) if share else ()
            label = (
                f"{written}({column.name}, {share})" if metric == written == "quantile" else f"{written}({column.name})"
            )
            value = _value_for(function, column)
            found.append(
                Metric(label, metric, column, function.sql.replace("{}", value), function.type_of(column), values)
            )
        if len(found) > MOST_METRICS:
            raise _fault("metrics", f"At most {MOST_METRICS} are allowed.")
        return found


def _fault(parameter: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"{parameter} is not usable: {detail}", faults=[Fault(parameter, detail)])


def _value_for(function: Function, column: FilterColumn) -> str:
    """The column as the function takes it."""
    if function.is_of_differences:
        return from_lowest(column)
    sql = quoted(column.name)
    if function.is_between and column.kind == "decimal":
        return f"CAST({sql} AS DOUBLE)"
    return sql if function.takes_all else double_of(sql, column.type)


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
            detail = (
                f"Not understood at character {position + 1}, near {near!r}: write it as {_FORMS[pattern]}; a name "
                "with commas, brackets or double quotes stands in double quotes, with its own ones doubled."
            )
            raise _fault(parameter, detail)
        parts.append(part)
        position = part.end()
    if not parts or text.rstrip().endswith(","):
        raise _fault(parameter, "A name is missing.")
    return parts
