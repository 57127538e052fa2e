"""The process ``summary``: what is in each column, and its picture."""

import csv
import io
import json
import math
import statistics
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.runs import is_picture, run

from gristmill.samples import penguins


def test_a_summary_describes_each_column_of_a_real_table() -> None:
    result = run("summary", {"table": penguins(), "frequent": 2})
    columns = {one.pop("name"): one for one in result["columns"]}

    assert result["rows"] == 344
    assert columns["species"] == {
        "type": "text",
        "unit": "",
        "rows": 344,
        "nulls": 0,
        "not_finite": 0,
        "distinct": 3,
        "minimum": "Adelie",
        "maximum": "Gentoo",
        "mean": None,
        "standard_deviation": None,
        "quartiles": None,
        "histogram": None,
        "frequent": [{"value": "Adelie", "count": 152}, {"value": "Gentoo", "count": 124}],
    }
    mass = columns["body_mass_g"]
    assert (mass["minimum"], mass["maximum"], mass["nulls"], mass["distinct"]) == (2700, 6300, 2, 94)
    assert mass["mean"] == pytest.approx(4201.754386)
    assert mass["standard_deviation"] == pytest.approx(801.954536)
    assert mass["quartiles"] == [3550, 4050, 4750]
    assert sum(mass["histogram"]["counts"]) == 342
    assert len(mass["histogram"]["edges"]) == len(mass["histogram"]["counts"]) + 1
    rows = list(csv.DictReader(io.StringIO(result["table"].decode())))
    assert [row["column"] for row in rows] == list(columns)
    assert (rows[0]["most_frequent"], rows[0]["most_frequent_rows"], rows[5]["median"]) == ("Adelie", "152", "4050.0")
    assert is_picture(result["plot"], result["plot_svg"])


@pytest.mark.parametrize("scale", [0, 1020, -1020, 500, -500])
def test_a_summary_of_huge_and_of_tiny_numbers_is_that_of_others_scaled(scale: int) -> None:
    numbers = [1.0, -3.0, 4.0, 7.5, 7.5]

    (column,) = run("summary", {"table": {"x": [math.ldexp(one, scale) for one in numbers]}})["columns"]

    assert column["mean"] == math.ldexp(3.4, scale)
    assert column["standard_deviation"] == pytest.approx(math.ldexp(statistics.stdev(numbers), scale), rel=1e-14, abs=0)
    assert column["quartiles"] == [math.ldexp(one, scale) for one in (1.0, 4.0, 7.5)]


@pytest.mark.parametrize(
    "numbers",
    [
        [8 * 10**15 + step for step in range(4)] * 50,
        [1_760_000_000_000_000 + step for step in range(4)] * 50,
        [1e15 + step / 8 for step in range(10)],
        [-1e15 - step / 8 for step in range(10)],
    ],
)
def test_a_summary_of_numbers_that_are_large_beside_their_differences_is_exact(numbers: list[float]) -> None:
    (column,) = run("summary", {"table": {"x": numbers}})["columns"]

    assert column["mean"] == float(statistics.mean(map(Fraction, numbers)))
    assert column["standard_deviation"] == pytest.approx(float(statistics.stdev(map(Fraction, numbers))), rel=1e-12)


def test_a_summary_of_times_gives_times() -> None:
    days = ["2024-01-01", "2024-01-03", "2024-01-05", "2024-01-07"]
    (column,) = run("summary", {"table": {"t": days}})["columns"]

    assert column["mean"] == "2024-01-04T00:00:00.000000Z"
    assert column["quartiles"][1] == "2024-01-04T00:00:00.000000Z"
    assert column["frequent"][0] == {"value": "2024-01-01T00:00:00.000000Z", "count": 1}


@pytest.mark.slow
def test_a_summary_of_many_columns_and_of_none_has_a_picture() -> None:
    many = run("summary", {"table": {f"c{number}": [number, 1.5] for number in range(40)}})

    assert len(many["columns"]) == 40
    assert is_picture(many["plot"], many["plot_svg"])
    assert run("summary", {"table": {}})["columns"] == []


def test_a_panel_says_what_its_bars_count_and_parts_numbers_too_long_to_stand_in_a_row() -> None:
    table = {"n": [10**15 + step for step in range(100)], "t": ["a", "b"] * 50, "short": list(range(100))}

    svg = run("summary", {"table": table})["plot_svg"].decode()

    assert svg.count(">rows<") == 3
    assert ">1,000,000,000,000,000<" in svg
    assert ">1,000,000,000,000,050<" not in svg
    assert ">50<" in svg


def test_a_panel_says_which_rows_it_leaves_out() -> None:
    table = {"n": [1, 2.5, None, "NaN"], "t": ["a", "b", None, None]}

    svg = run("summary", {"table": table})["plot_svg"].decode()

    assert ">1 without a value, 1 not finite<" in svg
    assert ">rows, 2 without a value<" in svg


CELLS = st.one_of(
    *(
        st.lists(st.none() | kind, max_size=5)
        for kind in (st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(), st.booleans())
    )
)


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(CELLS, max_size=3))
@example([[-1, 2**63 - 1], [-(2**63), 2**63 - 1, None]])  # wider than an integer of 64 bits
@example([[sys.float_info.max], [-sys.float_info.max] * 2, [sys.float_info.max, math.nextafter(sys.float_info.max, 0)]])
@example([[sys.float_info.max, 1e308], [5e-324, 1e-323], [-sys.float_info.max, sys.float_info.max]])
def test_every_table_can_be_summarised(columns: list[list[Any]]) -> None:
    longest = max(map(len, columns), default=0)
    table = {f"c{number}": cells + [None] * (longest - len(cells)) for number, cells in enumerate(columns)}
    result = run("summary", {"table": json.loads(json.dumps(_json(table)))})

    for name, cells in table.items():
        described = next(one for one in result["columns"] if one["name"] == name)
        assert described["nulls"] == sum(one is None for one in cells)
        assert described["distinct"] == len({"NaN" if one != one else one for one in cells if one is not None})


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: [_json(one) for one in cells] for key, cells in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
