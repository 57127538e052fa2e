"""The processes that ship: echo, summary, histogram, and the team's example."""

import base64
import csv
import io
import json
import math
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from gristmill.errors import InvalidInputsError
from gristmill.fetch import Fetched
from gristmill.processes import ProducedOutput, RunContext, load_registry
from gristmill.processes.pictures import NumberFormatter
from gristmill.samples import penguins

REGISTRY = load_registry(Path(__file__).parents[1] / "processes")


class NoFetcher:
    def get(self, url: str) -> Fetched:
        return Fetched(url, "application/json", "", b'{"from": "there"}')


CONTEXT = RunContext(lambda *_: None, Path, NoFetcher())  # type: ignore[arg-type]


def run(process_id: str, inputs: dict[str, Any], context: RunContext = CONTEXT) -> dict[str, Any]:
    """Outputs by name, JSON and text decoded. The inputs are checked first, as the API does it."""
    REGISTRY[process_id].check(inputs)
    return {one.name: _decoded(one) for one in REGISTRY[process_id].run(inputs, context)}


def _decoded(output: ProducedOutput) -> Any:
    if output.media_type == "application/json":
        return json.loads(output.data)
    return output.data.decode() if output.media_type.startswith("text/plain") else output.data


ECHOED: dict[str, Any] = {
    "string": "any text",
    "number": 1.5,
    "integer": 3,
    "boolean": False,
    "array": [1, 2],
    "object": {"a": {"b": [None, 1]}},
    "box": {"bbox": [345345345, 1, 2, 3], "crs": "urn:ogc:def:crs:EPSG:6.6:4326"},
    "binary": "teststring",
    "mixed": [1, 2.5],
    "pause": 0,
}


def test_echo_gives_every_input_back() -> None:
    assert run("echo", ECHOED) == ECHOED


def test_echo_needs_its_first_input_alone_which_is_text() -> None:
    inputs = REGISTRY["echo"].describe()["inputs"]

    assert isinstance(inputs, dict)
    assert next(iter(inputs)) == "string"
    assert inputs["string"]["schema"] == {"type": "string"}
    assert [name for name, one in inputs.items() if one["minOccurs"]] == ["string"]
    assert run("echo", {"string": ""}) == {"string": ""}


def test_echo_s_outputs_have_the_names_and_schemas_of_its_inputs() -> None:
    described: Any = REGISTRY["echo"].describe()

    assert list(described["outputs"]) == list(described["inputs"])
    for name, one in described["inputs"].items():
        assert described["outputs"][name]["schema"] == one["schema"]


@pytest.mark.parametrize("value", ["teststring", 3, None, [], {"a": 1}])
def test_echo_takes_an_object_with_a_value(value: Any) -> None:
    result = run("echo", {"string": "x", "object": {"value": value}})["object"]

    assert result == (value if isinstance(value, dict) else {"value": value})


@pytest.mark.parametrize("mixed", ["text", 3, 1.25, [1, 2]])
def test_echo_s_mixed_input_takes_each_of_its_kinds(mixed: Any) -> None:
    assert run("echo", {"string": "x", "mixed": mixed})["mixed"] == mixed


def test_echo_gives_a_reference_s_content_back() -> None:
    link = {"href": "http://example.org/x", "type": "application/json"}
    result = run("echo", {"string": "x", "object": link, "binary": {"href": "http://example.org/x"}})

    assert result["object"] == {"from": "there"}
    assert base64.b64decode(result["binary"]) == b'{"from": "there"}'


def test_echo_refuses_a_binary_of_the_wrong_form() -> None:
    with pytest.raises(InvalidInputsError):
        REGISTRY["echo"].check({"string": "x", "binary": {"type": "wrong/type"}})


def test_echo_lasts_as_long_as_its_pause_and_reports() -> None:
    reports: list[tuple[int, str]] = []
    context = RunContext(lambda *report: reports.append(report), Path, NoFetcher())  # type: ignore[arg-type]
    started = time.monotonic()

    run("echo", {"string": "x", "pause": 1}, context)

    assert 1 <= time.monotonic() - started < 5
    percents = [percent for percent, _ in reports]
    assert percents == sorted(percents)
    assert len(percents) >= 2


def test_echo_is_never_answered_from_an_earlier_result_and_the_others_may_be() -> None:
    assert not REGISTRY["echo"].limits.deterministic
    assert REGISTRY["summary"].limits.deterministic
    assert REGISTRY["histogram"].limits.deterministic


def is_picture(png: bytes, svg: bytes) -> bool:
    """Whether both are pictures, and the first is not of one colour."""
    pixels = (imread(io.BytesIO(png)) * 255).astype("u1")
    colors = np.unique(np.ascontiguousarray(pixels).view("u4"))
    return pixels.shape[0] > 100 and len(colors) > 3 and b"<svg" in svg[:1000]


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


def test_equal_inputs_give_equal_bytes() -> None:
    inputs = {"table": penguins(), "column": "species"}

    assert REGISTRY["histogram"].run(inputs, CONTEXT) == REGISTRY["histogram"].run(inputs, CONTEXT)


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


def test_the_example_finds_unusual_rows_of_a_real_table() -> None:
    result = run("outliers", {"table": penguins(), "column": "flipper_length_mm", "by": "species"})
    rows = list(csv.DictReader(io.StringIO(result["rows"].decode())))

    assert [(one["group"], one["rows"], one["outliers"]) for one in result["fences"]] == [
        ("Adelie", 151, 2),
        ("Chinstrap", 68, 0),
        ("Gentoo", 123, 0),
    ]
    assert [(one["species"], one["flipper_length_mm"]) for one in rows] == [("Adelie", "172"), ("Adelie", "210")]
    assert result["plot"].startswith(b"\x89PNG")


def test_the_example_draws_names_that_are_no_formulas() -> None:
    table = {r"low_$_\frac$": [1, 2, 9], "kind": ["$_$", "$_$", "b"]}

    assert run("outliers", {"table": table, "column": r"low_$_\frac$", "by": "kind"})["plot"].startswith(b"\x89PNG")


@pytest.mark.parametrize(("wrong", "pointer"), [({"column": "species"}, "column"), ({"by": "year"}, "by")])
def test_the_example_names_the_input_that_is_wrong(wrong: dict[str, str], pointer: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run("outliers", {"table": penguins(), "column": "year", "by": "species"} | wrong)

    assert caught.value.faults[0].pointer == f"/inputs/{pointer}"
