"""Bars for the metrics of groups: a panel for each metric, beside each other, with the groups named on the left."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gristmill.processes.drawing import SERIES, all_short, empty, footnote, heading, number_ticks, picture, short
from gristmill.processes.pictures_points import reduced
from gristmill.words import counted

SHOWN_METRICS = 4
_LABEL_LETTERS = 40
_LABEL_INCHES = 2.0  # about, for the names of the groups
_LETTER_INCHES = 0.075  # of a number at the end of a bar
_PANEL_LETTERS = 34


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric. values: None where a group has none. whole: whether they are integers."""

    name: str
    values: Sequence[float | None]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Groups:
    """What to draw.

    by: what the groups are made by. labels: of the groups that are drawn, of ``total``. notes: what is not drawn.
    """

    by: str
    labels: Sequence[str]
    panels: Sequence[Panel]
    notes: Sequence[str]
    total: int


@picture()
def draw(groups: Groups) -> Figure:
    """Return the chart."""
    shown = groups.panels[:SHOWN_METRICS]
    notes = [*groups.notes]
    if len(groups.panels) > SHOWN_METRICS:
        notes.append(counted(len(groups.panels) - SHOWN_METRICS, "more metric"))
    width = {0: 8.0, 1: 8.0, 2: 10.0}.get(len(shown), 3.6 * len(shown) + 2)
    figure = Figure(figsize=(width, max(2.6, 1.5 + 0.27 * len(groups.labels))), layout="constrained")
    every = figure.subplots(1, max(1, len(shown)), sharey=True, squeeze=False)[0]
    if not shown or not groups.labels:
        empty(every[0], "no groups" if not groups.labels else "no metric is a number")
    for axes, panel in zip(every, shown, strict=False):
        if groups.labels:
            inches = (width - _LABEL_INCHES) / len(shown)
            _bars(axes, panel, all_short(groups.labels, _LABEL_LETTERS), inches)
    title = f"{counted(groups.total, 'group')} by {groups.by}"
    heading(figure, short(title, int(width * 9)))
    footnote(figure, short("not shown: " + ", ".join(notes), int(width * 16)) if notes else "")
    return figure


def _bars(axes: Axes, panel: Panel, labels: Sequence[str], inches: float) -> None:
    places = np.arange(len(labels))
    values = np.array([math.nan if one is None else one for one in panel.values])
    (lengths,), divided = reduced(np.where(np.isfinite(values), values, 0.0))
    bars = axes.barh(places, lengths, height=0.74, color=SERIES[0])
    written_values = _written(panel.values, whole=panel.whole)
    axes.bar_label(bars, written_values, padding=3, fontsize="small")
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(short(panel.name, _PANEL_LETTERS) + divided)
    low, high = min(0.0, lengths.min()), max(0.0, lengths.max())
    share = min(0.35, (max(map(len, written_values)) * _LETTER_INCHES + 0.1) / inches)  # of the panel, for the numbers
    room = (high - low or 1.0) * share / (1 - share * ((low < 0) + (high > 0 or not low)))
    axes.set_xlim(low - room if low < 0 else 0, high + room if high > 0 or not low else 0)
    if low < 0:
        axes.axvline(0, color="black", linewidth=0.8)
        axes.spines["left"].set_visible(False)
    number_ticks(axes.xaxis, _ticks(max(high, -low)), whole=panel.whole)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)


def _ticks(largest: float) -> int:
    """How many ticks have room, by how long their numbers are."""
    if not 0 < largest < 1e16 or largest < 1e-3:
        return 3
    return 4 if largest < 1e6 else 2


def _written(values: Sequence[float | None], *, whole: bool) -> list[str]:
    """The numbers at the ends of the bars, all with as many decimals as the largest needs for four digits."""
    finite = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(finite, default=0.0)
    if not 1e-3 <= largest < 1e12:
        return [_special(value) or (f"{value:.3e}" if value else "0") for value in values]
    decimals = (
        0 if whole or all(value.is_integer() for value in finite) else max(1, 3 - math.floor(math.log10(largest)))
    )
    return [_special(value) or f"{value:,.{decimals}f}" for value in values]


def _special(value: float | None) -> str:
    if value is None:
        return "none"
    return "" if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}"
