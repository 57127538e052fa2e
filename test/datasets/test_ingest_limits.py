"""Limits of reading a file, each named by its setting; and what DuckDB may reach meanwhile."""

import json
from pathlib import Path

import duckdb
import pytest
from support.tables import LIMITS, Read, long_texts, refused, settings_at_writing

from gristmill.datasets import ingest as module
from gristmill.datasets import sample, stored_parquet
from gristmill.datasets.shortage import lacks_memory
from gristmill.datasets.texts import check_records
from gristmill.errors import MalformedDataError, ReadingFailedError, TooLargeError


@pytest.mark.parametrize(
    ("limit", "setting", "data"),
    [
        ({"rows": 2}, "GRISTMILL_DATASET_ROWS", b"a\n1\n2\n3\n"),
        ({"columns": 2}, "GRISTMILL_DATASET_COLUMNS", b"a,b,c\n1,2,3\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a\nx\n" + b"x" * 51 + b"\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a,b\n1," + b"x" * 5000 + b"\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a" * 9_000_000 + b"\n"),
        ({"column_name_bytes": 3}, "GRISTMILL_DATASET_COLUMN_NAME_BYTES", "éé\n1\n".encode()),
        ({"stored_bytes": 100}, "GRISTMILL_DATASET_STORED_BYTES", b"a\n1\n"),
    ],
)
def test_a_limit_is_named_by_its_setting(
    tmp_path: Path, read: Read, limit: dict[str, int], setting: str, data: bytes
) -> None:
    assert setting in refused(tmp_path, read, TooLargeError, data, limits=limit)


@pytest.mark.parametrize(
    "row",
    [b"3," + b"x" * 5_000_000, b'3,"' + b"x\n" * 2_500_000 + b'"', b'3,"' + b"\n" * 5_000_000 + b'"'],
    ids=["one line", "quoted lines", "quoted line ends"],
)
@pytest.mark.parametrize("last", [b"\n", b"\n5,y\n", b""])
def test_a_row_longer_than_duckdbs_buffer_is_refused_and_not_left_out(
    tmp_path: Path, read: Read, row: bytes, last: bytes
) -> None:
    said = refused(tmp_path, read, TooLargeError, b"a,b\n1,2\n" + row + last)
    assert [word for word in ("GRISTMILL_DATASET_CELL_BYTES", "Line 3 ") if word not in said] == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_rows_below_more_empty_lines_than_duckdb_takes_are_refused_and_not_left_out(
    tmp_path: Path, read: Read, end: bytes
) -> None:
    said = refused(tmp_path, read, TooLargeError, b"a,b" + end + b"1,2" + end * 3_000_000 + b"3,4" + end)
    assert "From line 3 on, " in said
    assert "bytes and more are empty lines. Remove them." in said
    one_column = b"a\n1" + b"\n" * 3_000_000 + b"3\n"  # whose empty lines are rows
    assert read(one_column, limits={"rows": 5_000_000}).rows == 3_000_001


@pytest.mark.slow
def test_a_stray_quote_does_not_hide_a_row_that_is_too_long(read: Read) -> None:
    data = b'a,b\n3,h"m\n4,"' + b"x\n" * 2_200_000 + b'"\n5,z\n'
    with pytest.raises((TooLargeError, MalformedDataError)):
        read(data)


@pytest.mark.parametrize("row", [b'"', b'"x\n', b'""x', b"x"], ids=["quotes", "open", "pairs", "letters"])
def test_a_row_that_does_not_end_is_read_no_further_than_its_limit(tmp_path: Path, row: bytes) -> None:
    file = tmp_path / "file"
    no_text = b"\xff"  # what is read there fails as no UTF-8
    file.write_bytes(b"a,b\n1,2\n" + row + row[-1:] * 4_000_000 + no_text)
    with pytest.raises(TooLargeError, match=r"Line 3 begins a row of more than 1,000,000 bytes") as refusal:
        check_records(file, ",", '"', 1_000_000, width=2)
    assert len(refusal.value.detail) < 500


def test_quotes_inside_unquoted_texts_are_letters_however_long_the_file_is(tmp_path: Path, read: Read) -> None:
    facts = read(b'a,b\n1,6"\n' + b"2,yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n" * 60_000)
    assert facts.rows == 60_001


def test_an_object_longer_than_the_buffer_is_refused(tmp_path: Path, read: Read) -> None:
    data = b'{"a":1}\n{"a":"' + b"x" * 9_000_000 + b'"}\n'
    assert "GRISTMILL_DATASET_CELL_BYTES" in refused(tmp_path, read, TooLargeError, data, "ndjson")


def test_an_object_with_more_keys_than_columns_is_refused_for_them_and_not_for_memory(
    tmp_path: Path, read: Read
) -> None:
    data = b"[{" + b'"a":1,' * 600_000 + b'"a":1}]'
    said = refused(tmp_path, read, TooLargeError, data, "json", limits={"cell_bytes": 2**20})
    assert "An object has more than 50 keys" in said
    assert "GRISTMILL_DATASET_COLUMNS" in said


def test_a_table_exactly_at_its_limits_is_taken(read: Read) -> None:
    limits = {"rows": 2, "columns": 1, "cell_bytes": 50, "column_name_bytes": 4}
    assert read("éé\n1\n".encode() + b"x" * 50, limits=limits).rows == 2


def test_memory_is_limited_by_duckdb_itself(tmp_path: Path, read: Read) -> None:
    data = b"a\n" + "".join(f"{'x' * 1000}{i}\n" for i in range(20_000)).encode()
    said = refused(tmp_path, read, ReadingFailedError, data, limits={"memory_bytes": 2 * 2**20})
    assert "GRISTMILL_DATASET_READING_MEMORY_MB" in said


@pytest.mark.slow
def test_a_table_of_long_texts_takes_little_more_memory_than_a_group_of_them(tmp_path: Path, read: Read) -> None:
    data = long_texts(6000, 10_000)
    assert read(data, limits={"memory_bytes": 250 * 2**20}).rows == 6000
    groups = duckdb.sql(f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{tmp_path / 'table'}')").fetchall()
    assert max(groups) < (4000,)


@pytest.mark.slow
def test_the_sample_of_a_file_whose_rows_become_long_has_few_of_them(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_bytes(b"i,t\n" + b"1,x\n" * 300 + long_texts(8000, 10_000)[4:])
    with duckdb.connect() as connection:
        row_bytes = sample.take(f"read_csv('{source}')", 2, source.stat().st_size, connection)
        taken = connection.execute(f"SELECT sum(strlen(t)), count(*) FROM {sample.TABLE}").fetchone()
    assert taken is not None
    assert 8 * 2**20 < taken[0] < 48 * 2**20
    assert taken[0] // taken[1] <= row_bytes < 10_100


def test_a_nested_value_has_no_more_bytes_than_a_text(tmp_path: Path, read: Read) -> None:
    lines = b'{"a":[1,2]}\n' + b'{"a":[' + b",".join([b"1234567890"] * 60) + b"]}\n"
    said = refused(tmp_path, read, TooLargeError, lines, "ndjson", limits={"cell_bytes": 500})
    assert "Row 2, column 'a'" in said
    assert read(lines, "ndjson", limits={"cell_bytes": 1000}).rows == 2


@pytest.mark.parametrize(("columns", "threads"), [(3, 2), pytest.param(600, 1, marks=pytest.mark.slow)])
def test_a_wide_table_is_written_by_one_thread_and_no_setting_can_change(
    read: Read, monkeypatch: pytest.MonkeyPatch, columns: int, threads: int
) -> None:
    """Two have 2.5 GB of a table of 2,000 columns in memory, one has 1.1."""
    # Optimizers that take half a minute for wide tables are off; threads of DuckDB for writing might never end.
    settings = ("threads", "disabled_optimizers", "async_threads", "lock_configuration")
    found = settings_at_writing(monkeypatch, *settings)
    row = ",".join(f"c{place}" for place in range(columns))
    read(f"{row}\n{row}\n".encode(), limits={"columns": 1000})
    read((json.dumps(dict.fromkeys(row.split(","), 1)) + "\n").encode(), "ndjson", limits={"columns": 1000})
    assert found == [(threads, "common_subexpressions" if columns > 500 else "", 0, True)] * 2


def test_memory_that_zstd_lacks_is_said_to_be_lacking(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> int:
        raise duckdb.InternalException("INTERNAL Error: Parquet writer: 9 compressed page size out of range for type")

    monkeypatch.setattr(stored_parquet, "write", failing)
    assert "MiB of memory" in refused(tmp_path, read, ReadingFailedError, b"a\n1\n")


@pytest.mark.parametrize("error", [duckdb.InvalidInputException, duckdb.IOException, duckdb.InternalException])
def test_memory_is_lacking_whatever_sort_of_error_says_so_but_not_where_a_file_does(error: type[duckdb.Error]) -> None:
    assert lacks_memory(error("Out of Memory Error: Failed to allocate block of 262144 bytes (bad allocation)"))
    assert not lacks_memory(error("Invalid Input Error: 'Out of Memory Error: failed'"))


def test_json_that_takes_more_memory_than_there_is_is_not_said_to_be_malformed(tmp_path: Path, read: Read) -> None:
    line = b'{"a":[1' + b",1" * 100_000 + b"]}\n"
    assert "MiB of memory" in refused(tmp_path, read, ReadingFailedError, line * 100, "ndjson")


def test_duckdb_reaches_nothing_but_the_two_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\n1\n")
    with module._duckdb(tmp_path / "source", tmp_path / "table", LIMITS) as connection:
        module._lock(connection, columns=3)
        for statement in (
            f"FROM read_csv('{tmp_path}/secret')",
            f"FROM read_text('{tmp_path}/*')",
            f"FROM glob('{tmp_path}/*')",
            f"COPY (SELECT 1) TO '{tmp_path}/other'",
            f"ATTACH '{tmp_path}/other.db'",
            f"FROM read_csv('{tmp_path}/source/../secret')",
            "FROM read_text('/etc/passwd')",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET allowed_paths = ['/']",
            "SET memory_limit = '90GB'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement).fetchall()
