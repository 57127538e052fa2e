"""Points of two columns: dots where they are few, and hexagons coloured by their number where they are many."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator

from gristmill.processes.drawing import SERIES, number_ticks

FEW = 3000  # points, which dots still show
_LARGEST_DRAWN = 1e250  # beyond it, what Matplotlib reckons for margins and ticks may be no number any more

_SHORT_SCALE = 50  # rows, up to which a scale has few powers of ten to name

Floats = npt.NDArray[np.float64]


def reduced(*arrays: Floats) -> tuple[list[Floats], str]:
    """Bring numbers that are too large to draw to ones that are not; return them and by what they were divided."""
    largest = max((float(np.nanmax(np.abs(one), initial=0)) for one in arrays), default=0.0)
    if largest <= _LARGEST_DRAWN:
        return list(arrays), ""
    power = math.floor(math.log10(largest))
    return [one / 10.0**power for one in arrays], f" / 1e{power}"


def draw_points(axes: Axes, x: Floats, y: Floats, hexagons: tuple[int, int] = (45, 26)) -> Any:
    """Draw points, or so many hexagons across and up.

    Return what a colour bar of their number needs, or None where there are only dots.
    """
    for axis in (axes.xaxis, axes.yaxis):
        number_ticks(axis, 5)
    if len(x) <= FEW:
        alpha = 0.8 if len(x) < 300 else 0.5
        axes.plot(x, y, "o", markersize=3.5, color=SERIES[0], alpha=alpha, markeredgewidth=0, rasterized=len(x) > 1000)
        return None
    return axes.hexbin(x, y, gridsize=hexagons, mincnt=1, cmap="viridis_r", norm=LogNorm(vmin=1), linewidths=0.2)


def add_color_bar(figure: Any, axes: Any, drawn: Any) -> None:
    """Say which colour is how many rows."""
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30)
    is_short = drawn.norm.vmax < _SHORT_SCALE
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,), numticks=8))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
    bar.ax.minorticks_off()
    bar.set_label("rows")
    bar.outline.set_visible(False)
