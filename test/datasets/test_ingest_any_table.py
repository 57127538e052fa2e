"""Any table that is written as CSV, JSON or Parquet comes back the same."""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tables import Read, rows_of, types_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


INTEGERS = st.integers(-(10**37), 10**37)


FLOATS = st.floats(width=64)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": INTEGERS,
    "float": FLOATS,
    "text": TEXTS,
    "boolean": st.booleans(),
    "date": st.dates(min_value=dt.date(1, 1, 1)),
    "timestamp": st.datetimes(),
}


NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5).filter(lambda t: t == t.strip()),
    min_size=1,
    max_size=5,
    unique_by=str.casefold,
)


quick = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    names = draw(NAMES)
    kinds = [draw(st.sampled_from(sorted(VALUES))) for _ in names]
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    return names, kinds, draw(st.lists(row, min_size=1, max_size=8))


def csv_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def meant(kind: str, value: Any) -> Any:
    """A value that the table gave back, as the one that was written, for its kind."""
    if value is None:
        return None
    if kind == "integer":
        return int(value)
    if kind == "float":
        return "nan" if math.isnan(float(value)) else float(value)
    return {"true": True, "false": False}.get(value, value) if kind == "boolean" else value


def as_kinds(kinds: list[str], rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [[meant(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows]


SQL_TYPES = {
    "integer": "DECIMAL(38,0)", "float": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_csv_with_its_types_given(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    lines = [",".join(map(csv_text, names)), *(",".join(map(csv_text, row)) for row in rows)]
    types = {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    facts = read("\n".join([*lines, ""]).encode(), types=types, delimiter=",")
    assert types_of(facts) == types
    assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)


@pytest.mark.slow
@quick
@given(tables())
def test_without_given_types_no_number_of_a_csv_is_changed(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    lines = [",".join(map(csv_text, names)), *(",".join(map(csv_text, row)) for row in rows)]
    facts = read("\n".join([*lines, ""]).encode(), delimiter=",")
    assert list(types_of(facts)) == names
    got = rows_of(tmp_path / "table")
    for at, kind in enumerate(kinds):
        if kind in {"integer", "float"}:
            assert [meant(kind, row[at]) for row in got] == [meant(kind, row[at]) for row in rows]


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_json(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    objects = [{name: _json_value(value) for name, value in zip(names, row, strict=True)} for row in rows]
    types = {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    for form, text in (("json", json.dumps(objects)), ("ndjson", "\n".join(map(json.dumps, objects)))):
        read(text.encode(), form, types=types)
        assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_parquet(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    columns = ", ".join(f"c{at} {SQL_TYPES[kind]}" for at, kind in enumerate(kinds))
    aliases = ", ".join(f'c{at} AS "{name.replace(chr(34), chr(34) * 2)}"' for at, name in enumerate(names))
    path = tmp_path / "made"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(kinds))})", rows)
        connection.execute(f"COPY (SELECT {aliases} FROM t) TO '{path}' (FORMAT parquet)")
    facts = read(path.read_bytes(), "parquet")
    assert types_of(facts) == {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)
