"""Points of two columns: dots where they are few, and hexagons coloured by their number where they are many."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator

from gristmill.processes.drawing import SERIES, number_ticks
from gristmill.processes.fitting import fitting_ticks

FEW = 3000  # points, which dots still show
_LARGEST_DRAWN = 1e250  # beyond it, what Matplotlib reckons for margins and ticks may be no number any more
_SMALLEST_DRAWN = 1e-250  # below it, Matplotlib takes a range for none
_SHORT_SCALE = 50  # rows, up to which a scale has few powers of ten to name

Floats = npt.NDArray[np.float64]


def reduced(*arrays: Floats) -> tuple[list[Floats], str]:
    """Bring numbers that are too large or too small to draw to ones that are not, and infinities to NaN.

    Return them and by what they were divided.
    """
    finite = [np.where(np.isfinite(one), one, np.nan) for one in arrays]
    largest = max((float(np.nanmax(np.abs(one), initial=0)) for one in finite), default=0.0)
    if not largest or _SMALLEST_DRAWN <= largest <= _LARGEST_DRAWN:
        return finite, ""
    power = max(-300, math.floor(math.log10(largest)))  # 10 to what is less may be 0
    return [one / 10.0**power for one in finite], f" / 1e{power}"


def draw_points(axes: Axes, x: Floats, y: Floats, hexagons: tuple[int, int] = (45, 26)) -> Any:
    """Draw points, or so many hexagons across and up.

    Return what a colour bar of their number needs, or None where there are only dots.
    """
    fitting_ticks(axes.xaxis, 5)
    number_ticks(axes.yaxis, 5)
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
