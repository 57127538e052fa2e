"""The process ``histogram``: counts of a column's values, as a table, as numbers and as a picture."""

import importlib
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, Field

from gristmill.datasets.local_forms import local_form
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.column import Column, Kind
from gristmill.processes.counting import (
    BINS,
    Frequencies,
    RangeError,
    as_text,
    bin_counts,
    edges_as_json,
    finite,
    frequencies,
    own_bins,
)
from gristmill.processes.dataset import DataSet
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

LISTED_CATEGORIES = 10_000


class Counts(BaseModel):
    """How often values occur.

    Attributes:
        column: The column.
        type: What sort of values it has: boolean, integer, number, decimal, text, date, timestamp ...
        unit: Its unit, or "" where none is known.
        counts: Number of rows in each bin, or of each category.
        edges: Edges of the bins, one more than counts; numbers, or ISO 8601 times in UTC. Empty for categories.
        categories: The values, most frequent first, at most 10,000. Empty for numbers, dates and timestamps.
        distinct: Number of different values, for categories.
        rows: Number of rows of the table.
        nulls: Rows that have no value.
        not_finite: Rows with NaN, an infinity, or a time that is not in the years 1 to 9999.
        outside: Rows with a value below the lowest or above the highest edge, or in a category that is not listed.
    """

    column: str
    type: str
    unit: str
    counts: list[int]
    edges: list[float | str]
    categories: list[str | bool]
    distinct: int | None
    rows: int
    nulls: int
    not_finite: int
    outside: int


class HistogramOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each bin, with its edges, or for each category.
        histogram: Counts and edges, or counts and categories.
        plot: The histogram as a picture.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    histogram: Counts
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@reuses_workspace
@process(version="3", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def histogram(
    table: DataSet,
    column: str,
    bins: Annotated[int, Field(ge=1, le=1000)] | None = None,
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None,
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None,
    *,
    progress: Progress,
) -> HistogramOutputs:
    """Histogram of a column

    Counts the values of one column: numbers, dates and timestamps in bins of equal width, text and booleans by value.
    Gives the counts with the edges of the bins, and a picture. A bin includes its lower edge, the last one
    its upper edge too.

    Args:
        table: The data set.
        column: Name of the column.
        bins: Number of bins of equal width, for numbers, dates and timestamps; by default 20, or for whole numbers as
            many, up to 40, as suit them.
        minimum: Lower edge of the first bin, for numbers; by default the smallest value.
        maximum: Upper edge of the last bin, for numbers; by default the largest value.
    """
    if column not in table:
        known = ", ".join(one.name for one in table.columns)
        raise wrong_input("column", f"is not a column of the table; its columns are: {known or 'none'}")
    chosen = table.column(column)
    _check_fitting(chosen, bins=bins, minimum=minimum, maximum=maximum)
    progress(10, "counting")
    edges: Any = None
    beyond = ""
    pictures: Any = importlib.import_module("gristmill.processes.pictures")  # Matplotlib, not for the API
    if chosen.is_numeric or chosen.is_time:
        counts, edges = _bins(table, chosen, bins, minimum, maximum)
    else:
        found = frequencies(table, chosen, LISTED_CATEGORIES)
        counts, beyond = _categories(table, chosen, found), found.beyond(pictures.SHOWN_CATEGORIES)
    progress(40, "drawing")
    title = f"{column}, {sum(counts.counts):,} of {counted(counts.rows, 'row')}"
    names = [as_text(one) for one in counts.categories]
    note = ", ".join(filter(None, [_left_out(counts), beyond]))
    picture = pictures.draw(
        pictures.Bars(chosen.label, counts.counts, edges, names, title, note, chosen.kind == "integer")
    )
    return HistogramOutputs(table=_table(counts), histogram=counts, plot=picture.png, plot_svg=picture.svg)


def _check_fitting(column: DataColumn, **given: float | None) -> None:
    """Raise InvalidInputsError for what is given and says nothing about such a column."""
    for name, value in given.items():
        if value is None or column.is_numeric or (column.is_time and name == "bins"):
            continue
        if column.is_time:
            raise wrong_input(
                name,
                f"is for numbers, and {column.name!r} is {column.kind}: its bins reach from its first time to its last "
                "one; leave it out",
            )
        what = "numbers, dates and timestamps" if name == "bins" else "numbers"
        raise wrong_input(
            name,
            f"is for {what}, and {column.name!r} is {column.kind}: each of its values is counted; leave it out"
            f"{local_form(column)}",
        )


def _categories(table: DataSet, column: DataColumn, found: Frequencies) -> Counts:
    counts = [count for _, count in found.most]
    return _counts(
        table,
        column,
        counts,
        nulls=table.rows - found.rows,
        categories=[value for value, _ in found.most],
        distinct=found.distinct,
        outside=found.rows - sum(counts),
    )


def _bins(
    table: DataSet, column: DataColumn, bins: int | None, low: float | None, high: float | None
) -> tuple[Counts, Any]:
    loaded = table.table().column(column.name)
    values = finite(loaded)
    try:
        if bins is None and low is None and high is None:
            counts, edges = own_bins(values, is_whole=column.kind == "integer")
        else:
            counts, edges = bin_counts(values, bins or BINS, low, high)
    except RangeError as error:
        name = "minimum" if low is not None else "maximum" if high is not None else "bins"
        raise wrong_input(name, f"does not do: {error}") from error
    made = _counts(
        table,
        column,
        counts.tolist(),
        nulls=len(loaded) - len(loaded.present),
        edges=edges_as_json(edges),
        not_finite=len(loaded.present) - len(values),
        outside=len(values) - int(counts.sum()),
    )
    return made, edges


def _counts(table: DataSet, column: DataColumn, counts: list[int], *, nulls: int, **more: Any) -> Counts:
    nothing: dict[str, Any] = {"edges": [], "categories": [], "distinct": None, "not_finite": 0, "outside": 0}
    return Counts(
        column=column.name, type=column.kind, unit=column.unit, counts=counts, rows=table.rows, nulls=nulls,
        **(nothing | more),
    )  # fmt: skip


def _table(counts: Counts) -> Table:
    rows = Column.of("count", counts.counts, "integer")
    if counts.edges:
        kind: Kind = "string" if isinstance(counts.edges[0], str) else "number"
        ends = (("from", counts.edges[:-1]), ("to", counts.edges[1:]))
        return Table([*(Column.of(name, cells, kind) for name, cells in ends), rows])
    return Table([Column.of("value", counts.categories), rows])


def _left_out(counts: Counts) -> str:
    """Return the line under the picture that says which rows it leaves out."""
    outside = 0 if counts.categories else counts.outside
    said = [
        f"{counted(counts.nulls, 'row')} without a value" if counts.nulls else "",
        f"{counts.not_finite:,} not finite" if counts.not_finite else "",
        f"{outside:,} outside the range" if outside else "",
    ]
    return ", ".join(filter(None, said))
