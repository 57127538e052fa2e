"""How values of DuckDB's types are written, and what is done with those that have more than others."""

import duckdb
import pytest

from gristmill.datasets.mapping import microseconds


@pytest.mark.parametrize(
    ("written", "cut"),
    [
        ("2023-12-31 23:59:59.999999999", "2023-12-31 23:59:59.999999"),
        ("2023-12-31 23:59:59.999999", "2023-12-31 23:59:59.999999"),
        ("1969-12-31 23:59:59.999999999", "1969-12-31 23:59:59.999999"),
        ("1969-12-31 23:59:59.999998001", "1969-12-31 23:59:59.999998"),
        ("1969-12-31 23:59:59.999998", "1969-12-31 23:59:59.999998"),
        ("1970-01-01 00:00:00.000000999", "1970-01-01 00:00:00"),
        ("1677-09-22 00:00:00", "1677-09-22 00:00:00"),
        ("2262-04-11 23:47:16.854775806", "2262-04-11 23:47:16.854775"),
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        (None, None),
    ],
)
def test_nanoseconds_are_cut_off_and_never_rounded_up(written: str | None, cut: str | None) -> None:
    sql = microseconds("value", "TIMESTAMP_NS")

    asked = f"SELECT CAST({sql} AS VARCHAR), typeof({sql}) FROM (SELECT ?::TIMESTAMP_NS AS value)"
    with duckdb.connect() as connection:
        found = connection.execute(asked, [written]).fetchall()

    assert found == [(cut, "TIMESTAMP")]


@pytest.mark.parametrize("type_text", ["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP WITH TIME ZONE", "DATE"])
def test_a_time_without_nanoseconds_is_left_as_it_is(type_text: str) -> None:
    assert microseconds("value", type_text) == "value"
