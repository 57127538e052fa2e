"""Results of queries: given whole, or refused when a later query of the run has taken their place."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from support.stored import stored

from gristmill import DataSet, Table
from gristmill.processes.run_data import RunData
from gristmill.processes.workspace import Workspace

TAKES: dict[str, Any] = {
    name: lambda found, name=name: getattr(found, name)()
    for name in ("fetchone", "fetchmany", "fetchall", "fetchnumpy", "df", "to_arrow_table")
} | {"description": lambda found: found.description}


def test_a_result_gives_its_rows_in_every_form() -> None:
    table = DataSet.of({"x": [1, 2, 3, 4], "y": ["a", None, "c", "d"]})
    found = table.query(f"SELECT * FROM {table.sql} ORDER BY x")

    assert [column[0] for column in found.description] == ["x", "y"]
    assert found.fetchone() == (1, "a")
    assert found.fetchmany(2) == [(2, None), (3, "c")]
    assert found.fetchall() == [(4, "d")]
    assert found.fetchone() is None
    assert table.query("SELECT ? AS z", [7]).fetchnumpy()["z"].tolist() == [7]
    assert table.query("SELECT $z AS z", {"z": 7}).df()["z"].tolist() == [7]
    assert table.query("SELECT 7 AS z").to_arrow_table().to_pydict() == {"z": [7]}


@pytest.mark.parametrize("take", TAKES)
def test_rows_that_a_later_query_has_replaced_are_refused_and_not_those_of_the_later_one(take: str) -> None:
    table = DataSet.of({"x": [1, 2, 3]})

    low, high = table.query(f"SELECT min(x) FROM {table.sql}"), table.query(f"SELECT max(x) FROM {table.sql}")

    with pytest.raises(RuntimeError, match=r"rows are gone, .* \.fetchall\(\)"):
        TAKES[take](low)
    assert high.fetchall() == [(3,)]


def test_a_query_within_a_loop_over_another_one_does_not_end_the_loop_silently() -> None:
    table = DataSet.of({"g": ["a", "b", "c"]})
    groups = table.query(f"SELECT g FROM {table.sql}")

    def count() -> None:
        while group := groups.fetchone():
            table.query(f"SELECT count(*) FROM {table.sql} WHERE g = ?", group)

    with pytest.raises(RuntimeError, match="rows are gone"):
        count()


def test_a_query_of_another_data_set_of_the_run_replaces_the_rows_too() -> None:
    with RunData() as data:
        one, two = (data.given(name, Table.from_columns({"x": [1]})) for name in ("one", "two"))
        found = one.query("FROM one")
        two.query("FROM two")

        with pytest.raises(RuntimeError, match="rows are gone"):
            found.fetchall()


def test_a_thread_gets_the_rows_of_its_own_query_or_is_told_that_they_are_gone() -> None:
    table = DataSet.of({"g": np.arange(100_000) % 50})

    def groups_of(group: int) -> tuple[int, list[Any] | None]:
        try:
            found = table.query(f"SELECT min(g) FROM {table.sql} WHERE g = ?", [group])
            return group, found.fetchall()
        except RuntimeError as error:
            assert "where threads ask" in str(error)  # noqa: PT017  most of them are not told
            return group, None

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(groups_of, [*range(50)] * 4))

    assert [(group, rows) for group, rows in found if rows not in (None, [(group,)])] == []


@pytest.mark.parametrize("text", ["", "-- a comment", ";"])
def test_a_text_without_a_statement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no statement"):
        DataSet.of({"x": [1]}).query(text)


def test_a_query_that_fails_gives_nobody_the_rows_of_the_one_before() -> None:
    table = DataSet.of({"x": [1]})
    found = table.query("SELECT 1")
    with pytest.raises(duckdb.CatalogException):
        table.query("FROM nowhere")

    with pytest.raises(RuntimeError, match="rows are gone"):
        found.fetchall()


def test_columns_that_are_loaded_meanwhile_leave_the_rows_of_a_query(tmp_path: Path) -> None:
    kept, workspace = stored(tmp_path, "SELECT range AS x, TIMESTAMPTZ '2024-01-01 00:00:00Z' AS t FROM range(5000)")
    workspace.lock()

    for table in (kept, DataSet.of({"x": range(5000)})):
        found = table.query(f"SELECT x FROM {table.sql} ORDER BY x")
        assert found.fetchone() == (0,)
        assert table.table()["x"].sum() == 12_497_500
        assert len(found.fetchall()) == 4999


def test_every_connection_of_a_run_counts_in_utc() -> None:
    connection = Workspace().connection

    for one in (connection, connection.cursor()):
        assert one.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_a_temporary_table_is_there_for_later_queries() -> None:
    table = DataSet.of({"x": [1, 2]})
    table.query(f"CREATE TEMP TABLE made AS SELECT x + 1 AS x FROM {table.sql}")

    assert table.table()["x"].tolist() == [1, 2]
    assert table.query("FROM made ORDER BY x").fetchall() == [(2,), (3,)]
