"""The process ``timeseries``: columns over time, by period, as a table, as numbers and as a picture."""

import importlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.datasets.inference import WRITTEN_AS
from gristmill.datasets.local_forms import local_form
from gristmill.datasets.mapping import microseconds
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.color_groups import ColorGroups, as_text, color_groups
from gristmill.processes.column import Array, Column, Kind
from gristmill.processes.dataset import DataSet
from gristmill.processes.drawn_times import ARE_DRAWN, NOT_DRAWN
from gristmill.processes.exact import exactly, may_round, within_digits
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

Period = Literal["minute", "hour", "day", "week", "month", "quarter", "year"]
Aggregate = Literal["mean", "sum", "minimum", "maximum", "median", "count"]

MOST_PERIODS = 50_000
_AUTOMATIC_PERIODS = 400
_SECONDS: dict[Period, int] = {
    "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800, "month": 2_629_746, "quarter": 7_889_238,
    "year": 31_556_952,
}  # fmt: skip
_AGGREGATES: dict[Aggregate, str] = {
    "mean": "avg({})", "sum": "sum({})", "minimum": "min({})", "maximum": "max({})", "median": "median({})",
    "count": "count({})",
}  # fmt: skip
_PERIODS, _FOUND = '"periods of the series"', '"found by period"'


class SeriesValues(BaseModel):
    """One column of values: how many there are, and how many are left out."""

    column: str
    unit: str
    values: int
    missing: int
    not_finite: int = Field(description="NaN and infinities.")


class TimeSeries(BaseModel):
    """What was computed.

    Attributes:
        time: The column of times.
        period: Length of a period.
        aggregate: What is computed of the values of a period.
        first: Begin of the first period, ISO 8601 in UTC; null without rows.
        last: Begin of the last period.
        periods: Number of periods from the first to the last.
        empty: Periods without a row: gaps in the picture.
        columns: The columns of values.
        by: The column that makes the groups, or null.
        groups: The groups, the largest first; others are taken together.
        rows: Number of rows of the data set.
        without_time: Rows without a time.
        out_of_range: Rows with a time that is infinite, before 0001-01-08 or after 9999-12-30: they are in no period.
    """

    time: str
    period: Period
    aggregate: Aggregate
    first: str | None
    last: str | None
    periods: int
    empty: int
    columns: list[SeriesValues]
    by: str | None
    groups: list[str]
    rows: int
    without_time: int
    out_of_range: int


class SeriesOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each period (with groups, for each of a period's groups): its begin, values, number of rows.
        timeseries: The periods, groups, and what is left out.
        plot: A panel for each column, with a line for each group.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    timeseries: TimeSeries
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What to compute: of which columns, and in groups of which one."""

    columns: list[DataColumn]
    aggregate: Aggregate
    by: DataColumn | None


@dataclass(frozen=True, slots=True)
class Lines:
    """One column by period. values: an array for each group, NaN where a period has no value."""

    label: str
    values: list[Array]


@reuses_workspace
@process(version="2", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def timeseries(
    table: DataSet,
    time: str,
    values: Annotated[list[str], Field(min_length=1, max_length=6)],
    *,
    resample: Period | Literal["auto"] = "auto",
    aggregate: Aggregate = "mean",
    by: str | None = None,
    progress: Progress,
) -> SeriesOutputs:
    """Time series

    Brings columns of numbers to periods (hours, days, months ...), each with the mean, sum, median ... of its rows, and
    draws them over time: a panel for each column, a line for each group, and a gap where there are no rows. Periods are
    in UTC; a week begins on Monday.

    Args:
        table: The data set.
        time: Name of a column of dates or times.
        values: Names of the columns of numbers.
        resample: Length of a period; "auto" chooses one that gives some hundred periods at most.
        aggregate: What to compute of the values in a period. "count" is the number of values.
        by: Name of a column that makes groups: its most frequent values (seven) and the others together.
    """
    when = _time(table, time)
    grouping = None if by is None else _column(table, "by", by)
    if len(set(values)) < len(values):
        raise wrong_input("values", "has a column twice; name each column once")
    asked = _Asked([_number(table, name) for name in values], aggregate, grouping)
    progress(10, "reading times")
    moment = (
        f"timezone('UTC', {when.sql})"
        if when.kind == "timestamptz"
        else f"CAST({microseconds(when.sql, when.type)} AS TIMESTAMP)"
    )
    has_time = f"{when.sql} IS NOT NULL AND isfinite({when.sql}) AND {moment} {ARE_DRAWN}"
    period = _period(table, moment, has_time, resample)
    groups = None if grouping is None else color_groups(table, as_text(grouping), f"{table.sql} WHERE {has_time}")
    names = groups.names if groups is not None else []
    progress(20, "computing")
    periods = _compute(table, (moment, has_time, period), asked, groups)
    made, lines, empty = _results(table, asked, periods, time, names)
    progress(50, "drawing")
    numbers = _numbers(table, asked.columns, (when.sql, has_time), periods)
    told = TimeSeries(
        time=time, period=period, aggregate=aggregate, periods=len(periods), empty=empty, by=by, groups=names,
        **numbers,
    )  # fmt: skip
    has_others = groups is not None and groups.has_others
    picture = _draw(told, periods, lines, grouping, when.label, has_others=has_others)
    return SeriesOutputs(table=made, timeseries=told, plot=picture.png, plot_svg=picture.svg)


def _column(table: DataSet, name: str, chosen: str) -> DataColumn:
    if chosen not in table:
        known = ", ".join(column.name for column in table.columns)
        raise wrong_input(name, f"has {chosen!r}, which is not a column; the columns are: {known or 'none'}")
    return table.column(chosen)


def _time(table: DataSet, name: str) -> DataColumn:
    column = _column(table, "time", name)
    if not column.is_time:
        times = ", ".join(one.name for one in table.columns if one.is_time)
        how = f" (written {WRITTEN_AS['DATE']} or {WRITTEN_AS['TIMESTAMP']})" if column.kind == "text" else ""
        raise wrong_input(
            "time",
            f"is {name!r}, a column of type {column.kind}; columns of dates or timestamps{how} are: {times or 'none'}"
            f"{local_form(column)}",
        )
    return column


def _number(table: DataSet, name: str) -> DataColumn:
    column = _column(table, "values", name)
    if not column.is_numeric:
        numbers = ", ".join(one.name for one in table.columns if one.is_numeric)
        raise wrong_input(
            "values",
            f"has {name!r}, a column of type {column.kind}; columns of numbers are: {numbers or 'none'}"
            f"{local_form(column)}",
        )
    return column


def _period(table: DataSet, moment: str, has_time: str, resample: str) -> Period:
    """The length of a period. Raises InvalidInputsError where there would be too many."""
    ((seconds, are_days),) = table.query(
        f"SELECT date_diff('second', min({moment}), max({moment})), bool_and({moment} = date_trunc('day', {moment})) "
        f"FROM {table.sql} WHERE {has_time}"
    ).fetchall()
    span = seconds or 0
    fitting = [period for period, length in _SECONDS.items() if span <= _AUTOMATIC_PERIODS * length]
    if resample == "auto":
        shortest = _SECONDS["day" if are_days else "minute"]
        return next((period for period in fitting if _SECONDS[period] >= shortest), "year")
    chosen: Period = next(period for period in _SECONDS if period == resample)
    if span > MOST_PERIODS * _SECONDS[chosen]:
        raise wrong_input(
            "resample",
            f"gives {span // _SECONDS[chosen]:,} periods of one {chosen}, and {MOST_PERIODS:,} are the most; "
            f"choose a longer one, such as {fitting[0] if fitting else 'year'}",
        )
    return chosen


def _compute(table: DataSet, times: tuple[str, str, Period], asked: _Asked, groups: ColorGroups | None) -> Array:
    """Compute the values by period and group into a table of their own; return the begins of all periods."""
    moment, has_time, period = times
    place, bound = "0", []
    if asked.by is not None and groups is not None:
        place, bound = groups.place(as_text(asked.by)), [groups.values]
    selected = ", ".join(
        f"{_AGGREGATES[asked.aggregate].format(_finite(column))} AS v{number}"
        for number, column in enumerate(asked.columns)
    )
    with within_digits("values"):
        table.query(
            f"CREATE OR REPLACE TEMP TABLE {_FOUND} AS SELECT CAST(date_trunc('{period}', {moment}) AS TIMESTAMP) AS "
            f"p, {place} AS g, {selected}, count(*) AS n FROM {table.sql} WHERE {has_time} GROUP BY ALL",
            bound,
        )
    step = "INTERVAL 3 MONTH" if period == "quarter" else f"INTERVAL 1 {period}"
    table.query(
        f"CREATE OR REPLACE TEMP TABLE {_PERIODS} AS SELECT unnest(generate_series(min(p), max(p), {step})) AS p "
        f"FROM {_FOUND}"
    )
    (begins,) = table.query(f"SELECT p FROM {_PERIODS} ORDER BY p").fetchnumpy().values()
    return np.ma.getdata(begins).astype("M8[us]")


def _finite(column: DataColumn) -> str:
    if column.kind != "number":
        return column.sql
    return f"CASE WHEN isfinite({column.sql}) THEN {column.shown} END"


def _results(
    table: DataSet, asked: _Asked, periods: Array, time: str, groups: list[str]
) -> tuple[Table, list[Lines], int]:
    """The result table, what to draw, and the number of periods without a row."""
    columns, aggregate, by = asked.columns, asked.aggregate, asked.by.name if asked.by else None
    kinds, selected = _written(table, len(columns))
    found = table.query(
        f"SELECT p, CAST(g AS BIGINT) AS g, n, {selected} FROM {_PERIODS} LEFT JOIN {_FOUND} USING (p) ORDER BY p, g"
    ).fetchnumpy()
    begins = np.ma.getdata(found["p"]).astype("M8[us]")
    places = np.searchsorted(periods, begins)
    group = np.ma.filled(np.ma.asarray(found["g"]), 0)
    rows = np.ma.filled(np.ma.asarray(found["n"]), 0).astype("i8")
    everywhere = np.ones(len(begins), "?")
    taken = {time} | ({by} if by else set())
    made = [Column(time, "datetime", begins, everywhere)]
    if by:
        names = [groups[place] if there else None for place, there in zip(group, rows > 0, strict=True)]
        made.append(Column.of(by if by != time else f"{by} (group)", names, "string"))
    lines = []
    for number, column in enumerate(columns):
        values: Array = np.ma.filled(np.ma.asarray(found[f"v{number}"], dtype="f8"), np.nan)
        title = f"{aggregate}({column.name})"
        title = f"{title} (values)" if title in taken else title
        exact = found[f"e{number}"]
        made.append(Column.of_arrays(title, kinds[number], np.ma.getdata(exact), ~np.ma.getmaskarray(exact)))
        drawn = [np.full(len(periods), np.nan) for _ in range(max(1, len(groups)))]
        for place, one in enumerate(drawn):
            chosen = group == place
            one[places[chosen]] = values[chosen]
        unit = f" ({column.unit})" if column.unit and aggregate != "count" else ""
        lines.append(Lines(f"{aggregate} of {column.name}{unit}", drawn))
    made.append(Column("rows" if "rows" not in taken else "number of rows", "integer", rows, everywhere))
    return Table(made), lines, int((rows == 0).sum())


def _written(table: DataSet, columns: int) -> tuple[list[Kind], str]:
    """What kinds the values have in the table; SQL of the values to draw, and of those that no double has rounded."""
    types = {row[0]: row[1] for row in table.query(f"DESCRIBE {_FOUND}").fetchall()}
    kinds: list[Kind] = []
    selected = []
    for number in range(columns):
        value = f"v{number}"
        kind: Kind = "number"
        exact = f"CAST({value} AS DOUBLE)"
        if types[value] == "BIGINT" or may_round(types[value]):
            kind, exact = exactly(table, value, types[value], _FOUND, rather="number")
        kinds.append(kind)
        selected.append(f"CAST({value} AS DOUBLE) AS {value}, {exact} AS e{number}")
    return kinds, ", ".join(selected)


def _numbers(table: DataSet, columns: list[DataColumn], times: tuple[str, str], periods: Array) -> dict[str, Any]:
    time, has_time = times
    counts = ", ".join(
        f"count({column.sql}) FILTER ({has_time}), "
        + (f"count(*) FILTER ({has_time} AND NOT isfinite({column.sql}))" if column.kind == "number" else "0")
        for column in columns
    )
    ((there, timed, *found),) = table.query(
        f"SELECT count({time}), count(*) FILTER ({has_time}), {counts} FROM {table.sql}"
    ).fetchall()
    pairs = zip(columns, found[::2], found[1::2], strict=True)
    ends = [f"{one}Z" for one in np.datetime_as_string(periods[[0, -1]], unit="s")] if len(periods) else [None, None]
    return {
        "columns": [
            SeriesValues(
                column=column.name, unit=column.unit, values=valid - odd, missing=timed - valid, not_finite=odd
            )
            for column, valid, odd in pairs
        ],
        "first": ends[0],
        "last": ends[1],
        "rows": table.rows,
        "without_time": table.rows - there,
        "out_of_range": there - timed,
    }


def _draw(
    told: TimeSeries, periods: Array, lines: list[Lines], by: DataColumn | None, when: str, *, has_others: bool
) -> Any:
    pictures: Any = importlib.import_module("gristmill.processes.pictures_series")  # Matplotlib, not for the API
    left_out = [
        (told.without_time, "row", f"without {told.time}"),
        (told.out_of_range, "row", NOT_DRAWN),
        (sum(column.missing for column in told.columns), "value", "missing"),
        (sum(column.not_finite for column in told.columns), "value", "not finite"),
    ]
    note = ", ".join(f"{counted(count, what)} {reason}" for count, what, reason in left_out if count)
    title = f"By {told.period}: {counted(told.rows - told.without_time - told.out_of_range, 'row')}"
    label = by.label if by else ""
    return pictures.draw(pictures.Series(periods, lines, told.groups, has_others, label, when, title, note))
