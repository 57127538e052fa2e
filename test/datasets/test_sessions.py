"""Sessions give what a connection gives, whether a statement is planned ahead or not."""

from collections.abc import Callable
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.datasets import rows
from gristmill.datasets.columns import Column
from gristmill.datasets.queries import Table
from gristmill.datasets.sessions import Session

COLUMNS = [Column("n", "BIGINT", 0, 0, 99), Column("t", "VARCHAR", 0, "0", "9")]
VALUE = (
    st.integers(-(10**20), 10**20) | st.integers(-200, 200) | st.floats() | st.floats(-200, 200)
    | st.decimals(-200, 200, places=2) | st.text(max_size=5)
    | st.sampled_from(["7", "a'b", "--", "7 OR 1", "é", "$1", "?"])
)  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute(
        "CREATE TABLE data AS SELECT range AS n, range::VARCHAR AS t, range / 3 AS x, range::TINYINT AS b, "
        "(range / 8)::DECIMAL(6, 2) AS d FROM range(100)"
    )
    return made


def prepared(session: Session) -> list[str]:
    found = session.execute("SELECT statement FROM duckdb_prepared_statements()").fetchall()
    return [row[0] for row in found]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "n", "t", "t,n"]), st.integers(1, 120), st.sampled_from(["", "n > 50", "t LIKE '1%'"]),
            st.sampled_from(["", "n", "-t"]),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_any_pages_in_any_order_are_those_of_a_new_connection(
    connection: duckdb.DuckDBPyConnection, asked: list[tuple[str, int, str, str]]
) -> None:
    session, table = Session(connection.cursor()), Table("data", "v", COLUMNS)
    for properties, limit, filter_text, sortby in asked * 2:
        page = table.page(properties=properties, limit=limit, filter_text=filter_text, sortby=sortby).statement()
        assert rows.read(session, page, seconds=30) == rows.read(connection, page, seconds=30)
    session.close()


def test_a_page_is_planned_ahead_when_it_comes_again(connection: duckdb.DuckDBPyConnection) -> None:
    session, table = Session(connection.cursor()), Table("data", "v", COLUMNS)
    rows.read(session, table.page(limit=5).statement(), seconds=30)
    assert prepared(session) == []

    rows.read(session, table.page(limit=6).statement(), seconds=30)
    assert len(prepared(session)) == 1

    for text in ("x", "y", "z"):
        rows.read(session, table.page(limit=6, filter_text=f"t = '{text}'").statement(), seconds=30)

    assert len(prepared(session)) == 2
    session.close()


def test_columns_in_another_order_have_the_same_plan(connection: duckdb.DuckDBPyConnection) -> None:
    session, table = Session(connection.cursor()), Table("data", "v", COLUMNS)

    pages = [table.page(limit=1, properties=p).statement() for p in ("n,t", "t,n", "n,t")]
    found = [rows.read(session, page, seconds=30).json() for page in pages]

    assert found == [b'[{"n":0,"t":"0"}]', b'[{"t":"0","n":0}]', b'[{"n":0,"t":"0"}]']
    assert len(prepared(session)) == 1
    session.close()


@pytest.mark.parametrize("text", ["it's", "a\nb", 'a"b', "a\\b", "$1", "?", "a;b", "/*", "x" * 201])
def test_a_text_that_might_be_read_as_more_is_bound(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    session = Session(connection.cursor())

    found = [session.run("SELECT n FROM data WHERE t <> ? LIMIT 1", [text]).fetchall() for _ in range(3)]

    assert found == [[(0,)]] * 3
    assert prepared(session) == []
    session.close()


def test_only_so_many_plans_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    session = Session(connection.cursor())
    for _ in range(3):
        for number in range(40):
            assert session.run(f"SELECT n + {number} FROM data LIMIT ?", [1]).fetchall() == [(number,)]

    assert len(prepared(session)) <= 32
    session.close()


def test_a_plan_sees_the_values_of_each_run(connection: duckdb.DuckDBPyConnection) -> None:
    session = Session(connection.cursor())

    found = [
        session.run("SELECT n FROM data WHERE rowid > ? LIMIT ?", [row, 2]).fetchall() for row in (3, -1, 97, 98, 99)
    ]

    assert found == [[(4,), (5,)], [(0,), (1,)], [(98,), (99,)], [(99,)], []]
    session.close()


@pytest.mark.parametrize(
    "condition",
    ["n = ?", "n > ?", "n * ? > 20", "x < ?", "b > ?", "d >= ?", "t = ?", "t < ?", "CAST(? AS DOUBLE) > n", "? = ?",
     "upper(?) = t"],
)  # fmt: skip
@given(values=st.lists(VALUE, min_size=4, max_size=6))
@settings(max_examples=20, deadline=None)
def test_a_plan_gives_for_any_value_what_the_bound_value_gives(
    connection: duckdb.DuckDBPyConnection, condition: str, values: list[object]
) -> None:
    session = Session(connection.cursor())
    for value in values:
        sql, asked = f"SELECT n, ? FROM data WHERE {condition}", [0] + [value] * condition.count("?")
        assert outcome(session.run, sql, asked) == outcome(connection.execute, sql, asked)
    session.close()


def outcome(run: Callable[[str, list[Any]], duckdb.DuckDBPyConnection], *asked: Any) -> object:
    try:
        return run(*asked).fetchall()
    except duckdb.Error as error:
        return type(error)
