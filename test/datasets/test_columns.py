import duckdb
import pytest

from gristmill.datasets.columns import Column, kind_of

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
