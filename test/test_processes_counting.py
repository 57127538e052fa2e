"""Counts of values: what they are, and that thousands of columns do not slow them down."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pytest
from support.stored import stored

from gristmill.errors import InvalidInputsError
from gristmill.processes.authoring import Progress
from gristmill.processes.counting import bin_counts, frequencies
from gristmill.processes.dataset import DataSet
from gristmill.processes.histogram import histogram
from gristmill.processes.references import Reference
from gristmill.processes.run_data import RunData
from gristmill.processes.shifts import shifts
from gristmill.processes.summary import summary
from gristmill.processes.timeseries import timeseries
from gristmill.processes.workspace import DataColumn, OpenVersion


def test_a_summary_and_a_histogram_do_without_the_view_which_binds_all_columns_each_time(tmp_path: Path) -> None:
    data, workspace = stored(tmp_path, "SELECT i % 3 AS x, 'c' || i % 2 AS g FROM range(10) r(i)")
    workspace.connection.execute(f"DROP VIEW {data.sql}")

    described = summary(data, progress=Progress())["columns"]

    assert [one.distinct for one in described] == [3, 2]
    assert histogram(data, "x", progress=Progress())["histogram"].counts == [4, 3, 3]


def test_a_run_knows_the_table_itself_of_a_stored_version(tmp_path: Path) -> None:
    def open_version(
        _: Reference, attach: Callable[[Path, str], list[DataColumn]], _kept: OpenVersion | None
    ) -> OpenVersion:
        with duckdb.connect(str(tmp_path / "ways.db")) as made:
            made.execute("CREATE TABLE data AS SELECT 1 AS x")
        return OpenVersion(attach(tmp_path / "ways.db", "data"), 1, ExitStack())

    with RunData(open_version) as run:
        data = run.stored("table", Reference("ways", "ab" * 32))
        run.lock()
        data.query(f"DROP VIEW {data.sql}")

        assert frequencies(data, data.column("x"), 1).most == [(1, 1)]


@pytest.mark.parametrize("type_text", ["UBIGINT", "DECIMAL(38,0)", "DECIMAL(38,9)"])
def test_values_that_a_floating_point_number_would_round_are_counted_apart(tmp_path: Path, type_text: str) -> None:
    zeros = ".000000000" if type_text.endswith("9)") else ""
    data, _ = stored(tmp_path, f"SELECT (12345678901234567890 + i % 50)::{type_text} AS x FROM range(100) r(i)")
    least, greatest = f"12345678901234567890{zeros}", f"12345678901234567939{zeros}"

    (column,) = summary(data, 2, progress=Progress())["columns"]

    assert (column.distinct, column.minimum, column.maximum) == (50, least, greatest)
    assert [(one.value, one.count) for one in column.frequent] == [(least, 2), (f"12345678901234567891{zeros}", 2)]


@pytest.mark.parametrize(
    ("type_text", "least"),
    [("BIGINT", 2**62), ("BIGINT", -(2**62)), ("BIGINT", -4), ("UBIGINT", 2**63), ("DECIMAL(38,2)", 10**30)],
)
def test_statistics_are_of_the_numbers_and_not_of_their_doubles(tmp_path: Path, type_text: str, least: int) -> None:
    data, _ = stored(tmp_path, f"SELECT '{least}'::{type_text} + i::{type_text} AS x FROM range(9) r(i)")

    (column,) = summary(data, progress=Progress())["columns"]

    assert column.standard_deviation == pytest.approx(7.5**0.5)
    assert column.mean == float(least + 4)
    assert column.quartiles == [float(least + 2), float(least + 4), float(least + 6)]


def test_whole_numbers_that_a_floating_point_number_would_round_are_text() -> None:
    (column,) = summary(DataSet.of({"x": [2**62, 2**62 + 8, 2**53, 2**53 + 1]}), progress=Progress())["columns"]

    assert (column.minimum, column.maximum) == (2**53, str(2**62 + 8))
    assert [one.value for one in column.frequent] == [2**53, str(2**53 + 1), str(2**62), str(2**62 + 8)]


def test_whole_numbers_are_counted_where_they_are_and_not_where_their_doubles_would_be() -> None:
    values = np.array([2**62 - 1, 2**62, 2**62 + 1, 2**62 + 4095, 2**62 + 4096, 2**63 - 1])

    given, _ = bin_counts(values, 2, float(2**62), float(2**62 + 8192))
    own, _ = bin_counts(values, 2)

    assert given.tolist() == [3, 1]
    assert own.tolist() == [5, 1]


def test_a_time_in_nanoseconds_stays_in_its_year_and_month(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, "SELECT TIMESTAMP_NS '2023-12-31 23:59:59.999999999' AS t, 1 AS v")

    (column, _) = summary(data, progress=Progress())["columns"]
    told = timeseries(data, "t", ["v"], resample="month", progress=Progress())["timeseries"]

    assert column.maximum == "2023-12-31T23:59:59.999999Z"
    assert told.first == "2023-12-01T00:00:00Z"


def test_times_that_differ_by_nanoseconds_are_counted_apart(tmp_path: Path) -> None:
    times = "SELECT make_timestamp_ns(1704067200000000000 + i // 2) AS t FROM range(40) r(i) UNION ALL SELECT NULL"
    data, _ = stored(tmp_path, times)

    (column,) = summary(data, frequent=2, progress=Progress())["columns"]

    assert (column.distinct, column.nulls) == (20, 1)
    assert [(one.value, one.count) for one in column.frequent] == [
        ("2024-01-01T00:00:00.000000000Z", 2),
        ("2024-01-01T00:00:00.000000001Z", 2),
    ]


def test_whole_numbers_that_are_known_to_be_small_are_not_looked_at(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, "SELECT 1 AS x")
    small, large = (DataColumn("x", "BIGINT", "integer", minimum=1, maximum=end) for end in (2**53, str(2**53 + 1)))

    assert shifts(data, [small], "nowhere") == {}
    with pytest.raises(duckdb.CatalogException):
        shifts(data, [large], "nowhere")


def test_a_sum_of_more_digits_than_decimals_have_is_a_fault_of_the_input(tmp_path: Path) -> None:
    wide = f"'{'9' * 38}'::DECIMAL(38,0)"
    data, _ = stored(tmp_path, f"SELECT TIMESTAMP '2024-01-01 00:00:00' AS t, {wide} AS v FROM range(2)")

    with pytest.raises(InvalidInputsError, match="cannot be computed on this data"):
        timeseries(data, "t", ["v"], resample="month", aggregate="sum", progress=Progress())


def test_a_column_of_intervals_has_no_least_value(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, "SELECT unnest([INTERVAL 7 DAY, INTERVAL 10 DAY]) AS x")

    (column,) = summary(data, progress=Progress())["columns"]

    assert (column.minimum, column.maximum, column.distinct) == (None, None, 2)


def test_decimals_that_a_floating_point_number_says_are_numbers(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, "SELECT unnest([1.10, 2.00, 2.00, NULL])::DECIMAL(9,2) AS x")

    found = frequencies(data, data.column("x"), 5)

    assert found.most == [(2.0, 2), (1.1, 1)]
    assert (found.distinct, found.rows, found.minimum, found.maximum) == (2, 3, 1.1, 2.0)


@pytest.mark.parametrize("most", [0, 2, 100])
def test_frequencies_are_those_of_numpy(most: int) -> None:
    cells = np.random.default_rng(3).integers(0, 9, 200).tolist()
    data = DataSet.of({"x": [*cells, None]})
    values, counts = np.unique(cells, return_counts=True)
    wanted = sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))

    found = frequencies(data, data.column("x"), most)

    assert found.most == wanted[:most]
    assert (found.distinct, found.rows, found.minimum, found.maximum) == (len(values), 200, min(cells), max(cells))


@pytest.mark.parametrize("days", [1, 3, 365, 1000])
def test_bins_of_days_hold_as_many_of_them_each(days: int, tmp_path: Path) -> None:
    data, _ = stored(tmp_path, f"SELECT DATE '2023-01-01' + CAST(i AS INTEGER) AS d FROM range({days}) r(i)")

    found = histogram(data, "d", progress=Progress())["histogram"]

    edges = np.array([str(edge).removesuffix("Z") for edge in found.edges], "M8[us]")
    assert set(np.diff(edges).astype("m8[D]").tolist()) == {edges[1] - edges[0]}
    assert str(edges[0]) == "2023-01-01T00:00:00.000000"
    assert len(set(found.counts[:-1])) <= 1
    assert sum(found.counts) == days


def test_dates_beyond_timestamps_are_counted_as_not_drawn(tmp_path: Path) -> None:
    dates = "(VALUES ('5881580-07-10'), ('5877642-06-25 (BC)'), ('infinity'), ('2024-01-01'), (NULL)) v(d)"
    data, _ = stored(tmp_path, f"SELECT CAST(d AS DATE) AS d FROM {dates}")

    found = histogram(data, "d", progress=Progress())["histogram"]

    assert (found.counts, found.nulls, found.not_finite) == ([1], 1, 3)
    assert summary(data, progress=Progress())["columns"][0].distinct == 4


def test_a_column_without_a_value_has_no_frequencies() -> None:
    data = DataSet.of({"x": [None, None]})

    found = frequencies(data, data.column("x"), 5)

    assert (found.most, found.distinct, found.rows, found.minimum, found.maximum) == ([], 0, 0, None, None)
