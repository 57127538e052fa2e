from typing import Any

import duckdb
import pytest

from gristmill.datasets.columns import Column, decimal_comma, kind_of

KINDS = {
    "BOOLEAN": "boolean",
    "UBIGINT": "integer",
    "INT": "integer",
    "REAL": "number",
    "DOUBLE": "number",
    "DECIMAL(18,3)": "decimal",
    "TEXT": "text",
    "DATE": "date",
    "TIME": "time",
    "TIMETZ": "time",
    "TIMESTAMP_NS": "timestamp",
    "DATETIME": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "INTERVAL": "interval",
    "BYTEA": "binary",
    "UUID": "uuid",
    "INTEGER[]": "nested",
    "INTEGER[3]": "nested",
    "VARCHAR[][]": "nested",
    "STRUCT(a INTEGER, b DATE[])": "nested",
    "MAP(VARCHAR, INTEGER)": "nested",
    "UNION(a INTEGER, b VARCHAR)": "nested",
    "DECIMAL(4,1)[]": "nested",
}


@pytest.mark.parametrize("declared", KINDS)
def test_every_type_has_the_kind_of_its_values_as_duckdb_writes_it(declared: str) -> None:
    with duckdb.connect() as connection:
        written = connection.execute(f"DESCRIBE SELECT NULL::{declared} AS c").fetchone()
    assert written is not None
    assert Column("c", str(written[1]), 0, None, None).kind == KINDS[declared]


@pytest.mark.parametrize("type_text", ["HUGEINT", "UHUGEINT", "ENUM('a', 'b')", "BIT", "VARIANT", "nonsense"])
def test_a_type_that_no_data_set_has_is_of_no_kind(type_text: str) -> None:
    assert kind_of(type_text) is None
    with pytest.raises(ValueError, match="no data set has"):
        _ = Column("c", type_text, 0, None, None).kind


@pytest.mark.parametrize(
    ("ends", "named"),
    [(("-0,5", "x"), "-0,5"), (("", "6,4"), "6,4"), (("1.234,5", "a, b"), ""), ((None, None), ""), ((1, 2), "")],
)
def test_an_end_with_a_decimal_comma_is_named(ends: tuple[Any, Any], named: str) -> None:
    said = decimal_comma(Column("x", "VARCHAR", 0, *ends))
    assert said == (
        f"; it has {named!r}: if that is a number, upload the file with decimal=, in the query" if named else ""
    )
