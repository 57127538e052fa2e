"""Tables: every form in which they come, types, nulls, and the way back."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets.ingest import ingest
from gristmill.datasets.options import ENDINGS, FORMATS, MEDIA_TYPES, Format, ReadingLimits, ReadingOptions
from gristmill.processes import Column, Table
from gristmill.processes.column import TableError
from gristmill.processes.csv_texts import NULLS
from gristmill.samples import penguins
from gristmill.settings import Settings

NANOSECOND = "2024-01-01T00:00:00.000000001"
FORMS: list[Any] = [
    {"columns": ["a", "b"], "rows": [[1, "x"], [2, None]]},
    {"columns": [{"name": "a", "type": "integer"}, {"name": "b"}], "rows": [[1, "x"], [2, None]]},
    [{"a": 1, "b": "x"}, {"a": 2}],
    {"a": [1, 2], "b": ["x", None]},
    "a,b\n1,x\n2,\n",
    "a,b\r\n1,x\r\n2,NA\r\n\r\n",
    "\ufeffa;b\n1;x\n2;",
]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_every_form_gives_the_same_table(form: Any) -> None:
    table = Table.from_json(form)

    assert table.rows == 2
    assert [(one.name, one.kind) for one in table.columns] == [("a", "integer"), ("b", "string")]
    assert table["a"].tolist() == [1, 2]
    assert table.column("b").cells() == ["x", None]
    assert table.column("b").present.tolist() == ["x"]


@pytest.mark.parametrize(
    ("cells", "kind", "dtype"),
    [
        ([1, -2], "integer", "int64"),
        ([1, 2.5], "number", "float64"),
        ([2**63, 1], "number", "float64"),
        ([1, "NaN", "-Infinity"], "number", "float64"),
        ([2**53, 0.5, math.nan], "number", "float64"),
        ([2**53 + 1, 0.5], "string", "object"),
        ([2**64 - 1, 1], "string", "object"),
        ([10**400, 1], "string", "object"),
        ([Decimal("0.1"), 3], "number", "float64"),
        ([Decimal("0.1"), Decimal("1234567890123456789.25")], "string", "object"),
        ([True, False], "boolean", "bool"),
        (["x", "NaN"], "string", "object"),
        (["2024-01-01", "2024-01-02T03:04:05.5+01:00"], "datetime", "datetime64[us]"),
        (["2024-01-01", "2024-01-02T03:04Z", "2024-01-02 03:04:05.123456000"], "datetime", "datetime64[us]"),
        (["2024-01-01", "2024-01-02 03:04:05.123456789"], "string", "object"),
        (["2024-01-01", "2024-13-01"], "string", "object"),
        (["0000-01-01"], "string", "object"),
        (["2024-01-01", "soon"], "string", "object"),
        ([None], "string", "object"),
    ],
)
def test_a_column_s_type_is_found_out(cells: list[Any], kind: str, dtype: str) -> None:
    column = Column.of("c", [*cells, None])

    assert column.kind == kind
    assert column.values.dtype == dtype
    assert column.valid.tolist() == [one is not None for one in [*cells, None]]


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([12345678901234567890, 12345678901234567891], ["12345678901234567890", "12345678901234567891"]),
        ([2**53 + 1, 1.5, 1e300, math.inf, "NaN"], ["9007199254740993", "1.5", "1e+300", "Infinity", "NaN"]),
        ([Decimal("1E+20"), Decimal("0.10"), Decimal(2**60)], ["100000000000000000000", "0.10", "1152921504606846976"]),
        (["2024-06-01T12:00:00.123456789Z", "2024-06-01"], ["2024-06-01T12:00:00.123456789Z", "2024-06-01"]),
    ],
)
def test_what_a_column_s_type_would_round_is_text_for_the_whole_column(cells: list[Any], texts: list[str]) -> None:
    assert Column.of("c", [*cells, None]).cells() == [*texts, None]


def test_times_are_kept_in_utc() -> None:
    column = Column.of("t", ["2024-01-01T01:00:00+02:00", "2024-01-01"])

    assert column.cells() == ["2023-12-31T23:00:00.000000Z", "2024-01-01T00:00:00.000000Z"]


@pytest.mark.parametrize(
    ("value", "message", "pointer"),
    [
        (3, "is no table", ""),
        ({"a": 3}, "must be an array", "/a"),
        ({"a": [1], "b": [1, 2]}, "not equally long", ""),
        ({"a": [1, "x"]}, "column 'a' mixes numbers with strings, first in row 2", ""),
        ({"a": [1, 2.5, "x"]}, "column 'a' mixes numbers with strings, first in row 3", ""),
        ({"a": [{}]}, "a cell must be", "/a/0"),
        ({"a{}": [1, {}]}, "a cell must be", "/a{}/1"),
        ([{"a{}": 1}, {"a{}": []}], "a cell must be", "/1/a{}"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [3, []]]}, "a cell must be", "/rows/1/1"),
        ({"": [1]}, "a string that is not empty", ""),
        ({"\ud800": [1]}, "half of a surrogate pair", ""),
        ([1], "must be an object", "/0"),
        ({"columns": ["a", "a"], "rows": []}, "two columns 'a'", ""),
        ({"columns": [{"name": "a", "kind": "x"}], "rows": []}, "a name and a type", "/columns/0"),
        ({"columns": [{"name": "a", "type": "x"}], "rows": []}, "must be one of boolean", "/columns/0/type"),
        ({"columns": [{"name": "a", "type": "integer"}], "rows": [["x"]]}, "does not hold values of type integer", ""),
        ({"columns": [{"name": "a", "type": "datetime"}], "rows": [["x"]]}, "ISO 8601", ""),
        ({"columns": [{"name": "a", "type": "integer"}], "rows": [[2**70]]}, "type integer", ""),
        (
            {"columns": [{"name": "a", "type": "number"}], "rows": [[2**53 + 1]]},
            "9007199254740993 would be rounded",
            "",
        ),
        ({"columns": [{"name": "a", "type": "number"}], "rows": [[10**400]]}, "type number", ""),
        ({"columns": [{"name": "a", "type": "number"}], "rows": [[True]]}, "type number: a boolean is none", ""),
        ({"columns": [{"name": "a", "type": "number"}], "rows": [["x"]]}, "type number: 'x' is none", ""),
        (
            {"columns": [{"name": "a", "type": "datetime"}], "rows": [["2024-01-01T00:00:00.0000001"]]},
            "no ISO 8601 date or time in microseconds",
            "",
        ),
        ("", "is empty", ""),
        ("flights", '{"dataset": "..."}', ""),
        ("a,b\n1\n", "row 2 has 1 values", ""),
        ('a\n"x', "is not CSV", ""),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(value: Any, message: str, pointer: str) -> None:
    with pytest.raises(TableError) as caught:
        Table.from_json(value)

    assert message in str(caught.value)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("texts", "kind", "cells"),
    [
        ("1\n2\nNA\n", "integer", [1, 2, None]),
        ("1\n2.5\nNULL\n", "number", [1.0, 2.5, None]),
        ('a\n""\n', "string", ["a", ""]),
        ("1e3\nNaN\ninf\n", "number", [1000.0, "NaN", "Infinity"]),
        ("true\nFALSE\n", "boolean", [True, False]),
        ("007x\n1_000\n", "string", ["007x", "1_000"]),
        ("2024-01-01\nN/A\n", "datetime", ["2024-01-01T00:00:00.000000Z", None]),
        ("9999999999999999999\n", "string", ["9999999999999999999"]),
        ('"a, ""b"""\n" c"\n', "string", ['a, "b"', " c"]),
        ("1_000\n", "string", ["1_000"]),
        ("0001-01-01T00:00:00+05:00\n", "datetime", ["0000-12-31T19:00:00.000000Z"]),
    ],
)  # fmt: skip
def test_a_column_of_csv_gets_the_narrowest_type_that_fits(texts: str, kind: str, cells: list[Any]) -> None:
    column = Table.from_csv("c\n" + texts).column("c")

    assert (column.kind, column.cells()) == (kind, cells)


def test_a_column_without_a_name_is_numbered() -> None:
    assert list(Table.from_csv(",b\n0,1\n")) == ["column_1", "b"]


def test_files_are_read_by_media_type_or_by_name() -> None:
    table = Table.from_columns({"a": [1, 2]})

    assert Table.from_bytes(b"a\n1\n2\n", "text/csv; charset=utf-8") == table
    assert Table.from_bytes("\ufeffa\n1\n2\n".encode(), "") == table
    assert Table.from_bytes(b"a\tb\n1\t2\n", "text/tab-separated-values")["b"].tolist() == [2]
    assert Table.from_bytes(b'{"a": [1, 2]}', "application/json") == table
    assert Table.from_bytes(b'{"a": 1}\n\n{"a": 2}\n', "application/x-ndjson") == table
    assert Table.from_bytes(b'{"a": 1}\n{"a": 2}\n', "", name="http://example.org/x.ndjson?y=z.csv") == table


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_of_uploads_is_one_of_links_by_its_media_types_and_endings(tmp_path: Path, form: Format) -> None:
    parquet = tmp_path / "parquet"
    duckdb.sql(f"COPY (SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS t(a, b)) TO '{parquet}' (FORMAT parquet)")
    content = {
        "csv": b"a,b\n1,x\n2,y\n",
        "tsv": b"a\tb\n1\tx\n2\ty\n",
        "json": b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]',
        "ndjson": b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
        "parquet": parquet.read_bytes(),
    }[form]
    table = Table.from_columns({"a": [1, 2], "b": ["x", "y"]})
    (tmp_path / "source").write_bytes(content)

    ingest(tmp_path / "source", tmp_path / "table", ReadingOptions(form), ReadingLimits.of(Settings()))
    assert duckdb.sql(f"FROM read_parquet('{tmp_path / 'table'}')").fetchall() == [(1, "x"), (2, "y")]
    media_types = [one for one, known in MEDIA_TYPES.items() if known == form]
    endings = [one for one, known in ENDINGS.items() if known == form]
    assert media_types
    assert endings
    if form == "parquet":
        pytest.importorskip("pyarrow")
    for media_type in media_types:
        assert Table.from_bytes(content, media_type) == table
    for ending in endings:
        assert Table.from_bytes(content, "", name=f"http://example.org/x.{ending}") == table


@pytest.mark.parametrize(
    ("content", "media_type", "message"),
    [
        (b'[{"a": 1, "a": 2}]', "application/json", "is not JSON: the key 'a' stands twice in one object"),
        (b'{"a": 1}\n\n{"a": 1, "a": 2}', "application/x-ndjson", "is not NDJSON: line 3: the key 'a' stands twice"),
        (b'{"a": 1}\n{"a": }', "application/x-ndjson", "is not NDJSON: line 2: Expecting value"),
    ],
)
def test_json_that_readers_would_understand_differently_is_refused(
    content: bytes, media_type: str, message: str
) -> None:
    with pytest.raises(TableError, match=message):
        Table.from_bytes(content, media_type)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\xff", "text/csv"),
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"1", "application/x-ndjson"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes, media_type: str) -> None:
    with pytest.raises(TableError):
        Table.from_bytes(content, media_type)


def test_the_sample_table_has_the_types_that_it_should() -> None:
    kinds = {one.name: one.kind for one in Table.from_json(penguins()).columns}

    assert kinds == {
        "species": "string",
        "island": "string",
        "bill_length_mm": "number",
        "bill_depth_mm": "number",
        "flipper_length_mm": "integer",
        "body_mass_g": "integer",
        "sex": "string",
        "year": "integer",
    }


def test_rows_are_chosen_by_a_mask() -> None:
    table = Table.from_columns({"a": [1, 2, 3], "b": ["x", None, "z"]})

    assert table.where(table["a"] > 1) == Table.from_columns({"a": [2, 3], "b": [None, "z"]})


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        ([1, None, 3], "float64", [1, math.nan, 3]),
        ([1, 3], "int64", [1, 3]),
        ([1.5, None], "float64", [1.5, math.nan]),
        ([True, None], "object", [True, None]),
        (["x", None], "object", ["x", None]),
        (["2024-01-01", None], "datetime64[us]", ["2024-01-01", "NaT"]),
        ([None], "object", [None]),
    ],
)
def test_what_is_null_is_no_value_in_an_array(cells: list[Any], dtype: str, expected: list[Any]) -> None:
    array = Table([Column.of("c", cells)])["c"]

    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(expected, dtype))


def test_complete_rows_have_a_value_in_each_column() -> None:
    table = Table.from_json({"a": [1, None, 3, 4], "b": [1.5, 2.5, "NaN", 4.5], "c": ["x", "y", "z", None]})

    assert table.complete("a", "b") == Table.from_columns({"a": [1, 4], "b": [1.5, 4.5]})
    assert table.complete("c", "a", "c") == Table.from_columns({"c": ["x", "z"], "a": [1, 3]})
    assert table.complete("a")["a"].dtype == "int64"
    with pytest.raises(KeyError, match="no column 'd'"):
        table.complete("a", "d")


def test_an_unknown_column_is_named_with_those_that_there_are() -> None:
    with pytest.raises(KeyError, match="no column 'c'; there are: a, b"):
        Table.from_columns({"a": [1], "b": [2]})["c"]


@pytest.mark.parametrize("key", [np.array([True]), ["a", "b"]], ids=["mask", "list"])
def test_a_mask_in_place_of_a_name_is_told_where_it_belongs(key: Any) -> None:
    with pytest.raises(TypeError, match=r"name of one column, and this is (ndarray|list); table\.where\(mask\) gives"):
        Table.from_columns({"a": [1], "b": [2]})[key]


def test_arrays_become_columns() -> None:
    table = Table.from_columns(
        {
            "i": np.array([1, 2], "u1"),
            "f": np.array([0.5, math.nan]),
            "b": np.array([True, False]),
            "t": np.array(["2024-01-01", "NaT"], "M8[D]"),
            "s": np.array(["x", None], object),
            "u": np.array([2**64 - 1, 1], "u8"),
        }
    )

    assert [one.kind for one in table.columns] == ["integer", "number", "boolean", "datetime", "string", "string"]
    assert table.column("f").cells() == [0.5, "NaN"]
    assert table.column("u").cells() == ["18446744073709551615", "1"]
    assert table.column("t").cells() == ["2024-01-01T00:00:00.000000Z", None]


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        (np.array([0.1, math.nan], "f4"), "number", [0.1, "NaN"]),
        ([np.float32(0.1), np.float16(0.5)], "number", [0.1, 0.5]),
        (
            np.array(["2024-06-01T12:00:00.123456789", "NaT"], "M8[ns]"),
            "string",
            ["2024-06-01T12:00:00.123456789Z", None],
        ),
        (np.array(["2024-06-01T12:00:00.5"], "M8[ns]"), "datetime", ["2024-06-01T12:00:00.500000Z"]),
        ([np.datetime64("2024-06-01T12:00:00.123456789")], "string", ["2024-06-01T12:00:00.123456789"]),
        ([np.datetime64("2024-06-01"), np.datetime64("NaT")], "datetime", ["2024-06-01T00:00:00.000000Z", None]),
        ([Decimal("12345678901234567.89"), None], "string", ["12345678901234567.89", None]),
        (np.array([2**63 - 1, 1], "u8"), "integer", [2**63 - 1, 1]),
    ],
)
def test_no_value_of_python_or_numpy_is_rounded(values: Any, kind: str, cells: list[Any]) -> None:
    column = Table.from_columns({"c": values}).column("c")

    assert (column.kind, column.cells()) == (kind, cells)


def test_what_is_masked_in_an_array_as_duckdb_gives_it_is_null() -> None:
    values = {
        "f": ("FLOAT", "0.1", ("number", [0.1, None])),
        "i": ("INTEGER", "3", ("integer", [3, None])),
        "u": ("UBIGINT", str(2**64 - 1), ("string", [str(2**64 - 1), None])),
        "b": ("BOOLEAN", "true", ("boolean", [True, None])),
        "s": ("VARCHAR", "'x'", ("string", ["x", None])),
        "t": ("TIMESTAMP", "'2024-01-01 00:00:00'", ("datetime", ["2024-01-01T00:00:00.000000Z", None])),
        "n": ("TIMESTAMP_NS", f"'{NANOSECOND}'", ("string", [f"{NANOSECOND}Z", None])),
    }
    rows = [[f"CAST({one} AS {kind}) AS {name}" for name, (kind, one, _) in values.items()], ["NULL"] * len(values)]
    sql = " UNION ALL ".join(f"SELECT {', '.join(row)}" for row in rows)

    table = Table.from_columns(duckdb.sql(f"FROM ({sql})").fetchnumpy())

    assert {one.name: (one.kind, one.cells()) for one in table.columns} == {
        name: expected for name, (_, _, expected) in values.items()
    }


def test_a_masked_array_may_hold_nan_and_be_masked_everywhere() -> None:
    given = np.ma.masked_array([1.5, math.nan, 0], [False, False, True])
    table = Table.from_columns({"x": given, "t": np.ma.masked_all(3, "M8[us]"), "o": np.ma.masked_all(3, object)})

    assert [one.cells() for one in table.columns] == [[1.5, "NaN", None], [None] * 3, [None] * 3]


def test_a_line_of_ndjson_ends_at_a_line_feed_alone() -> None:
    content = '{"a": "x\u2028y"}\r\n{"a": "z"}\n'.encode()

    assert Table.from_bytes(content, "application/x-ndjson")["a"].tolist() == ["x\u2028y", "z"]


def test_parquet_is_read_where_pyarrow_is() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.table({"a": [1, None], "b": ["x", "y"]}), sink)

    table = Table.from_bytes(sink.getvalue().to_pybytes(), "application/vnd.apache.parquet")

    assert table == Table.from_columns({"a": [1, None], "b": ["x", "y"]})


def test_parquet_that_is_damaged_or_too_deep_is_refused() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    whole, deep = arrow.BufferOutputStream(), arrow.BufferOutputStream()
    parquet.write_table(arrow.table({"a": ["x" * 100]}), whole, use_dictionary=False, compression="none")
    dtype = arrow.int8()
    for _ in range(60):
        dtype = arrow.list_(dtype)
    parquet.write_table(arrow.table({"a": arrow.nulls(1, dtype)}), deep)
    damaged = bytearray(whole.getvalue().to_pybytes())
    damaged[4:24] = b"\xff" * 20

    for content in (bytes(damaged), deep.getvalue().to_pybytes()):
        with pytest.raises(TableError, match="is not Parquet"):
            Table.from_bytes(content, "application/vnd.apache.parquet")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)
COLUMNS: st.SearchStrategy[list[Any]] = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.none() | st.floats(), min_size=3, max_size=3),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3),
    st.lists(st.none() | TEXT, min_size=3, max_size=3),
    st.lists(st.none() | st.datetimes(), min_size=3, max_size=3),
)
TABLES = st.dictionaries(TEXT.filter(bool), COLUMNS, min_size=1, max_size=4).map(Table.from_columns)


@given(TABLES)
def test_a_table_written_as_json_reads_back_as_the_same(table: Table) -> None:
    text = json.dumps(table.to_json(), allow_nan=False)

    assert Table.from_json(json.loads(text)).to_json() == table.to_json()


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.lists(st.none() | TEXT.filter(lambda one: one not in NULLS - {""}), min_size=2, max_size=2),
        min_size=1,
    )
)
def test_text_written_as_csv_reads_back_as_the_same(columns: dict[str, list[str]]) -> None:
    table = Table.from_columns(columns)
    back = Table.from_csv(table.to_csv())

    for column in table.columns:
        if column.kind == back.column(column.name).kind:
            assert back.column(column.name).cells() == column.cells()


def test_csv_tells_an_empty_text_from_a_missing_one() -> None:
    table = Table.from_columns({"a": ["(none)", None, "", 'b, "c"'], "x": [1.5, None, 1e22, 2]})

    assert table.to_csv() == 'a,x\r\n(none),1.5\r\n,\r\n"",1e+22\r\n"b, ""c""",2.0\r\n'
    assert Table.from_csv(Table.from_columns({"a": ["", None]}).to_csv()).column("a").cells() == ["", None]


def test_csv_has_booleans_and_special_numbers_as_rows_of_data_sets_have_them() -> None:
    table = Table.from_columns({"b": [True, False, None], "x": [np.nan, np.inf, -np.inf]})

    assert table.to_csv() == "b,x\r\ntrue,nan\r\nfalse,inf\r\n,-inf\r\n"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_table_or_a_table_error(value: Any) -> None:
    try:
        table = Table.from_json(value)
    except TableError:
        return
    json.dumps(table.to_json(), allow_nan=False)


@pytest.mark.parametrize(("word", "named_by"), [("penguins", "dataset"), ("https://example.org/t.csv", "href")])
def test_a_word_or_a_url_in_place_of_a_table_is_told_how_it_is_named(word, named_by):
    with pytest.raises(TableError, match=f'is named by {{"{named_by}": '):
        Table.from_json(word)


@pytest.mark.parametrize("value", [object(), lambda: None, [object()]], ids=["object", "function", "within a list"])
def test_a_column_of_what_is_no_data_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(TypeError, match=r"^column 'b' has a value of the type (object|function), which has no text"):
        Table.from_columns({"a": [1], "b": [value]})
