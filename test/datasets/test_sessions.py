"""Sessions give what a connection gives, whether a statement is planned ahead or not."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets import rows
from gristmill.datasets.columns import Column
from gristmill.datasets.queries import Table
from gristmill.datasets.sessions import Session

COLUMNS = [Column("n", "BIGINT", 0, 0, 99), Column("t", "VARCHAR", 0, "0", "9")]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("CREATE TABLE data AS SELECT range AS n, range::VARCHAR AS t FROM range(100)")
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
        page = table.page(properties=properties, limit=limit, filter_text=filter_text, sortby=sortby)
        assert rows.read(session, page, seconds=30) == rows.read(connection, page, seconds=30)
    session.close()


def test_a_page_is_planned_ahead_when_it_comes_again_and_no_text_of_a_user_is(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    session, table = Session(connection.cursor()), Table("data", "v", COLUMNS)
    rows.read(session, table.page(limit=5), seconds=30)
    assert prepared(session) == []

    rows.read(session, table.page(limit=6), seconds=30)
    for _ in range(3):
        rows.read(session, table.page(limit=6, filter_text="t = 'x'"), seconds=30)

    assert len(prepared(session)) == 1
    session.close()


def test_only_so_many_plans_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    session = Session(connection.cursor())
    for _ in range(3):
        for number in range(40):
            assert session.fetch(f"SELECT n + {number} FROM data LIMIT ?", [1]) == [(number,)]

    assert len(prepared(session)) <= 16
    session.close()


def test_a_plan_sees_the_values_of_each_run(connection: duckdb.DuckDBPyConnection) -> None:
    session = Session(connection.cursor())

    found = [session.fetch("SELECT n FROM data WHERE rowid > ? LIMIT ?", [row, 2]) for row in (3, -1, 97, 98, 99)]

    assert found == [[(4,), (5,)], [(0,), (1,)], [(98,), (99,)], [(99,)], []]
    session.close()
