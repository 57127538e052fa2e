"""What all pictures of the built-in processes have in common: style, colours, ticks, and how they are written.

Colours are of the palette of Okabe and Ito, which people with any colour vision can tell apart. Imported when a process
runs, because it brings in Matplotlib.
"""

import io
import itertools
import math
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import MINUTELY, SECONDLY, AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import Formatter, MaxNLocator, NullFormatter, NullLocator

P = ParamSpec("P")

BLUE, GREY = "#0072B2", "#7F7F7F"
# In the order in which series take them.
SERIES = (BLUE, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
STEPS = [1, 2, 2.5, 5, 10]
_LARGEST_PLAIN = 1e16
_MOST_DECIMALS = 4
_SEPARATED = 10_000
# The first and the last moment that Matplotlib can label, in days since 1970: of the years 1 and 9999.
FIRST_DAY, LAST_DAY = -719_162.0, 2_932_896.999
_DOTS_PER_INCH = 144
_WEEK = 7
TITLE_SIZE = 11
# The first has Latin, Greek and Cyrillic letters and comes with Matplotlib. Those of them that there are have others.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.titlesize": 11,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "gristmill",
}


class Picture:
    """A figure that is drawn when it is first asked for, and its two forms. Both show the same layout.

    draw: makes the figure. rc: settings of Matplotlib beside those that all pictures have.
    """

    def __init__(self, draw: Callable[[], Figure], rc: dict[Any, Any]) -> None:
        self._draw = draw
        self._rc = _STYLE | {"font.family": fonts()} | rc
        self._figure: Figure | None = None

    def png(self) -> bytes:
        """The picture in pixels."""
        return self._written(format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})

    def svg(self) -> bytes:
        """The picture as vector graphics."""
        return self._written(format="svg", metadata={"Date": None})

    def _written(self, **how: Any) -> bytes:
        with mpl.rc_context(self._rc), warnings.catch_warnings():
            # Drawn as a box where no font has it; SVG keeps the text.
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            if self._figure is None:
                self._figure = self._draw()
            file = io.BytesIO()
            self._figure.savefig(file, **how)
            self._figure.set_layout_engine("none")  # the layout is made, and the slowest part
        return file.getvalue()


def picture(**rc: Any) -> Callable[[Callable[P, Figure]], Callable[P, Picture]]:
    """Have a function that draws give a picture, for which it draws later; ``rc``: settings, with ``_`` for dots."""
    settings: dict[Any, Any] = {name.replace("_", "."): value for name, value in rc.items()}

    def decorate(draw: Callable[P, Figure]) -> Callable[P, Picture]:
        @wraps(draw)
        def later(*args: P.args, **kwargs: P.kwargs) -> Picture:
            return Picture(partial(draw, *args, **kwargs), settings)

        return later

    return decorate


@lru_cache(maxsize=1)
def fonts() -> list[str]:
    """The fonts of pictures that this computer has, the first choice first."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in _FONTS if name in known]


class NumberFormatter(Formatter):
    """Writes ticks with as many digits as tell them apart, and never with an offset to add in one's head."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        """Write one number on its own."""
        del pos
        return f"{value:.10g}"

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write the numbers of one axis alike."""
        largest = max(map(abs, values), default=0.0)
        step = min(np.diff(sorted(values)), default=1.0) or 1.0
        leading, _, power = f"{step:.6e}".partition("e")
        last_power = int(power) - (not float(leading).is_integer())  # steps of 2.5 need a digit more
        decimals = max(0, -last_power)
        if largest < _LARGEST_PLAIN and decimals <= _MOST_DECIMALS:
            separator = "," if largest >= _SEPARATED else ""
            return [f"{value:{separator}.{decimals}f}" for value in values]
        digits = max(1, math.floor(math.log10(largest)) - last_power)
        return [f"{value:.{digits}e}" for value in values]


def number_ticks(axis: Axis, most: int, *, whole: bool = False) -> None:
    """Tick an axis of numbers, with so many steps at the most."""
    axis.set_major_locator(MaxNLocator(most, steps=STEPS, integer=whole))
    axis.set_major_formatter(NumberFormatter())


class _TimeLocator(AutoDateLocator):
    """Matplotlib's, without the 29th or 31st beside the first of a month, and with some days around a single moment."""

    def __init__(self, most: int | dict[int, int]) -> None:
        super().__init__(minticks=3, maxticks=most)  # type: ignore[no-untyped-call]
        self.intervald[MINUTELY] = self.intervald[SECONDLY] = [1, 2, 5, 10, 15, 30]

    def nonsingular(self, vmin: Any, vmax: Any) -> Any:
        """The ends of the axis where what is drawn has these."""
        around = 0.5 if vmin % 1 else 2  # days: of a date, its neighbours
        return (vmin - around, vmax + around) if vmin == vmax else super().nonsingular(vmin, vmax)  # type: ignore[no-untyped-call]

    def __call__(self) -> Any:
        """The ticks within what is seen."""
        return self._apart(super().__call__())  # type: ignore[no-untyped-call]

    def tick_values(self, vmin: Any, vmax: Any) -> Any:
        """The ticks between two times."""
        return self._apart(super().tick_values(vmin, vmax))  # type: ignore[no-untyped-call]

    def _apart(self, ticks: Any) -> list[float]:
        found: list[float] = list(ticks)
        steps = np.diff(found)
        if not len(steps) or min(steps) < 1:  # hours and less
            return found
        step = min(max(steps), _WEEK)  # of two weeks, no more has to be free
        kept = []
        for at, (one, following) in enumerate(itertools.pairwise(found)):
            least = step if at == 0 else step / 2 + 0.1  # the first is written with its month
            if num2date(following).day != 1 or following - one >= least:
                kept.append(one)
        return [*kept, found[-1]]


class _TimeFormatter(ConciseDateFormatter):
    """Matplotlib's, whose corner says what holds for all ticks: that says it for the last one alone."""

    _corner = ""  # where Matplotlib's own does not do

    def get_offset(self) -> str:
        """What stands in the corner."""
        return self._corner or str(super().get_offset())  # type: ignore[no-untyped-call]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write the times of one axis; of days of two months, the first with its own."""
        labels: list[str] = super().format_ticks(values)  # type: ignore[no-untyped-call]
        moments = [num2date(value) for value in values]
        first, last = moments[0], moments[-1]
        has_seconds = any(one.second or one.microsecond for one in moments)
        self._corner = ""
        if not self.get_offset() or (first.date() == last.date() and not has_seconds):
            return labels
        is_of_a_month = (first.year, first.month) == (last.year, last.month)
        if has_seconds:
            form = "%Y-%b-%d %H:%M"
        elif any(one.minute for one in moments):
            form = "%Y-%b-%d"
        else:  # the ticks that begin a day or month say which
            form = "%Y-%b" if is_of_a_month else "%Y"
        ends = dict.fromkeys([first.strftime(form), last.strftime(form)])
        self._corner = " \u2013 ".join(ends)
        if not is_of_a_month and first.day > 1 and not any(one.hour for one in moments):
            labels[0] = first.strftime("%b-%d")
        return labels


def time_ticks(axis: Axis, most: int | dict[int, int]) -> None:
    """Tick an axis of times, with so many ticks at the most; a dict: of each frequency of Matplotlib's.

    The room beside what is drawn ends where Matplotlib's times do.
    """
    locator = _TimeLocator(most)
    axis.set_major_locator(locator)
    axis.set_major_formatter(_TimeFormatter(locator))  # type: ignore[no-untyped-call]
    low, high = axis.get_view_interval()
    if low < FIRST_DAY or high > LAST_DAY:
        axis.axes.set_xlim(max(low, FIRST_DAY), min(high, LAST_DAY))


def heading(figure: Figure, text: str) -> None:
    """Write a title over the whole picture, at its left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=TITLE_SIZE)


def footnote(figure: Figure, text: str) -> None:
    """Say under a picture what it does not show; nothing for ""."""
    if text:
        figure.supxlabel(text, x=0.99, ha="right", fontsize="small", color=GREY)


def short(text: str, letters: int) -> str:
    """Cut a text in its middle to so many letters, because names that belong together often differ at the end."""
    line = _line(text)
    if len(line) <= letters:
        return line
    return f"{line[: letters // 2]}…{line[-(letters - letters // 2 - 1) :]}"


def all_short(texts: Sequence[str], letters: int) -> list[str]:
    """Cut texts as ``short`` does, but those that would look alike around the words in which they differ."""
    alike: dict[str, set[str]] = {}
    for text in texts:
        alike.setdefault(short(text, letters), set()).add(_line(text))
    instead: dict[str, str] = {}
    for lines in alike.values():
        if len(lines) > 1:
            instead |= _cut_apart(lines, letters)
    return [instead.get(_line(text), short(text, letters)) for text in texts]


def _line(text: str) -> str:
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line or ("(blanks)" if text else "(empty)")


def _cut_apart(lines: Collection[str], letters: int) -> dict[str, str]:
    """Different lines, each as its beginning, the words in which it differs from the others, and its end."""
    begin = next(iter(lines)).rfind(" ", 0, _common(lines)) + 1
    rest = {line: line[begin:] for line in sorted(lines)}
    same = _common([words[::-1] for words in rest.values()])
    made: dict[str, str] = {}
    for line, words in rest.items():
        end = words.find(" ", len(words) - same) if same else -1
        own = short(words[:end] if end >= 0 else words, letters * 2 // 3)
        if end >= 0:
            own = _ended(own, words[end + 1 :], letters - len(own) - 2, begin)
        cut = f"{line[: max(0, min(begin, letters - len(own) - 1))]}…{own}"
        again = sum(other.startswith(cut) for other in made.values())
        made[line] = f"{cut} ({again + 1})" if again else cut
    return made


def _ended(own: str, rest: str, room: int, begin: int) -> str:
    """What a line alone has, and the end of the rest: half of the room, or more where the beginning takes less."""
    shown = max(0, min(len(rest), max(room // 2, room - begin)))
    return f"{own} {rest}" if shown == len(rest) else f"{own}…{rest[len(rest) - shown :]}"


def _common(texts: Collection[str]) -> int:
    """With how many equal letters all texts begin."""
    least, greatest = min(texts), max(texts)
    return next((at for at, (one, other) in enumerate(zip(least, greatest, strict=False)) if one != other), len(least))


def empty(axes: Axes, text: str, *, keeps_x: bool = False) -> None:
    """Say why there is nothing to see. keeps_x: leave the x axis, which other panels share, as it is."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
    for axis in (axes.yaxis,) if keeps_x else (axes.xaxis, axes.yaxis):
        axis.set_major_locator(NullLocator())
        axis.set_major_formatter(NullFormatter())  # Matplotlib's of times fails without a tick


def legend(figure: Figure, handles: Sequence[Any], names: Sequence[str], title: str) -> Legend:
    """Name what is drawn, beside it; also by names that begin with `_`, which Matplotlib would leave out."""
    made = figure.legend(handles, ["."] * len(names), loc="outside right upper", frameon=False, title=title)
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(name)
    return made
