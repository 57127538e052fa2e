"""Data frames and Arrow tables as columns: none of their values is rounded."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from gristmill.processes import Table
from gristmill.processes.frames import columns_of_arrow, columns_of_pandas, columns_of_polars

MOMENT = "2024-06-01T12:00:00.123456789"
EXPECTED = {
    "wide": ("string", ["18446744073709551615", "1", None]),
    "long": ("integer", [2**53 + 1, 1, None]),
    "decimal": ("string", ["1234567890123456789012.25", "0.10", None]),
    "price": ("number", [0.1, 1.5, None]),
    "float": ("number", [0.1, 2.0, None]),
    "moment": ("string", [f"{MOMENT}Z", "2024-06-01T12:00:00.000000000Z", None]),
    "second": ("datetime", ["2024-06-01T12:00:00.000000Z", "1970-01-01T00:00:00.000000Z", None]),
}
DECIMALS = [Decimal("1234567890123456789012.25"), Decimal("0.10"), None]
MOMENTS = np.array([MOMENT, "2024-06-01T12:00:00", "NaT"], "M8[ns]")
DAYS = [date(2024, 1, 1), None, None]
SECONDS = [datetime.fromisoformat("2024-06-01T12:00:00"), datetime.fromisoformat("1970-01-01"), None]


def _found(columns: Any) -> dict[str, tuple[str, list[object]]]:
    return {one.name: (one.kind, one.cells()) for one in Table(columns).columns}


def test_no_value_of_pandas_is_rounded() -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "wide": pandas.Series([2**64 - 1, 1, None], dtype="UInt64"),
            "long": pandas.Series([2**53 + 1, 1, None], dtype="Int64"),
            "decimal": DECIMALS,
            "price": [Decimal("0.10"), Decimal("1.5"), None],
            "float": pandas.Series([0.1, 2, None], dtype="f4"),
            "moment": MOMENTS,
            "second": SECONDS,
            "nullable": pandas.Series([0.1, 2, None], dtype="Float32"),
            "day": pandas.Series(DAYS, dtype=pandas.ArrowDtype(arrow.date32())),
            "ticks": pandas.Series(MOMENTS, dtype=pandas.ArrowDtype(arrow.timestamp("ns"))),
            "zoned": pandas.to_datetime([f"{MOMENT}+02:00", f"{MOMENT}+02:00", None]),
        }
    )

    found = _found(columns_of_pandas(frame))

    assert found.pop("nullable") == EXPECTED["float"]
    assert found.pop("day") == ("datetime", ["2024-01-01T00:00:00.000000Z", None, None])
    assert found.pop("ticks") == EXPECTED["moment"]
    assert found.pop("zoned") == ("string", [f"{MOMENT}+02:00", f"{MOMENT}+02:00", None])
    assert found == EXPECTED


def test_no_value_of_polars_is_rounded() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "wide": polars.Series([2**64 - 1, 1, None], dtype=polars.UInt64),
            "long": polars.Series([2**53 + 1, 1, None], dtype=polars.Int64),
            "decimal": polars.Series(DECIMALS, dtype=polars.Decimal(30, 2)),
            "price": polars.Series([Decimal("0.10"), Decimal("1.5"), None], dtype=polars.Decimal(30, 2)),
            "float": polars.Series([0.1, 2, None], dtype=polars.Float32),
            "moment": MOMENTS,
            "second": SECONDS,
            "clock": polars.Series([43_200_123_456_789, 43_200_000_000_000, None], dtype=polars.Time),
            "special": polars.Series([float("nan"), 1, None], dtype=polars.Float32),
        }
    )

    found = _found(columns_of_polars(frame))

    assert found.pop("clock") == ("string", ["12:00:00.123456789", "12:00:00", None])
    assert found.pop("special") == ("number", ["NaN", 1.0, None])
    assert found == EXPECTED


def test_no_value_of_arrow_is_rounded() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {
            "wide": arrow.array([2**64 - 1, 1, None], arrow.uint64()),
            "long": arrow.array([2**53 + 1, 1, None]),
            "decimal": arrow.array(DECIMALS, arrow.decimal128(30, 2)),
            "price": arrow.array([Decimal("0.10"), Decimal("1.5"), None], arrow.decimal128(30, 2)),
            "float": arrow.array([0.1, 2, None], arrow.float32()),
            "moment": arrow.array(MOMENTS),
            "second": arrow.array(SECONDS),
            "clock": arrow.array([43_200_123_456_789, 43_200_000_500_000, None], arrow.time64("ns")),
            "zoned": arrow.array(MOMENTS).cast(arrow.timestamp("ns", "Europe/Berlin")),
        }
    )
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink)
    read = Table.from_bytes(sink.getvalue().to_pybytes(), "application/vnd.apache.parquet")

    found = _found(columns_of_arrow(table))

    assert found == _found(read.columns)
    assert found.pop("clock") == ("string", ["12:00:00.123456789", "12:00:00.000500", None])
    assert found.pop("zoned") == EXPECTED["moment"]
    assert found == EXPECTED


def test_a_frame_of_what_is_no_data_is_refused_by_the_name_of_its_column() -> None:
    pandas = pytest.importorskip("pandas")

    with pytest.raises(TypeError, match="column 'b' has a value of the type object, which has no text"):
        Table(columns_of_pandas(pandas.DataFrame({"a": [1], "b": [object()]})))
