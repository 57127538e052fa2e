"""The process ``groupby``: metrics of groups of rows, as a table and as a picture."""

import importlib
import re
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, Field

from gristmill.datasets.mapping import quoted
from gristmill.datasets.queries import METRICS, Metric
from gristmill.datasets.queries import Table as Grouped
from gristmill.errors import InvalidRequestError
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.column import Column
from gristmill.processes.dataset import DataSet
from gristmill.processes.exact import may_round, within_digits
from gristmill.processes.fetched import fetched
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

MOST_GROUPS = 100_000
MOST_VALUES = 600_000  # of the table: about 12 MB, where an output may have 16
_ALL = 2**40  # groups: more than there can be
_FOUND = quoted("groups found")
_MIDNIGHT = re.compile(r"(?<=\d{4}-\d\d-\d\d)[ T]00:00:00Z?$")


class Groups(BaseModel):
    """What was computed.

    Attributes:
        by: The columns whose values make the groups.
        metrics: Names of the metrics, as columns of the table.
        units: Unit of each metric; "" where it has none or none is known.
        groups: Number of groups.
        in_table: Number of groups in the table: all of them, or the first ones.
        in_picture: Number of groups in the picture.
        rows: Number of rows of the data set.
        missing: For each column of a metric that has them, the number of missing values.
        not_finite: For each column of a metric that has them, the number of values that are NaN or infinite: they are
            left out as if they were missing.
    """

    by: list[str]
    metrics: list[str]
    units: list[str]
    groups: int
    in_table: int
    in_picture: int
    rows: int
    missing: dict[str, int]
    not_finite: dict[str, int]


class GroupOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each group, with its values, written as in the data set's rows as CSV (but decimals that a
            number says without zeros at their end: 1.1 for 1.10), and its metrics.
        groupby: Numbers of groups and of rows, units, and what is left out.
        plot: The metrics of the first groups as bars.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    groupby: Groups
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@reuses_workspace
@process(version="3", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def groupby(
    table: DataSet,
    by: Annotated[list[str], Field(min_length=1, max_length=8)],
    metrics: Annotated[str, Field(max_length=20_000)] = "count()",
    sort: str | None = None,
    shown: Annotated[int, Field(ge=1, le=100, description="Most groups in the picture.")] = 30,
    *,
    progress: Progress,
) -> GroupOutputs:
    """Metrics of groups

    Makes groups of the rows that have the same values in some columns, and computes metrics of each: a table of at
    most 100,000 groups and 600,000 values, and a picture of the first groups. A missing value is a group of its own;
    in the columns of the metrics, missing values, NaN and infinities are left out.

    Args:
        table: The data set.
        by: Names of the columns whose values make the groups.
        metrics: What to compute, such as "count(), mean(delay), p90(delay)": count(), and of a column count,
            count_distinct, sum, mean, min, max, median, stddev, variance, quantile(column, 0.9), p90. A name with
            other signs than letters, digits and spaces stands in double quotes.
        sort: Column of the result to sort by, such as "mean(delay)", with "-" before it for descending order. By
            default, groups by numbers or times are in their order, and others have the largest first metric first.
    """
    progress(5, "grouping")
    grouped = Grouped(_finite(table, by), table.version, table.columns)
    found = _metrics(grouped, metrics)
    names = [*by, *(metric.name for metric in found)]
    total = _compute(table, grouped, by, metrics)
    result = _sorted(table, names, _sort_key(table, by, names, sort), len(by))
    columns = [table.column(metric.column.name) if metric.column is not None else None for metric in found]
    units = [_unit(metric, column) for metric, column in zip(found, columns, strict=True)]
    numbers = Groups(
        by=by,
        metrics=[metric.name for metric in found],
        units=units,
        groups=total,
        in_table=result.rows,
        in_picture=min(shown, total),
        rows=table.rows,
        missing=_missing(table, [column for column in columns if column is not None]),
        not_finite=_not_finite(table, by, [column for column in columns if column is not None]),
    )
    progress(50, "drawing")
    picture = _draw(table, numbers, result)
    return GroupOutputs(table=result, groupby=numbers, plot=picture.png, plot_svg=picture.svg)


def _metrics(grouped: Grouped, text: str) -> list[Metric]:
    try:
        return grouped.metrics(text)
    except InvalidRequestError as error:
        raise wrong_input("metrics", f"is not usable: {error.faults[0].detail}") from error


def _finite(table: DataSet, by: list[str]) -> str:
    """The table as SQL, with NULL for what is not finite in the columns that do not make the groups."""
    replaced = [
        f"CASE WHEN isfinite({column.sql}) THEN {column.sql} END AS {column.sql}"
        for column in table.columns
        if column.kind == "number" and column.name not in by
    ]
    return f"(SELECT * REPLACE ({', '.join(replaced)}) FROM {table.sql})" if replaced else table.sql


def _compute(table: DataSet, grouped: Grouped, by: list[str], metrics: str) -> int:
    """Compute the groups into a table of their own; return how many there are."""
    try:
        statement = grouped.aggregate(groupby=",".join(map(quoted, by)), metrics=metrics, limit=_ALL)
    except InvalidRequestError as error:
        name = "metrics" if error.faults[0].pointer == "metrics" else "by"
        raise wrong_input(name, f"is not usable: {error.faults[0].detail}") from error
    columns = ", ".join(f"c{place}" for place in range(len(statement.names)))
    with within_digits("metrics"):
        table.query(
            f"CREATE OR REPLACE TEMP TABLE {_FOUND} AS FROM ({statement.sql}) AS f({columns})", statement.values
        )
    ((total,),) = table.query(f"SELECT count(*) FROM {_FOUND}").fetchall()
    return int(total)


def _sort_key(table: DataSet, by: list[str], names: list[str], sort: str | None) -> str:
    """What to order by before the groups themselves, as SQL, or "" for nothing."""
    if sort is None:
        first = table.column(by[0])
        return "" if first.is_numeric or first.is_time else f"c{len(by)} DESC NULLS LAST"
    descending = sort not in names and sort.startswith("-")
    name = sort[1:].strip() if descending else sort
    if name not in names:
        raise wrong_input("sort", f"is no column of the result; its columns are: {', '.join(names)}")
    return f"c{names.index(name)} {'DESC' if descending else 'ASC'} NULLS LAST"


def _sorted(table: DataSet, names: list[str], key: str, groups: int) -> Table:
    order = ", ".join(filter(None, [key, *(f"c{place} NULLS LAST" for place in range(groups))]))
    most = min(MOST_GROUPS, MOST_VALUES // len(names))
    return fetched(table, f"FROM {_FOUND} ORDER BY {order} LIMIT {most}", names)


def _missing(table: DataSet, columns: list[DataColumn]) -> dict[str, int]:
    asked = {column.name: column for column in columns}
    if not asked:
        return {}
    counts = ", ".join(f"count(*) - count({column.sql})" for column in asked.values())
    (row,) = table.query(f"SELECT {counts} FROM {table.sql}").fetchall()
    return {name: count for name, count in zip(asked, row, strict=True) if count}


def _not_finite(table: DataSet, by: list[str], columns: list[DataColumn]) -> dict[str, int]:
    asked = {column.name: column for column in columns if column.kind == "number" and column.name not in by}
    if not asked:
        return {}
    counts = ", ".join(f"count(*) FILTER (NOT isfinite({column.sql}))" for column in asked.values())
    (row,) = table.query(f"SELECT {counts} FROM {table.sql}").fetchall()
    return {name: count for name, count in zip(asked, row, strict=True) if count}


def _unit(metric: Metric, column: DataColumn | None) -> str:
    return column.unit if column is not None and METRICS[metric.function].has_unit else ""


def _draw(table: DataSet, numbers: Groups, result: Table) -> Any:
    pictures: Any = importlib.import_module("gristmill.processes.pictures_groups")  # Matplotlib, not for the API
    rows = numbers.in_picture
    labels = zip(*(_labels(_first(result.column(name), rows).cells()) for name in numbers.by), strict=True)
    types = [row[1] for row in table.query(f"DESCRIBE {_FOUND}").fetchall()]
    panels, skipped = [], []
    for name, unit, type_text in zip(numbers.metrics, numbers.units, types[len(numbers.by) :], strict=True):
        column = _first(result.column(name), rows)
        if column.is_numeric or may_round(type_text):
            values = [float(value) if valid else None for value, valid in zip(column.values, column.valid, strict=True)]
            panels.append(pictures.Panel(f"{name} ({unit})" if unit else name, values, column.kind == "integer"))
        else:
            skipped.append(name)
    notes = [
        counted(numbers.groups - rows, "more group") if numbers.groups > rows else "",
        *(
            f"{count:,} of {name} that {'is' if count == 1 else 'are'} {reason}"
            for reason, counts in (("missing", numbers.missing), ("not finite", numbers.not_finite))
            for name, count in counts.items()
        ),
        f"{', '.join(skipped)}, not numbers" if skipped else "",
    ]
    heading = ", ".join(table.column(name).label for name in numbers.by)
    drawn = pictures.Groups(
        heading, [" · ".join(parts) for parts in labels], panels, [note for note in notes if note], numbers.groups
    )
    return pictures.draw(drawn)


def _first(column: Column, rows: int) -> Column:
    return Column(column.name, column.kind, column.values[:rows], column.valid[:rows])


def _labels(cells: list[object]) -> list[str]:
    """Numbers have as few digits as tell them apart."""
    short = [_label(f"{cell:.12g}" if isinstance(cell, float) else cell) for cell in cells]
    return short if len(set(short)) == len(set(cells)) else [_label(cell) for cell in cells]


def _label(cell: object) -> str:
    if cell is None:
        return "(missing)"
    if isinstance(cell, bool):
        return str(cell).lower()
    return _MIDNIGHT.sub("", str(cell)) or "(empty)"
