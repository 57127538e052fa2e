"""Data frames and Arrow tables as columns: none of their values is rounded."""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from gristmill.processes import DataSet, Table
from gristmill.processes.column import TableError
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
            "zoned": pandas.Series(MOMENTS).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
        }
    )

    found = _found(columns_of_pandas(frame))

    assert found.pop("nullable") == EXPECTED["float"]
    assert found.pop("day") == ("datetime", ["2024-01-01T00:00:00.000000Z", None, None])
    assert found.pop("ticks") == EXPECTED["moment"]
    assert found.pop("zoned") == EXPECTED["moment"]
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
    assert found.pop("clock") == ("string", ["12:00:00.123456789", "12:00:00.0005", None])
    assert found.pop("zoned") == EXPECTED["moment"]
    assert found == EXPECTED


def encoded() -> tuple[dict[str, Any], dict[str, tuple[str, list[object]]]]:
    """Arrays of Arrow in dictionaries and in runs, and what they are as columns."""
    arrow, compute = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.compute")
    plain = {
        "float": (arrow.array([0.1, None], arrow.float32()), "number", [0.1, None]),
        "late": (arrow.array([86_400_000_000, None], arrow.time64("us")), "string", ["24:00:00", None]),
        "clock": (arrow.array([1, None], arrow.time64("ns")), "string", ["00:00:00.000000001", None]),
        "moment": (arrow.array([MOMENTS[0], None]), "string", [f"{MOMENT}Z", None]),
        "duration": (arrow.array([5, None], arrow.duration("ns")), "string", ["P0M0DT0.000000005S", None]),
    }
    arrays, expected = {}, {}
    for name, (array, kind, cells) in plain.items():
        arrays |= {name: array.dictionary_encode(), f"{name}s": compute.run_end_encode(array)}
        expected |= {name: (kind, cells), f"{name}s": (kind, cells)}
    for name in ("float", "floats"):
        arrays[f"list_{name}"] = arrow.ListArray.from_arrays([0, 2, 2], arrays[name])
        expected[f"list_{name}"] = "string", ["[0.1,null]", "[]"]
    return arrays, expected


def test_values_in_dictionaries_and_in_runs_are_those_that_they_stand_for() -> None:
    arrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    arrays, expected = encoded()
    table = arrow.table(arrays)

    assert _found(columns_of_arrow(table)) == expected
    assert _found(columns_of_pandas(table.to_pandas(types_mapper=pandas.ArrowDtype))) == expected


def test_categories_and_sparse_columns_of_pandas_are_the_values_that_they_stand_for() -> None:
    pandas = pytest.importorskip("pandas")
    floats = pandas.Series([0.1, 2, None], dtype="f4")
    moments = pandas.Series(MOMENTS).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    frame = pandas.DataFrame(
        {
            "float": floats.astype("category"),
            "sparse": floats.astype("Sparse[float32]"),
            "moment": moments.astype("category"),
            "whole": pandas.Series([2**53 + 1, 1, None], dtype="Int64").astype("category"),
        }
    )

    found = _found(columns_of_pandas(frame))

    assert found.pop("sparse") == EXPECTED["float"]
    assert found.pop("whole") == EXPECTED["long"]
    assert found == {name: EXPECTED[name] for name in ("float", "moment")}


def test_types_of_arrow_that_pandas_has_no_functions_for_are_read() -> None:
    arrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    one = uuid.UUID(int=5)
    storage = arrow.array([one.bytes, None], arrow.binary(16))
    table = arrow.table(
        {
            "uuid": arrow.ExtensionArray.from_storage(arrow.uuid(), storage),
            "text": arrow.array(["a", None], arrow.string_view()),
            "binary": arrow.array([b"a", None], arrow.binary_view()),
        }
    )

    assert _found(columns_of_pandas(table.to_pandas(types_mapper=pandas.ArrowDtype))) == {
        "uuid": ("string", [str(one), None]),
        "text": ("string", ["a", None]),
        "binary": ("string", ["YQ==", None]),
    }


def test_nanoseconds_in_keys_of_polars_stay() -> None:
    arrow, polars = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    maps = arrow.array([[(MOMENTS[0], 1)], None], arrow.map_(arrow.timestamp("ns"), arrow.int64()))

    found = _found(columns_of_polars(polars.from_arrow(arrow.table({"map": maps}))))

    assert found == {"map": ("string", [f'[{{"key":"{MOMENT}","value":1}}]', None])}


KINDS = {
    "int64": "integer", "uint64": "integer", "double": "number", "halffloat": "number", "bool": "boolean",
    "timestamp[us]": "datetime", "timestamp[ns]": "datetime", "date32": "datetime", "time64[us]": "string",
    "string": "string", "duration[s]": "string", "null": "string",
}  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1])
def test_a_column_without_any_value_is_of_the_type_that_the_library_says(rows: int) -> None:
    arrow, pandas, polars = map(pytest.importorskip, ("pyarrow", "pandas", "polars"))
    types = {name: arrow.type_for_alias(name) for name in KINDS} | {"decimal": arrow.decimal128(5, 2)}
    types["dictionary"] = arrow.dictionary(arrow.int8(), arrow.int64())
    expected = KINDS | {"decimal": "number", "dictionary": "integer"}
    table = arrow.table({name: arrow.array([None] * rows, dtype) for name, dtype in types.items()})
    of_polars = table.drop_columns(["dictionary"])

    assert {one.name: one.kind for one in columns_of_arrow(table)} == expected
    of_pandas = columns_of_pandas(table.to_pandas(types_mapper=pandas.ArrowDtype))
    assert {one.name: one.kind for one in of_pandas} == expected
    expected.pop("dictionary")
    assert {one.name: one.kind for one in columns_of_polars(polars.from_arrow(of_polars))} == expected


def test_a_column_of_parquet_without_any_value_keeps_its_type_in_tables_and_data_sets() -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = arrow.BufferOutputStream()
    types = {"n": arrow.int64(), "x": arrow.float64(), "t": arrow.timestamp("us")}
    parquet.write_table(arrow.table({name: arrow.array([None], dtype) for name, dtype in types.items()}), sink)

    table = Table.from_bytes(sink.getvalue().to_pybytes(), "application/vnd.apache.parquet")

    assert [one.kind for one in table.columns] == ["integer", "number", "datetime"]
    assert [one.type for one in DataSet.of(table).columns] == ["BIGINT", "DOUBLE", "TIMESTAMP"]


def test_a_frame_without_rows_keeps_its_types() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": [1], "x": [0.5], "ok": [True], "many": pandas.Series([1], dtype="UInt64")})

    found = {one.name: one.kind for one in columns_of_pandas(frame[frame.n > 5])}

    assert found == {"n": "integer", "x": "number", "ok": "boolean", "many": "integer"}
    assert Table.from_columns({"many": np.array([], "u8")}).column("many").kind == "integer"


def test_an_index_of_pandas_that_is_a_column_too_is_one_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": [3, 4]})

    found = _found(columns_of_pandas(frame.set_index("a", drop=False)))

    assert found == {"a": ("integer", [1, 2]), "b": ("integer", [3, 4])}
    with pytest.raises(TableError, match="two columns 'a'"):
        Table(columns_of_pandas(frame.set_index("b").rename_axis("a").assign(a=[7, 8])))


def test_a_frame_of_what_is_no_data_is_refused_by_the_name_of_its_column() -> None:
    pandas = pytest.importorskip("pandas")

    with pytest.raises(TypeError, match="column 'b' has a value of the type object, which has no text"):
        Table(columns_of_pandas(pandas.DataFrame({"a": [1], "b": [object()]})))
