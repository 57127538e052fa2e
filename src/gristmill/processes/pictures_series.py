"""Lines over time: a panel for each column, a line for each group, gaps where there is nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from gristmill.processes.column import Array
from gristmill.processes.drawing import (
    GREY,
    SERIES,
    all_short,
    empty,
    footnote,
    legend,
    number_ticks,
    picture,
    short,
    time_ticks,
)
from gristmill.processes.fitting import fitting_heading
from gristmill.processes.pictures_points import reduced
from gristmill.processes.timeseries import Lines

_LABEL_LETTERS = 34
_NAME_LETTERS = 24
_MARKED_PERIODS = 60


@dataclass(frozen=True, slots=True)
class Series:
    """What to draw.

    groups, by: names of the lines and what they are; empty where there is one line. has_others: whether the last line
    is that of groups that are taken together.
    """

    periods: Array
    lines: Sequence[Lines]
    groups: Sequence[str]
    has_others: bool
    by: str
    time: str
    title: str
    note: str


@picture()
def draw(series: Series) -> Figure:
    """Return the chart."""
    count = len(series.lines)
    figure = Figure(figsize=(9, 1.9 + 2.2 * count), layout="constrained")
    every: Any = figure.subplots(count, 1, sharex=True, squeeze=False)
    places = date2num(series.periods) if len(series.periods) else np.zeros(0)
    for axes, line in zip(every[:, 0], series.lines, strict=True):
        _draw_line(axes, places, line, has_others=series.has_others)
    last = every[-1, 0]
    if len(places):
        time_ticks(last.xaxis, 8)
    else:
        for axes in every[:, 0]:
            empty(axes, "no rows")
    last.set_xlabel(short(series.time, 60))
    if series.groups:
        handles = every[0, 0].get_lines()[: len(series.groups)]
        legend(figure, handles, all_short(series.groups, _NAME_LETTERS), short(series.by, _NAME_LETTERS))
    fitting_heading(figure, series.title)
    footnote(figure, series.note and f"not shown: {series.note}")
    return figure


def _draw_line(axes: Any, places: Array, line: Lines, *, has_others: bool) -> None:
    values, divided = reduced(*(np.where(np.isfinite(one), one, np.nan) for one in line.values))
    for place, one in enumerate(values):
        color = GREY if has_others and place == len(values) - 1 else SERIES[place]
        axes.plot(places, one, color=color, linewidth=1.3, marker="o", markersize=3.2, markevery=_alone(one))
    axes.set_ylabel(short(line.label, _LABEL_LETTERS) + divided)
    axes.margins(x=0.01)
    number_ticks(axes.yaxis, 5)
    if len(places) and not np.isfinite(values).any():
        empty(axes, "no values", keeps_x=True)
    axes.grid(axis="y", color="#E0E0E0", linewidth=0.6)


def _alone(values: Array) -> list[int]:
    """Places of the values to mark: all of few, and of many those without a neighbour, which no line shows."""
    there = np.isfinite(values)
    if len(values) > _MARKED_PERIODS:
        before, after = np.append(False, there[:-1]), np.append(there[1:], False)
        there = there & ~before & ~after
    return [int(place) for place in np.nonzero(there)[0]]
