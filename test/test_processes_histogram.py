"""The process ``histogram``: counts in bins or of categories, and their picture."""

import io
import math
from typing import Any

import pytest
from matplotlib.image import imread
from support.runs import CONTEXT, REGISTRY, is_picture, run

from gristmill.errors import InvalidInputsError
from gristmill.samples import penguins


def test_a_histogram_counts_numbers_in_bins() -> None:
    result = run("histogram", {"table": {"a": [1, 2, 2, 5, None, "NaN", "Infinity"]}, "column": "a", "bins": 2})

    assert result["histogram"] == {
        "column": "a",
        "type": "number",
        "unit": "",
        "counts": [3, 1],
        "edges": [1.0, 3.0, 5.0],
        "categories": [],
        "distinct": None,
        "rows": 7,
        "nulls": 1,
        "not_finite": 2,
        "outside": 0,
    }
    assert result["table"] == b"from,to,count\r\n1.0,3.0,3\r\n3.0,5.0,1\r\n"
    assert is_picture(result["plot"], result["plot_svg"])


def test_bins_of_whole_numbers_hold_as_many_of_them_each() -> None:
    days = [day for day in range(1, 32) for _ in range(10)]

    counted = run("histogram", {"table": {"day": days}, "column": "day"})["histogram"]

    assert counted["edges"] == [0.5 + number for number in range(32)]
    assert counted["counts"] == [10] * 31


def test_a_histogram_counts_only_what_is_within_its_limits() -> None:
    limits = {"minimum": 2, "maximum": 4, "bins": 2}
    result = run("histogram", {"table": {"a": [1, 2, 3, 4, 5]}, "column": "a"} | limits)["histogram"]

    assert (result["counts"], result["edges"], result["outside"]) == ([1, 2], [2.0, 3.0, 4.0], 2)


def test_a_histogram_of_text_counts_values_the_most_frequent_first() -> None:
    result = run("histogram", {"table": {"a": ["y", "x", "y", "z", "x", "y", None]}, "column": "a"})["histogram"]

    assert (result["categories"], result["counts"], result["nulls"]) == (["y", "x", "z"], [3, 2, 1], 1)


def test_of_many_categories_the_most_frequent_are_listed_and_the_others_counted() -> None:
    cells = ["often", *(f"category {number:05}" for number in range(10_050)), "often"]
    result = run("histogram", {"table": {"a": cells}, "column": "a"})

    counted = result["histogram"]
    assert (counted["categories"][:2], counted["counts"][:2]) == (["often", "category 00000"], [2, 1])
    assert (len(counted["categories"]), counted["distinct"], counted["outside"]) == (10_000, 10_051, 51)
    assert "10,021 more values in 10,021 rows" in result["plot_svg"].decode()


def test_a_histogram_of_times_has_times_for_edges() -> None:
    result = run("histogram", {"table": {"t": ["2024-01-01", "2024-01-03"]}, "column": "t", "bins": 2})["histogram"]

    assert result["edges"] == [f"2024-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3)]
    assert result["counts"] == [1, 1]


@pytest.mark.parametrize(
    "cells",
    [
        [None, None],
        [],
        ["NaN", 1.0, "Infinity"],
        [7, 7],
        [1e300, -1e300],
        [5e-324, 0.0],
        [2**63 - 1, 2**63 - 2],
        [10**15, 10**15 + 1],
        [1.0000000001, 1.0000000002],
        [True, False, None],
        ["2024-01-01"],
        ["0001-01-01"],
        ["0001-01-01", "9999-12-31T23:59:59Z"],
        ["9999-12-31T23:59:59.999999"],
        ["2024-01-01T00:00:00.000001", "2024-01-01T00:00:00.000002"],
        ["a$b_{", "\n\t", "", "日本語", "x" * 500],
        [f"category {number}" for number in range(2000)],
        [number / 7 for number in range(3000)],
    ],
    ids=lambda cells: str(cells)[:30],
)
def test_a_picture_is_drawn_of_any_column(cells: list[Any]) -> None:
    table = {"columns": ["a name that is long and has a $ in it"], "rows": [[one] for one in cells]}

    summary = run("summary", {"table": table})
    bins = {"bins": 20} if summary["columns"][0]["type"] in {"integer", "number", "timestamp"} else {}
    result = run("histogram", {"table": table, "column": table["columns"][0], **bins})
    counted = result["histogram"]
    assert sum(counted["counts"]) + counted["nulls"] + counted["not_finite"] == len(cells)
    assert is_picture(result["plot"], result["plot_svg"])
    assert is_picture(summary["plot"], b"<svg")


@pytest.mark.parametrize(
    ("cells", "inputs", "pointer"),
    [
        (["2024-01-01", "2024-01-03"], {"minimum": 5}, "/inputs/minimum"),
        (["2024-01-01", "2024-01-03"], {"bins": 2, "maximum": 6}, "/inputs/maximum"),
        (["u", "v"], {"bins": 2}, "/inputs/bins"),
        ([True, False], {"maximum": 2}, "/inputs/maximum"),
        ([1], {"column": "b"}, "/inputs/column"),
        ([1e308, -1e308], {}, "/inputs/bins"),
        ([1], {"minimum": 1, "maximum": math.nextafter(1, 2)}, "/inputs/minimum"),
        ([1], {"minimum": 2, "maximum": 1}, "/inputs/minimum"),
        ([1], {"maximum": -1}, "/inputs/maximum"),
    ],
)
def test_a_histogram_that_cannot_be_made_is_a_fault_of_its_inputs(
    cells: list[Any], inputs: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run("histogram", {"table": {"a": cells}, "column": "a"} | inputs)

    assert [one.pointer for one in caught.value.faults] == [pointer]


def test_bins_are_refused_by_the_kinds_of_columns_that_have_them() -> None:
    table = {"columns": [{"name": "a", "type": "string"}], "rows": [["10:00"]]}
    with pytest.raises(InvalidInputsError, match="is for numbers, dates and timestamps, and 'a' is text"):
        run("histogram", {"table": table, "column": "a", "bins": 2})


def test_equal_inputs_give_equal_bytes() -> None:
    inputs = {"table": penguins(), "column": "species"}

    assert REGISTRY["histogram"].run(inputs, CONTEXT) == REGISTRY["histogram"].run(inputs, CONTEXT)


@pytest.mark.parametrize(
    ("cells", "first", "last"),
    [
        ([10**15 + step for step in range(10)], "1,000,000,000,000,000", "1,000,000,000,000,009"),
        ([2**53 - 1 - step for step in range(40)], "9,007,199,254,740,", "9,007,199,254,741,0"),
        ([step * 1e-301 for step in range(1, 11)], "1.0e-301", "1.0e-300"),
    ],
)
def test_bins_that_matplotlib_cannot_tell_apart_have_bars(cells: list[Any], first: str, last: str) -> None:
    result = run("histogram", {"table": {"n": cells}, "column": "n"})

    pixels = (imread(io.BytesIO(result["plot"]))[..., :3] * 255).round().astype("u1")
    assert (pixels == (0x00, 0x72, 0xB2)).all(axis=-1).mean() > 0.1
    assert first in result["plot_svg"].decode()
    assert last in result["plot_svg"].decode()
