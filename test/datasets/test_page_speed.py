"""What makes pages fast: numbers known to be plain are written as they are, and a deep page reads only its place."""

import json
import math
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gristmill.datasets import rows
from gristmill.datasets.columns import Column
from gristmill.datasets.cursors import Cursor, check_of, encode
from gristmill.datasets.facts import columns_of
from gristmill.datasets.options import ReadingLimits
from gristmill.datasets.queries import Table
from gristmill.settings import Settings

LIMITS = ReadingLimits.of(Settings())
NUMBERS = st.lists(
    st.tuples(
        st.none() | st.integers(-100, 100) | st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1]),
        st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e300, math.inf, -math.inf, math.nan]),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@given(NUMBERS)
@example([(None, math.copysign(math.nan, -1))])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_is_the_same_with_and_without_the_facts_of_a_column(
    tmp_path: Path, values: list[tuple[int | None, float | None]]
) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t(i BIGINT, x DOUBLE)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", values)
        connection.execute(f"COPY t TO '{tmp_path}/t.parquet' (FORMAT parquet)")
        known = columns_of(tmp_path / "t.parquet", len(values), LIMITS, connection)
        unknown = [Column(column.name, column.type, 0, None, None) for column in known]
        texts = [
            rows.read(connection, Table("t", "v", columns).page(limit=10).statement(), seconds=30).text
            for columns in (known, unknown)
        ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("minimum", "maximum", "is_plain"),
    [(1, 2**53, True), (-1.5, 2.0, True), (1, str(2**53 + 1), False), (1.0, "NaN", False), ("-Infinity", 1.0, False),
     (None, None, False)],
)  # fmt: skip
def test_a_column_is_plain_only_if_both_its_ends_are_numbers(minimum: object, maximum: object, is_plain: bool) -> None:
    column = Column("x", "DOUBLE", 0, minimum, maximum)
    assert Table("t", "v", [column]).page(limit=10).statement().plain == (is_plain,)


def test_an_unsorted_deep_page_does_not_scan_the_table() -> None:
    count = 1_000_000
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT range AS n FROM range({count})")
        cursor = encode(Cursor(count - 1000), check_of("v", []))
        page = Table("t", "v", [Column("n", "BIGINT", 0, 0, count)]).page(limit=100, cursor=cursor).statement()
        assert rows.read(connection, page, seconds=30).text.startswith(b'[{"n":%d}' % (count - 999))
        (row,) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {page.sql}", page.values).fetchall()
    assert scanned(json.loads(row[1])) <= 200_000


def test_only_rows_that_tie_with_the_cursors_are_compared_by_more_than_one_column() -> None:
    columns = [Column("n", "BIGINT", 0, 0, 1000), Column("t", "VARCHAR", 0, None, None)]
    cursor = encode(Cursor(7, ("=700", "=c3")), check_of("v", ["-n", "+t"]))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT range % 1000 AS n, 'c' || range % 16 AS t FROM range(10_000)")
        page = Table("t", "v", columns).page(sortby="-n,t", limit=100, cursor=cursor).numbers()
        (row,) = connection.execute(f"EXPLAIN (FORMAT json) {page.sql}", page.values).fetchall()
    (plan,) = json.loads(row[1])
    assert {"n < 700", "n = 700"} == set(re.findall("n [<=]+ 700", json.dumps(plan)))
    filters = nodes(plan, "FILTER")
    assert all("n = 700" in json.dumps(one["children"]) for one in filters)
    assert not any("n < 700" in json.dumps(one) for one in filters)


def nodes(node: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """All of this name in a plan."""
    below = [found for child in node["children"] for found in nodes(child, name)]
    return [node, *below] if node["name"] == name else below


def scanned(node: dict[str, object]) -> int:
    """Rows that the scans below a node have looked at."""
    below = node.get("children", [])
    assert isinstance(below, list)
    return int(str(node.get("operator_rows_scanned", 0))) + sum(map(scanned, below))
