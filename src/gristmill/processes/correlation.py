"""The process ``correlation``: of all pairs of columns, as numbers, as a table and as a heat map."""

import importlib
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.datasets.local_forms import local_form
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.column import Array, Column
from gristmill.processes.correlations import (
    Bools,
    Correlations,
    Floats,
    pearson,
    pearson_of_pair,
    rankings,
    spearman,
)
from gristmill.processes.dataset import DataSet
from gristmill.processes.design import shift_and_size
from gristmill.processes.shifts import Shift, shifted, shifts
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

MOST_COLUMNS = 200
_CELLS = 4_000_000  # of a block: 32 MB
_MOST_RANKED = 25_000_000  # values in memory, and their ranks beside them: 400 MB
_MOST_RANKINGS = 150_000_000  # values to sort: about 15 s
_MOST_ALONE = 300  # pairs that are computed on their own

Method = Literal["pearson", "spearman"]


class CorrelationMatrix(BaseModel):
    """Correlations of all pairs of columns.

    Attributes:
        method: The one that was asked for.
        columns: The columns, in the order of rows and columns of r and n.
        r: The correlations; null where they are not defined, because one of both is constant or too few rows have both.
        n: Numbers of rows that have both values.
        rows: Number of rows of the data set.
        not_finite: For each column that has them, the number of values that are NaN or infinite: they are left out as
            if they were missing.
    """

    method: Method
    columns: list[str]
    r: list[list[float | None]]
    n: list[list[int]]
    rows: int
    not_finite: dict[str, int]


class CorrelationOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each pair of columns.
        correlation: The same as matrices.
        plot: The correlations as a heat map.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    correlation: CorrelationMatrix
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@reuses_workspace
@process(version="2", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def correlation(
    table: DataSet,
    columns: Annotated[list[str], Field(min_length=2, max_length=MOST_COLUMNS)] | None = None,
    method: Method = "pearson",
    *,
    progress: Progress,
) -> CorrelationOutputs:
    """Correlations of columns

    Correlates all pairs of columns of numbers, each over the rows that have both values, with the number of these rows;
    missing values, NaN and infinities are left out.

    Args:
        table: The data set.
        columns: Names of the columns, of numbers or booleans (1 and 0); by default all columns of numbers, at most 200.
        method: pearson for how close values are to a line; spearman for how close their ranks are, which takes any
            relation that only rises or only falls, and minds no outliers.
    """
    chosen = _chosen(table, columns)
    progress(5, "correlating")
    found = _pearson(table, chosen) if method == "pearson" else _spearman(table, chosen)
    shown = [[None if math.isnan(one) else one for one in row] for row in found.r.tolist()]
    numbers = CorrelationMatrix(
        method=method,
        columns=[one.name for one in chosen],
        r=shown,
        n=found.n.tolist(),
        rows=table.rows,
        not_finite=_not_finite(table, chosen),
    )
    progress(60, "drawing")
    pictures: Any = importlib.import_module("gristmill.processes.pictures_heat")  # Matplotlib, not for the API
    picture = pictures.draw([one.name for one in chosen], found.r, _title(numbers, found), _notes(numbers))
    return CorrelationOutputs(table=_table(numbers), correlation=numbers, plot=picture.png, plot_svg=picture.svg)


def _chosen(table: DataSet, names: list[str] | None) -> list[DataColumn]:
    if names is None:
        found = [column for column in table.columns if column.is_numeric]
        if not 2 <= len(found) <= MOST_COLUMNS:
            forms = "" if len(found) > 1 else next(filter(None, map(local_form, table.columns)), "")
            raise wrong_input("columns", f"must name 2 to {MOST_COLUMNS}: the table has {len(found)} of numbers{forms}")
        return found
    for place, name in enumerate(names):
        if name not in table:
            known = ", ".join(column.name for column in table.columns)
            raise wrong_input("columns", f"has {name!r}, which is not a column; the columns are: {known or 'none'}")
        column = table.column(name)
        if not column.is_numeric and column.kind != "boolean":
            raise wrong_input(
                "columns", f"has {name!r}, which is {column.kind}; it takes numbers or booleans{local_form(column)}"
            )
        if name in names[:place]:
            raise wrong_input("columns", f"has {name!r}, which is there twice")
    return [table.column(name) for name in names]


def _pearson(table: DataSet, columns: list[DataColumn]) -> Correlations:
    off = shifts(table, columns, table.sql)
    scales = _scales(table, columns, off)
    found = pearson(_blocks(table, columns, off, scales), len(columns))
    constant = {place for place, scale in enumerate(scales) if scale is None}
    alone = [pair for pair in found.doubtful if not constant & set(pair)]
    for i, j in alone[:_MOST_ALONE]:
        x, there_x = _values(table, columns[i])
        y, there_y = _values(table, columns[j])
        both = there_x & there_y
        found.r[i, j] = found.r[j, i] = pearson_of_pair(x[both], y[both])
    return found


def _scales(table: DataSet, columns: list[DataColumn], off: Mapping[str, Shift]) -> list[tuple[float, float] | None]:
    """Shift and size of each column, without what was taken off it; None for one that is constant."""
    inner = ", ".join(f"{_finite(one, off)} AS c{place}" for place, one in enumerate(columns))
    asked = ", ".join(f"avg(c{place}), min(c{place}), max(c{place})" for place in range(len(columns)))
    (row,) = table.query(f"SELECT {asked} FROM (SELECT {inner} FROM {table.sql})").fetchall()
    every = [row[3 * place : 3 * place + 3] for place in range(len(columns))]
    return [None if one[1] == one[2] else shift_and_size(*one, intercept=True) for one in every]


def _blocks(
    table: DataSet,
    columns: list[DataColumn],
    off: Mapping[str, Shift],
    scales: list[tuple[float, float] | None],
) -> Iterator[tuple[Floats, Bools]]:
    size = max(10_000, _CELLS // len(columns))
    selected = ", ".join(f"{_double(one, off)} AS c{place}" for place, one in enumerate(columns))
    for start in range(0, table.rows, size):
        arrays = table.query(f"SELECT {selected} FROM {table.sql} LIMIT {size} OFFSET {start}").fetchnumpy()
        values = np.zeros((len(columns), len(arrays["c0"])))
        there = np.empty(values.shape, bool)
        for place, scale in enumerate(scales):
            column = arrays[f"c{place}"]
            data = np.ma.getdata(column)
            there[place] = np.isfinite(data) & ~np.ma.getmaskarray(column)
            if scale is not None:
                np.subtract(data, scale[0], out=values[place], where=there[place])
                values[place] /= scale[1]
        yield values, there


def _spearman(table: DataSet, columns: list[DataColumn]) -> Correlations:
    if len(columns) * table.rows > _MOST_RANKED:
        most = _MOST_RANKED // table.rows
        raise wrong_input(
            "columns", f"must be at most {most} for ranks of {table.rows:,} rows; there are {len(columns)}"
        )
    read = [_values(table, column) for column in columns]
    there = [one for _, one in read]
    if rankings(there) * table.rows > _MOST_RANKINGS:
        raise wrong_input(
            "columns",
            f"are too many to rank: {len(columns)} have values in so different rows that {rankings(there):,} rankings "
            f"of {table.rows:,} rows are needed; name fewer columns, or use pearson",
        )
    return spearman([values for values, _ in read], there)


def _values(table: DataSet, column: DataColumn) -> tuple[Array, Bools]:
    """The values, and which are there; whole numbers as such, for they may differ where doubles do not."""
    is_whole = column.type in {"BIGINT", "UBIGINT"}
    sql = column.sql if is_whole else _double(column, shifts(table, [column], table.sql))
    (array,) = table.query(f"SELECT {sql} FROM {table.sql}").fetchnumpy().values()
    values = np.ma.getdata(array)
    return values, np.isfinite(values) & ~np.ma.getmaskarray(array)


def _finite(column: DataColumn, off: Mapping[str, Shift]) -> str:
    double = _double(column, off)
    return f"CASE WHEN isfinite({column.sql}) THEN {double} END" if column.kind == "number" else double


def _double(column: DataColumn, off: Mapping[str, Shift]) -> str:
    return shifted(column, off.get(column.name, 0))


def _not_finite(table: DataSet, columns: list[DataColumn]) -> dict[str, int]:
    asked = [column for column in columns if column.kind == "number"]
    if not asked:
        return {}
    counts = ", ".join(f"count(*) FILTER (NOT isfinite({column.sql}))" for column in asked)
    (row,) = table.query(f"SELECT {counts} FROM {table.sql}").fetchall()
    return {column.name: count for column, count in zip(asked, row, strict=True) if count}


def _table(numbers: CorrelationMatrix) -> Table:
    pairs = [(i, j) for i in range(len(numbers.columns)) for j in range(i + 1, len(numbers.columns))]
    return Table(
        [
            Column.of("first", [numbers.columns[i] for i, _ in pairs], "string"),
            Column.of("second", [numbers.columns[j] for _, j in pairs], "string"),
            Column.of("r", [numbers.r[i][j] for i, j in pairs], "number"),
            Column.of("n", [numbers.n[i][j] for i, j in pairs], "integer"),
        ]
    )


def _title(numbers: CorrelationMatrix, found: Correlations) -> str:
    of_pairs = found.n[np.triu_indices(len(found.n), 1)]
    fewest, most = int(of_pairs.min()), int(of_pairs.max())
    rows = counted(most, "row") if fewest == most else f"{fewest:,} to {counted(most, 'row')}"
    return f"{numbers.method.title()} correlations of {len(numbers.columns)} columns, {rows} each"


def _notes(numbers: CorrelationMatrix) -> list[str]:
    left_out = sum(numbers.not_finite.values())
    return [f"{counted(left_out, 'value')} not finite"] if left_out else []
