"""The process ``summary``: what is in each column of a data set, as a table, as numbers and as a picture."""

import importlib
import math
from fractions import Fraction
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.processes.authoring import MediaType, OnDemand, Progress, process
from gristmill.processes.column import Column
from gristmill.processes.counting import (
    Frequencies,
    RangeError,
    as_text,
    edges_as_json,
    finite,
    frequencies,
    own_bins,
)
from gristmill.processes.dataset import DataSet
from gristmill.processes.shifts import Shift, plus, shifted, shifts
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace

_SQUARED = 400  # powers of two: the squares of larger numbers, summed, may be beyond all doubles
_LARGE = 2**10  # times the differences: three of the digits that a double has are lost
_NO_LEAST = frozenset(["interval", "nested", "binary"])


class Frequent(BaseModel):
    """A value, and in how many rows it stands."""

    value: str | bool | int | float
    count: int


class Distribution(BaseModel):
    """Numbers of rows in bins of equal width; edges: one more than counts, numbers or ISO 8601 times in UTC."""

    edges: list[float | str]
    counts: list[int]


class ColumnSummary(BaseModel):
    """What is in one column; a field that its type does not have is null. Times are ISO 8601 in UTC."""

    name: str
    type: str = Field(description="What sort of values: boolean, integer, number, decimal, text, date, timestamp ...")
    unit: str = Field(description='Its unit, or "" where none is known.')
    rows: int
    nulls: int
    not_finite: int = Field(description="NaN, infinities, times not in the years 1 to 9999: not in the statistics.")
    distinct: int = Field(description="Number of different values, nulls left out.")
    minimum: int | float | str | bool | None
    maximum: int | float | str | bool | None
    mean: float | str | None
    standard_deviation: float | None = Field(description="Of the sample (n - 1).")
    quartiles: list[float | str] | None = Field(description="25 %, 50 % (median) and 75 %, linearly interpolated.")
    histogram: Distribution | None
    frequent: list[Frequent] = Field(description="The most frequent values.")


class SummaryOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each column.
        columns: The summary of each column.
        rows: Number of rows of the table.
        plot: The distribution of each column as a picture; the first 24 columns.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    columns: list[ColumnSummary]
    rows: int
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@reuses_workspace
@process(version="4", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def summary(
    table: DataSet,
    frequent: Annotated[int, Field(ge=0, le=100, description="How many of the most frequent values to list.")] = 5,
    *,
    progress: Progress,
) -> SummaryOutputs:
    """Summary of a table

    Describes each column: its type, nulls, number of distinct values, smallest and largest value, mean, standard
    deviation, quartiles, distribution and most frequent values; and draws the distribution of each.

    Args:
        table: The data set.
    """
    pictures: Any = importlib.import_module("gristmill.processes.pictures")  # Matplotlib, not for the API
    columns, panels = [], []
    for number, column in enumerate(table.columns):
        progress(80 * number / len(table.columns), column.name)
        found = frequencies(table, column, max(frequent, pictures.PANEL_CATEGORIES))
        if column.is_numeric or column.is_time:
            made, panel = _of_values(table, column, found, frequent, pictures)
        else:
            ends = {} if column.kind in _NO_LEAST else {"minimum": found.minimum, "maximum": found.maximum}
            made = _summary(table, column, found, frequent, **ends)
            panel = _panel_of_values(pictures, column, found, table.rows)
        columns.append(made)
        panels.append(panel)
    progress(80, "drawing")
    picture = pictures.draw_all(panels)
    return SummaryOutputs(
        table=_table(columns), columns=columns, rows=table.rows, plot=picture.png, plot_svg=picture.svg
    )


def _summary(table: DataSet, column: DataColumn, found: Frequencies, frequent: int, **statistics: Any) -> ColumnSummary:
    nothing = dict.fromkeys(("minimum", "maximum", "mean", "standard_deviation", "quartiles", "histogram"))
    return ColumnSummary(
        name=column.name,
        type=column.kind,
        unit=column.unit,
        rows=table.rows,
        nulls=table.rows - found.rows,
        distinct=found.distinct,
        frequent=[Frequent(value=value, count=count) for value, count in found.most[:frequent]],
        **(nothing | {"not_finite": 0} | statistics),
    )


def _of_values(
    table: DataSet, column: DataColumn, found: Frequencies, frequent: int, pictures: Any
) -> tuple[ColumnSummary, Any]:
    """The summary and the panel of a column of numbers or times."""
    loaded = table.table().column(column.name)
    values = finite(loaded)
    statistics = _times(values) if loaded.kind == "datetime" else _numbers(table, column, values, found)
    statistics["not_finite"] = len(loaded.present) - len(values)
    is_whole = column.kind == "integer"
    try:
        counts, edges = own_bins(values, is_whole=is_whole)
    except RangeError as error:
        panel = pictures.Bars(f"{column.name}: {error}", [])
    else:
        note = _left_out(table.rows - found.rows, statistics["not_finite"])
        panel = pictures.Bars(column.label, counts.tolist(), edges, note=note, whole=is_whole)
        if len(values):
            statistics["histogram"] = Distribution(edges=edges_as_json(edges), counts=counts.tolist())
    return _summary(table, column, found, frequent, **statistics), panel


def _panel_of_values(pictures: Any, column: DataColumn, found: Frequencies, rows: int) -> Any:
    shown = found.most[: pictures.PANEL_CATEGORIES]
    counts, names = [count for _, count in shown], [as_text(value) for value, _ in shown]
    note = ", ".join(filter(None, [found.beyond(len(shown)), _left_out(rows - found.rows)]))
    return pictures.Bars(column.name, counts, None, names, note=note)


def _left_out(nulls: int, not_finite: int = 0) -> str:
    """Return the line under a panel that says which rows it leaves out."""
    said = [f"{nulls:,} without a value" if nulls else "", f"{not_finite:,} not finite" if not_finite else ""]
    return ", ".join(filter(None, said))


def _numbers(table: DataSet, column: DataColumn, values: Any, found: Frequencies) -> dict[str, Any]:
    if column.kind == "number":
        return (
            {"minimum": values.min().item(), "maximum": values.max().item()} | _moments(values) if len(values) else {}
        )
    shift = shifts(table, [column], table.source).get(column.name, 0)
    if shift:
        sql = f"SELECT {shifted(column, shift)} FROM {table.source} WHERE {column.sql} IS NOT NULL"
        (values,) = table.query(sql).fetchnumpy().values()
    return {"minimum": found.minimum, "maximum": found.maximum} | _moments(np.ma.getdata(values).astype("f8"), shift)


def _moments(numbers: Any, shift: Shift = 0) -> dict[str, Any]:
    """Mean, standard deviation and quartiles of numbers that are less by the shift than the values."""
    if not len(numbers):
        return {}
    power = math.frexp(float(np.abs(numbers).max()))[1]
    power = power if abs(power) > _SQUARED else 0
    numbers = np.ldexp(numbers, -power) if power else numbers
    middle = numbers.mean()
    from_middle = numbers - middle
    # Of numbers that are large beside their differences, the mean is far from the middle of these.
    further = from_middle.mean() if abs(middle) > _LARGE * np.ptp(numbers) else 0.0
    with np.errstate(over="ignore"):
        deviation = from_middle.std(ddof=1) if len(numbers) > 1 else math.nan
        found = np.ldexp([middle, further, *np.quantile(numbers, [0.25, 0.5, 0.75]), deviation], power)
    middle, further, *quartiles, deviation = found.tolist()
    return {
        "mean": float(Fraction(shift) + Fraction(middle) + Fraction(further)),
        "standard_deviation": None if math.isnan(deviation) else deviation,
        "quartiles": [plus(shift, one) for one in quartiles],
    }


def _times(values: Any) -> dict[str, Any]:
    if not len(values):
        return {}
    ticks = values.astype("i8")
    lowest = int(ticks.min())
    offsets = (ticks - lowest).astype("f8")
    mean, *quartiles = (
        lowest + round(float(one)) for one in (offsets.mean(), *np.quantile(offsets, [0.25, 0.5, 0.75]))
    )
    return {
        "minimum": _time(lowest),
        "maximum": _time(int(ticks.max())),
        "mean": _time(mean),
        "quartiles": [_time(one) for one in quartiles],
    }


def _time(ticks: int) -> str:
    return f"{np.datetime64(ticks, 'us')}Z"


def _table(columns: list[ColumnSummary]) -> Table:
    """The summaries as a table, with a row for each."""
    cells: dict[str, list[Any]] = {
        "column": [one.name for one in columns],
        "type": [one.type for one in columns],
        "unit": [one.unit for one in columns],
        **{name: [getattr(one, name) for one in columns] for name in ("rows", "nulls", "not_finite", "distinct")},
        **{name: [_cell(getattr(one, name)) for one in columns] for name in ("minimum", "maximum", "mean")},
        "standard_deviation": [one.standard_deviation for one in columns],
        **{
            name: [_cell(one.quartiles[place]) if one.quartiles else None for one in columns]
            for place, name in enumerate(("quartile_1", "median", "quartile_3"))
        },
        "most_frequent": [_cell(one.frequent[0].value) if one.frequent else None for one in columns],
        "most_frequent_rows": [one.frequent[0].count if one.frequent else None for one in columns],
    }
    whole = {"rows", "nulls", "not_finite", "distinct", "most_frequent_rows"}
    return Table(
        Column.of(name, given, "integer" if name in whole else "number" if name == "standard_deviation" else "string")
        for name, given in cells.items()
    )


def _cell(value: object) -> str | None:
    return None if value is None else as_text(value)
