"""How values of DuckDB's types are written, and what is done with those that have more than others."""

from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.datasets import mapping
from gristmill.datasets.mapping import json_text_of, microseconds

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
INTEGERS = st.none() | st.integers(-(2**31), 2**31 - 1)


def listed(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(items, max_size=3)


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


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("DATE", "2024-02-29"), ("DATE", "infinity"), ("DATE", "-infinity"), ("DATE", "0044-03-15 (BC)"),
        ("DATE", "5881580-07-10"), ("TIME", "23:59:59.000001"), ("UUID", "00000000-0000-0000-0000-00000000000f"),
    ],
)  # fmt: skip
def test_what_duckdb_writes_within_nested_values_is_its_text(kind: str, text: str) -> None:
    with duckdb.connect() as connection:
        asked = f"SELECT {json_text_of('c', f'STRUCT(a {kind}[])')} FROM (SELECT {{'a': [?::{kind}, NULL]}} AS c)"
        assert connection.execute(asked, [text]).fetchall() == [(f'{{"a":["{text}",null]}}',)]


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(
        st.none()
        | st.fixed_dictionaries(
            {
                "a": listed(listed(INTEGERS)),
                'b "c': TEXTS,
                "s": listed(st.none() | st.fixed_dictionaries({"t": TEXTS, "f": st.none() | st.booleans()})),
                "x": listed(st.none() | st.floats()),
            }
        ),
        max_size=3,
    )
)
def test_what_needs_no_mapping_is_written_whole_in_the_same_bytes(values: list[Any]) -> None:
    kind = 'STRUCT(a INTEGER[][], "b ""c" VARCHAR, s STRUCT(t VARCHAR, f BOOLEAN)[], x DOUBLE[])'
    asked = {"c": kind, "c.a": "INTEGER[][]", "c.s": "STRUCT(t VARCHAR, f BOOLEAN)[]"}
    whole = [json_text_of(*one) for one in asked.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "_is_by_duckdb", mapping._BY_DUCKDB.__contains__)
        each = [json_text_of(*one) for one in asked.items()]
    assert [text.count("lambda e") for text in (*whole, *each)] == [0, 0, 0, 4, 2, 1]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE data (c {kind})")
        connection.executemany(f"INSERT INTO data SELECT CAST(? AS {kind})", [[None], *([value] for value in values)])
        found = connection.execute(f"SELECT {', '.join(whole)} FROM data").fetchall()
        assert found == connection.execute(f"SELECT {', '.join(each)} FROM data").fetchall()
