"""A table with a column of every kind, filters over it, and what they are refused with."""

from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from gristmill.datasets.filters import condition
from gristmill.errors import InvalidFilterError


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    kind: str


COLUMNS = [
    Column("i", "BIGINT", "integer"),
    Column("j", "INTEGER", "integer"),
    Column("x", "DOUBLE", "number"),
    Column("f", "FLOAT", "number"),
    Column("d", "DECIMAL(9,2)", "decimal"),
    Column("wide", "DECIMAL(38,2)", "decimal"),
    Column("m", "DECIMAL(38,0)", "decimal"),
    Column("s", "VARCHAR", "text"),
    Column("b", "BOOLEAN", "boolean"),
    Column("day", "DATE", "date"),
    Column("t", "TIMESTAMP", "timestamp"),
    Column("z", "TIMESTAMP WITH TIME ZONE", "timestamptz"),
    Column("nano", "TIMESTAMP_NS", "timestamp"),
    Column("clock", "TIME", "time"),
    Column("id", "UUID", "uuid"),
    Column("raw", "BLOB", "binary"),
    Column("list", "INTEGER[]", "nested"),
    Column('we "ird', "INTEGER", "integer"),
    Column("select", "INTEGER", "integer"),
    Column("größe_名", "INTEGER", "integer"),
]


def table(rows: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    declared = ", ".join('"' + c.name.replace('"', '""') + '" ' + c.type for c in COLUMNS)
    connection.execute(f"CREATE TABLE data ({declared})")
    for row in rows:
        connection.execute(
            f"INSERT INTO data VALUES ({', '.join('?' * len(COLUMNS))})", [row.get(c.name) for c in COLUMNS]
        )
    return connection


def rows_of(text: str, *rows: dict[str, Any]) -> list[int]:
    found = condition(text, COLUMNS)
    connection = table(list(rows))
    try:
        return [
            row[0]
            for row in connection.execute(
                f"SELECT rowid FROM data WHERE {found.sql} ORDER BY 1", found.values
            ).fetchall()
        ]
    finally:
        connection.close()


def refusal(text: str) -> str:
    with pytest.raises(InvalidFilterError) as caught:
        condition(text, COLUMNS)
    assert caught.value.status == 400
    assert [fault.pointer for fault in caught.value.faults] == ["filter"]
    return caught.value.detail
