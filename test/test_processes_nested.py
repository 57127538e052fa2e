"""Nested values as text: the JSON that the rows of a data set have of them, whichever library they come from."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from gristmill.datasets.mapping import csv_of, quoted
from gristmill.processes import Table
from gristmill.processes.frames import columns_of_arrow, columns_of_pandas, columns_of_polars
from gristmill.processes.nested import json_text

NOON = datetime(2024, 1, 1, 12, 0, 0, 500_000, UTC)


def nested_table() -> Any:
    arrow = pytest.importorskip("pyarrow")
    fields: dict[str, tuple[Any, Any]] = {
        "float": (0.1, arrow.float32()),
        "decimal": (Decimal("0.10"), arrow.decimal128(10, 2)),
        "second": (datetime(2024, 1, 1), arrow.timestamp("us")),  # noqa: DTZ001  of a column without a zone
        "zoned": (NOON, arrow.timestamp("us", tz="Europe/Berlin")),
        "day": (date(2024, 1, 1), arrow.date32()),
        "clock": (time(1, 2, 3, 500_000), arrow.time64("us")),
        "binary": (b"a1", arrow.binary()),
        "nan": (math.nan, arrow.float64()),
        "long": (2**60, arrow.int64()),
        "none": (None, arrow.int8()),
        "text": ('é"x', arrow.string()),
        "truth": (True, arrow.bool_()),
    }
    struct = arrow.struct([(name, dtype) for name, (_, dtype) in fields.items()])
    return arrow.table(
        {
            "struct": arrow.array([{name: value for name, (value, _) in fields.items()}, None], struct),
            "map": arrow.array([[("k", 0.1), ("l", None)], None], arrow.map_(arrow.string(), arrow.float32())),
            "list": arrow.array([[[0.1, 484674.125, None], []], None], arrow.list_(arrow.list_(arrow.float32()))),
            "clocks": arrow.array([[43_200_000_000_001, None], None], arrow.list_(arrow.time64("ns"))),
            "moments": arrow.array([[{"at": 1_001}], None], arrow.list_(arrow.struct({"at": arrow.timestamp("ns")}))),
            "binary": arrow.array([b"a1", None]),
        }
    )


def as_rows_have_it(path: Path) -> dict[str, list[object]]:
    read = duckdb.sql(f"FROM '{path}'")
    written = [csv_of(quoted(name), str(dtype)) for name, dtype in zip(read.columns, read.types, strict=True)]
    columns = zip(*read.project(", ".join(written)).fetchall(), strict=True)
    return dict(zip(read.columns, map(list, columns), strict=True))


def cells(columns: Any) -> dict[str, list[object]]:
    return {one.name: one.cells() for one in columns}


def test_nested_values_of_parquet_and_of_frames_are_written_as_rows_have_them(tmp_path: Path) -> None:
    parquet, pandas, polars = map(pytest.importorskip, ("pyarrow.parquet", "pandas", "polars"))
    table, path = nested_table(), tmp_path / "nested.parquet"
    parquet.write_table(table, path)
    rows = as_rows_have_it(path)

    assert cells(Table.from_bytes(path.read_bytes(), "", name="nested.parquet").columns) == rows
    assert cells(columns_of_arrow(table)) == rows
    assert cells(columns_of_polars(polars.from_arrow(table))) == rows
    assert cells(columns_of_pandas(pandas.read_parquet(path, dtype_backend="pyarrow"))) == rows


def test_the_end_of_a_day_and_intervals_of_arrow_are_written_as_rows_have_them() -> None:
    arrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    given = {
        "second": arrow.array([86_400, None], arrow.time32("s")),
        "milli": arrow.array([86_400_000, None], arrow.time32("ms")),
        "micro": arrow.array([86_400_000_000, None], arrow.time64("us")),
        "nano": arrow.array([86_400_000_000_000, None], arrow.time64("ns")),
        "interval": arrow.array([(14, -2, -3_500_000_000), None], arrow.month_day_nano_interval()),
    }
    lists = {name: arrow.array([[array[0].as_py() if name == "interval" else array[0].value], None],
             arrow.list_(array.type)) for name, array in given.items()}  # fmt: skip

    for columns, wanted in ((given, "{}"), (lists, '["{}"]')):
        table = arrow.table(columns)
        rows = {name: [wanted.format("24:00:00"), None] for name in given}
        rows["interval"] = [wanted.format("P14M-2DT-3.500000S"), None]

        assert cells(columns_of_arrow(table)) == rows
        assert cells(columns_of_pandas(table.to_pandas(types_mapper=pandas.ArrowDtype))) == rows


def test_nested_values_that_duckdb_gives_are_written_as_rows_have_them() -> None:
    values = ["[0.1::FLOAT, NULL]", "{'a': 1, 'b': [DATE '2024-01-01']}", "'a1'::BLOB"]
    columns = ", ".join(f"{value} AS c{place}" for place, value in enumerate(values))

    table = Table.from_columns(duckdb.sql(f"SELECT {columns} UNION ALL SELECT NULL, NULL, NULL").fetchnumpy())

    assert cells(table.columns) == {
        "c0": ["[0.1,null]", None],
        "c1": ['{"a":1,"b":["2024-01-01"]}', None],
        "c2": ["YTE=", None],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2.5, -math.inf), '[1,2.5,"-Infinity"]'),
        ([("k", 1)], '[["k",1]]'),
        ({1: np.int64(2**53 + 1)}, '{"1":"9007199254740993"}'),
        (np.array([[0.1], [0.2]], "f4"), "[[0.1],[0.2]]"),
        ([np.datetime64("2024-01-01T00:00:00.000000001")], '["2024-01-01T00:00:00.000000001"]'),
        ([np.datetime64("2024-01-01T10:20", "ns"), np.datetime64("NaT")], '["2024-01-01T10:20:00",null]'),
        ([time(10, 20, 30, 500_000, timezone(timedelta(hours=2)))], '["10:20:30.5+02:00"]'),
        ([timedelta(hours=1)], '["P0M0DT3600.000000S"]'),
    ],
)
def test_nested_values_of_python_and_numpy_are_json(value: object, text: str) -> None:
    assert json_text(value) == text
    assert Table.from_columns({"c": [value, None]}).column("c").cells() == [text, None]
