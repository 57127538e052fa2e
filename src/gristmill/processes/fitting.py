"""What has room in a picture: ticks whose labels do not touch; names and titles that end where a neighbour begins."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import MaxNLocator

from gristmill.processes.drawing import STEPS, TITLE_SIZE, NumberFormatter, all_short, heading

# Of the size of the font.
_DIGIT, _SIGN, _GAP = 0.64, 0.36, 0.8
_FEWEST_LETTERS = 8
_TITLE_LETTERS = 90
_BESIDE_TITLE_INCHES = 0.3


class _FittingLocator(MaxNLocator):
    """So many steps at the most, and fewer where the labels of an x axis would touch."""

    axis: XAxis

    def __init__(self, most: int) -> None:
        super().__init__(most, steps=STEPS)
        self._most = most

    def __call__(self) -> Sequence[float]:
        low, high = sorted(self.axis.get_view_interval())
        found = [self._ticks(most, low, high) for most in range(self._most, 0, -1)]
        # The two ends have room where no other tick between them has.
        found += [ticks[:: len(ticks) - 1] for ticks in found if len(ticks) > 2]
        several = (ticks for ticks in found if len(ticks) > 1 and self._fit(ticks, high - low))
        return next(several, found[0][:1])

    def _ticks(self, most: int, low: float, high: float) -> list[float]:
        self.set_params(nbins=most)
        return [float(tick) for tick in self.tick_values(low, high) if low <= tick <= high]

    def _fit(self, ticks: list[float], span: float) -> bool:
        size = mpl.rcParams["font.size"]
        axes = self.axis.axes
        points = axes.bbox.width / axes.figure.dpi * 72
        texts = NumberFormatter().format_ticks(ticks)
        widths = np.array([sum(_SIGN if one in ",.-" else _DIGIT for one in text) for text in texts]) * size
        distances = np.diff(ticks) / span * points
        return bool(np.all(distances >= (widths[1:] + widths[:-1]) / 2 + _GAP * size))


def fitting_ticks(axis: XAxis, most: int) -> None:
    """Tick an x axis of numbers, with so many steps at the most, and fewer where their labels would touch."""
    axis.set_major_locator(_FittingLocator(most))
    axis.set_major_formatter(NumberFormatter())


def all_fitting(texts: Sequence[str], letters: int, inches: float, size: float) -> list[str]:
    """Cut texts as ``all_short`` does, until each is at most so wide in letters of a size in points."""
    while True:
        made = all_short(texts, letters)
        share = widest(made, size) / inches
        if share <= 1 or letters <= _FEWEST_LETTERS:
            return made
        letters = max(_FEWEST_LETTERS, min(letters - 1, int(letters / share)))


def fitting_heading(figure: Figure, text: str) -> None:
    """Write a title over the whole picture, cut where a legend beside the picture begins."""
    legends = max((one.get_window_extent().width / figure.dpi for one in figure.legends), default=0.0)
    inches = float(figure.get_figwidth()) - legends - _BESIDE_TITLE_INCHES
    heading(figure, all_fitting([text], _TITLE_LETTERS, inches, TITLE_SIZE)[0])


def in_lines(text: str, inches: float, size: float) -> str:
    """Break a text behind its commas where it would be wider, in letters of a size in points."""
    lines = [""]
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and widest([longer], size) > inches:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def widest(texts: Sequence[str], size: float) -> float:
    """How wide the widest text is in letters of a size in points; in inches, 0 for none."""
    font = FontProperties(size=size)
    widths = (TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] for text in texts)
    return float(max(widths, default=0.0)) / 72
