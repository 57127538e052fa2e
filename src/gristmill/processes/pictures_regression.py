"""Residuals of a regression against its fitted values, and with one column of numbers the data and the line."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gristmill.processes.drawing import SERIES, empty, footnote, heading, picture, short
from gristmill.processes.pictures_points import Floats, add_color_bar, draw_points, reduced

_LABEL_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Residuals:
    """What to draw. x, data: the only column of numbers, and its values beside y; line: intercept and slope."""

    y: str
    fitted: Floats
    residuals: Floats
    x: str
    data: Floats | None
    line: tuple[float, float]
    title: str
    notes: Sequence[str]


@picture()
def draw(residuals: Residuals) -> Figure:
    """Return the chart."""
    both = residuals.data is not None
    width = 11.0 if both else 8.0
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    every = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    if residuals.data is not None:
        _draw_line(figure, every[0], residuals, residuals.data)
    _draw_residuals(figure, every[-1], residuals)
    heading(figure, short(residuals.title, int(width * 11)))
    footnote(figure, "not shown: " + ", ".join(residuals.notes) if residuals.notes else "")
    return figure


def _draw_residuals(figure: Figure, axes: Axes, residuals: Residuals) -> None:
    (fitted, rest), divided = reduced(residuals.fitted, residuals.residuals)
    points = draw_points(axes, fitted, rest, (45, 26) if residuals.data is not None else (60, 22))
    axes.axhline(0, color=SERIES[1], linewidth=1.2)
    axes.set_xlabel(short(f"fitted {residuals.y}", _LABEL_LETTERS) + divided)
    axes.set_ylabel(short(f"residual of {residuals.y}", _LABEL_LETTERS) + divided)
    if not np.isfinite(fitted).any():
        empty(axes, "not finite")
    if points is not None:
        add_color_bar(figure, axes, points)


def _draw_line(figure: Figure, axes: Axes, residuals: Residuals, data: Floats) -> None:
    ends = np.array([data[:, 0].min(), data[:, 0].max()])
    (x, along), by_x = reduced(data[:, 0], ends)
    (y, heights), by_y = reduced(data[:, 1], residuals.line[0] + residuals.line[1] * ends)
    points = draw_points(axes, x, y)
    axes.plot(along, heights, color=SERIES[1], linewidth=1.8)
    axes.set_xlabel(short(residuals.x, _LABEL_LETTERS) + by_x)
    axes.set_ylabel(short(residuals.y, _LABEL_LETTERS) + by_y)
    if points is not None:
        add_color_bar(figure, axes, points)
