"""A page has the same bytes whether it is read from lines or by DuckDB alone."""

import copy
import itertools
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, get_args

import duckdb
import pytest
from datasets.test_rows import COLUMNS, ROW, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.datasets import lines, pages, rows
from gristmill.datasets.columns import Column
from gristmill.datasets.cursors import Cursor, check_of, encode
from gristmill.datasets.facts import columns_of
from gristmill.datasets.files import instance
from gristmill.datasets.json_rows import Form, Rows, Shape
from gristmill.datasets.lines import Lines
from gristmill.datasets.options import ReadingLimits
from gristmill.datasets.pages import read_page
from gristmill.datasets.queries import Table
from gristmill.errors import QueryLimitError
from gristmill.limits import MIB
from gristmill.settings import Settings

LIMITS = ReadingLimits.of(Settings())
FLAT = COLUMNS[:-1]
QUERIES = st.fixed_dictionaries(
    {
        "properties": st.sampled_from(["", "x", "b,i", '"te""xt, \'é",z,x', "raw,u,t,at,day,d,i"]),
        "filter_text": st.sampled_from(["", "i > 0", "x IS NULL OR b", "i < 0 AND x > 0.5"]),
        "sortby": st.sampled_from(["", "i", "-x,b", "day,-at", '-"te""xt, \'é"', "z,raw"]),
        "limit": st.integers(1, 7),
    }
)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'Europe/Berlin'")
        yield opened


def write(connection: duckdb.DuckDBPyConnection, data: Table, path: Path) -> None:
    (rows,) = connection.execute(f"SELECT count(*) FROM {data.sql}").fetchone() or (0,)
    lines.write(connection, data, path, rows=rows, size=lines.size_of(connection, data, rows) or 0, most=2**40)


@contextmanager
def lines_of(connection: duckdb.DuckDBPyConnection, data: Table, folder: Path) -> Iterator[Lines]:
    write(connection, data, folder / "lines")
    opened = Lines.open(folder / "lines")
    try:
        yield opened
    finally:
        opened.close()


def walk(
    connection: duckdb.DuckDBPyConnection, data: Table, made: Lines | None, query: dict[str, Any], most_bytes: int
) -> list[Rows]:
    """All pages from the first on, as JSON, as arrays and as NDJSON."""
    found: list[Rows] = []
    cursor: str | None = ""
    while cursor is not None:
        page = data.page(**query, cursor=cursor)
        for shape, is_ndjson in itertools.product(get_args(Shape), (False, True)):
            form = Form(shape, is_ndjson=is_ndjson, most_bytes=most_bytes)
            found.append(read_page(connection, page, seconds=30, form=form, lines=made))
        cursor = found[-1].cursor
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.lists(ROW, max_size=20),
    query=QUERIES,
    is_known=st.booleans(),
    most_bytes=st.sampled_from([1, 200, 700, 10_000]),
)
def test_pages_by_lines_are_those_of_duckdb_alone(
    connection: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    content: list[Any],
    query: dict[str, Any],
    is_known: bool,
    most_bytes: int,
) -> None:
    table(connection, content)
    connection.execute("ALTER TABLE data DROP n")
    connection.execute(f"COPY data TO '{tmp_path}/data.parquet' (FORMAT parquet)")
    known = columns_of(tmp_path / "data.parquet", len(content), LIMITS, connection)
    data = Table("data", "v1", known if is_known else FLAT)
    with lines_of(connection, data, tmp_path) as made:
        assert walk(connection, data, made, query, most_bytes) == walk(connection, data, None, query, most_bytes)
        assert made.is_good


def numbers(connection: duckdb.DuckDBPyConnection, count: int) -> Table:
    connection.execute(f"CREATE OR REPLACE TABLE data AS SELECT range AS n, 'row ' || range AS t FROM range({count})")
    return Table("data", "v1", [Column("n", "BIGINT", 0, 0, count), Column("t", "VARCHAR", 0, None, None)])


@pytest.mark.parametrize("count", [0, 1, 200, 5000])
def test_lines_have_every_row_at_its_number(connection: duckdb.DuckDBPyConnection, tmp_path: Path, count: int) -> None:
    with lines_of(connection, numbers(connection, count), tmp_path) as made:
        assert made.rows == count
        assert made.values(range(count), 2**30) == [[n, f"row {n}"] for n in range(count)]
        backwards = range(count - 1, -1, -7)
        assert made.values(backwards, 2**30) == [[n, f"row {n}"] for n in backwards]
        some = made.values(backwards, 10_000)
        assert some == [[n, f"row {n}"] for n in backwards[: len(some)]]
        assert bool(some) == bool(count)
        assert len(some) < len(backwards) or count < 5000


def test_a_page_beyond_the_end_is_empty(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    data = numbers(connection, 5)
    last = read_page(connection, data.page(limit=4), seconds=30).cursor
    assert last
    with lines_of(connection, data, tmp_path) as made:
        assert read_page(connection, data.page(limit=4, cursor=last), seconds=30, lines=made).text == (
            b'[{"n":4,"t":"row 4"}]'
        )
    with lines_of(connection, numbers(connection, 3), tmp_path) as made:
        assert read_page(connection, data.page(limit=4, cursor=last), seconds=30, lines=made).text == b"[]"


def test_damaged_lines_are_not_served_and_said_to_be_bad(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    data = numbers(connection, 1000)
    right = read_page(connection, data.page(limit=500), seconds=30)
    with lines_of(connection, data, tmp_path) as made:
        with (tmp_path / "lines").open("r+b") as file:
            file.seek(file.read().index(b'"row 400"'))
            file.write(b'"row 999"')
        first = read_page(connection, data.page(limit=100), seconds=30, lines=made)
        assert first.text == b"[%b]" % b",".join(b'{"n":%d,"t":"row %d"}' % (n, n) for n in range(100))
        assert made.is_good
        assert read_page(connection, data.page(limit=500), seconds=30, lines=made) == right
        assert not made.is_good


@pytest.mark.parametrize("kept", [0, 7, 5000, -1, -30])
def test_a_file_that_is_cut_off_is_no_file_of_lines(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, kept: int
) -> None:
    write(connection, numbers(connection, 1000), tmp_path / "lines")
    os.truncate(tmp_path / "lines", kept if kept >= 0 else (tmp_path / "lines").stat().st_size + kept)
    with pytest.raises(lines.DamagedLinesError):
        Lines.open(tmp_path / "lines")


def test_an_index_that_was_changed_is_no_index(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    write(connection, numbers(connection, 1000), tmp_path / "lines")
    content = bytearray((tmp_path / "lines").read_bytes())
    content[-60] ^= 1
    (tmp_path / "lines").write_bytes(content)
    with pytest.raises(lines.DamagedLinesError):
        Lines.open(tmp_path / "lines")


def test_no_byte_of_the_end_can_change_unseen(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    write(connection, numbers(connection, 1001), tmp_path / "lines")
    content = (tmp_path / "lines").read_bytes()
    for place in range(1, 37):
        changed = bytearray(content)
        changed[-place] ^= 1
        (tmp_path / "lines").write_bytes(changed)
        with pytest.raises(lines.DamagedLinesError):
            Lines.open(tmp_path / "lines")
    (tmp_path / "lines").write_bytes(content[-10:])
    with pytest.raises(lines.DamagedLinesError):
        Lines.open(tmp_path / "lines")


def test_a_search_for_rows_ends_at_its_time_limit_with_lines_too(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    data = numbers(connection, 3_000_000)
    slow = data.page(filter_text="t LIKE '%9%8%7%6%5%4%3%' AND upper(t) LIKE '%x%y%'", limit=1)
    with lines_of(connection, numbers(connection, 10), tmp_path) as made:
        numbers(connection, 3_000_000)
        with pytest.raises(QueryLimitError):
            read_page(connection, slow, seconds=0.001, lines=made)


@pytest.mark.parametrize("slice_bytes", [1, 100, 5000])
def test_lines_are_written_in_slices_that_leave_no_trace(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    data = numbers(connection, 500)
    write(connection, data, tmp_path / "at once")
    monkeypatch.setattr(lines, "_SLICE_BYTES", slice_bytes)
    write(connection, data, tmp_path / "slices")
    assert (tmp_path / "slices").read_bytes() == (tmp_path / "at once").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"at once", "slices"}


def skewed(connection: duckdb.DuckDBPyConnection, rows: int, long: str) -> Table:
    """A table whose first rows are short."""
    connection.execute("CREATE OR REPLACE TABLE data (t VARCHAR)")
    connection.execute(f"INSERT INTO data SELECT CASE WHEN i < 2000 THEN 'x' ELSE {long} END FROM range({rows}) r(i)")
    return Table("data", "v1", [Column("t", "VARCHAR", 0, None, None)])


def test_the_size_of_lines_is_not_taken_from_the_first_rows_alone(connection: duckdb.DuckDBPyConnection) -> None:
    size = lines.size_of(connection, skewed(connection, 20_000, "repeat('y', 1000)"), 20_000)
    assert size is not None
    assert 12_000_000 < size < 25_000_000
    assert lines.size_of(connection, skewed(connection, 20_000, "repeat('y', 6000)"), 20_000) is None


def test_lines_stop_to_be_written_where_they_take_too_much(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = skewed(connection, 50_000, "repeat('y', 1000)")
    monkeypatch.setattr(lines, "_SLICE_BYTES", 2**20)
    with pytest.raises(lines.LongLinesError):
        lines.write(connection, data, tmp_path / "lines", rows=50_000, size=25_000_000, most=10_000_000)
    assert (tmp_path / "lines").stat().st_size < 13_000_000


@pytest.mark.slow
def test_lines_of_much_text_leave_memory_to_requests(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    data = skewed(connection, 300_000, "repeat('y', 1000)")
    connection.execute(f"COPY data TO '{tmp_path}/data.parquet' (FORMAT parquet)")
    with instance(256 * MIB) as small:
        small.execute(f"ATTACH '{tmp_path}/db' AS stored")
        small.execute(f"CREATE TABLE stored.data AS FROM read_parquet('{tmp_path}/data.parquet')")
        stored = Table("stored.data", "v1", data.columns)
        with lines_of(small, stored, tmp_path) as made:
            assert made.rows == 300_000


def test_a_page_of_long_lines_beyond_short_ones_takes_little_memory(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("CREATE OR REPLACE TABLE data (t VARCHAR)")
    connection.execute(
        "INSERT INTO data SELECT CASE WHEN i < 40_000 THEN 'x' ELSE repeat('y', 500_000) END FROM range(40_200) r(i)"
    )
    data = Table("data", "v1", [Column("t", "VARCHAR", 0, None, None)])
    cursor = encode(Cursor(39_999), check_of("v1", []))
    with lines_of(connection, data, tmp_path) as made:
        page = data.page(limit=10_000, cursor=cursor)
        tracemalloc.start()
        try:
            found = read_page(connection, page, seconds=60, form=Form(most_bytes=4 * MIB), lines=made)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found.count == 9
    assert most < 24 * MIB


def test_lines_are_for_tables_whose_rows_are_short_and_flat(connection: duckdb.DuckDBPyConnection) -> None:
    data = numbers(connection, 1000)
    size = lines.size_of(connection, data, 1000)
    assert size is not None
    assert 14_000 < size < 22_000
    assert lines.size_of(connection, numbers(connection, 0), 0) is None
    connection.execute("CREATE OR REPLACE TABLE data AS SELECT repeat('x', 5000) AS t FROM range(10)")
    assert lines.size_of(connection, Table("data", "v1", [Column("t", "VARCHAR", 0, None, None)]), 10) is None
    connection.execute("CREATE OR REPLACE TABLE data AS SELECT [1] AS t FROM range(10)")
    assert lines.size_of(connection, Table("data", "v1", [Column("t", "INTEGER[]", 0, None, None)]), 10) is None
    many = [Column(f"c{n}", "INTEGER", 0, 1, 1) for n in range(lines.MOST_COLUMNS + 1)]
    connection.execute(f"CREATE OR REPLACE TABLE data AS SELECT {', '.join(f'1 AS c{n}' for n in range(len(many)))}")
    assert lines.size_of(connection, Table("data", "v1", many), 1) is None
    assert lines.size_of(connection, Table("data", "v1", copy.copy(many)[1:]), 1) is not None


@pytest.fixture(scope="module")
def long_lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 60 rows of 300,000 numbers each, which take DuckDB more than 512 MiB to write as JSON at once."""
    file = tmp_path_factory.mktemp("long") / "long.db"
    with duckdb.connect(str(file)) as made:
        made.execute(
            "CREATE TABLE data AS SELECT range AS i, list_resize([range::TINYINT], 300000, 1) AS a FROM range(60)"
        )
    return file


def page_of(file: Path, memory_bytes: int, form: Form, **query: Any) -> Rows:
    columns = [Column("i", "BIGINT", 0, 0, 59), Column("a", "TINYINT[]", 0, None, None)]
    with instance(memory_bytes) as connection:
        connection.execute(f"ATTACH '{file}' AS long (READ_ONLY)")
        page = Table("long.data", "v", columns).page(**query)
        return read_page(connection, page, seconds=30, form=form)


@pytest.mark.parametrize("form", [Form(), Form("arrays", is_ndjson=True), Form(most_bytes=3_000_000)], ids=str)
@pytest.mark.parametrize(
    "query", [{"limit": 20}, {"limit": 20, "filter_text": "i > 7"}, {"limit": 100, "sortby": "-i"}], ids=str
)
def test_a_page_of_long_nested_values_is_read_in_parts_where_memory_lacks(
    long_lists: Path, form: Form, query: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pages, "_may_be_parted", lambda _page, _error: False)
        with pytest.raises(QueryLimitError):
            page_of(long_lists, 256 * MIB, form, **query)
    found = page_of(long_lists, 256 * MIB, form, **query)
    assert found == page_of(long_lists, 4096 * MIB, form, **query)
    assert found.cursor is not None


def test_the_parts_of_a_page_have_together_the_time_of_one(long_lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, ends = rows.read, []

    def noting(*args: Any, seconds: float, **more: Any) -> Rows:
        ends.append(monotonic() + seconds)
        return read(*args, seconds=seconds, **more)

    monkeypatch.setattr(rows, "read", noting)
    page_of(long_lists, 256 * MIB, Form(), limit=40)
    _whole, *parts = ends
    assert len(parts) > 4
    assert max(parts) - min(parts) < 0.05  # each takes longer


def test_one_row_of_long_nested_values_takes_no_memory_for_the_others(long_lists: Path) -> None:
    assert page_of(long_lists, 256 * MIB, Form(), limit=1).count == 1
