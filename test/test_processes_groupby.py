"""The process groupby: metrics of groups, against Python's own reckoning; its order, its limits and its picture."""

import csv
import io
import math
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.datasets.rows import write
from gristmill.datasets.statements import Statement
from gristmill.errors import InvalidInputsError
from gristmill.processes import DataSet, Progress
from gristmill.processes.column import Column, Kind
from gristmill.processes.groupby import MOST_GROUPS, GroupOutputs, groupby
from gristmill.processes.table import Table
from gristmill.processes.workspace import Workspace


def run(data: Any, by: list[str], metrics: str = "count()", **more: Any) -> GroupOutputs:
    table = data if isinstance(data, DataSet) else DataSet.of(data, name="table")
    return groupby(table, by, metrics, progress=Progress(), **more)


def rows(outputs: GroupOutputs) -> list[list[Any]]:
    table: Any = outputs["table"].to_json()
    return list(table["rows"])


def picture(outputs: GroupOutputs) -> str:
    assert outputs["plot"]().startswith(b"\x89PNG")
    return outputs["plot_svg"]().decode()


KINDS: dict[str, Kind] = {"g": "string", "h": "integer", "x": "number"}
CELLS = st.one_of(st.none(), st.sampled_from([math.nan, math.inf]), st.floats(-1e6, 1e6))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ä", None]), st.sampled_from([1, 2, None]), CELLS), max_size=30))
def test_metrics_are_those_of_the_finite_values_of_each_group(given: list[tuple[Any, Any, Any]]) -> None:
    by_group: dict[tuple[Any, Any], list[float]] = defaultdict(list)
    for text, number, value in given:
        by_group[text, number] += [value] if value is not None and math.isfinite(value) else []
    table = Table(
        Column.of(name, [one[place] for one in given], kind) for place, (name, kind) in enumerate(KINDS.items())
    )

    found = rows(run(table, ["g", "h"], "mean(x), count(x), median(x), stddev(x), max(x)", sort="g"))

    assert {(row[0], row[1]) for row in found} == set(by_group)
    for text, number, mean, count, median, deviation, largest in found:
        values = by_group[text, number]
        assert count == len(values)
        assert mean == (pytest.approx(statistics.fmean(values), abs=1e-6) if values else None)
        assert median == (pytest.approx(statistics.median(values)) if values else None)
        assert deviation == (pytest.approx(statistics.stdev(values), abs=1e-6) if len(values) > 1 else None)
        assert largest == max(values, default=None)


def test_what_is_not_finite_is_left_out_and_counted_but_makes_groups() -> None:
    outputs = run({"x": [1.0, math.nan, math.nan, math.inf], "y": [1.0, math.nan, 3.0, None]}, ["x"], "sum(y), count()")

    assert rows(outputs) == [[1.0, 1.0, 1], ["Infinity", None, 1], ["NaN", 3.0, 2]]
    assert (outputs["groupby"].missing, outputs["groupby"].not_finite) == ({"y": 1}, {"y": 1})
    assert "1 of y that is missing, 1 of y that is not finite" in picture(outputs)


def test_a_missing_value_is_a_group_of_its_own_and_stands_last() -> None:
    outputs = run({"g": [None, 1, None]}, ["g"])

    assert rows(outputs) == [[1, 1], [None, 2]]
    assert "(missing)" in picture(outputs)


def test_groups_of_text_have_the_largest_metric_first_and_those_of_numbers_are_in_order() -> None:
    columns = {"text": ["a", "b", "b"], "number": [2, 1, 2]}

    assert rows(run(columns, ["text"])) == [["b", 2], ["a", 1]]
    assert rows(run(columns, ["number"])) == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("mean(x)", "abc"), ("-mean(x)", "bac"), ("g", "abc"), ("-g", "cba"), ("count(x)", "cab"), ("-count(x)", "abc")],
)
def test_the_order_is_the_one_that_was_asked_for_and_missing_values_are_last(sort: str, order: str) -> None:
    columns = {"g": ["c", "a", "b"], "x": [None, 1.0, 2.0]}

    assert "".join(row[0] for row in rows(run(columns, ["g"], "mean(x), count(x)", sort=sort))) == order


def test_sums_beyond_64_bits_keep_their_digits() -> None:
    largest = 2**63 - 1
    table = {"g": [1, 1, 2], "i": [largest, largest, largest]}

    assert rows(run({"g": [2], "i": [largest]}, ["g"], "sum(i), max(i)")) == [[2, largest, largest]]
    outputs = run(table, ["g"], "sum(i), max(i)")
    assert rows(outputs) == [[1, str(2 * largest), largest], [2, str(largest), largest]]
    assert "not numbers" not in picture(outputs)


@pytest.mark.parametrize(
    "name", ["a b", '"', "%", "$x$", "x" * 80, "عربي", "😀", "select", "count()", "COUNT()", "c0", "f,g"]
)
def test_any_name_can_be_a_group_and_a_metric(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    outputs = run({name: [1, 1, 2]}, [name], f"sum({quoted})")

    assert rows(outputs) == [[1, 2], [2, 2]]
    assert outputs["groupby"].metrics == [f"sum({name})"]
    picture(outputs)


def test_a_column_called_like_a_metric_in_capitals_does_not_disturb_it() -> None:
    assert rows(run({"COUNT()": [7, 7]}, ["COUNT()"])) == [[7, 2]]


def stored(sql: str) -> DataSet:
    """A data set of columns of any of DuckDB's types."""
    workspace = Workspace()
    workspace.connection.execute(f'CREATE TABLE "table" AS {sql}')
    columns = workspace._described("table")
    (count,) = workspace.connection.execute('SELECT count(*) FROM "table"').fetchall()[0]
    return DataSet(workspace.queries, "table", columns, count)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("1.50::DECIMAL(9,2)", 1.5), ("DATE '2020-02-29'", "2020-02-29"), ("true", True),
        ("TIMESTAMP '2020-01-01 01:02:03'", "2020-01-01 01:02:03"), ("'é'", "é"), ("''", ""),
        ("TIMESTAMPTZ '2020-01-01 01:00:00+01'", "2020-01-01T00:00:00Z"), ("1::UBIGINT", 1),
        ("18446744073709551615::UBIGINT", "18446744073709551615"), ("'00000000-0000-0000-0000-000000000001'::UUID",
        "00000000-0000-0000-0000-000000000001"), ("TIME '01:02:03'", "01:02:03"), ("INTERVAL 1 DAY", "P0M1DT0.000000S"),
        ("'ab'::BLOB", "YWI="), ("NULL::INTEGER", None), ("'infinity'::DOUBLE", "Infinity"), ("0.1::FLOAT", 0.1),
        ("TIMESTAMP_NS '2020-01-01 01:02:03.123456789'", "2020-01-01 01:02:03.123456789"),
    ],
)  # fmt: skip
def test_values_of_every_type_make_groups(value: str, cell: Any) -> None:
    data = stored(f"SELECT {value} AS v FROM range(3)")

    outputs = run(data, ["v"], "count(), min(v), count_distinct(v)")

    assert rows(outputs) == [[cell, 3, cell if cell != "Infinity" else "Infinity", 0 if cell is None else 1]]


@pytest.mark.parametrize(
    "type_text", ["DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "TIMESTAMP_S", "TIME", "INTERVAL", "BLOB"]
)
def test_keys_are_written_as_in_the_rows_as_csv(type_text: str, tmp_path: Path) -> None:
    value = "'01:02:03.5'" if type_text in {"TIME", "INTERVAL"} else "'2020-03-01 01:02:03'"
    data = stored(f"SELECT {value}::{type_text} AS v")
    column = data.column("v")
    statement = Statement(f"SELECT v FROM {data.sql}", (), ("v",), (column.type,))
    write(data._queries.connection, statement, tmp_path / "rows.csv", "csv", seconds=60)

    table = run(data, ["v"])["table"]

    assert [row.split(",")[0] for row in table.to_csv().splitlines()] == (
        tmp_path / "rows.csv"
    ).read_text().splitlines()


@pytest.mark.parametrize("type_text", ["UBIGINT", "DECIMAL(38,0)", "DECIMAL(38,9)"])
def test_keys_that_a_floating_point_number_would_round_stay_apart_and_exact(type_text: str) -> None:
    keys = [12345678901234567890 + number for number in range(100)]
    zeros = ".000000000" if type_text.endswith("9)") else ""
    data = stored(f"SELECT (12345678901234567890 + i)::{type_text} AS account FROM range(100) r(i)")

    outputs = run(data, ["account"], "max(account), count_distinct(account)")

    assert rows(outputs) == [[f"{key}{zeros}", f"{key}{zeros}", 1] for key in keys]
    assert f">{keys[0]}{zeros}<" in picture(outputs)
    assert "not numbers" not in picture(outputs)


def test_a_sum_of_more_digits_than_decimals_have_is_a_fault_of_the_input() -> None:
    data = stored(f"SELECT '{'9' * 38}'::DECIMAL(38,0) AS x FROM range(2)")

    with pytest.raises(InvalidInputsError, match="cannot be computed on this data"):
        run(data, ["x"], "sum(x)")


def test_bars_of_numbers_that_differ_in_late_digits_are_told_apart() -> None:
    assert ">0.30000000000000004<" in picture(run({"x": [0.3, 0.1 + 0.2]}, ["x"]))
    assert ">0.3<" in picture(run({"x": [0.1 + 0.2]}, ["x"]))


def test_a_median_between_two_decimals_keeps_its_digits() -> None:
    data = stored("SELECT 1 AS g, unnest([1.25, 1.26])::DECIMAL(9,2) AS v")

    assert rows(run(data, ["g"], "median(v), p50(v), mean(v)")) == [[1, 1.255, 1.255, 1.255]]


def test_a_metric_has_the_unit_of_its_column_where_it_is_of_that_unit() -> None:
    data = DataSet.of({"g": ["a"], "x": [1.0]}, name="table")
    with_unit = DataSet(data._queries, "table", [data.column("g"), replace(data.column("x"), unit="km")], 1)

    outputs = run(with_unit, ["g"], "mean(x), count(x), variance(x)")

    assert outputs["groupby"].units == ["km", "", ""]
    assert "mean(x) (km)" in picture(outputs)


def test_the_picture_says_how_many_groups_and_metrics_it_leaves_out() -> None:
    metrics = "count(), sum(x), mean(x), median(x), max(x), min(g)"
    outputs = run({"g": [f"g{number:03}" for number in range(50)], "x": list(range(50))}, ["g"], metrics, shown=10)

    svg = picture(outputs)

    assert "40 more groups" in svg
    assert "1 more metric" in svg
    assert "min(g), not numbers" in svg
    assert outputs["groupby"].in_picture == 10
    assert ">g000<" in svg
    assert ">g010<" not in svg


def test_a_table_of_more_groups_than_the_limit_has_the_first_and_the_number_of_all() -> None:
    data = stored(f"SELECT range AS g FROM range({MOST_GROUPS + 5})")

    outputs = run(data, ["g"], sort="-g")

    assert outputs["table"].rows == outputs["groupby"].in_table == MOST_GROUPS
    assert outputs["groupby"].groups == MOST_GROUPS + 5
    assert rows(outputs)[0] == [MOST_GROUPS + 4, 1]


def test_a_table_of_many_metrics_has_fewer_groups_so_that_it_fits_an_output() -> None:
    data = stored("SELECT range AS g, random() AS x FROM range(20_000)")
    metrics = ", ".join(f"quantile(x, 0.{place:02})" for place in range(1, 60))

    outputs = run(data, ["g"], metrics)

    assert outputs["groupby"].in_table == outputs["table"].rows == 10_000
    assert len(outputs["table"].to_csv()) < 16_000_000


@pytest.mark.parametrize(
    "columns",
    [
        {"g": np.zeros(0), "x": np.zeros(0)},
        {"g": [None, None], "x": np.array([math.nan, math.inf])},
        {"g": [1], "x": [-1e300]},
        {"g": [1, 2], "x": [1.7e308, -1.7e308]},
    ],
)
def test_hardly_any_rows_and_huge_values_give_a_picture_too(columns: dict[str, list[Any]]) -> None:
    picture(run(columns, ["g"], "mean(x), stddev(x), count()"))


def test_bars_of_numbers_too_large_to_draw_are_divided_and_say_so() -> None:
    svg = picture(run({"g": [1, 2], "x": [1e305, 2e305]}, ["g"], "max(x)"))

    assert ">max(x) / 1e305<" in svg
    assert ">2.000e+305<" in svg


def test_an_empty_text_is_named_in_a_picture() -> None:
    assert ">(empty) · a<" in picture(run({"g": ["", ""], "h": ["a", "b"]}, ["g", "h"]))


@pytest.mark.parametrize(
    ("inputs", "pointer", "detail"),
    [
        ({"by": ["y"]}, "/inputs/by", "y"),
        ({"by": ["g", "g"]}, "/inputs/by", "twice"),
        ({"metrics": "mean(g)"}, "/inputs/metrics", "takes numbers"),
        ({"metrics": "mode(x)"}, "/inputs/metrics", "mode"),
        ({"metrics": ""}, "/inputs/metrics", "missing"),
        ({"metrics": "sum(x), sum(x)"}, "/inputs/metrics", "twice"),
        ({"sort": "max(x)"}, "/inputs/sort", "count()"),
    ],
)
def test_an_input_that_does_not_fit_the_table_is_named(inputs: dict[str, Any], pointer: str, detail: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run({"g": ["a"], "x": [1]}, **({"by": ["g"]} | inputs))

    assert caught.value.faults[0].pointer == pointer
    assert detail in caught.value.faults[0].detail


def test_the_table_is_csv_with_a_row_for_each_group() -> None:
    text = run({"g": ["a", "b,c"], "x": [1.5, 2]}, ["g"], "sum(x)")["table"].to_csv()

    assert list(csv.reader(io.StringIO(text))) == [["g", "sum(x)"], ["b,c", "2.0"], ["a", "1.5"]]
