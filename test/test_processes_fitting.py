"""What has room in a picture: labels of ticks that do not touch, names that end where their panel does."""

from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from support.runs import outputs_of

from gristmill.processes import pictures
from gristmill.processes.drawing import fonts, legend
from gristmill.processes.fitting import all_fitting, fitting_heading, fitting_ticks


@pytest.mark.parametrize("width", [2, 3.5, 8])
@pytest.mark.parametrize(
    ("low", "high"),
    [(1e6, 1.4e9), (1.7e12, 1.702e12), (999_999_999.99, 1_000_000_000.01), (0, 1), (-3e-10, 2e-10), (5, 5), (0, 9e15)],
)
def test_the_labels_of_ticks_do_not_touch(low: float, high: float, width: float) -> None:
    figure = Figure(figsize=(width, 2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([low, high], [0, 1])
    fitting_ticks(axes.xaxis, 6)
    figure.draw_without_rendering()

    extents = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert extents
    for one, other in pairwise(extents):
        assert one.x1 < other.x0


def test_short_labels_are_as_many_as_they_were() -> None:
    figure = Figure(figsize=(8, 2))
    axes = figure.add_subplot()
    axes.set_xlim(0, 10)
    fitting_ticks(axes.xaxis, 6)

    assert list(axes.get_xticks()) == [0, 2, 4, 6, 8, 10]


def test_long_numbers_have_few_labels_in_panels() -> None:
    random = np.random.default_rng(1)
    table = {"n": random.integers(1, 1_400_000_000, 300).tolist(), "y": [1, 2] * 150, "g": ["a", "b", "c"] * 100}

    svg = outputs_of("scatter", table=table, x="n", y="y", color="g", points=1)["plot_svg"].decode()

    assert ">1,000,000,000<" in svg
    assert ">750,000,000<" not in svg


@pytest.mark.parametrize("letter", ["W", "o", "i"])
def test_names_are_as_long_as_their_panel_is_wide(letter: str) -> None:
    short, cut = all_fitting(["short", letter * 100], 48, 3.0, 10)

    assert short == "short"
    assert len(cut) == 48 if letter == "i" else 15 < len(cut) < 48


@pytest.mark.parametrize("letter", ["W", "o", "i"])
@pytest.mark.parametrize("beside", [4, 24])
def test_a_title_ends_before_the_legend_and_takes_the_room_that_it_leaves(letter: str, beside: int) -> None:
    figure = Figure(figsize=(8.6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([1, 2])
    named = legend(figure, axes.get_lines(), ["a"], "o" * beside)
    fitting_heading(figure, letter * 200)
    figure.draw_without_rendering()

    (title,) = [text for text in figure.texts if text.get_text().startswith(letter)]
    room = named.get_window_extent().x0 - title.get_window_extent().x1
    assert room > 0
    assert len(title.get_text()) == 90 or room < 60


def figure_of(draw: Any, *given: Any, **rc: Any) -> Figure:
    """What is drawn of a picture's first form."""
    with mpl.rc_context({"font.family": fonts()} | {name.replace("_", "."): value for name, value in rc.items()}):
        figure: Figure = draw.__wrapped__(*given)
        figure.draw_without_rendering()
    return figure


WIDE = [
    "COMMUNITY MANAGEMENT COMMON WAY",
    "HAMBURG-WANDSBEK MARKT UND MEHR",
    "東京都千代田区丸の内一丁目九番一号東京駅",
    "W" * 40,
]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", WIDE)
def test_wide_names_stay_in_the_picture_and_in_their_panels(name: str) -> None:
    bars = pictures.Bars(name, [3, 2], None, [name, "short"])
    histogram = pictures.Bars(name, [3, 2], np.array([0.0, 1.0, 2.0]))
    figure = figure_of(pictures.draw_all, [bars, bars, histogram], font_size=8, axes_titlesize=9)

    for number, axes in enumerate(figure.axes):
        left, right = figure.bbox.x1 * number / 3, figure.bbox.x1 * (number + 1) / 3
        extents = [text.get_window_extent() for text in (axes._left_title, *axes.get_yticklabels())]
        assert left < min(one.x0 for one in extents)
        assert max(one.x1 for one in extents) < right


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", [*WIDE, "s"])
def test_a_title_ends_with_the_picture(name: str) -> None:
    title = f"{name * 40}, 1,000 of 2,000 rows"
    bars = pictures.Bars("x", [3, 2], None, [name, "short"], title)
    histogram = pictures.Bars("x", [3, 2_000_000], np.array([0.0, 1.0, 2.0]), title=title)
    for one in (bars, histogram):
        figure = figure_of(pictures.draw, one, font_size=10, axes_titlesize=11)
        (axes,) = figure.axes
        assert axes._left_title.get_window_extent().x1 < figure.bbox.x1
        assert axes.get_window_extent().width > figure.bbox.x1 / 2


def test_a_note_under_a_panel_stays_in_the_picture() -> None:
    note = "4,037 more values in 331,273 rows, 2,512 without a value"
    bars = pictures.Bars("tailnum", [575, 513], None, ["N725MQ", "N722MQ"], note=note)
    figure = figure_of(pictures.draw_all, [bars], font_size=8)

    extent = figure.axes[0].xaxis.label.get_window_extent()
    assert figure.axes[0].get_xlabel() == "rows, 4,037 more values in 331,273 rows,\n2,512 without a value"
    assert 0 < extent.x0 < extent.x1 < figure.bbox.x1
    assert extent.y0 > 0
