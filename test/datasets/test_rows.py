"""Rows as JSON, NDJSON, CSV and Parquet under the documented mapping, and the time limit."""

import base64
import csv
import hashlib
import json
import math
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.leaving import client_that_leaves

from gristmill.datasets import rows
from gristmill.datasets.files import instance
from gristmill.datasets.json_rows import Form, Rows, Shape
from gristmill.datasets.mapping import WRITTEN_FORM
from gristmill.datasets.queries import Table
from gristmill.datasets.row_formats import FILE_FORMS
from gristmill.datasets.statements import Statement
from gristmill.datasets.turns import Turns
from gristmill.errors import BusyError, ClientGoneError, QueryLimitError, QueryValueError, StorageFullError


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    kind: str


COLUMNS = [
    Column("i", "BIGINT", "integer"),
    Column("x", "DOUBLE", "number"),
    Column("d", "DECIMAL(18,3)", "decimal"),
    Column("te\"xt, 'é", "VARCHAR", "text"),
    Column("b", "BOOLEAN", "boolean"),
    Column("day", "DATE", "date"),
    Column("at", "TIME", "time"),
    Column("t", "TIMESTAMP", "timestamp"),
    Column("z", "TIMESTAMP WITH TIME ZONE", "timestamptz"),
    Column("u", "UUID", "uuid"),
    Column("raw", "BLOB", "binary"),
    Column("n", 'STRUCT(a DOUBLE[], "b ""c" MAP(VARCHAR, BIGINT))', "nested"),
]
NAMES = [column.name for column in COLUMNS]
NAIVE = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001  the column has no zone
ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1]),
    st.none() | st.floats(),
    st.none() | st.decimals(-(10**14), 10**14, places=3),
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.none() | st.booleans(),
    st.none() | st.dates(),
    st.none() | st.times(),
    st.none() | NAIVE,
    st.none() | NAIVE.filter(lambda t: 1900 < t.year < 9990).map(lambda t: t.replace(tzinfo=UTC)),
    st.none() | st.uuids(),
    st.none() | st.binary(max_size=9),
    st.none()
    | st.fixed_dictionaries(
        {
            "a": st.none() | st.lists(st.none() | st.floats(), max_size=3),
            'b "c': st.none() | st.dictionaries(st.sampled_from("kl"), st.integers(-(2**63), 2**63 - 1), max_size=2),
        }
    ),
)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with instance(2**30) as opened:
        opened.execute("SET TimeZone = 'Asia/Tokyo'")
        yield opened


def table(connection: duckdb.DuckDBPyConnection, content: list[tuple[Any, ...]]) -> Table:
    connection.execute(f"CREATE OR REPLACE TABLE data ({', '.join(f'{quoted(c.name)} {c.type}' for c in COLUMNS)})")
    for row in content:
        connection.execute(f"INSERT INTO data VALUES ({', '.join('?' * len(COLUMNS))})", row)
    return Table("data", "v1", COLUMNS)


def number(value: float | None) -> Any:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def whole(value: int | None) -> Any:
    return value if value is None or abs(value) <= 2**53 else str(value)


def as_json(value: Any) -> Any:
    """The documented mapping, in Python."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return whole(value)
        case float():
            return number(value)
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            text = value.replace(tzinfo=None).isoformat()
            return (text.rstrip("0") if value.microsecond else text) + ("Z" if value.tzinfo else "")
        case date():
            return value.isoformat()
        case clock():
            return value.isoformat().rstrip("0") if value.microsecond else value.isoformat()
        case list():
            return [as_json(item) for item in value]
        case {"a": a, 'b "c': b}:
            pairs = None if b is None else [{"key": k, "value": whole(v)} for k, v in b.items()]
            return {"a": as_json(a), 'b "c': pairs}
    raise AssertionError(value)


PROPERTY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@PROPERTY
@given(content=st.lists(ROW, max_size=5))
def test_json_and_ndjson_give_the_table_back_under_the_mapping(
    connection: duckdb.DuckDBPyConnection, content: list[tuple[Any, ...]]
) -> None:
    data = table(connection, content)
    expected = [[as_json(value) for value in row] for row in content]
    arrays = rows.read(connection, data.page(limit=10).statement(), seconds=30, form=Form("arrays"))
    lines = rows.read(connection, data.page(limit=10).statement(), seconds=30, form=Form(is_ndjson=True))
    assert json.loads(arrays.text) == expected
    assert [json.loads(line) for line in lines.text.split(b"\n")[:-1]] == [
        dict(zip(NAMES, row, strict=True)) for row in expected
    ]
    assert (arrays.more, arrays.cursor) == (False, None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILE_FORMS)
@PROPERTY
@given(content=st.lists(ROW, max_size=5))
def test_a_file_gives_the_table_back_under_the_mapping(
    connection: duckdb.DuckDBPyConnection, content: list[tuple[Any, ...]], tmp_path: Path, kind: str
) -> None:
    data = table(connection, content)
    path = tmp_path / "it's a file"
    assert rows.write(connection, data.export(), path, kind, seconds=30) == len(content)
    READERS[kind](connection, content, path)


def check_parquet(connection: duckdb.DuckDBPyConnection, content: list[tuple[Any, ...]], path: Path) -> None:
    sql = "SELECT CAST(t AS VARCHAR) FROM {} AS t"
    written = connection.execute(sql.format("read_parquet(?)"), [str(path)]).fetchall()
    assert written == connection.execute(sql.format("data")).fetchall()


def check_csv(connection: duckdb.DuckDBPyConnection, content: list[tuple[Any, ...]], path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as lines:
        header, *found = list(csv.reader(lines))
    assert header == NAMES
    for row, read in zip(content, found, strict=True):
        i, x, d, text, b, day, at, t, z, u, raw, nested = read
        assert [i, d, text, u] == ["" if row[n] is None else str(row[n]) for n in (0, 2, 3, 9)]
        assert x == "" if row[1] is None else number(float(x)) == number(row[1])
        assert [b, day, at] == [
            "" if row[n] is None else str(as_json(row[n])).replace("T", "t").lower() for n in (4, 5, 6)
        ]
        assert t == (as_json(row[7]) or "").replace("T", " ")
        assert [z, raw] == [as_json(row[n]) or "" for n in (8, 10)]
        assert nested == "" if row[11] is None else json.loads(nested) == as_json(row[11])


# How each format of a file is read again.
READERS: dict[str, Callable[[duckdb.DuckDBPyConnection, list[tuple[Any, ...]], Path], None]] = {
    "csv": check_csv,
    "parquet": check_parquet,
}


ALL_TYPES = r"""
SELECT true AS boolean, (-128)::TINYINT AS tinyint, (-32768)::SMALLINT AS smallint, 2147483647::INTEGER AS integer,
    9007199254740993::BIGINT AS bigint, 255::UTINYINT AS utinyint, 65535::USMALLINT AS usmallint,
    4294967295::UINTEGER AS uinteger, 9007199254740992::UBIGINT AS ubigint, (2::HUGEINT) ** 62 AS power,
    (-170141183460469231731687303715884105727)::HUGEINT AS hugeint, 7::UHUGEINT AS uhugeint,
    0.1::FLOAT AS float, 'nan'::FLOAT AS float_nan, 0.1::DOUBLE AS double, 'nan'::DOUBLE AS nan,
    '-inf'::DOUBLE AS infinite, 1e300::DOUBLE AS large, '-0.0'::DOUBLE AS zero, 1.50::DECIMAL(18, 2) AS decimal,
    'é "x", \' || chr(10) AS varchar, '' AS empty, 'a'::ENUM ('a', 'b') AS enum, '101'::BIT AS bit,
    'x\xFF'::BLOB AS blob,
    '12345678-1234-5678-1234-567812345678'::UUID AS uuid, '{"a": 1}'::JSON AS json,
    '2024-02-29'::DATE AS date, '0044-01-01 (BC)'::DATE AS before, '10:00:00.5'::TIME AS time,
    '2024-02-29 10:00:00.5'::TIMESTAMP AS timestamp, 'infinity'::TIMESTAMP AS never,
    '2024-02-29 10:00:00'::TIMESTAMP_S AS timestamp_s, '2024-02-29 10:00:00.123'::TIMESTAMP_MS AS timestamp_ms,
    '2024-02-29 10:00:00.123456789'::TIMESTAMP_NS AS timestamp_ns,
    '2024-02-29 10:00:00+02'::TIMESTAMPTZ AS timestamptz, '-infinity'::TIMESTAMPTZ AS since_ever,
    INTERVAL '14 months -3 days 1.5 seconds' AS interval,
    [1.5, NULL, 'nan'::DOUBLE] AS list, array_value(9007199254740993, 1) AS array,
    {'a': 'x'::BLOB, 'b c': ['2024-02-29 10:00:00'::TIMESTAMP]} AS struct, MAP {'k': 1, 'l': NULL} AS map
"""
# The last number that rows are written under, and what each format gives then.
WRITTEN = (
    12,
    {
        "json, objects": "7bad745b091657b1",
        "ndjson, objects": "bbab852a1454ccc8",
        "json, arrays": "4b47722e0589cc0c",
        "ndjson, arrays": "9b1fa36960d8efc8",
        "csv": "fd94b78a4b263806",
    },
)


def test_rows_that_are_written_in_another_way_have_another_number(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute(f"CREATE TABLE every AS {ALL_TYPES} UNION ALL BY NAME SELECT NULL AS boolean")
    described = connection.execute("DESCRIBE every").fetchall()
    every = Statement("FROM every", (), tuple(one[0] for one in described), tuple(one[1] for one in described))
    written = {
        f"{'ndjson' if is_ndjson else 'json'}, {shape}": rows.read(
            connection, every, seconds=30, form=Form(shape, is_ndjson)
        ).text
        for shape in get_args(Shape)
        for is_ndjson in (False, True)
    }
    for kind, form in FILE_FORMS.items():
        if not form.is_packed:  # other bytes may be the same rows
            rows.write(connection, every, tmp_path / kind, kind, seconds=30)
            written[kind] = (tmp_path / kind).read_bytes()
    digests = {kind: hashlib.sha256(text).hexdigest()[:16] for kind, text in written.items()}
    number, known = WRITTEN
    assert (WRITTEN_FORM, {kind: digests.get(kind) for kind in known}) == (number, known), (
        "Rows are written in another way: raise WRITTEN_FORM in src/gristmill/datasets/mapping.py by one, or clients "
        "and the cache go on with what they have. Then give WRITTEN here the new number and these digests."
    )
    assert digests.keys() == known.keys(), "A format is new, which needs no new number: give WRITTEN its digest."


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INTERVAL '14 months -3 days'", "P14M-3DT0.000000S"),
        ("INTERVAL '26 hours 0.5 seconds'", "P0M0DT93600.500000S"),
        ("INTERVAL '-1.5 seconds'", "P0M0DT-1.500000S"),
        ("TIMESTAMP 'infinity'", "infinity"),
        ("TIMESTAMPTZ 'infinity'", "infinity"),
        ("TIMESTAMPTZ '2020-01-01 00:00:00+05'", "2019-12-31T19:00:00Z"),
        ("DATE '20000-01-01'", "20000-01-01"),
        ("TIMESTAMP '0044-01-01 (BC) 00:00:00'", "0044-01-01 (BC) 00:00:00"),
        ("TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "2020-01-01T00:00:00.123456789"),
        ("CAST(0.1 AS FLOAT)", 0.1),
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("[[1.5::DOUBLE, NULL], NULL, ['nan'::DOUBLE]]", [[1.5, None], None, ["NaN"]]),
        ("MAP {1: '2020-01-01 00:00:00'::TIMESTAMP}", [{"key": 1, "value": "2020-01-01T00:00:00"}]),
        ("[{'a': 'x'::BLOB}, NULL]", [{"a": "eA=="}, None]),
        ("[INTERVAL '1 day']", ["P0M1DT0.000000S"]),
        ("[TIMESTAMP '2024-02-29 10:00:00.5', NULL]", ["2024-02-29T10:00:00.5", None]),
        ("[[TIMESTAMPTZ '2024-02-29 10:00:00+02'], NULL]", [["2024-02-29T08:00:00Z"], None]),
        ("array_value(TIMESTAMP_NS '2024-02-29 10:00:00', NULL)", ["2024-02-29T10:00:00", None]),
        ("{'t': [TIMESTAMP_S '2024-02-29 10:00:00']}", {"t": ["2024-02-29T10:00:00"]}),
        ("CAST('{\"a\": 1}' AS JSON)", '{"a": 1}'),
        ("array_value(9007199254740993, 1)", ["9007199254740993", 1]),
        ("-0.0::DOUBLE", -0.0),
        ("-('nan'::DOUBLE)", "NaN"),
        ("['inf'::FLOAT, '-inf'::FLOAT, NULL]", ["Infinity", "-Infinity", None]),
    ],
)
def test_a_value_is_written_as_documented(connection: duckdb.DuckDBPyConnection, sql: str, expected: object) -> None:
    ((_, type_text, *_),) = connection.execute(f"DESCRIBE SELECT {sql}").fetchall()
    statement = Statement(f"SELECT {sql}", (), ("value",), (type_text,))
    assert json.loads(rows.read(connection, statement, seconds=30).text) == [{"value": expected}]


def test_a_page_knows_whether_there_is_another(connection: duckdb.DuckDBPyConnection) -> None:
    blank: list[Any] = [None] * (len(COLUMNS) - 1)
    data = table(connection, [(n, *blank) for n in range(4)])
    first = rows.read(connection, data.page(properties="i", limit=2, sortby="-i").statement(), seconds=30)
    assert (first.text, first.more) == (b'[{"i":3},{"i":2}]', True)
    assert first.cursor is not None
    rest = data.page(properties="i", limit=2, sortby="-i", cursor=first.cursor).statement()
    second = rows.read(connection, rest, seconds=30, form=Form("arrays"))
    assert second == Rows(b"[[1],[0]]", 2)


@pytest.mark.parametrize("limit", range(1, 9))
def test_a_page_is_the_same_however_few_values_are_taken_over_at_a_time(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    blank: list[Any] = [None] * (len(COLUMNS) - 1)
    page = table(connection, [(n, *blank) for n in range(7)]).page(limit=limit).statement()
    whole = rows.read(connection, page, seconds=30)
    monkeypatch.setattr(rows, "_MOST_VALUES", 3 * (len(COLUMNS) + 1))
    assert rows.read(connection, page, seconds=30) == whole
    assert (whole.count, whole.more) == (min(limit, 7), limit < 7)


@pytest.mark.slow
@pytest.mark.parametrize("form", [Form("objects"), Form("arrays"), Form(is_ndjson=True)])
@pytest.mark.parametrize("most", [1, 100, 4_000, 70_000])
def test_pages_that_end_at_their_bytes_lead_to_every_row_once(
    connection: duckdb.DuckDBPyConnection, form: Form, most: int
) -> None:
    """Both where a few large rows fill a page and where many small ones do."""
    others: list[Any] = [None] * (len(COLUMNS) - 4)
    texts = ["x" * (3_000 if number % 30 == 0 else 1) for number in range(90)]
    data = table(connection, [(number, None, None, text, *others) for number, text in enumerate(texts)])
    whole = lines_of(rows.read(connection, data.page(limit=1000).statement(), seconds=30, form=form), form)
    found: list[Any] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = data.page(limit=1000, cursor=cursor).statement()
        part = rows.read(connection, page, seconds=30, form=replace(form, most_bytes=most))
        assert part.count > 0
        found += lines_of(part, form)
        sizes.append(len(part.text))
        cursor = part.cursor
    assert found == whole
    assert max(sizes) < most + 4_000


def test_a_page_takes_little_memory_though_its_rows_become_long(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE t AS SELECT CASE WHEN range < 1000 THEN 'x' ELSE repeat('y', 20_000) END AS a FROM range(4000)"
    )
    statement = Statement("FROM t", (), ("a",), ("VARCHAR",), limit=4000)

    tracemalloc.start()
    try:
        page = rows.read(connection, statement, seconds=30, form=Form(most_bytes=2**20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert 1000 < page.count < 1100
    assert peak < 20 * 2**20  # of 60 MB


def test_groups_end_at_their_bytes_too(connection: duckdb.DuckDBPyConnection) -> None:
    blank: list[Any] = [None] * (len(COLUMNS) - 1)
    groups = table(connection, [(number, *blank) for number in range(400)]).aggregate(groupby="i", limit=1000)
    cut = rows.read(connection, groups, seconds=30, form=Form(most_bytes=200))
    assert 1 < cut.count < 20
    assert (cut.more, cut.cursor) == (True, None)


def lines_of(found: Rows, form: Form) -> list[Any]:
    return [json.loads(line) for line in found.text.splitlines()] if form.is_ndjson else json.loads(found.text)


def test_a_sum_beyond_what_json_holds_is_written_as_text(connection: duckdb.DuckDBPyConnection) -> None:
    blank: list[Any] = [None] * (len(COLUMNS) - 1)
    data = table(connection, [(2**62, *blank), (2**62, *blank)])
    found = rows.read(connection, data.aggregate(metrics="sum(i),count()", limit=5), seconds=30)
    assert json.loads(found.text) == [{"sum(i)": "9223372036854775808", "count()": 2}]


def test_a_file_that_the_disk_does_not_take_is_refused(connection: duckdb.DuckDBPyConnection, small_disk: Path) -> None:
    many = Statement("SELECT hash(range) FROM range(5000000)", (), ("h",), ("UBIGINT",))
    with pytest.raises(StorageFullError, match="no room"):
        rows.write(connection, many, small_disk / "rows.csv", "csv", seconds=60)


@pytest.mark.parametrize("kind", FILE_FORMS)
def test_a_file_that_grows_too_large_is_stopped_and_the_connection_goes_on(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str
) -> None:
    endless = Statement("SELECT hash(range) FROM range(100000000000)", (), ("h",), ("UBIGINT",))
    with pytest.raises(QueryLimitError, match=r"more than 1000000 bytes.*GRISTMILL_DATASET_CACHE_BYTES"):
        rows.write(connection, endless, tmp_path / "rows", kind, seconds=300, most_bytes=1_000_000)
    assert not list(tmp_path.iterdir())
    assert rows.read(connection, ONE, seconds=30).text == b'[{"n":1}]'


def test_a_small_file_that_is_too_large_is_refused_too(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(QueryLimitError, match="more than 3 bytes"):
        rows.write(connection, ONE, tmp_path / "rows", "csv", seconds=30, most_bytes=3)
    assert rows.write(connection, ONE, tmp_path / "rows", "csv", seconds=30, most_bytes=4) == 1


SLOW = Statement(
    "SELECT count(*) FROM range(1000000000) a, range(1000) b WHERE (a.range * b.range) % 7 = 3", (), ("n",), ("BIGINT",)
)
ONE = Statement("SELECT 1", (), ("n",), ("INTEGER",))


def test_a_query_past_its_time_is_stopped_and_the_connection_goes_on(connection: duckdb.DuckDBPyConnection) -> None:
    started = time.monotonic()
    with pytest.raises(
        QueryLimitError, match=r"took longer than 0\.2 s.*GRISTMILL_DATASET_QUERY_SECONDS.*as a job"
    ) as caught:
        rows.read(connection, SLOW, seconds=0.2)
    assert caught.value.status == 422
    assert time.monotonic() - started < 30
    assert rows.read(connection, ONE, seconds=30).text == b'[{"n":1}]'


def test_a_query_whose_time_was_over_before_it_began_is_stopped(connection: duckdb.DuckDBPyConnection) -> None:
    def begin_late() -> None:
        with rows.limited(connection, 0):
            threading.Event().wait(0.1)  # DuckDB forgets an interrupt while nothing runs
            connection.execute(SLOW.sql, SLOW.values).fetchall()

    with pytest.raises(QueryLimitError):
        begin_late()


def test_a_file_past_its_time_names_the_setting_of_files(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(QueryLimitError, match=r"longer than 0\.2 s.*GRISTMILL_DATASET_READING_SECONDS"):
        rows.write(connection, SLOW, tmp_path / "rows.csv", "csv", seconds=0.2)


STOPS = """
import sys
from pathlib import Path
from gristmill.datasets import rows
from gristmill.datasets.files import instance
from gristmill.datasets.statements import Statement
from gristmill.errors import QueryLimitError
endless = Statement("SELECT hash(range) FROM range(100000000000)", (), ("h",), ("UBIGINT",))
path = Path(sys.argv[1])
rows._LOOK_SECONDS = 0.001
with instance(2**29) as connection:
    for _ in range(300):
        try:
            rows.write(connection, endless, path, "csv", seconds=60, most_bytes=100_000)
        except QueryLimitError:
            path.unlink(missing_ok=True)
"""


@pytest.mark.slow
def test_no_file_that_is_stopped_waits_for_ever(tmp_path: Path) -> None:
    """With threads of its own for writing, DuckDB 2.0.0 did so in one of a hundred."""
    subprocess.run([sys.executable, "-c", STOPS, str(tmp_path / "rows")], check=True, timeout=240)


def test_queries_wait_for_their_turn_and_files_for_none(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_TURNS", Turns(at_once=1, waiting=1))
    with rows._TURNS.take(1):
        for query in (rows.read, rows.fetched):
            with pytest.raises(BusyError, match="under way"):
                query(connection, ONE, seconds=0.05)
        assert rows.write(connection, ONE, tmp_path / "rows.csv", "csv", seconds=30) == 1
    assert rows.fetched(connection, ONE, seconds=30) == [(1,)]


def test_what_nobody_waits_for_any_more_is_stopped(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    endless = Statement("SELECT sum(hash(i)) AS n FROM range(1000000000000) t(i)", (), ("n",), ("HUGEINT",))
    with client_that_leaves(0.3), pytest.raises(ClientGoneError):
        rows.read(connection, endless, seconds=60)
    with client_that_leaves(0.3), pytest.raises(ClientGoneError):
        rows.write(connection, endless, tmp_path / "rows.csv", "csv", seconds=60)
    assert rows.read(connection, ONE, seconds=30).text == b'[{"n":1}]'


def test_memory_that_others_have_at_the_moment_is_worth_another_try(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET memory_limit = '64MiB'; SET temp_directory = ''")
    greedy = Statement("SELECT count(DISTINCT hash(i)) FROM range(9000000) t(i)", (), ("n",), ("BIGINT",))
    with rows._TURNS.run(), pytest.raises(BusyError, match="GRISTMILL_DATASET_QUERY_MEMORY_MB") as caught:
        rows.fetched(connection, greedy, seconds=30)
    assert caught.value.retry_after_seconds
    assert rows._TURNS.running == 0


def test_a_query_that_needs_too_much_memory_is_refused_and_the_connection_goes_on(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("SET memory_limit = '64MiB'; SET temp_directory = ''")
    many = Statement(
        "SELECT range AS n, count(*) FROM range(20000000) GROUP BY n", (), ("n", "count()"), ("BIGINT", "BIGINT")
    )
    with pytest.raises(QueryLimitError, match="GRISTMILL_DATASET_QUERY_MEMORY_MB"):
        rows.read(connection, many, seconds=60)
    with pytest.raises(QueryLimitError, match=r"GRISTMILL_DATASET_QUERY_MEMORY_MB.*pages as NDJSON"):
        rows.write(connection, many, tmp_path / "rows.csv", "csv", seconds=60)
    assert rows.read(connection, ONE, seconds=30).text == b'[{"n":1}]'


def test_however_many_statements_have_one_watchdog(connection: duckdb.DuckDBPyConnection) -> None:
    with rows.limited(connection, 600):
        before = threading.active_count()
        for _ in range(20):
            with rows.limited(connection, 600):
                assert threading.active_count() == before


def test_a_value_that_does_not_fit_is_the_queries_error(connection: duckdb.DuckDBPyConnection) -> None:
    blank: list[Any] = [None] * (len(COLUMNS) - 1)
    data = table(connection, [(2**62, *blank)])
    with pytest.raises(QueryValueError, match="Overflow"):
        rows.read(connection, data.page(filter_text="i * i * i > 0", limit=1).statement(), seconds=30)
