"""The process ``histogram``: counts of a column's values, as numbers and as a picture."""

import importlib
from typing import Annotated, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.processes.authoring import MediaType, Progress, process, wrong_input
from gristmill.processes.counting import RangeError, as_text, bin_counts, finite, value_counts
from gristmill.processes.table import Array, Column, Table


class Counts(BaseModel):
    """How often values occur.

    Attributes:
        column: The column.
        type: Type of the column: boolean, integer, number, datetime or string.
        counts: Number of rows in each bin, or of each category.
        edges: Edges of the bins, one more than counts; numbers, or ISO 8601 times in UTC. Empty for categories.
        categories: The values, most frequent first. Empty for numbers and times.
        rows: Number of rows of the table.
        nulls: Rows that have no value.
        not_finite: Rows with NaN or an infinity.
        outside: Rows with a value below the lowest or above the highest edge.
    """

    column: str
    type: str
    counts: list[int]
    edges: list[float | str]
    categories: list[str | bool]
    rows: int
    nulls: int
    not_finite: int
    outside: int


class HistogramOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        histogram: Counts and edges, or counts and categories.
        plot: The histogram as a picture.
        plot_svg: The same picture as vector graphics.
    """

    histogram: Counts
    plot: Annotated[bytes, MediaType("image/png")]
    plot_svg: Annotated[bytes, MediaType("image/svg+xml")]


@process(version="1", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def histogram(
    table: Table,
    column: str,
    bins: Annotated[int, Field(ge=1, le=1000, description="Number of bins of equal width.")] = 20,
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None,
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None,
    *,
    progress: Progress,
) -> HistogramOutputs:
    """Histogram of a column

    Counts the values of one column: numbers and times in bins of equal width, text and booleans by value. Gives the
    counts with the edges of the bins, and a picture. A bin includes its lower edge, the last one its upper edge too.

    Args:
        table: The table, as columns and rows, row objects, column arrays, or CSV.
        column: Name of the column.
        minimum: Lower edge of the first bin, for numbers; by default the smallest value.
        maximum: Upper edge of the last bin, for numbers; by default the largest value.
    """
    chosen = _column(table, column)
    progress(10, "counting")
    if chosen.kind in {"string", "boolean"}:
        counts = _categories(chosen)
        edges = None
    else:
        counts, edges = _bins(chosen, bins, minimum, maximum)
    progress(40, "drawing")
    pictures = importlib.import_module("gristmill.processes.pictures")  # Matplotlib: 40 MB that the API does without
    title = f"{column}, {sum(counts.counts):,} of {counts.rows:,} rows"
    names = [as_text(one) for one in counts.categories]
    png, svg = pictures.draw(
        pictures.Bars(column, counts.counts, edges, names, title, _left_out(counts), chosen.kind == "integer")
    )
    return HistogramOutputs(histogram=counts, plot=png, plot_svg=svg)


def _column(table: Table, name: str) -> Column:
    if name not in table:
        raise wrong_input("column", f"is not a column of the table; its columns are: {', '.join(table) or 'none'}")
    return table.column(name)


def _categories(column: Column) -> Counts:
    counted = value_counts(column)
    return _counts(column, [count for _, count in counted], categories=[value for value, _ in counted])


def _bins(column: Column, bins: int, low: float | None, high: float | None) -> tuple[Counts, Array]:
    values = finite(column)
    is_time = column.kind == "datetime"
    try:
        counts, edges = bin_counts(values, bins, *(() if is_time else (low, high)))
    except RangeError as error:
        raise wrong_input("bins", str(error)) from error
    shown = [f"{one}Z" for one in np.datetime_as_string(edges)] if is_time else edges.tolist()
    made = _counts(
        column,
        counts.tolist(),
        edges=shown,
        not_finite=len(column.present) - len(values),
        outside=len(values) - int(counts.sum()),
    )
    return made, edges


def _counts(
    column: Column,
    counts: list[int],
    *,
    edges: list[float | str] | None = None,
    categories: list[str | bool] | None = None,
    not_finite: int = 0,
    outside: int = 0,
) -> Counts:
    return Counts(
        column=column.name,
        type=column.kind,
        counts=counts,
        edges=edges or [],
        categories=categories or [],
        rows=len(column),
        nulls=len(column) - int(column.valid.sum()),
        not_finite=not_finite,
        outside=outside,
    )


def _left_out(counts: Counts) -> str:
    """Return the line under the picture that says which rows it leaves out."""
    reasons = {
        "rows without a value": counts.nulls,
        "not finite": counts.not_finite,
        "outside the range": counts.outside,
    }
    said = [f"{number:,} {reason}" for reason, number in reasons.items() if number]
    return ", ".join(said)
