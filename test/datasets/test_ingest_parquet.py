"""Parquet that is uploaded: its types stay, and large groups take little memory."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet as arrow_parquet
from support.tables import Read, refused, rows_of, settings_at_writing, types_of

from gristmill.datasets import ingest as module
from gristmill.errors import MalformedDataError, TooLargeError


def parquet(tmp_path: Path, select: str, group_rows: int = 122_880) -> bytes:
    path = tmp_path / "made"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {group_rows})")
    data = path.read_bytes()
    path.unlink()
    return data


def test_parquet_keeps_its_types_and_nested_values(tmp_path: Path, read: Read) -> None:
    select = (
        "SELECT 1::UTINYINT AS u, [1, 2] AS l, {'a': DATE '2024-01-01', 'b': ['x']} AS s, MAP {'k': 1.5::DOUBLE} AS m, "
        "'\\xAB'::BLOB AS b, 1.25::DECIMAL(38,10) AS d, TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS n, NULL AS z, "
        "INTERVAL 1 DAY AS i, '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID AS g, 1.5::FLOAT AS f"
    )
    facts = read(parquet(tmp_path, select), "parquet")
    assert list(types_of(facts).values()) == [
        "UTINYINT", "INTEGER[]", "STRUCT(a DATE, b VARCHAR[])", "MAP(VARCHAR, DOUBLE)", "BLOB", "DECIMAL(38,10)",
        "TIMESTAMP_NS", "VARCHAR", "INTERVAL", "UUID", "FLOAT",
    ]  # fmt: skip
    assert [column.kind for column in facts.columns][:4] == ["integer", "nested", "nested", "nested"]
    assert rows_of(tmp_path / "table")[0][1:3] == ([1, 2], {"a": dt.date(2024, 1, 1), "b": ["x"]})


def test_what_has_no_value_anywhere_within_nested_values_is_text(tmp_path: Path, read: Read) -> None:
    select = (
        "SELECT []::\"NULL\"[] AS l, {'x': 1, 'y': NULL, 'NULL': 2, 'a \"NULL\"': [NULL], 'n\"': {'NULL': NULL}} AS s, "
        "MAP {'k': NULL} AS m, [{'y': NULL}, NULL] AS o, [NULL::\"NULL\"]::\"NULL\"[1] AS a"
    )
    facts = read(parquet(tmp_path, select), "parquet")
    assert list(types_of(facts).values()) == [
        "VARCHAR[]",
        'STRUCT(x INTEGER, y VARCHAR, "NULL" INTEGER, "a ""NULL""" VARCHAR[], "n""" STRUCT("NULL" VARCHAR))',
        "MAP(VARCHAR, VARCHAR)", "STRUCT(y VARCHAR)[]", "VARCHAR[]",
    ]  # fmt: skip
    assert rows_of(tmp_path / "table") == [
        ([], {"x": 1, "y": None, "NULL": 2, 'a "NULL"': [None], 'n"': {"NULL": None}}, {"k": None}, [{"y": None}, None],
         [None])
    ]  # fmt: skip


def test_times_that_may_have_nanoseconds_and_a_zone_are_held_where_they_have_none(tmp_path: Path, read: Read) -> None:
    times = "(VALUES (NULL), ('2024-01-01 00:00:00.123456+02'), ('1969-12-31 23:59:59.999999Z')) v(t)"
    facts = read(parquet(tmp_path, f"SELECT CAST(t AS TIMESTAMPTZ_NS) AS t FROM {times}"), "parquet")
    assert types_of(facts) == {"t": "TIMESTAMP WITH TIME ZONE"}
    assert (facts.columns[0].minimum, facts.columns[0].nulls) == ("1969-12-31T23:59:59.999999Z", 1)
    finer = parquet(tmp_path, "SELECT '2024-01-01 00:00:00.000000001Z'::TIMESTAMPTZ_NS AS finer")
    assert "'finer'" in refused(tmp_path, read, MalformedDataError, finer, "parquet")


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("[?, NULL]", "TIMESTAMP WITH TIME ZONE[]"),
        ("MAP {?: [{'x': 1}]}", "MAP(TIMESTAMP WITH TIME ZONE, STRUCT(x INTEGER)[])"),
        (
            "{'TIMESTAMPTZ_NS': 1, '\"': [[{'a': ?}]]}",
            'STRUCT(TIMESTAMPTZ_NS INTEGER, """" STRUCT(a TIMESTAMP WITH TIME ZONE)[][])',
        ),
    ],
)
def test_so_are_those_within_nested_values(tmp_path: Path, read: Read, form: str, kind: str) -> None:
    def made(digits: str) -> bytes:
        value = form.replace("?", f"'1969-12-31 23:59:59.{digits}Z'::TIMESTAMPTZ_NS")
        return parquet(tmp_path, f"SELECT {value} AS n UNION ALL SELECT NULL")

    facts = read(made("999999"), "parquet")
    assert (types_of(facts), facts.columns[0].nulls) == ({"n": kind}, 1)
    for finer in ("999999001", "999999500"):
        said = refused(tmp_path, read, MalformedDataError, made(finer), "parquet")
        assert "'n' is of the Parquet type" in said


def test_a_parquet_type_that_is_not_held_is_refused_by_column(tmp_path: Path, read: Read) -> None:
    data = parquet(tmp_path, "SELECT 1 AS ok, 1::VARIANT AS odd")
    assert "'odd'" in refused(tmp_path, read, MalformedDataError, data, "parquet")


@pytest.mark.parametrize(
    ("value", "levels"), [("[{}]", 20), ("{{'a': {}}}", 40), ("{{'a': {}}}", 200), ("map([1], [{}])", 17)]
)
def test_a_column_that_is_nested_too_deep_is_refused_and_told_what_to_do(
    tmp_path: Path, read: Read, value: str, levels: int
) -> None:
    deep = "1.5::DOUBLE"
    for _ in range(levels):
        deep = value.format(deep)
    said = refused(tmp_path, read, MalformedDataError, parquet(tmp_path, f"SELECT 1 AS ok, {deep} AS deep"), "parquet")
    assert [word for word in ("'deep'", "text that holds them as JSON") if word not in said] == [], said


def test_a_decimal_of_more_than_38_digits_is_a_double(tmp_path: Path, read: Read) -> None:
    column = pa.array([Decimal("1234567890123456789.01")], pa.decimal256(60, 2))
    arrow_parquet.write_table(pa.table({"d": column}), written := io.BytesIO())
    assert types_of(read(written.getvalue(), "parquet")) == {"d": "DOUBLE"}
    assert rows_of(tmp_path / "table") == [(1234567890123456789.01,)]


def test_what_is_no_parquet_is_refused(tmp_path: Path, read: Read) -> None:
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"", "parquet")
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"a\n1\n", "parquet")
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"a,b\n1,2\n3,4\n5,6\n", "parquet")
    refused(tmp_path, read, MalformedDataError, b"a,b\n1,2\n" * 10, "parquet")


def test_parquet_that_is_damaged_is_said_to_be_damaged(tmp_path: Path, read: Read) -> None:
    good = parquet(tmp_path, "SELECT range AS a FROM range(1000)")
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    scrambled = good[:footer] + b"\r" * 40 + good[footer + 40 :]
    for data in (b"PAR1PAR1", good[:-8] + b"\xff\xff\xff\x7fPAR1", scrambled, good[:-1]):
        assert "is damaged" in refused(tmp_path, read, MalformedDataError, data, "parquet")


def test_rows_of_parquet_are_limited_before_they_are_read(tmp_path: Path, read: Read) -> None:
    data = parquet(tmp_path, "SELECT 1 AS a FROM range(100001)")
    assert "GRISTMILL_DATASET_ROWS" in refused(tmp_path, read, TooLargeError, data, "parquet")


def test_large_row_groups_of_parquet_are_read_by_one_thread(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of groups of 1,048,576 rows, as pyarrow writes them, each thread has one in memory."""
    found = settings_at_writing(monkeypatch, "threads")
    monkeypatch.setattr(module, "_MOST_BYTES_FOR_THREADS", 200_000)
    for group_rows in (10_240, 40_960):
        read(parquet(tmp_path, "SELECT hash(range) AS a FROM range(80_000)", group_rows), "parquet")
    assert found == [(2,), (1,)]


@pytest.mark.slow
def test_what_two_threads_have_no_memory_for_is_read_by_one(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a dictionary holds long texts is not seen in the size of a row group."""
    found = settings_at_writing(monkeypatch, "threads")
    data = parquet(tmp_path, "SELECT repeat(CAST(range % 100 AS VARCHAR), 600) AS a FROM range(600_000)", 102_400)
    limits = {"rows": 600_000, "memory_bytes": 150 * 2**20}
    assert (len(data) < 10**6, read(data, "parquet", limits=limits).rows) == (True, 600_000)
    assert found == [(2,), (1,)]
