"""Charts of a query's result: bars side by side, or lines one above the other, a panel for each number column."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from gristmill.processes.charts import Chart
from gristmill.processes.drawing import GREY, SERIES, all_short, footnote, number_ticks, picture, short, time_ticks
from gristmill.processes.fitting import fitting_ticks

_LABEL_LETTERS = 28
_AXIS_LETTERS = 40
_MARKED_POINTS = 60


@picture()
def draw(chart: Chart) -> Figure:
    """Return a chart."""
    figure = _bars(chart) if chart.axis.places is None else _lines(chart, chart.axis.places)
    footnote(figure, chart.note and f"not shown: {short(chart.note, 110)}")
    return figure


def _bars(chart: Chart) -> Figure:
    count = len(chart.panels)
    figure = Figure(figsize=(6 + 2 * count, max(2.4, 1.3 + 0.28 * len(chart.axis.names))), layout="constrained")
    places = np.arange(len(chart.axis.names))
    every: Any = figure.subplots(1, count, sharey=True, squeeze=False)
    for number, (axes, (name, values)) in enumerate(zip(every[0], chart.panels, strict=True)):
        drawn = axes.barh(places, np.nan_to_num(values), color=SERIES[number], height=0.75)
        texts = ["" if np.isnan(value) else _shown(value) for value in values]
        axes.bar_label(drawn, texts, padding=3, fontsize="small")
        axes.set_xlabel(short(name, _AXIS_LETTERS))
        axes.margins(x=0.2 if count > 1 else 0.12)
        if np.nanmin(values) < 0:
            axes.axvline(0, color=GREY, linewidth=0.8)
        number_ticks(axes.xaxis, 4 if count > 1 else 5)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.tick_params(axis="y", length=0)
    first: Axes = every[0][0]
    first.set_yticks(places, all_short(chart.axis.names, _LABEL_LETTERS))
    first.set_ylim(len(places) - 0.4, -0.6)
    first.set_ylabel(short(chart.axis.name, _AXIS_LETTERS))
    return figure


def _lines(chart: Chart, places: Any) -> Figure:
    count = len(chart.panels)
    figure = Figure(figsize=(8, 1.9 + 2.1 * count), layout="constrained")
    is_time = places.dtype.kind == "M"
    if is_time:
        places = date2num(places)
    every: Any = figure.subplots(count, 1, sharex=True, squeeze=False)
    for number, (axes, (name, values)) in enumerate(zip(every[:, 0], chart.panels, strict=True)):
        marker = "o" if len(values) <= _MARKED_POINTS else ""
        axes.plot(places, values, color=SERIES[number], linewidth=1.4, marker=marker, markersize=3.5)
        axes.set_ylabel(short(name, _LABEL_LETTERS))
        axes.margins(x=0.01)
        number_ticks(axes.yaxis, 5)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    last: Axes = every[-1, 0]
    if is_time:
        time_ticks(last.xaxis, 8)
    else:
        fitting_ticks(last.xaxis, 6)
    last.set_xlabel(short(chart.axis.name, _AXIS_LETTERS))
    return figure


def _shown(value: float) -> str:
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
