"""Bars, of bins or of categories, in one chart or a panel for each column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import MONTHLY, date2num
from matplotlib.figure import Figure

from gristmill.processes.drawing import (
    BLUE,
    GREY,
    LAST_DAY,
    NumberFormatter,
    empty,
    footnote,
    number_ticks,
    picture,
    short,
    time_ticks,
)
from gristmill.processes.fitting import all_fitting, in_lines, widest
from gristmill.words import counted

SHOWN_CATEGORIES = 30
PANEL_CATEGORIES = 6
SHOWN_PANELS = 24
_LABEL_LETTERS = 28
_TITLE_LETTERS = 80
_PANEL_LETTERS = 16
_PANEL_TICKS = 4
_PANEL_TICK_LETTERS = 30  # that have room under a panel
_PANEL_WIDTH, _PANEL_HEIGHT, _NOTE_HEIGHT = 3.6, 2.5, 0.3  # inches
_PANEL_MARGIN = (1.25, 0.57)  # left, for the names of categories, and below, for two lines
_WIDTH, _LABEL_INCHES = 8, 3.0
_BESIDE_LABELS = 0.1  # inches: ticks and the room between
_BESIDE_TITLE = 0.6  # inches: what stands beside the numbers or names on the left, and margins
# Beyond them, what Matplotlib reckons for margins, ticks and places may be no number any more, or all the same.
_LARGEST_DRAWN, _SMALLEST_DRAWN, _NARROWEST_DRAWN = 1e300, 1e-250, 1e-12
_OUTLINED_BINS = 60


@dataclass(frozen=True, slots=True)
class Bars:
    """What to draw for one column: counts between edges (numbers or datetime64), or counts of categories.

    name: the column's. title: "" for the name. note: what is not drawn, or "". whole: whether the numbers are integers.
    """

    name: str
    counts: Sequence[int]
    edges: np.ndarray[Any, Any] | None = None
    categories: Sequence[str] = ()
    title: str = ""
    note: str = ""
    whole: bool = False


@picture()
def draw(bars: Bars) -> Figure:
    """Return one chart."""
    shown = min(len(bars.categories), SHOWN_CATEGORIES)
    height = 4.5 if bars.edges is not None else max(2.4, 1.2 + 0.28 * shown)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    size = mpl.rcParams["font.size"]
    names = all_fitting(bars.categories[:SHOWN_CATEGORIES], _LABEL_LETTERS, _LABEL_INCHES, size)
    left = widest(names or [f"{max(bars.counts, default=0):,}"], size)
    _draw_bars(axes, bars, names, _WIDTH - left - _BESIDE_TITLE)
    axes.set_xlabel(short(bars.name, 80) if bars.edges is not None else "rows")
    axes.set_ylabel("rows" if bars.edges is not None else "")
    footnote(figure, bars.note and f"not shown: {bars.note}")
    return figure


@picture(font_size=8, axes_titlesize=9)
def draw_all(panels: Sequence[Bars]) -> Figure:
    """Return one picture with a small chart for each column, at most 24."""
    shown = panels[:SHOWN_PANELS]
    across = min(3, max(1, len(shown)))
    down = max(1, -(-len(shown) // across))
    note = f"not shown: {counted(len(panels) - len(shown), 'more column')}" if len(panels) > len(shown) else ""
    width, height = _PANEL_WIDTH * across, _PANEL_HEIGHT * down + (_NOTE_HEIGHT if note else 0)
    figure = Figure(figsize=(width, height))
    for number, bars in enumerate(shown):
        left = _PANEL_WIDTH * (number % across) + _PANEL_MARGIN[0]
        bottom = height - _PANEL_HEIGHT * (number // across + 1) + _PANEL_MARGIN[1]
        inner = _PANEL_WIDTH - _PANEL_MARGIN[0] - 0.2, _PANEL_HEIGHT - _PANEL_MARGIN[1] - 0.4
        axes = figure.add_axes((left / width, bottom / height, inner[0] / width, inner[1] / height))
        room = _PANEL_MARGIN[0] - _BESIDE_LABELS
        names = all_fitting(bars.categories[:PANEL_CATEGORIES], _PANEL_LETTERS, room, mpl.rcParams["font.size"])
        _draw_bars(axes, bars, names, inner[0])
        is_histogram = bars.edges is not None
        axes.set_ylabel("rows" if is_histogram else "", fontsize="small", color=GREY)
        said = ", ".join(filter(None, ["" if is_histogram else "rows", bars.note]))
        label = axes.set_xlabel(said, fontsize="small", color=GREY)
        label.set_text(in_lines(said, inner[0], label.get_fontproperties().get_size_in_points()))
    figure.text(0.5, 0.05 / height, note, fontsize=8, color=GREY, ha="center")
    return figure


def _draw_bars(axes: Axes, bars: Bars, names: Sequence[str], inches: float) -> None:
    """names: of the categories that are drawn, as they are written. inches: how wide the title may be."""
    letters = _TITLE_LETTERS if bars.title else _LABEL_LETTERS
    (title,) = all_fitting([bars.title or bars.name], letters, inches, mpl.rcParams["axes.titlesize"])
    axes.set_title(title, loc="left")
    if not any(bars.counts):
        empty(axes, "no values")
    elif bars.edges is not None:
        _draw_histogram(axes, bars.counts, bars.edges, ticks=6 if bars.title else _PANEL_TICKS, whole=bars.whole)
    else:
        _draw_categories(axes, bars.counts[: len(names)], names)


def _draw_histogram(axes: Axes, counts: Sequence[int], edges: np.ndarray[Any, Any], *, ticks: int, whole: bool) -> None:
    if edges.dtype.kind == "M":
        places = np.minimum(date2num(edges), LAST_DAY)
        # Half years are too many for 6 in three years, whole years too few for 3.
        time_ticks(axes.xaxis, {**dict.fromkeys(range(7), 6), MONTHLY: 7})
        axes.margins(x=0)
    else:
        places = _ticked(axes, edges, ticks, whole=whole)
    if len(counts) <= _OUTLINED_BINS:
        axes.bar(places[:-1], counts, width=np.diff(places), align="edge", color=BLUE, edgecolor="white", linewidth=0.6)
    else:
        axes.stairs(counts, places, fill=True, color=BLUE)
    if ticks == _PANEL_TICKS and edges.dtype.kind != "M":
        _part_long_ticks(axes)
    axes.set_ylim(bottom=0)
    number_ticks(axes.yaxis, 5, whole=True)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _ticked(axes: Axes, edges: np.ndarray[Any, Any], ticks: int, *, whole: bool) -> np.ndarray[Any, Any]:
    """Tick an axis of numbers; return where the edges stand on it."""
    largest = np.abs(edges).max()
    shrunk = edges / 1e10 if largest > _LARGEST_DRAWN else edges
    span = shrunk[-1] - shrunk[0]
    if largest > _LARGEST_DRAWN or largest < _SMALLEST_DRAWN or span < largest * _NARROWEST_DRAWN:
        half = 0.5 if whole else 0.0  # bins of whole numbers begin and end between two
        ends = [edges[0] + half, edges[-1] - half]
        texts = [f"{end:.3g}" for end in ends] if largest > _LARGEST_DRAWN else NumberFormatter().format_ticks(ends)
        is_one = ends[0] >= ends[1]
        axes.set_xticks([0.5] if is_one else [half / span, 1 - half / span], texts[:1] if is_one else texts)
        return np.asarray((shrunk - shrunk[0]) / span)
    number_ticks(axes.xaxis, ticks if 1e-3 <= largest < 1e7 else 3, whole=whole)
    if whole and span <= 1:
        axes.set_xticks([round(edges.mean())])
    return edges


def _part_long_ticks(axes: Axes) -> None:
    """Name only the first and the last tick, one above the other, where the numbers are too long to stand in a row."""
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    texts = axes.xaxis.get_major_formatter().format_ticks(shown)
    if len(texts) > 1 and sum(map(len, texts)) > _PANEL_TICK_LETTERS:
        axes.set_xticks([shown[0], shown[-1]], [texts[0], f"\n{texts[-1]}"])
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")


def _draw_categories(axes: Axes, counts: Sequence[int], names: Sequence[str]) -> None:
    places = np.arange(len(names))
    drawn = axes.barh(places, counts, color=BLUE, height=0.75)
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=3, fontsize="small")
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.12)
    number_ticks(axes.xaxis, 5, whole=True)
