"""The first rows of a text file, as a table by which the types of its columns are guessed."""

import duckdb

TABLE = "sample"
SAMPLE_ROWS = 20_480
_MOST_VALUES = 2_000_000
_MOST_BYTES = 32 * 2**20
_FIRST_ROWS = 100
_GROWTH = 4


def take(relation: str, columns: int, file_bytes: int, connection: duckdb.DuckDBPyConnection) -> int:
    """Make the table; returns how many bytes a row has about, 0 where the whole file has few.

    It has fewer rows where these are wide, and where they are long. Raises duckdb.Error.
    """
    most = min(SAMPLE_ROWS, _MOST_VALUES // columns)
    if file_bytes <= _MOST_BYTES:
        _make(relation, most, connection)
        return 0
    rows = _FIRST_ROWS  # how long they are is seen only when they have been read: step by step, lest they be too many
    while True:
        _make(relation, rows, connection)
        found = connection.execute(
            f"SELECT CAST(sum(strlen(CAST({TABLE} AS VARCHAR))) // count(*) AS BIGINT), count(*) FROM {TABLE}"
        ).fetchone()
        row_bytes, count = (max(1, found[0]), found[1]) if found and found[1] else (1, 0)
        wanted = min(most, rows * _GROWTH, _MOST_BYTES // row_bytes)
        if count < rows or wanted <= rows:
            return row_bytes
        rows = wanted


def _make(relation: str, rows: int, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {TABLE} AS SELECT * FROM {relation} LIMIT {rows}").fetchall()
