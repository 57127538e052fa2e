"""A heat map of correlations: blue below 0, white at 0, red above; numbers in the cells while they can be read."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from gristmill.processes.drawing import NumberFormatter, all_short, footnote, heading, picture, short
from gristmill.processes.pictures_points import Floats

_WITH_NUMBERS = 25  # columns
_UNDEFINED = "#E4E4E4"
_LABEL_LETTERS = 24
_LEAST_WIDTH = 4.0  # inches
_LETTER_INCHES = 0.086  # of the title


@picture()
def draw(names: Sequence[str], r: Floats, title: str, notes: Sequence[str]) -> Figure:
    """Return the map. r: the correlations, NaN where they are not defined."""
    count = len(names)
    cell = min(0.62, max(0.075, 11 / count))  # inches
    side = cell * count
    margin = 0.35 + 0.085 * max(len(short(name, _LABEL_LETTERS)) for name in names) * min(1.0, cell / 0.2)
    width = max(_LEAST_WIDTH, side + margin + 1.2)
    lines = wrap(title, int(width / _LETTER_INCHES))
    height = side + margin + 0.75 + 0.2 * len(lines)
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = figure.add_subplot()
    drawn = axes.imshow(np.ma.masked_invalid(r), cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_facecolor(_UNDEFINED)
    _label(axes, names, min(9.5, cell * 72 * 0.8))
    if count <= _WITH_NUMBERS:
        _write_numbers(axes, r, min(9.0, cell * 72 * 0.26))
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, shrink=0.9, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(NumberFormatter())
    heading(figure, "\n".join(lines))
    shown = [f"not shown: {', '.join(notes)}"] if notes else []
    if np.isnan(r).any():
        shown.append("grey: not defined")
    footnote(figure, "; ".join(shown))
    return figure


def _label(axes: Axes, names: Sequence[str], size: float) -> None:
    labels = all_short(names, _LABEL_LETTERS)
    places = range(len(names))
    axes.set_xticks(places, labels, rotation=90, fontsize=size)
    axes.set_yticks(places, labels, fontsize=size)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_numbers(axes: Axes, r: Floats, size: float) -> None:
    for (row, column), value in np.ndenumerate(r):
        if np.isnan(value):
            continue
        text = f"{value:.2f}".replace("-0.00", "0.00")
        color = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
