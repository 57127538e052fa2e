"""How many rows the groups of stored Parquet have."""

from pathlib import Path

import duckdb
import pytest

from gristmill.datasets import stored_parquet

ROWS = 300_000
SELECT = f"SELECT range AS i FROM range({ROWS})"


@pytest.mark.parametrize(
    ("row_bytes", "rows", "most"),
    [
        (0, 0, 122_880),
        (100, 0, 122_880),
        (1000, 0, 34_000),
        (100_000, 0, 335),
        (2**40, 0, 128),
        (2**40, 4096 * 10_000, 10_000),
        (-5, ROWS, 122_880),
    ],
)
def test_a_group_has_so_many_bytes_and_there_are_not_too_many(
    tmp_path: Path, row_bytes: int, rows: int, most: int
) -> None:
    target = tmp_path / "table"
    with duckdb.connect(config={"threads": 1}) as connection:
        assert stored_parquet.write(SELECT, target, connection, row_bytes=row_bytes, rows=rows) == ROWS
        found = connection.execute(
            f"SELECT max(row_group_num_rows) FROM parquet_metadata('{target}') WHERE row_group_id = 0"
        ).fetchone()
        told = stored_parquet.group_rows(target, connection)
        order = connection.execute(
            f"SELECT count(*) FROM read_parquet('{target}') WHERE i <> file_row_number"
        ).fetchone()
    assert found is not None
    assert told == (0 if most == 122_880 else found[0])
    assert most * 0.9 <= found[0] <= most + 2048  # DuckDB's unit of work
    assert order == (0,)
