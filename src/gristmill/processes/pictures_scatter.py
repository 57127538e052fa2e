"""Points of two columns in colours, or the density of many, with a panel for each colour."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

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
from gristmill.processes.fitting import all_fitting, fitting_heading, fitting_ticks
from gristmill.processes.pictures_points import add_color_bar, reduced
from gristmill.processes.scatter import Grid, Points
from gristmill.words import counted

_LABEL_LETTERS = 44
_NAME_LETTERS = 24
_RASTERIZED = 1000
_PANEL_INCHES, _PANEL_TITLE_SIZE = 3.1, 10


@picture()
def draw(points: Points, grid: Grid | None, labels: tuple[str, str, str], note: str, *, is_time: bool) -> Figure:
    """Return the chart. labels: of the axes and of the colours."""
    figure = _density(points, grid, labels, is_time) if grid else _dots(points, labels, is_time)
    drawn = len(points.x)
    title = f"{labels[1]} against {labels[0]}{f', by {labels[2]}' if labels[2] else ''}: {counted(drawn, 'row')}"
    fitting_heading(figure, title)
    footnote(figure, note and f"not shown: {note}")
    return figure


def _dots(points: Points, labels: tuple[str, str, str], is_time: bool) -> Figure:
    figure = Figure(figsize=(8.6 if points.names else 8, 5), layout="constrained")
    axes = figure.add_subplot()
    (x,), by_x = ([points.x], "") if is_time else reduced(points.x)
    (y,), by_y = reduced(points.y)
    look: dict[str, Any] = {
        "markersize": 4.5 if len(x) < 300 else 3.2, "alpha": 0.8 if len(x) < 300 else 0.55, "markeredgewidth": 0,
        "rasterized": len(x) > _RASTERIZED,
    }  # fmt: skip
    if not points.names and len(x):
        axes.plot(x, y, "o", color=SERIES[0], **look)
    for place in range(len(points.names)):
        chosen = points.colors == place
        is_others = points.has_others and place == len(points.names) - 1
        color = GREY if is_others else SERIES[place]
        axes.plot(x[chosen], y[chosen], "o", color=color, zorder=1 if is_others else 2, **look)
    if points.names:
        names = all_short(points.names, _NAME_LETTERS)
        made = legend(figure, axes.get_lines(), names, short(labels[2], _NAME_LETTERS))
        for handle in made.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
    _label(axes, labels[0] + by_x, labels[1] + by_y, is_time)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    if not len(x):
        empty(axes, "no rows")
    return figure


def _density(points: Points, grid: Grid, labels: tuple[str, str, str], is_time: bool) -> Figure:
    count = len(grid.counts)
    across = 1 if count == 1 else 2 if count <= 4 else 3
    down = -(-count // across)
    size = (8.0, 5.0) if count == 1 else (3.5 * across + 1.2, 2.9 * down + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    every: Any = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    (x,), by_x = ([grid.x], "") if is_time else reduced(grid.x)
    (y,), by_y = reduced(grid.y)
    norm = LogNorm(vmin=1, vmax=max(2.0, *(float(one.max()) for one in grid.counts)))
    drawn: Any = None
    names = all_fitting(points.names, 2 * _NAME_LETTERS, _PANEL_INCHES, _PANEL_TITLE_SIZE)
    for place, axes in enumerate(every.flat):
        if place >= count:
            axes.set_visible(False)
            continue
        shown = np.ma.masked_equal(grid.counts[place].T, 0)
        drawn = axes.pcolormesh(x, y, shown, cmap="viridis_r", norm=norm, rasterized=True)
        if points.names:
            axes.set_title(names[place], loc="left", fontsize=_PANEL_TITLE_SIZE)
        is_last = place + across >= count
        axes.tick_params(labelbottom=is_last)
        _label(axes, labels[0] + by_x if is_last else "", labels[1] + by_y if place % across == 0 else "", is_time)
    add_color_bar(figure, every, drawn)
    return figure


def _label(axes: Axes, x: str, y: str, is_time: bool) -> None:
    axes.set_xlabel(short(x, _LABEL_LETTERS) if x else "")
    axes.set_ylabel(short(y, _LABEL_LETTERS) if y else "")
    if is_time:
        time_ticks(axes.xaxis, 7)
    else:
        fitting_ticks(axes.xaxis, 6)
    number_ticks(axes.yaxis, 6)
