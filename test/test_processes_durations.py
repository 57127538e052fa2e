"""Durations as text: that of rows of data sets, and none is rounded, whatever library it comes from."""

import datetime
from typing import Any

import duckdb
import numpy as np
import pytest

from gristmill.datasets.mapping import csv_of
from gristmill.processes import Table
from gristmill.processes.durations import duration_of, interval_text
from gristmill.processes.frames import columns_of_arrow, columns_of_pandas, columns_of_polars

DURATIONS = [datetime.timedelta(seconds=1), None, datetime.timedelta(days=-2, seconds=-1.5)]
WRITTEN = ["P0M0DT1.000000S", None, "P0M-2DT-1.500000S"]
NANOSECONDS = np.array([1_000_000_001, "NaT"], "m8[ns]")
WITH_NANOSECONDS = ["P0M0DT1.000000001S", None]


def cells(columns: Any) -> list[object]:
    (column,) = Table(columns).columns
    return column.cells()


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ("1 second", duration_of(datetime.timedelta(seconds=1))),
        ("-2 days -1.5 seconds", duration_of(datetime.timedelta(days=-2, seconds=-1.5))),
        ("400 days", duration_of(np.timedelta64(400, "D"))),
        ("1 month 2 days 3.5 seconds", interval_text(1, 2, 3_500_000_000)),
    ],
)
def test_a_duration_is_written_as_rows_have_it(interval: str, text: str) -> None:
    with duckdb.connect() as rows:
        rows.execute(f"SELECT {csv_of('v', 'INTERVAL')} FROM (SELECT INTERVAL '{interval}' AS v)")
        assert rows.fetchall() == [(text,)]


def test_durations_of_python_and_numpy_are_written_alike() -> None:
    made = {"python": DURATIONS, "numpy": np.array(DURATIONS, "m8[us]"), "minutes": np.array([1, "NaT", 0], "m8[m]")}
    table = Table.from_columns(made)

    assert [one.cells() for one in table.columns] == [WRITTEN, WRITTEN, ["P0M0DT60.000000S", None, "P0M0DT0.000000S"]]
    assert Table.from_columns({"t": NANOSECONDS}).column("t").cells() == WITH_NANOSECONDS
    assert Table.from_columns({"t": [DURATIONS[:1]]}).column("t").cells() == ['["P0M0DT1.000000S"]']


def test_durations_of_pandas_are_written_alike() -> None:
    pandas = pytest.importorskip("pandas")

    for dtype in ("m8[s]", "m8[us]", "m8[ns]", object):
        values = [DURATIONS[0], None, datetime.timedelta(days=-2)]
        assert cells(columns_of_pandas(pandas.DataFrame({"t": pandas.Series(values, dtype=dtype)}))) == [
            "P0M0DT1.000000S", None, "P0M-2DT0.000000S",
        ]  # fmt: skip
    assert cells(columns_of_pandas(pandas.DataFrame({"t": NANOSECONDS}))) == WITH_NANOSECONDS


def test_months_of_numpy_and_of_pandas_are_written_alike() -> None:
    pandas = pytest.importorskip("pandas")
    offsets = [pandas.DateOffset(months=1, days=2, nanoseconds=3), pandas.DateOffset(years=1, hours=-1), None]

    assert cells(columns_of_pandas(pandas.DataFrame({"t": offsets}))) == [
        "P1M2DT0.000000003S", "P12M0DT-3600.000000S", None,
    ]  # fmt: skip
    for unit, text in (("M", "P2M0DT0.000000S"), ("Y", "P24M0DT0.000000S")):
        assert Table.from_columns({"t": np.array([2], f"m8[{unit}]")}).column("t").cells() == [text]


def test_durations_of_polars_are_written_alike() -> None:
    polars = pytest.importorskip("polars")

    assert cells(columns_of_polars(polars.DataFrame({"t": DURATIONS}))) == WRITTEN
    assert cells(columns_of_polars(polars.DataFrame({"t": NANOSECONDS}))) == WITH_NANOSECONDS


def test_durations_of_arrow_are_written_alike() -> None:
    arrow = pytest.importorskip("pyarrow")
    intervals = arrow.array([(1, 2, 3_500_000_000), None], arrow.month_day_nano_interval())

    assert cells(columns_of_arrow(arrow.table({"t": DURATIONS}))) == WRITTEN
    assert cells(columns_of_arrow(arrow.table({"t": NANOSECONDS}))) == WITH_NANOSECONDS
    assert cells(columns_of_arrow(arrow.table({"t": intervals}))) == ["P1M2DT3.500000S", None]


def test_nanoseconds_of_durations_stay_within_nested_values() -> None:
    arrow, polars = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    durations = [[1001, None]]
    lists = arrow.table({"t": arrow.array(durations, arrow.list_(arrow.duration("ns")))})
    frame = polars.DataFrame({"t": durations}, schema={"t": polars.List(polars.Duration("ns"))})

    assert cells(columns_of_arrow(lists)) == cells(columns_of_polars(frame)) == ['["P0M0DT0.000001001S",null]']
