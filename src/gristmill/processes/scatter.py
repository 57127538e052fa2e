"""The process ``scatter``: one column against another, as points where they are few, as their density where many."""

import importlib
import math
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from gristmill.datasets.inference import WRITTEN_AS
from gristmill.datasets.local_forms import local_form
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.color_groups import as_text, color_groups
from gristmill.processes.column import Column
from gristmill.processes.correlations import pearson_of_pair
from gristmill.processes.counting import own_range
from gristmill.processes.dataset import DataSet, as_table_has_it
from gristmill.processes.drawn_times import ARE_DRAWN, NOT_DRAWN
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

MOST_POINTS = 3000
_ACROSS, _UP = 60, 40  # cells of the density
_LARGEST = 1e250  # beyond it, ranges are no numbers any more
_MICROSECONDS_A_DAY = 86_400e6

Floats = npt.NDArray[np.float64]


class Scatter(BaseModel):
    """What is drawn.

    Attributes:
        x: The column along the x axis.
        y: The column along the y axis.
        rows: Number of rows of the data set.
        drawn: Rows that are drawn: all with two values.
        missing: Rows without one of the values.
        not_finite: Further rows with NaN, an infinity, a number beyond 1e250, or a time before 0001-01-08 or after
            9999-12-30.
        x_range: Smallest and largest x; of times, ISO 8601 in UTC. Null without rows.
        y_range: Smallest and largest y.
        correlation: Pearson's, or null where a column is constant.
        is_density: Whether the picture and the table have numbers of rows instead of points: above 3,000 points.
        colors: The values that have a colour of their own, the most frequent first.
    """

    x: str
    y: str
    rows: int
    drawn: int
    missing: int
    not_finite: int
    x_range: list[float | str] | None
    y_range: list[float] | None
    correlation: float | None
    is_density: bool
    colors: list[str]


class ScatterOutputs(TypedDict):
    """Points, numbers and pictures.

    Attributes:
        table: The points, or for a density the cells that are not empty, with their edges and numbers of rows.
        scatter: How many points there are, their ranges and correlation.
        plot: The points, or their density.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    scatter: Scatter
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@dataclass(frozen=True, slots=True)
class Points:
    """The rows that are drawn.

    x: days since 1970 for times. colors: place in ``names`` of each, or empty. has_others: whether the last of the
    names is that of values that are taken together.
    """

    x: Floats
    y: Floats
    colors: npt.NDArray[np.int64]
    names: list[str]
    has_others: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Numbers of rows that are not drawn: the reasons exclude each other."""

    missing: int
    times: int
    not_finite: int
    large: int

    def __str__(self) -> str:
        reasons = {
            "without a value": self.missing,
            NOT_DRAWN: self.times,
            "not finite": self.not_finite,
            "beyond 1e250": self.large,
        }
        return ", ".join(f"{counted(count, 'row')} {reason}" for reason, count in reasons.items() if count)


@reuses_workspace
@process(version="2", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def scatter(
    table: DataSet,
    x: str,
    y: str,
    color: str | None = None,
    points: Annotated[int, Field(ge=1, le=20_000, description="Of more rows, the density is drawn.")] = MOST_POINTS,
    *,
    progress: Progress,
) -> ScatterOutputs:
    """Scatter plot

    Draws a column of numbers against another one, or over time. Up to 3,000 rows are points; of more, the picture
    shows how many rows there are in each cell of a grid. Rows without a value, NaN and infinities are left out.

    Args:
        table: The data set.
        x: Name of a column of numbers, dates or timestamps.
        y: Name of a column of numbers.
        color: Name of a column whose most frequent values (seven, and the others together) are drawn in colours of
            their own, or in pictures of their own where a density is drawn.
    """
    across, up = _numeric(table, "x", x, times=True), _numeric(table, "y", y, times=False)
    coloured = None if color is None else _column(table, "color", color)
    progress(10, "reading")
    found, left_out = _points(table, across, up, coloured)
    is_density = len(found.x) > points
    grid = _grid(found) if is_density else None
    progress(40, "drawing")
    numbers = Scatter(
        x=x,
        y=y,
        rows=table.rows,
        drawn=len(found.x),
        missing=left_out.missing,
        not_finite=left_out.times + left_out.not_finite + left_out.large,
        x_range=_range(found.x, is_time=across.is_time),
        y_range=[float(found.y.min()), float(found.y.max())] if len(found.y) else None,
        correlation=_correlation(found.x, found.y),
        is_density=is_density,
        colors=found.names,
    )
    pictures: Any = importlib.import_module("gristmill.processes.pictures_scatter")  # Matplotlib, not for the API
    heading = "" if coloured is None else coloured.label
    picture = pictures.draw(found, grid, (across.label, up.label, heading), str(left_out), is_time=across.is_time)
    made = _cells(found, grid, across) if grid else _rows(found, (x, y, color or ""), across)
    return ScatterOutputs(table=made, scatter=numbers, plot=picture.png, plot_svg=picture.svg)


def _column(table: DataSet, name: str, chosen: str) -> DataColumn:
    if chosen not in table:
        known = ", ".join(column.name for column in table.columns)
        raise wrong_input(name, f"is {chosen!r}, which is not a column; the columns are: {known or 'none'}")
    return table.column(chosen)


def _numeric(table: DataSet, name: str, chosen: str, *, times: bool) -> DataColumn:
    column = _column(table, name, chosen)
    if not column.is_numeric and not (times and column.is_time):
        taken = "numbers, dates or timestamps" if times else "numbers"
        if times and column.kind == "text":
            taken += f" (written {WRITTEN_AS['DATE']} or {WRITTEN_AS['TIMESTAMP']})"
        raise wrong_input(
            name, f"is {chosen!r}, a column of type {column.kind}; it must be one of {taken}{local_form(column)}"
        )
    return column


def _points(table: DataSet, x: DataColumn, y: DataColumn, color: DataColumn | None) -> tuple[Points, LeftOut]:
    """The rows to draw, and how many are left out."""
    _, moment = as_table_has_it(x)
    across, up = (f"CAST({one.shown} AS DOUBLE)" for one in (x, y))
    if x.is_time:
        is_drawn = f"isfinite({x.sql}) AND {moment} {ARE_DRAWN}"
        across = f"CASE WHEN {is_drawn} THEN epoch_us({moment}) / {_MICROSECONDS_A_DAY} ELSE 'NaN' END"
    drawn = f"isfinite(x) AND abs(x) <= {_LARGEST} AND isfinite(y) AND abs(y) <= {_LARGEST}"
    kept = f"{x.sql} IS NOT NULL AND {y.sql} IS NOT NULL"
    value = "NULL" if color is None else as_text(color)
    rows = f"(SELECT {across} AS x, {up} AS y, {value} AS c FROM {table.sql} WHERE {kept})"
    groups = None if color is None else color_groups(table, "c", f"{rows} WHERE {drawn}")
    place, bound = ("0", []) if groups is None else (groups.place("c"), [groups.values])
    found = table.query(f"SELECT x, y, CAST({place} AS BIGINT) AS c FROM {rows} WHERE {drawn}", bound).fetchnumpy()
    arrays = [np.ma.getdata(found[name]) for name in ("x", "y", "c")]
    if groups is None:
        points = Points(arrays[0], arrays[1], arrays[2][:0], [], has_others=False)
    else:
        points = Points(arrays[0], arrays[1], arrays[2], groups.names, groups.has_others)
    is_beyond, is_odd = "isnan(x)" if x.is_time else "false", "NOT (isfinite(x) AND isfinite(y))"
    ((complete, *counts),) = table.query(
        f"SELECT count(*), count(*) FILTER ({is_beyond}), count(*) FILTER ({is_odd} AND NOT {is_beyond}), "
        f"count(*) FILTER (NOT ({is_odd} OR {drawn})) FROM {rows}"
    ).fetchall()
    return points, LeftOut(table.rows - complete, *counts)


@dataclass(frozen=True, slots=True)
class Grid:
    """Numbers of rows, by cell (x, y), for each colour; the edges of the cells."""

    counts: list[Floats]
    x: Floats
    y: Floats


def _grid(points: Points) -> Grid:
    axes = ((points.x, _ACROSS), (points.y, _UP))
    edges = [np.linspace(*own_range(values, cells), cells + 1) for values, cells in axes]
    of_colors = [points.colors == place for place in range(len(points.names))] or [slice(None)]
    counts = [np.histogram2d(points.x[chosen], points.y[chosen], bins=edges)[0] for chosen in of_colors]
    return Grid(counts, *edges)


def _correlation(x: Floats, y: Floats) -> float | None:
    found = pearson_of_pair(x, y)
    return None if math.isnan(found) else found


def _range(values: Floats, *, is_time: bool) -> list[float | str] | None:
    if not len(values):
        return None
    ends = np.array([values.min(), values.max()])
    return [f"{one}Z" for one in np.datetime_as_string(_moments(ends))] if is_time else list(ends.tolist())


def _moments(days: Floats) -> npt.NDArray[Any]:
    return np.round(days * _MICROSECONDS_A_DAY).astype("i8").view("M8[us]")


def _of_axis(name: str, values: Floats, column: DataColumn) -> Column:
    everywhere = np.ones(len(values), "?")
    if column.is_time:
        return Column(name, "datetime", _moments(values), everywhere)
    return Column(name, "number", values, everywhere)


def _rows(points: Points, names: tuple[str, str, str], x: DataColumn) -> Table:
    titles = dict(zip(("x", "y", "color"), names, strict=True))
    everywhere = np.ones(len(points.y), "?")
    columns = [_of_axis(titles["x"], points.x, x)]
    if titles["y"] != titles["x"]:
        columns.append(Column(titles["y"], "number", points.y, everywhere))
    if points.names and titles["color"] not in {titles["x"], titles["y"]}:
        columns.append(Column.of(titles["color"], [points.names[place] for place in points.colors], "string"))
    return Table(columns)


def _cells(points: Points, grid: Grid, x: DataColumn) -> Table:
    """A row for each cell that is not empty."""
    parts = [np.nonzero(counts) for counts in grid.counts]
    across, up = (np.concatenate([part[axis] for part in parts]) for axis in (0, 1))
    counted = np.concatenate([counts[part] for counts, part in zip(grid.counts, parts, strict=True)]).astype("i8")
    everywhere = np.ones(len(counted), "?")
    columns = [
        _of_axis("x_from", grid.x[across], x),
        _of_axis("x_to", grid.x[across + 1], x),
        Column("y_from", "number", grid.y[up], everywhere),
        Column("y_to", "number", grid.y[up + 1], everywhere),
        Column("rows", "integer", counted, everywhere),
    ]
    if points.names:
        names = [name for name, part in zip(points.names, parts, strict=True) for _ in part[0]]
        columns.insert(0, Column.of("color", names, "string"))
    return Table(columns)
