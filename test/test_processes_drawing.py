"""What all pictures have in common: labels that can be told apart, titles and scales that are whole."""

import io
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import LogNorm
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.image import imread
from support.runs import outputs_of

from gristmill.processes import drawing, pictures_heat
from gristmill.processes.drawing import NumberFormatter, all_short, picture, short, time_ticks
from gristmill.processes.pictures_points import add_color_bar

NUMBERED = [f"The quick brown fox number {number} of a long category" for number in (1, 2, 12, 31)]


@pytest.mark.parametrize(
    ("texts", "made"),
    [
        (NUMBERED, ["The quic…1…ategory", "The quic…2…ategory", "The qui…12…ategory", "The qui…31…ategory"]),
        (["x" * 30 + " a " + "x" * 30, "x" * 30 + " b " + "x" * 30], ["xxxxxxxx…a…xxxxxxx", "xxxxxxxx…b…xxxxxxx"]),
        (
            ["a long " + "name " * 9 + "here", "b long " + "name " * 9 + "here"],
            ["a long na…ame here", "b long na…ame here"],
        ),
        (["as it is", "", "as it is", " \t"], ["as it is", "(empty)", "as it is", "(blanks)"]),
        (
            ["a long name that ends in one", "a long name that ends in two"],
            ["a long na…s in one", "a long na…s in two"],
        ),
    ],
)
def test_long_labels_are_cut_around_the_words_in_which_they_differ(texts: list[str], made: list[str]) -> None:
    assert all_short(texts, 18) == made


WORDS = st.lists(st.sampled_from(["north", "south", "of the upper", "station", "1", "2", "12"]), min_size=1, max_size=9)


@given(st.lists(WORDS.map(" ".join), unique=True, max_size=6))
def test_labels_that_would_look_alike_do_not(texts: list[str]) -> None:
    alike = [text for text in texts if [short(one, 18) for one in texts].count(short(text, 18)) > 1]
    made = dict(zip(texts, all_short(texts, 18), strict=True))

    for text in alike:
        same = [other for other in alike if short(other, 18) == short(text, 18)]
        assert len({made[one] for one in same}) == len(same)


@pytest.mark.parametrize("columns", [2, 4, 8])
def test_the_title_of_a_heat_map_has_room(columns: int) -> None:
    title = "Spearman correlations of 4 columns, 100,982,038 to 100,985,563 rows each"
    drawn = pictures_heat.draw([f"c{place}" for place in range(columns)], np.eye(columns), title, [])

    picture = imread(io.BytesIO(drawn.png()))[..., :3]
    assert picture[:, -3:].min() == 1  # nothing but white at the right edge
    assert picture[:80].min() < 0.5


@pytest.mark.parametrize(("most", "named"), [(7, ["1", "2", "5"]), (3_000, ["1", "10", "100", "1,000"])])
def test_a_scale_of_rows_names_several_numbers(most: int, named: list[str]) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    add_color_bar(figure, axes, axes.pcolormesh(np.array([[1, 2], [3, most]]), norm=LogNorm(vmin=1)))
    figure.draw_without_rendering()

    assert [label.get_text() for label in figure.axes[1].get_yticklabels() if label.get_text()][: len(named)] == named


def test_a_picture_is_drawn_once_and_only_when_it_is_asked_for() -> None:
    drawn: list[str] = []

    @picture(font_size=7)
    def draw(title: str) -> Figure:
        drawn.append(f"{title} in {mpl.rcParams['font.size']:g}")
        figure = Figure(layout="constrained")
        figure.suptitle(title)
        return figure

    made = draw("Heights")
    assert drawn == []
    assert b">Heights<" in made.svg()
    assert made.png().startswith(b"\x89PNG")
    assert drawn == ["Heights in 7"]


def test_a_letter_that_the_first_font_lacks_comes_from_another_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """STIX, which comes with Matplotlib, stands for a font of Chinese."""
    first, other = (set(get_font(findfont(name)).get_charmap()) for name in ("DejaVu Sans", "STIXGeneral"))
    letter = chr(min(code for code in other - first if chr(code).isalpha()))

    @picture()
    def draw() -> Figure:
        figure = Figure()
        figure.suptitle(letter)
        return figure

    pictures = []
    for names in (["DejaVu Sans"], ["DejaVu Sans", "No Such Font", "STIXGeneral"]):
        monkeypatch.setattr(drawing, "_FONTS", names)
        drawing.fonts.cache_clear()
        pictures.append(draw().png())
    drawing.fonts.cache_clear()
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2007, 2008, 2009], ["2007", "2008", "2009"]),
        ([0, 20_000, 40_000], ["0", "20,000", "40,000"]),
        ([0.5, 1.0, 1.5], ["0.5", "1.0", "1.5"]),
        ([1e20, 2e20, 3e20], ["1.0e+20", "2.0e+20", "3.0e+20"]),
        ([1e-9, 2e-9], ["1.0e-09", "2.0e-09"]),
        ([10**12, 10**12 + 2], ["1,000,000,000,000", "1,000,000,000,002"]),
        ([-2.5, 0.0, 2.5], ["-2.5", "0.0", "2.5"]),
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([0, 25, 50], ["0", "25", "50"]),
        ([1e18, 1.25e18], ["1.00e+18", "1.25e+18"]),
        ([0.0, 5e-324], ["0.0e+00", "4.9e-324"]),
        ([], []),
    ],
)
def test_ticks_are_written_so_that_they_can_be_told_apart(values: list[float], texts: list[str]) -> None:
    assert NumberFormatter().format_ticks(values) == texts


@pytest.mark.parametrize("days", [("0001-02-01", "2024-01-01"), ("2024-02-01", "9999-01-01")])
def test_an_axis_of_times_ends_where_matplotlib_s_do(days: tuple[str, str]) -> None:
    table = {"t": list(days), "v": [1, 2]}
    made = [
        outputs_of("timeseries", table=table, time="t", values=["v"]),
        outputs_of("scatter", table=table, x="t", y="v"),
        outputs_of("sql", tables={"data": table}, query="FROM data"),
        outputs_of("histogram", table=table, column="t"),
        outputs_of("summary", table=table),
    ]

    assert all(outputs["plot"].startswith(b"\x89PNG") for outputs in made)


def times(low: str, high: str, most: int = 8) -> tuple[list[str], str]:
    """The labels of an axis of times, and what stands in its corner; none touches the next."""
    figure = Figure(figsize=(9, 2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(date2num(np.datetime64(low)), date2num(np.datetime64(high)))
    time_ticks(axes.xaxis, most)
    figure.draw_without_rendering()
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    for one, other in pairwise(label.get_window_extent() for label in labels):
        assert one.x1 < other.x0
    return [label.get_text() for label in labels], axes.xaxis.get_offset_text().get_text()


@pytest.mark.parametrize(
    ("low", "high", "labels", "corner"),
    [
        ("2024-02-29", "2024-03-28", ["Mar", "05", "09", "13", "17", "21", "25"], "2024-Mar"),
        ("2024-01-29", "2024-02-22", ["Feb", "05", "09", "13", "17", "21"], "2024-Feb"),
        ("2024-03-30", "2024-04-09", ["Apr", "03", "05", "07", "09"], "2024-Apr"),
        ("2023-12-25", "2024-01-18", ["Dec-25", "29", "Jan", "05", "09", "13", "17"], "2023 \u2013 2024"),
        ("2024-02-29T12:59:48", "2024-02-29T13:00:12", [], "2024-Feb-29 12:59 \u2013 2024-Feb-29 13:00"),
        ("2023-12-31T23:50", "2024-01-01T00:10", [], "2023-Dec-31 \u2013 2024-Jan-01"),
        ("2024-03-10", "2024-03-17", ["10", "11", "12", "13", "14", "15", "16", "17"], "2024-Mar"),
        ("2024-01-01", "2024-01-02", ["Jan-01", "04:00", "08:00", "12:00", "16:00", "20:00", "Jan-02"], "2024-Jan"),
        (
            "2024-02-28T18",
            "2024-02-29T12",
            ["18:00", "21:00", "Feb-29", "03:00", "06:00", "09:00", "12:00"],
            "2024-Feb",
        ),
        ("2024-02-29T10", "2024-02-29T13", [], "2024-Feb-29"),
    ],
)
def test_ticks_of_times_are_apart_and_of_the_month_that_they_seem_to_be(
    low: str, high: str, labels: list[str], corner: str
) -> None:
    found, said = times(low, high)
    assert (found, said) == (labels or found, corner or said)


def test_some_minutes_have_more_than_one_tick() -> None:
    assert times("2024-02-29T12:56:11", "2024-02-29T13:03:48", 6)[0] == ["12:58", "13:00", "13:02"]


@pytest.mark.parametrize(("moment", "days"), [("2024-02-29T12", 1), ("2024-02-29", 4)])
def test_a_single_moment_has_a_day_around_it_and_a_date_its_neighbours(moment: str, days: int) -> None:
    axes = Figure().add_subplot()
    axes.plot([np.datetime64(moment)], [1])
    time_ticks(axes.xaxis, 8)
    low, high = axes.get_xlim()
    assert days <= high - low < days * 1.2


def test_a_corner_is_that_of_the_axis_as_it_is_now() -> None:
    axes = Figure().add_subplot()
    time_ticks(axes.xaxis, 8)
    corners = []
    for days in ((59, 60), (59.4, 59.5)):
        axes.set_xlim(*days)
        axes.figure.draw_without_rendering()
        corners.append(axes.xaxis.get_offset_text().get_text())
    assert corners == ["1970-Mar", "1970-Mar-01"]


@pytest.mark.parametrize("days", [5, 9, 14, 24, 29])
def test_no_first_day_of_an_axis_is_taken_for_one_of_the_month_beside_it(days: int) -> None:
    for begin in np.arange("2024-01-20", "2024-03-05", 2, dtype="M8[D]"):
        labels, _ = times(str(begin), str(begin + days))
        first, following = labels[:2]
        assert not (first.isdecimal() and following.isalpha()), labels
