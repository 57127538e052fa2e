"""Statements over a table: pages walked by cursors against one full sort, groups, and what is refused."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast, get_args
from uuid import UUID

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.datasets.columns import Column as StoredColumn
from gristmill.datasets.columns import Kind, kind_of
from gristmill.datasets.queries import METRICS, Table
from gristmill.datasets.rows import read
from gristmill.datasets.statements import Statement
from gristmill.datasets.terms import NUMERIC
from gristmill.errors import GristmillError, InvalidRequestError


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    kind: str


NAIVE = datetime(2020, 1, 1)  # noqa: DTZ001  the column has no zone
VALUES: dict[Column, list[Any]] = {
    Column("i", "BIGINT", "integer"): [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1],
    Column("x", "DOUBLE", "number"): [-math.inf, -1.5, -0.0, 0.0, 5e-324, 0.1, math.inf, math.nan],
    Column("f", "FLOAT", "number"): [-1.5, 0.10000000149011612, math.inf, math.nan],
    Column("d", "DECIMAL(38,10)", "decimal"): [Decimal("-0.0000000001"), Decimal(0), Decimal("9" * 28 + ".5")],
    Column('te"xt, (x)', "VARCHAR", "text"): ["", "a", "A", "é", "=", "x" * 300, "x" * 299 + "y", "a\0b", "😀"],
    Column("b", "BOOLEAN", "boolean"): [True, False],
    Column("day", "DATE", "date"): [date(1, 1, 1), date(2020, 2, 29), date(9999, 12, 31)],
    Column("at", "TIME", "time"): [time(0), time(23, 59, 59, 999999)],
    Column("t", "TIMESTAMP", "timestamp"): [NAIVE, NAIVE + timedelta(microseconds=1)],
    Column("z", "TIMESTAMP WITH TIME ZONE", "timestamptz"): [
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(1890, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    ],
    Column("v", "INTERVAL", "interval"): [timedelta(days=1), timedelta(microseconds=-1)],
    Column("u", "UUID", "uuid"): [UUID(int=0), UUID(int=2**128 - 1)],
    Column("raw", "BLOB", "binary"): [b"", b"\x00\xff", b"x" * 300, b"\\x41"],
}
COLUMNS = [*VALUES, Column("n", "INTEGER[]", "nested")]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'Europe/Berlin'")
        yield opened


def table(connection: duckdb.DuckDBPyConnection, rows: list[list[Any]]) -> Table:
    declared = ", ".join(f"{quoted(column.name)} {column.type}" for column in COLUMNS)
    connection.execute(f"CREATE OR REPLACE TABLE data ({declared})")
    if rows:
        connection.executemany(f"INSERT INTO data VALUES ({', '.join('?' * len(COLUMNS))})", [[*r, [1]] for r in rows])
    return Table("data", "v1", COLUMNS)


def run(connection: duckdb.DuckDBPyConnection, statement: Statement) -> list[tuple[Any, ...]]:
    return connection.execute(statement.sql, statement.values).fetchall()


def walk(connection: duckdb.DuckDBPyConnection, data: Table, limit: int, **options: str) -> list[int]:
    """The row numbers of every page, one after the other."""
    found: list[int] = []
    cursor = ""
    while True:
        page = data.page(properties="b", limit=limit, cursor=cursor, **options)
        statement = page.statement()
        rows = run(connection, statement)
        places = [row[len(statement.names) :] for row in rows]
        assert places == run(connection, page.numbers())
        assert page.span is None or [place[0] for place in places] == list(page.span)[: len(places)]
        found += [row[len(statement.names)] for row in rows[:limit]]
        assert len(set(found)) == len(found)  # or there may be no end
        if len(rows) <= limit:
            return found
        cursor = statement.cursor_after(rows[limit - 1])


KEYS = st.lists(st.tuples(st.sampled_from(list(VALUES)), st.booleans()), max_size=3, unique_by=lambda key: key[0].name)
ROWS = st.lists(st.tuples(*(st.none() | st.sampled_from(values) for values in VALUES.values())).map(list), max_size=14)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(rows=ROWS, keys=KEYS, limit=st.integers(1, 5))
def test_pages_by_cursor_give_what_one_full_sort_gives(rows: list[Any], keys: list[Any], limit: int) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        data = table(connection, rows)
        order = [f"{quoted(column.name)} {'DESC' if down else 'ASC'} NULLS LAST" for column, down in keys]
        whole = connection.execute(f"SELECT rowid FROM data ORDER BY {', '.join([*order, 'rowid'])}").fetchall()
        sortby = ",".join(("-" if down else "+") + quoted(column.name) for column, down in keys)
        assert walk(connection, data, limit, sortby=sortby) == [number for (number,) in whole]


def test_nan_is_above_infinity_and_missing_is_last_in_both_directions(connection: duckdb.DuckDBPyConnection) -> None:
    place = [column.name for column in COLUMNS].index("x")
    rows = [[value if n == place else None for n in range(len(VALUES))] for value in (None, math.nan, math.inf, 1.0)]
    data = table(connection, rows)
    assert walk(connection, data, 1, sortby="x") == [3, 2, 1, 0]
    assert walk(connection, data, 1, sortby="-x") == [1, 2, 3, 0]


def test_an_instant_of_a_time_with_odd_offsets_survives_the_cursor(connection: duckdb.DuckDBPyConnection) -> None:
    place = [column.name for column in COLUMNS].index("z")
    instants = [datetime(1890, 1, 1, 0, 0, 0, micro, tzinfo=UTC) for micro in (1, 2, 3)]
    data = table(connection, [[at if n == place else None for n in range(len(VALUES))] for at in instants])
    assert walk(connection, data, 1, sortby="z") == [0, 1, 2]
    assert walk(connection, data, 1, sortby="-z") == [2, 1, 0]


def test_pages_keep_to_the_filter_and_the_columns(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [[number, *[None] * (len(VALUES) - 1)] for number in range(50)]
    data = table(connection, rows)
    assert walk(connection, data, 7, filter_text="i % 2 = 0 or i = 9") == [*range(0, 9, 2), 9, *range(10, 50, 2)]
    assert walk(connection, data, 7, filter_text="i > 10 and i <> 20", sortby="-i")[:11] == [*range(49, 38, -1)]
    page = data.page(limit=1, properties='b, "te""xt, (x)"').statement()
    assert list(page.names) == ["b", 'te"xt, (x)']
    assert run(connection, data.aggregate(filter_text="i < 10", limit=1)) == [(10,)]
    assert run(connection, data.export(properties="i", filter_text="i < 3", sortby="-i")) == [(2,), (1,), (0,)]


def test_metrics_are_given_a_group_in_the_order_of_the_groups(connection: duckdb.DuckDBPyConnection) -> None:
    blank: list[Any] = [None] * (len(VALUES) - 2)
    data = table(connection, [[2, 1.0, *blank], [1, 3.0, *blank], [2, 4.0, *blank], [None, None, *blank]])
    statement = data.aggregate(
        groupby="i", metrics="mean(x), count(),sum(x),p50(x),quantile(x, 0.25),count_distinct(x)", limit=10
    )
    assert statement.names == ("i", "mean(x)", "count()", "sum(x)", "p50(x)", "quantile(x, 0.25)", "count_distinct(x)")
    assert run(connection, statement) == [
        (1, 3.0, 1, 3.0, 3.0, 3.0, 1),
        (2, 2.5, 2, 5.0, 2.5, 1.75, 2),
        (None, None, 1, None, None, None, 0),
    ]
    assert run(connection, data.aggregate(metrics="count(), max(i)", filter_text="x > 1", limit=5)) == [(2, 2)]
    for metric in metrics_of("number"):
        assert len(run(connection, data.aggregate(metrics=metric, limit=1))) == 1


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"sortby": "nix"}, ["sortby", "no column 'nix'"]),
        ({"sortby": "x desc"}, ["sortby", "An order stands before the name: -x."]),
        ({"sortby": "i, x ASC"}, ["sortby", "An order stands before the name: x."]),
        ({"sortby": "n"}, ["sortby", "no order"]),
        ({"sortby": "i,-i"}, ["sortby", "twice"]),
        ({"sortby": "i,"}, ["sortby", "missing"]),
        ({"sortby": 'i,"b'}, ["sortby", "character 3"]),
        ({"properties": "i;DROP TABLE data"}, ["properties", "no column"]),
        ({"cursor": "x"}, ["cursor", "damaged"]),
        ({"cursor": "x" * 10_000}, ["cursor", "too long"]),
        ({"cursor": "é"}, ["cursor", "damaged"]),
    ],
)
def test_a_refusal_of_a_page_names_its_parameter(options: dict[str, str], parts: list[str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Table("data", "v1", COLUMNS).page(limit=1, **options)
    (fault,) = caught.value.faults
    assert fault.pointer == parts[0]
    assert parts[1] in fault.detail


@pytest.mark.parametrize(
    ("metrics", "part"),
    [
        ("mean(raw)", "takes numbers"),
        ("mode(x)", "none of count()"),
        ("mean()", "none of count()"),
        ("quantile(x)", "none of count()"),
        ("quantile(x, 2)", "between 0 and 1"),
        ("max(n)", "no order"),
        ("mean(x),mean(x)", "twice"),
        ("mean(x", "character 1"),
        ("count", "write it as count(), mean(column), ..."),
        ("", "missing"),
        ("count(*)", "The rows are counted by count()."),
        ("count(distinct s)", "Different values are counted by count_distinct(s)."),
        ("AVG(x)", "avg is called mean here."),
        ("std(x)", "std is called stddev here."),
        ("nunique(s)", "nunique is called count_distinct here."),
        ("p150(x)", "none of"),
    ],
)
def test_a_refusal_of_a_metric_says_why(metrics: str, part: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Table("data", "v1", COLUMNS).aggregate(metrics=metrics, limit=1)
    assert part in caught.value.detail


def test_a_cursor_of_another_version_or_order_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    data = table(connection, [[1, *[None] * (len(VALUES) - 1)]])
    statement = data.page(limit=1, sortby="i").statement()
    cursor = statement.cursor_after(run(connection, statement)[0])
    assert run(connection, data.page(limit=1, sortby="i", cursor=cursor).statement()) == []
    for other, sortby in ((data, "-i"), (data, ""), (replace(data, version="v2"), "i")):
        with pytest.raises(InvalidRequestError, match="another version or sort order"):
            other.page(limit=1, sortby=sortby, cursor=cursor)


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=40), parameter=st.sampled_from(["sortby", "properties", "cursor"]))
def test_any_text_is_a_statement_or_our_error(text: str, parameter: str) -> None:
    try:
        Table("data", "v1", COLUMNS).page(limit=1, **{parameter: text})
    except InvalidRequestError:
        return


@pytest.mark.parametrize("hiding", ["rowid", "RowID"])
@pytest.mark.parametrize(("sortby", "order"), [("", [0, 1, 2, 3, 4, 5]), ("k", [1, 3, 5, 0, 2, 4])])
def test_a_column_called_like_the_row_number_does_not_take_its_place(
    connection: duckdb.DuckDBPyConnection, hiding: str, sortby: str, order: list[int]
) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE data ({hiding} INTEGER, k BIGINT, b INTEGER)")
    connection.executemany("INSERT INTO data VALUES (?, ?, ?)", [[7 - n // 2, -(n % 2), n] for n in range(6)])
    data = Table("data", "v1", [Column(name, "INTEGER", "integer") for name in (hiding, "k", "b")])
    assert walk(connection, data, 1, sortby=sortby) == order
    assert walk(connection, data, 4, sortby=sortby, filter_text=f"{hiding} < 7") == [row for row in order if row > 1]
    assert run(connection, data.export(sortby=sortby)) == [(7 - n // 2, -(n % 2), n) for n in order]
    assert run(connection, data.aggregate(filter_text=f"{hiding} = 7", limit=1)) == [(2,)]


def test_a_deep_unsorted_page_reads_only_its_part_of_the_table() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE data AS SELECT range AS i FROM range(2_000_000)")
        data = Table("data", "v1", [Column("i", "BIGINT", "integer")])
        first = data.page(limit=1).statement()
        row = (0, 1_900_000)
        statement = data.page(limit=100, cursor=first.cursor_after(row)).statement()
        plan = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.sql, statement.values).fetchall()[0][1]
        assert _scanned(plan) <= 3 * 122_880
        assert run(connection, statement)[0] == (1_900_001, 1_900_001)


def _scanned(plan: str) -> int:
    import json  # noqa: PLC0415

    def largest(node: dict[str, Any]) -> int:
        own = node.get("operator_rows_scanned", 0)
        return max([own, *(largest(child) for child in node.get("children", []))])

    return largest(json.loads(plan))


TWICE_EACH = {
    "BOOLEAN": ["false", "true"], "TINYINT": ["-128", "127"], "SMALLINT": ["-32768", "32767"],
    "INTEGER": [str(-(2**31)), str(2**31 - 1)], "BIGINT": [str(-(2**63)), str(2**63 - 1)],
    "UTINYINT": ["0", "255"], "USMALLINT": ["0", "65535"], "UINTEGER": ["0", str(2**32 - 1)],
    "UBIGINT": ["0", str(2**64 - 1)], "FLOAT": ["-3e38", "3e38"], "DOUBLE": ["-1e150", "1e150"],
    "DECIMAL(4,1)": ["-999.9", "999.9"], "DECIMAL(18,3)": ["-" + "9" * 15 + ".999", "9" * 15 + ".999"],
    "DECIMAL(38,0)": ["-4" + "0" * 37, "4" + "0" * 37],  # whose sum is one too
    "VARCHAR": ["", "\U0001f600"], "JSON": ['{"a": 1}', "[2]"], "DATE": ["0001-01-01", "9999-12-31"],
    "TIME": ["00:00:00", "23:59:59.999999"], "TIME_NS": ["00:00:00", "23:59:59.999999999"],
    "TIME WITH TIME ZONE": ["00:00:00+15", "23:59:59-15"], "TIMESTAMP": ["0001-01-01", "9999-12-31"],
    "TIMESTAMP_S": ["0001-01-01", "9999-12-31"], "TIMESTAMP_MS": ["0001-01-01", "9999-12-31"],
    "TIMESTAMP_NS": ["1678-01-01", "2262-01-01"], "INTERVAL": ["-1 day", "1 month"],
    "TIMESTAMP WITH TIME ZONE": ["0001-01-02 00:00:00+00", "9999-12-30 00:00:00+00"], "BLOB": ["", "\\xFF"],
    "UUID": [str(UUID(int=0)), str(UUID(int=2**128 - 1))],
    "INTEGER[]": ["[1]", "[2]"],
}  # fmt: skip


def metrics_of(kind: str) -> list[str]:
    """Every metric that a column ``x`` of this kind can be asked for."""
    return ["count()"] + [
        f"{name}(x{', 0.9' * function.sql.count('?')})"
        for name, function in METRICS.items()
        if function.takes_nested or (kind != "nested" and (function.takes_all or kind in NUMERIC))
    ]


def test_a_metric_s_sql_may_name_its_column_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    function = replace(METRICS["max"], sql="max({}) - min({})")
    monkeypatch.setitem(cast("dict[str, Any]", METRICS), "spread", function)

    (metric,) = Table("t", "v1", [Column("a {}", "BIGINT", "integer")]).metrics("spread(a {})")

    assert metric.sql == 'max("a {}") - min("a {}")'


def asked(connection: duckdb.DuckDBPyConnection, type_text: str, texts: list[str | None]) -> Statement:
    """Every metric of a column of these values, in this order of rows."""
    connection.execute(
        f"CREATE OR REPLACE TABLE typed AS SELECT CAST(unnest(?::VARCHAR[]) AS {type_text}) AS x", [texts]
    )
    kind = kind_of(type_text)
    assert kind
    metrics = ", ".join(metrics_of(kind))
    return Table("typed", "v1", [Column("x", type_text, kind)]).aggregate(metrics=metrics, limit=1)


def test_metrics_are_tried_with_a_column_of_every_kind() -> None:
    assert {kind_of(type_text) for type_text in TWICE_EACH} == set(get_args(Kind))


@pytest.mark.parametrize("type_text", TWICE_EACH)
def test_the_types_of_metrics_are_those_of_the_values_that_duckdb_gives(
    connection: duckdb.DuckDBPyConnection, type_text: str
) -> None:
    low, high = TWICE_EACH[type_text]
    statement = asked(connection, type_text, [low, low, high, high, None])
    types = ", ".join(f"typeof({quoted(name)})" for name in statement.names)
    given = connection.execute(f"SELECT {types} FROM ({statement.sql})", statement.values).fetchall()
    assert dict(zip(statement.names, statement.types, strict=True)) == dict(zip(statement.names, given[0], strict=True))


@pytest.mark.parametrize("type_text", TWICE_EACH)
def test_equal_rows_in_another_order_have_equal_metrics(connection: duckdb.DuckDBPyConnection, type_text: str) -> None:
    low, high = TWICE_EACH[type_text]
    rows = [low, low, high, high, None]
    forwards = run(connection, asked(connection, type_text, rows))[0]
    backwards = run(connection, asked(connection, type_text, rows[::-1]))[0]
    for one, other in zip(forwards, backwards, strict=True):
        assert one == (pytest.approx(other, rel=1e-12) if isinstance(other, float) else other)


@pytest.mark.parametrize("groupby", ["", "x"])
@pytest.mark.parametrize(
    ("type_text", "values"),
    [
        ("BIGINT", [1, 2, None]),
        ("BIGINT", [2**53, 2**53, 2**53 - 1]),
        ("BIGINT", [2**53, -(2**53)]),
        ("BIGINT", [2**62, 1]),
        ("DOUBLE", [1.5, None]),
        ("DOUBLE", [1.7e308, 1.7e308]),
        ("DOUBLE", [-1.7e308, 1.7e308]),
        ("DOUBLE", [-1.7e308, 1.7e308, 1.7e308]),
        ("DOUBLE", [1.5, math.inf]),
        ("FLOAT", [3e38, 3e38]),
        ("FLOAT", [-3e38, 3e38]),
        ("DECIMAL(9,2)", ["1.25", "1.50"]),
        ("VARCHAR", ["1", "a"]),
        ("BOOLEAN", [True, False]),
        ("DATE", ["2020-02-29", "2020-03-01"]),
    ],
)
def test_metrics_that_are_known_to_be_plain_numbers_are_written_as_those_that_are_looked_at(
    connection: duckdb.DuckDBPyConnection, type_text: str, values: list[Any], groupby: str
) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE plain AS SELECT unnest(?::{type_text}[]) AS x", [values])
    ends = [value for value in values if value is not None]
    told = [
        "Infinity" if end == math.inf else str(end) if isinstance(end, int) and abs(end) > 2**53 else end
        for end in (min(ends), max(ends))
    ]
    column = StoredColumn("x", type_text, 0, *told)
    is_known = set()
    for metric in metrics_of(column.kind):
        statement = Table("plain", "v1", [column]).aggregate(groupby=groupby, metrics=metric, limit=10)
        try:
            looked_at = read(connection, replace(statement, plain=()), seconds=30)
        except GristmillError:
            continue  # the deviation of numbers that are too large
        is_known.add(any(statement.plain))
        assert read(connection, statement, seconds=30) == looked_at, metric
    assert True in is_known


@pytest.mark.parametrize(
    ("type_text", "values"),
    [
        ("BIGINT", [1_700_000_000_000_000_000 + 100 * step for step in range(20)]),
        ("BIGINT", [-(2**63), -(2**63) + 1, -(2**63) + 3]),
        ("BIGINT", [-(2**63), 0, 2**63 - 1]),
        ("BIGINT", [1, 2, 4]),
        ("UBIGINT", [2**64 - 1, 2**64 - 2, 2**64 - 4]),
        ("DECIMAL(38,0)", [10**37 + step for step in range(9)]),
        ("DECIMAL(38,2)", [Decimal(10**20) + Decimal(step) / 100 for step in range(9)]),
        ("DECIMAL(38,0)", [1 - 10**38, 0, 10**38 - 1]),
        ("DECIMAL(9,2)", [Decimal("1.25"), Decimal("-1.26"), Decimal(7)]),
        ("DECIMAL(18,3)", [Decimal(10**12) + Decimal(step) / 1000 for step in range(9)]),
        ("BIGINT", [8 * 10**15 + step for step in range(4)] * 50),
        ("BIGINT", [1_760_000_000_000_000 + step for step in range(4)] * 50),
        ("BIGINT", [-(10**15) - step for step in range(300)]),
        ("DECIMAL(38,20)", [Decimal("0.001")] * 2),
        ("DECIMAL(19,19)", [Decimal("0.1234567890123456789"), Decimal("0.1234567890123456788")]),
        ("DECIMAL(38,38)", [Decimal("0.5"), Decimal("-0.25")]),
        ("DOUBLE", [1e15 + step / 8 for step in range(10)]),
        ("DOUBLE", [-1e300, -1e300]),
        ("DOUBLE", [0.0, -0.5, 1.25]),
    ],
)
def test_deviations_of_numbers_that_are_large_beside_their_differences_are_those_of_the_differences(
    connection: duckdb.DuckDBPyConnection, type_text: str, values: list[Any]
) -> None:
    texts, numbers = list(map(repr if type_text == "DOUBLE" else str, values)), [Fraction(value) for value in values]
    connection.execute(f"CREATE OR REPLACE TABLE spread AS SELECT CAST(unnest(?) AS {type_text}) AS x", [texts])
    ends: list[Any] = [min(values), max(values)]
    if type_text.startswith("DECIMAL") or (type_text != "DOUBLE" and max(map(abs, ends)) > 2**53):
        ends = list(map(str, ends))
    data = Table("spread", "v1", [StoredColumn("x", type_text, 0, *ends)])

    ((deviation, variance),) = run(connection, data.aggregate(metrics="stddev(x), variance(x)", limit=1))

    assert variance == pytest.approx(float(statistics.variance(numbers)), rel=1e-9)
    assert deviation == pytest.approx(math.sqrt(statistics.variance(numbers)), rel=1e-9)


@pytest.mark.parametrize("ends", [(), (0, 0.1, 0.7)])
def test_metrics_of_floats_are_those_of_the_numbers_that_rows_show(
    connection: duckdb.DuckDBPyConnection, ends: tuple[Any, ...]
) -> None:
    given: list[Any] = []
    for type_text in ("FLOAT", "DOUBLE"):
        connection.execute(f"CREATE OR REPLACE TABLE typed AS SELECT unnest([0.1, 0.2, 0.7, NULL])::{type_text} AS x")
        column = StoredColumn("x", type_text, *ends) if ends else Column("x", type_text, "number")
        metrics = ", ".join(metrics_of("number"))
        statement = Table("typed", "v1", [column]).aggregate(metrics=metrics, limit=1)
        given.append(read(connection, statement, seconds=30))

    assert given[0] == given[1]


def test_deviations_of_groups_that_are_far_from_each_other_are_those_of_their_differences(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    first, second = 1_750_000_000_000_000_000, 1_752_000_000_000_000_000
    values = [first, first + 1, first + 2, second, second + 100, second + 200]
    connection.execute(
        "CREATE OR REPLACE TABLE spread AS SELECT unnest(?) AS x, unnest(?) AS g", [values, list("aaabbb")]
    )
    columns = [
        StoredColumn("x", "BIGINT", 0, str(values[0]), str(values[-1])),
        StoredColumn("g", "VARCHAR", 0, "a", "b"),
    ]

    statement = Table("spread", "v1", columns).aggregate(groupby="g", metrics="stddev(x)", limit=9)

    assert run(connection, statement) == [("a", 1.0), ("b", 100.0)]


def test_deviations_of_numbers_that_doubles_hold_are_reckoned_without_a_detour() -> None:
    columns = [StoredColumn("x", "BIGINT", 0, 1, 2**53), StoredColumn("y", "DOUBLE", 0, -1.0, 1e300)]
    unknown = [StoredColumn("z", "DECIMAL(9,2)", 5, None, None), StoredColumn("w", "DOUBLE", 0, 1e15, "NaN")]
    metrics = "stddev(x), variance(y), stddev(z), stddev(w)"

    statement = Table("data", "v1", [*columns, *unknown]).aggregate(metrics=metrics, limit=1)

    assert 'stddev_samp("w")' in statement.sql
    assert 'stddev_samp("x")' in statement.sql
    assert 'var_samp("y")' in statement.sql
    assert 'stddev_samp("z")' in statement.sql
