"""The process ``summary``: what is in each column of a table, as numbers and as a picture."""

import importlib
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.processes.authoring import MediaType, Progress, process
from gristmill.processes.counting import RangeError, as_text, bin_counts, finite, value_counts
from gristmill.processes.table import Column, Table

_PANEL_BINS = 20


class Frequent(BaseModel):
    """A value, and in how many rows it stands."""

    value: str | bool | int | float
    count: int


class ColumnSummary(BaseModel):
    """What is in one column; a field that its type does not have is null. Times are ISO 8601 in UTC."""

    name: str
    type: str
    rows: int
    nulls: int
    not_finite: int = Field(description="Values that are NaN or infinite; the statistics leave them out.")
    distinct: int = Field(description="Number of different values, nulls left out.")
    minimum: int | float | str | bool | None
    maximum: int | float | str | bool | None
    mean: float | str | None
    standard_deviation: float | None = Field(description="Of the sample (n - 1).")
    quartiles: list[float | str] | None = Field(description="25 %, 50 % (median) and 75 %, linearly interpolated.")
    frequent: list[Frequent] = Field(description="The most frequent values.")


class SummaryOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        columns: The summary of each column.
        rows: Number of rows of the table.
        plot: The distribution of each column as a picture; the first 24 columns.
        plot_svg: The same picture as vector graphics.
    """

    columns: list[ColumnSummary]
    rows: int
    plot: Annotated[bytes, MediaType("image/png")]
    plot_svg: Annotated[bytes, MediaType("image/svg+xml")]


@process(version="1", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def summary(
    table: Table,
    frequent: Annotated[int, Field(ge=0, le=100, description="How many of the most frequent values to list.")] = 5,
    *,
    progress: Progress,
) -> SummaryOutputs:
    """Summary of a table

    Describes each column: its type, nulls, number of distinct values, smallest and largest value, mean, standard
    deviation, quartiles and most frequent values; and draws the distribution of each.

    Args:
        table: The table, as columns and rows, row objects, column arrays, or CSV.
    """
    columns, panels = [], []
    pictures = importlib.import_module("gristmill.processes.pictures")  # Matplotlib: 40 MB that the API does without
    for number, column in enumerate(table.columns):
        progress(60 * number / len(table), column.name)
        counted = value_counts(column)
        columns.append(_summary(column, counted, frequent))
        panels.append(_panel(pictures, column, counted))
    progress(60, "drawing")
    png, svg = pictures.draw_all(panels)
    return SummaryOutputs(columns=columns, rows=table.rows, plot=png, plot_svg=svg)


def _summary(column: Column, counted: list[tuple[Any, int]], frequent: int) -> ColumnSummary:
    values = finite(column)
    statistics: dict[str, Any] = {}
    if column.is_numeric:
        statistics = _numeric(values)
    elif column.kind == "datetime":
        statistics = _times(values)
    elif counted:
        statistics = {"minimum": min(value for value, _ in counted), "maximum": max(value for value, _ in counted)}
    nothing = dict.fromkeys(("minimum", "maximum", "mean", "standard_deviation", "quartiles"))
    return ColumnSummary(
        name=column.name,
        type=column.kind,
        rows=len(column),
        nulls=len(column) - int(column.valid.sum()),
        not_finite=len(column.present) - len(values),
        distinct=len(counted),
        frequent=[Frequent(value=value, count=count) for value, count in counted[:frequent]],
        **(nothing | statistics),
    )


def _numeric(values: Any) -> dict[str, Any]:
    if not len(values):
        return {}
    numbers = values.astype("f8")
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "minimum": values.min().item(),
            "maximum": values.max().item(),
            "mean": float(numbers.mean()),
            "standard_deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
            "quartiles": np.quantile(numbers, [0.25, 0.5, 0.75]).tolist(),
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


def _panel(pictures: Any, column: Column, counted: list[tuple[Any, int]]) -> Any:
    if column.kind in {"string", "boolean"}:
        return pictures.Bars(
            column.name, [count for _, count in counted], None, [as_text(value) for value, _ in counted]
        )
    values = finite(column)
    try:
        if column.kind == "integer" and counted and int(values.max()) - int(values.min()) < _PANEL_BINS:
            low, high = values.min() - 0.5, values.max() + 0.5
            counts, edges = bin_counts(values, round(high - low), low, high)
        else:
            counts, edges = bin_counts(values, _PANEL_BINS)
    except RangeError as error:
        return pictures.Bars(f"{column.name}: {error}", [])
    return pictures.Bars(column.name, counts.tolist(), edges, whole=column.kind == "integer")
